"""Labels: who gets one, when it is told (never early, in order, once), and the quantile that alerts."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.contract import BLOCK_OBSERVATIONS, Bools, Floats, Ints, Run, Scores, observations
from streams.evaluation.labelled import Labelled
from streams.evaluation.labels import FIRST_SCORES, LabelPolicy, Labels, TrackedQuantile, parse_policy
from streams.evaluation.prequential import prequential
from streams.refusals import RefusedError

HOUR_MS = 3_600_000


class Recorder:
    """An engine that scores amounts and notes what it was told, and after how many events."""

    def __init__(self) -> None:
        self.room = BLOCK_OBSERVATIONS
        self.ordinal = 1_000
        self.told: list[tuple[int, int, bool]] = []
        self.taught: list[bool] = []
        self.runs: list[int] = []

    def reserve(self, rows: Mapping[str, int]) -> None:
        """Nothing to grow."""

    def fold(self, run: Run) -> tuple[Floats, dict[str, Scores]]:
        n = len(run)
        self.runs.append(n)
        self.room -= n
        self.ordinal += n
        value = run["amount"].copy()
        return np.column_stack((value, -value)), {"amount": Scores(value, np.full(n, 0.5), np.ones(n, np.bool_), np.zeros((n, 1)))}

    def learn(self, teach: Bools) -> None:
        assert self.room == 0
        self.taught += teach.tolist()
        self.room = BLOCK_OBSERVATIONS

    def label(self, ordinals: Ints, fraud: Bools) -> None:
        self.told += [(self.ordinal - 1_000, number - 1_000, truth) for number, truth in zip(ordinals.tolist(), fraud.tolist(), strict=True)]


class Notes:
    """A watcher that notes the same."""

    def __init__(self) -> None:
        self.seen = 0
        self.told: list[tuple[int, int, bool]] = []

    def score(self, start: int, inputs: Floats) -> None:
        assert start == self.seen
        self.seen += len(inputs)

    def label(self, places: Ints, frauds: Bools) -> None:
        self.told += [(self.seen, place, truth) for place, truth in zip(places.tolist(), frauds.tolist(), strict=True)]


def labelled(times_ms: Ints, seed: int = 1) -> Labelled:
    chance = np.random.default_rng(seed)
    n = len(times_ms)
    frauds = chance.random(n) < 0.1
    run = observations(n, time_ms=times_ms, amount=1.0 + chance.random(n) + frauds)
    return Labelled(run, frauds, {"account": 1, "address": 1, "asset": 1}, [])


def passed(data: Labelled, policy: str, delay_ms: int, *, audit_share: float = 0.005, hold: bool = False) -> tuple[Recorder, Notes, Bools]:
    engine, notes = Recorder(), Notes()
    labels = Labels(parse_policy(policy), data.times_ms, data.frauds, delay_ms=delay_ms, audit_share=audit_share, seed=3)
    judged = prequential(data, engine, lambda scores: scores["amount"].value, labels, alert_share=0.05, hold=hold, watchers=[notes])
    assert judged.labels_told == len(engine.told)
    assert engine.runs[:-1] == [BLOCK_OBSERVATIONS] * (len(engine.runs) - 1)
    assert (judged.scores == data.run["amount"]).all()
    return engine, notes, judged.alerts


@given(st.lists(st.integers(0, 20), min_size=1, max_size=700), st.integers(0, 400))
def test_labels_are_told_in_order_once_never_early_and_at_the_next_run(gaps: list[int], delay_ms: int) -> None:
    data = labelled(np.cumsum(gaps))
    engine, notes, _ = passed(data, "all", delay_ms)
    times = data.times_ms.tolist()
    assert [place for _, place, _ in engine.told] == list(range(len(engine.told)))
    for seen, place, truth in engine.told:
        assert times[place] + delay_ms < times[seen], "told before it was due"
        assert truth == data.frauds[place]
    for start in range(0, len(times), BLOCK_OBSERVATIONS):
        due = sum(time + delay_ms < times[start] for time in times[:start])
        assert sum(seen <= start for seen, _, _ in engine.told) == due, "told too late"
    assert notes.told == engine.told


def test_nobody_is_told_with_policy_none() -> None:
    engine, _, _ = passed(labelled(np.arange(3_000)), "none", 0)
    assert engine.told == []


def test_alerted_labels_are_those_of_alerted_events() -> None:
    data = labelled(np.arange(6_000) * HOUR_MS)
    engine, _, alerts = passed(data, "alerted", HOUR_MS)
    told = {place for _, place, _ in engine.told}
    last = int(data.times_ms[5_888]) - HOUR_MS  # the last run's first event
    assert told == {place for place in np.flatnonzero(alerts).tolist() if data.times_ms[place] < last}
    assert told


def test_reported_labels_are_half_of_the_frauds_and_audited_ones_are_drawn_from_all() -> None:
    data = labelled(np.arange(40_000))
    engine, _, _ = passed(data, "reported:0.5", 0)
    assert all(truth for _, _, truth in engine.told)
    assert len(engine.told) == pytest.approx(0.5 * int(data.frauds.sum()), rel=0.1)
    audited, _, _ = passed(data, "audit", 0, audit_share=0.2)
    assert len(audited.told) == pytest.approx(0.2 * 40_000, rel=0.1)
    assert sum(truth for _, _, truth in audited.told) == pytest.approx(0.1 * len(audited.told), rel=0.2)


@pytest.mark.parametrize("hold", [False, True])
def test_only_hold_keeps_alerted_events_from_teaching(hold: bool) -> None:
    engine, _, alerts = passed(labelled(np.arange(20 * BLOCK_OBSERVATIONS)), "none", 0, hold=hold)
    assert alerts.any()
    assert engine.taught == (~alerts | (not hold)).tolist()


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("none", LabelPolicy("none")),
        ("all", LabelPolicy("all", every=True)),
        ("alerted+audit", LabelPolicy("alerted+audit", alerted=True, audit=True)),
        ("alerted+audit+reported:0.5", LabelPolicy("alerted+audit+reported:0.5", alerted=True, audit=True, reported_share=0.5)),
    ],
)
def test_policies(text: str, policy: LabelPolicy) -> None:
    assert parse_policy(text) == policy


@pytest.mark.parametrize(
    "text", ["", "some", "all+audit", "alerted+", "reported", "reported:", "reported:0", "reported:1.5", "reported:nan", "audit:0.1"]
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match=r"^--label-policy: .*\.$"):
        parse_policy(text)


def test_the_quantile_keeps_its_share_when_scores_drift() -> None:
    chance = np.random.default_rng(2)
    scores = chance.normal(size=60_000) + np.linspace(0.0, 2.0, 60_000)
    quantile = TrackedQuantile(0.005)
    alerts = np.concatenate([quantile.judge(part) for part in np.array_split(scores, 77)])
    assert not alerts[:FIRST_SCORES].any()
    later = alerts[FIRST_SCORES:].reshape(-1, 2_000).sum(1)
    assert alerts.sum() == pytest.approx(0.005 * 58_000, rel=0.06)
    assert later.max() <= 20, "10 are meant in each 2,000"


def test_the_cut_into_runs_does_not_show_in_alerts() -> None:
    scores = np.random.default_rng(4).normal(size=5_000)
    whole, cut = TrackedQuantile(0.01), TrackedQuantile(0.01)
    assert (whole.judge(scores) == np.concatenate([cut.judge(part) for part in np.array_split(scores, 31)])).all()
