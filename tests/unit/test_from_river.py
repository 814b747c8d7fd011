"""River's estimators as detectors: what fails is named and begins afresh, what may not teach doesn't, and the policy says which take part."""

import math
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import numpy as np
import pytest
from river import anomaly, preprocessing, stats

from detectors.checks import CHECKS, Check, Story, outcome, told
from detectors.contract import BLOCK_OBSERVATIONS, Detector, Floats, observations
from detectors.from_river import DetectorRefusedError, FromRiver
from detectors.half_space_trees import HalfSpaceTrees
from detectors.registry import MODEL_NAMES, Entry, UnknownDetectorError, make, remake
from detectors.river_catalogue import EstimatorRefusedError, Step, build, river_entry
from monitor import entries
from monitor.engine import Engine
from monitor.policy import RiverDetector, RiverStep
from monitor.snapshot_file import decode, encode
from tests.simulation.journals import START_MS, honest, journal, term

NAMES = ("amount", "burst", "dormancy")
N = BLOCK_OBSERVATIONS
RUN = observations(N, amount=1.0, amount_base=1.0)
ALL = np.ones(N, np.bool_)

GaussianScorer: Any = anomaly.GaussianScorer  # untyped
KEEPING: dict[str, tuple[Callable[[], Any], str | None]] = {
    "trees": (lambda: anomaly.HalfSpaceTrees(n_trees=3, height=4), None),
    "scaled": (lambda: preprocessing.StandardScaler() | anomaly.OneClassSVM(), None),
    "gaussian": (GaussianScorer, "amount"),
    "deviation": (anomaly.StandardAbsoluteDeviation, "amount"),
}


@pytest.fixture(scope="module")
def story() -> Story:
    return told()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", KEEPING)
def test_river_estimators_keep_the_contract(name: str, check: Check, story: Story) -> None:
    estimator, target = KEEPING[name]
    assert not outcome(check, lambda names: FromRiver(name, estimator(), names, target), story)


def inputs(seed: int, n: int = N) -> Floats:
    return np.random.default_rng(seed).beta(2.0, 5.0, (n, len(NAMES)))


def grown(estimator: Any, blocks: int = 20, target: str | None = None) -> FromRiver:
    detector = FromRiver("plugged", estimator, NAMES, target)
    for block in range(blocks):
        given = inputs(block)
        detector.fold(RUN, given)
        detector.learn(RUN, given, ALL)
    return detector


def test_what_lies_outside_is_rare_and_says_why() -> None:
    detector = grown(anomaly.StandardAbsoluteDeviation(), blocks=30, target="amount")
    given = inputs(99)
    given[7] = (0.9999, 0.3, 0.3)
    scores = detector.fold(RUN, given)
    assert scores.ready.all()
    assert np.argmin(scores.p_value) == 7
    words = detector.explain(scores.parts[7])
    assert words.startswith("river scores 4.")
    assert "of its recent past; less, were it as usual: amount 4" in words
    assert "dormancy" not in words


def test_p_values_are_uniform_on_what_it_knows() -> None:
    detector = grown(GaussianScorer(), blocks=60, target="amount")
    p_values = np.concatenate([detector.fold(RUN, inputs(k)).p_value for k in (1_000,)])
    for share in (0.1, 0.3, 0.6):
        assert (p_values <= share).mean() == pytest.approx(share, abs=0.08)


def test_what_may_not_teach_does_not() -> None:
    one, other = (FromRiver("x", anomaly.OneClassSVM(), NAMES) for _ in range(2))
    teach = ALL.copy()
    teach[:9] = False
    given = inputs(1)
    changed = given.copy()
    changed[:9] = 0.999
    for detector, each in ((one, given), (other, changed)):
        detector.fold(RUN, each)
        detector.learn(RUN, each, teach)
    assert one.arrays()["graph"].tobytes() == other.arrays()["graph"].tobytes()


def panic(*_: object) -> float:
    from river._river_rust import stats as compiled

    return compiled.RsRollingQuantile(0.5, 3).get()


def raises(*_: object) -> float:
    raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("method", "broken", "said"),
    [
        ("score_one", panic, "panicked"),
        ("score_one", raises, "RuntimeError: a bug"),
        ("score_one", lambda *_: math.nan, "gave nan"),
        ("score_one", lambda *_: "odd", "gave 'odd'"),
        ("learn_one", panic, "panicked"),
        ("learn_one", raises, "RuntimeError: a bug"),
    ],
)
def test_a_failure_is_named_and_begins_afresh(method: str, broken: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = grown(anomaly.OneClassSVM())
    assert detector.fold(RUN[:1], inputs(1)[:1]).ready.all()
    with monkeypatch.context() as patch:
        patch.setattr(anomaly.OneClassSVM, method, broken)
        scores = detector.fold(RUN[1:], inputs(1)[1:])
        detector.learn(RUN, inputs(1), ALL)
    assert said in detector.failure and "OneClassSVM of river" in detector.failure
    if method == "score_one":
        assert (scores.p_value == 1.0).all() and (scores.value == 0.0).all() and scores.ready.all()
    assert detector.restarts == 1
    assert not detector.fold(RUN, inputs(2)).ready.any()
    assert detector.arrays()["graph"].tobytes() == FromRiver("x", anomaly.OneClassSVM(), NAMES).arrays()["graph"].tobytes()


def test_a_failure_does_not_show_cuts_and_survives_a_restart_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_at(self: Any, x: dict[str, float]) -> float:
        if x["amount"] == 0.7501:
            raise RuntimeError("a bug")
        return x["amount"]

    monkeypatch.setattr(anomaly.OneClassSVM, "score_one", fails_at)
    given = inputs(5)
    given[100, 0] = 0.7501
    whole, cut = grown(anomaly.OneClassSVM()), grown(anomaly.OneClassSVM())
    once = whole.fold(RUN, given)
    first = cut.fold(RUN[:120], given[:120])
    heir = FromRiver("plugged", anomaly.OneClassSVM(), NAMES)
    heir.restore(cut.arrays())
    second = heir.fold(RUN[120:], given[120:])
    for name in ("value", "p_value", "ready", "parts"):
        assert np.array_equal(getattr(once, name), np.concatenate([getattr(first, name), getattr(second, name)]))
    assert (once.p_value[100:] == 1.0).all() and (once.p_value[:100] < 1.0).any()
    for detector in (whole, heir):
        detector.learn(RUN, given, ALL)
    assert {name: array.tobytes() for name, array in whole.arrays().items()} == {name: array.tobytes() for name, array in heir.arrays().items()}


def test_an_interrupt_is_not_the_estimators_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = grown(anomaly.OneClassSVM(), blocks=1)

    def interrupted(*_: object) -> float:
        raise KeyboardInterrupt

    monkeypatch.setattr(anomaly.OneClassSVM, "score_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        detector.fold(RUN, inputs(1))


def test_a_state_that_outgrows_its_limit_begins_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.river_graph.NODES_MAX", 300)
    monkeypatch.setattr(anomaly.LocalOutlierFactor, "score_one", lambda *_: 0.0)
    detector = grown(anomaly.LocalOutlierFactor(), blocks=15)
    assert detector.restarts == 0
    assert grown(anomaly.LocalOutlierFactor(), blocks=16).restarts == 1


@pytest.mark.parametrize(
    ("estimator", "target", "said"),
    [
        (stats.Mean(), None, "it has no score_one"),
        (preprocessing.StandardScaler(), None, "it has no score_one"),
        (GaussianScorer(), None, "its target must be one of the inputs"),
        (GaussianScorer(), "moon", "its target must be one of the inputs"),
        (anomaly.OneClassSVM(), "amount", "takes no target"),
        (anomaly.PredictiveAnomalyDetection(warmup_period=5), "amount", "learns when it scores"),
        (anomaly.PredictiveAnomalyDetection(), "amount", "fails at once: score_one raised ZeroDivisionError"),
        (anomaly.StandardAbsoluteDeviation(stats.Quantile(0.5)), "amount", "fails at once: score_one raised TypeError"),
    ],
)
def test_what_can_not_keep_the_contract_is_refused_by_name(estimator: Any, target: str | None, said: str) -> None:
    with pytest.raises(DetectorRefusedError, match="^mine: .*" + said):
        FromRiver("mine", estimator, NAMES, target)


def test_another_estimators_state_is_refused() -> None:
    detector = FromRiver("x", anomaly.OneClassSVM(), NAMES)
    with pytest.raises(ValueError, match=r"state of river\.anomaly\.hst\.HalfSpaceTrees, this is river\.anomaly\.svm\.OneClassSVM"):
        detector.restore(FromRiver("x", anomaly.HalfSpaceTrees(n_trees=1, height=2), NAMES).arrays())


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (Step("os.system", {}), "is not an estimator of river's"),
        (Step("anomaly", {}), "is not an estimator of river"),
        (Step("anomaly.base", {}), "is not an estimator of river"),
        (Step("anomaly.HalfSpaceTree", {}), "did you mean HalfSpaceTrees"),
        (Step("anomaly.HalfSpaceTrees", {"trees": 1}), "did you mean n_trees"),
        (Step("anomaly.QuantileFilter", {"q": 0.9}), "needs its parameter anomaly_detector"),
        (Step("preprocessing.FeatureHasher", {"n_features": "x", "moon": 1}), "no parameter moon"),
    ],
)
def test_unknown_estimators_and_parameters_are_one_sentence(step: Step, said: str) -> None:
    with pytest.raises(EstimatorRefusedError, match=said):
        build([step])


def test_a_detector_that_joins_takes_the_open_block_first(story: Story) -> None:
    entry = river_entry("svm", [Step("anomaly.OneClassSVM", {})], None)
    late, always = make(pairs_max=1_024), make(pairs_max=1_024, extra=[entry])
    for panel in (late, always):
        panel.reserve({"account": 40, "address": 60, "asset": 4, "wallet": 3, "provider": 2})
        panel.fold(story.run[:100])
    remake(late, [entry], [], 3 * 86_400_000)
    for panel in (late, always):
        panel.fold(story.run[100:N])
        panel.learn(story.teach[:N])
    assert [array.tobytes() for array in late.arrays().values()] == [array.tobytes() for array in always.arrays().values()]


TREES = RiverDetector("river_trees", "anomaly.HalfSpaceTrees", {"n_trees": 2, "height": 3})
MACHINE = RiverDetector("svm", "anomaly.OneClassSVM", before=(RiverStep("preprocessing.StandardScaler"),))
THEIRS = Entry("theirs", lambda parts: Renamed(MODEL_NAMES, parts.lanes.tail_bins), "What do others say?")


class Renamed(HalfSpaceTrees):
    name = "theirs"


def find(name: str) -> Entry:
    if name != "theirs":
        raise UnknownDetectorError(name)
    return THEIRS


def detectors_of(engine: Engine) -> dict[str, Detector]:
    return {detector.name: detector for detector in engine.state.scoring.panel.detectors}


def test_a_term_brings_and_takes_detectors_and_a_restored_state_decides_alike() -> None:
    lines = journal(honest(seconds=60, rate=30, seed=8, accounts=200), river=(TREES,), plug_ins=("theirs",))
    third = len(lines) // 3
    lines.insert(third, term(START_MS + 20_000, "term-2", river=(MACHINE, TREES), plug_ins=("theirs",)))
    lines.insert(2 * third, term(START_MS + 40_000, "term-3", river=(MACHINE,)))
    live = Engine(sha256(lines[0]).hexdigest(), plug_ins=find)
    out = live.fold(0, lines[:third])
    before = detectors_of(live)
    assert list(before)[-2:] == ["theirs", "river_trees"]
    out += live.fold(third, lines[third : third + 1])
    after = detectors_of(live)
    assert list(after)[-3:] == ["theirs", "svm", "river_trees"]
    assert after["river_trees"] is before["river_trees"] and after["theirs"] is before["theirs"]
    scoring = live.state.scoring
    ours = tuple(detector.name for detector in make().detectors if detector.calibrated)
    assert scoring.calibrated == (*ours, "theirs", "svm", "river_trees")
    assert len(scoring.gate.alarms) == len(scoring.calibrated)
    restored = Engine.thaw(decode(encode(live.freeze())), plug_ins=find)
    rest = live.fold(third + 1, lines[third + 1 :])
    assert restored.fold(third + 1, lines[third + 1 :]) == rest
    assert encode(restored.freeze()) == encode(live.freeze())
    assert list(detectors_of(live))[-1] == "svm" and "river_trees" not in detectors_of(live)
    single = Engine(sha256(lines[0]).hexdigest(), plug_ins=find)
    assert [record for at, entry in enumerate(lines) for record in single.fold(at, [entry])] == out + rest


def test_other_parameters_are_another_detector_that_begins_afresh() -> None:
    engine = Engine(sha256(b"").hexdigest())
    engine.fold(0, [term(river=(TREES,))])
    before = detectors_of(engine)["river_trees"]
    engine.fold(1, [term(name="term-2", river=(RiverDetector("river_trees", "anomaly.HalfSpaceTrees", {"n_trees": 2, "height": 4}),))])
    assert detectors_of(engine)["river_trees"] is not before


def test_a_detector_that_is_not_installed_stops_the_fold_by_name() -> None:
    with pytest.raises(UnknownDetectorError, match="the detector theirs, which the policy names, is not installed here"):
        Engine(sha256(b"").hexdigest()).fold(0, [entries.term("t", "1", term_policy(), {"withdrawals": 1}, START_MS)])


def term_policy() -> Any:
    from tests.simulation.journals import policy

    return policy(plug_ins=("theirs",))
