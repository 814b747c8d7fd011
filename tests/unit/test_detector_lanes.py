"""The lanes: labels late, out of order, unknown and revoked; attribution, runs and evidence; p-values and words."""

import random
from itertools import pairwise

import numpy as np
import pytest

from detectors import label_memory
from detectors.contract import BLOCK_OBSERVATIONS, Bools, Floats, Ints, Run, observations
from detectors.lanes import VALUE_OF_ZERO, Lanes, chances
from detectors.lanes_kernel import add_logits, logit_p_value
from detectors.observer import ACCOUNT, ADDRESS
from detectors.panel import Panel
from detectors.registry import make
from detectors.words import DAY_MS, HOUR_MS
from tests.unit.detector_runs import ROWS, START_MS, Stream, cut, cuts, stream
from tests.unit.lane_twins import PastTwin

FILTERS = ("filter_p", "filter_minute", "filter_run")


def fresh(*, remembered_max: int = 10_000, run_age: bool = True) -> Panel:
    panel = make(pairs_max=4096, remembered_max=remembered_max, run_age=run_age)
    panel.reserve(ROWS)
    return panel


def fold(panel: Panel, given: Stream, start: int, end: int) -> None:
    """From the start, or the end of a block, to the end of a stretch."""
    for first, last in cuts(end - start, BLOCK_OBSERVATIONS):
        panel.fold(cut(given.run, start + first, start + last))
        if panel.room == 0:
            panel.learn(given.teach[start + last - BLOCK_OBSERVATIONS : start + last])


def filters(panel: Panel) -> bytes:
    accounts, addresses = panel.arrays()["observer.account"].view(ACCOUNT), panel.arrays()["observer.address"].view(ADDRESS)
    return b"".join(rows[name].tobytes() for rows in (accounts, addresses) for name in FILTERS)


def some_labels(seed: int, n: int, count: int) -> tuple[Ints, Bools]:
    rng = np.random.default_rng(seed)
    ordinals = rng.permutation(n)[:count].astype(np.int64)
    return ordinals, rng.random(count) < 0.3


def test_ordinals_count_observations_and_unknown_labels_are_not_counted() -> None:
    panel, given = fresh(remembered_max=1_000), stream(1, 1_536)
    assert panel.ordinal == 0
    fold(panel, given, 0, 1_536)
    assert panel.ordinal == 1_536 and panel.use()["remembered"] == (1_000, 1_000)
    before = filters(panel), panel.arrays()["lanes.model"].tobytes()
    assert panel.label(np.array([-1, 0, 535, 1_536, 9_999]), np.ones(5, np.bool_)) == 0
    assert (filters(panel), panel.arrays()["lanes.model"].tobytes()) == before
    assert panel.label(np.array([536, 1_535, 4]), np.ones(3, np.bool_)) == 2
    assert panel.use()["labels"][0] == 2


@pytest.mark.parametrize(
    "spoilt", [(np.zeros(2), np.ones(2, np.bool_)), (np.zeros(2, np.int64), np.ones(2)), (np.zeros(3, np.int64), np.ones(2, np.bool_))]
)
def test_labels_of_other_shapes_or_types_are_refused(spoilt: tuple[Ints, Bools]) -> None:
    with pytest.raises(ValueError, match="labels: expected"):
        fresh().label(*spoilt)


def test_the_same_label_again_changes_nothing_and_another_one_replaces_it() -> None:
    panel, other, given = fresh(), fresh(), stream(2, 768)
    for each in (panel, other):
        fold(each, given, 0, 768)
    ordinals, fraud = some_labels(1, 768, 100)
    panel.label(ordinals, fraud)
    panel.label(ordinals, fraud)
    panel.label(ordinals[:1], ~fraud[:1])
    other.label(ordinals[1:], fraud[1:])
    other.label(ordinals[:1], ~fraud[:1])
    assert filters(panel) == filters(other)
    assert panel.arrays()["lanes.model"].tobytes() == other.arrays()["lanes.model"].tobytes()


@pytest.mark.parametrize("log_max", [65_536, 256])
def test_revoked_is_never_given(log_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever came between, with labels settled or not: model and filters are bit for bit those of a panel that never got the labels."""
    monkeypatch.setattr(label_memory, "LOG_MAX", log_max)
    monkeypatch.setattr(label_memory, "SETTLED", log_max // 4)
    panel, other, given = fresh(), fresh(), stream(3, 1_536, step_ms=20 * 60_000)
    for each in (panel, other):
        fold(each, given, 0, 1_536)
    ordinals, fraud = some_labels(2, 1_536, 400)
    wrong = np.arange(300, 360)
    panel.label(ordinals[:300], fraud[:300])
    other.label(ordinals[:300], fraud[:300])
    panel.label(ordinals[wrong], fraud[wrong])
    for each in (panel, other):
        each.label(ordinals[360:], fraud[360:])
    assert filters(panel) != filters(other)
    assert panel.unlabel(ordinals[wrong]) == 60 and panel.unlabel(ordinals[wrong]) == 0
    assert filters(panel) == filters(other)
    assert panel.arrays()["lanes.model"].tobytes() == other.arrays()["lanes.model"].tobytes()
    assert panel.label(ordinals[wrong], fraud[wrong]) == 60  # and can be given again


def test_settled_labels_cannot_be_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_memory, "LOG_MAX", 64)
    monkeypatch.setattr(label_memory, "SETTLED", 16)
    panel, given = fresh(), stream(3, 512)
    fold(panel, given, 0, 512)
    ordinals, fraud = some_labels(2, 512, 200)
    panel.label(ordinals, fraud)
    assert panel.unlabel(ordinals[:100]) == 0
    assert panel.unlabel(ordinals[-20:]) == 20


@pytest.mark.parametrize("stop", [256, 300, 700])
def test_restored_between_labels_is_never_stopped(stop: int) -> None:
    given = stream(4, 1_536)
    ordinals, fraud = some_labels(3, stop, 60)
    panel = fresh()
    fold(panel, given, 0, stop)
    panel.label(ordinals[:40], fraud[:40])
    heir = make(pairs_max=4096, remembered_max=10_000)
    heir.restore({name: array.copy() for name, array in panel.arrays().items()})
    for each in (panel, heir):
        each.label(ordinals[40:], fraud[40:])
        each.unlabel(ordinals[::3])
        into = stop % BLOCK_OBSERVATIONS
        if into:
            end = stop - into + BLOCK_OBSERVATIONS
            each.fold(cut(given.run, stop, end))
            each.learn(given.teach[end - BLOCK_OBSERVATIONS : end])
        fold(each, given, stop if not into else end, 1_536)
        each.label(ordinals[::3], ~fraud[::3])
    assert {name: array.tobytes() for name, array in panel.arrays().items()} == {name: array.tobytes() for name, array in heir.arrays().items()}


def test_a_row_that_was_given_to_another_hears_nothing_of_its_predecessors_labels() -> None:
    panel, given = fresh(), stream(5, 512)
    fold(panel, given, 0, 512)
    ordinals = np.arange(512, dtype=np.int64)
    panel.label(ordinals[:200], np.ones(200, np.bool_))
    for kind in ("account", "address"):
        panel.forget(kind, np.arange(ROWS[kind], dtype=np.int32))
    fold(panel, given, 0, 256)  # the rows are others' now
    assert panel.label(ordinals[200:400], np.ones(200, np.bool_)) == 200
    panel.unlabel(ordinals[:50])
    assert not np.frombuffer(filters(panel), np.uint8).any()


class Told:
    """A panel told one withdrawal after another of accounts and addresses by number."""

    def __init__(self, *, run_age: bool = True) -> None:
        self.panel = make(pairs_max=100_000, run_age=run_age)
        self.panel.reserve({"account": 400, "address": 400, "asset": 1, "wallet": 1, "provider": 1})
        chance = random.Random(6)
        self.now_ms = START_MS
        for k in range(20 * BLOCK_OBSERVATIONS):
            self.now_ms += 5 * 60_000
            self.tell(k % 200, 200 + chance.randrange(100), 100.0 * chance.lognormvariate(0.0, 0.3), self.now_ms)

    def tell(self, account: int, address: int, amount: float, time_ms: int, **more: float) -> dict[str, tuple[float, Floats]]:
        run = observations(1, time_ms=time_ms, account=account, address=address, amount=amount, amount_base=amount, **more)
        _, scores = self.panel.fold(run)
        if self.panel.room == 0:
            self.panel.learn(np.ones(BLOCK_OBSERVATIONS, np.bool_))
        return {name: (float(score.value[0]), score.parts[0]) for name, score in scores.items()}

    def label(self, ordinal: int, fraud: bool) -> None:
        self.panel.label(np.array([ordinal]), np.array([fraud]))

    def lane(self, name: str, account: int, address: int, amount: float, after_ms: int) -> float:
        return self.tell(account, address, amount, self.now_ms + after_ms)[name][0] - VALUE_OF_ZERO


def test_parts_add_up_to_the_logit() -> None:
    told = Told()
    scores = told.tell(3, 350, 90_000.0, told.now_ms)
    value, parts = scores["account_lane"]
    assert parts[: 25 + 4].sum() == pytest.approx(value - VALUE_OF_ZERO)
    value, parts = scores["destination_lane"]
    assert parts[:3].sum() == pytest.approx(value - VALUE_OF_ZERO)


def test_a_normal_looking_fraud_accuses_its_destination_and_an_odd_one_hardly_does() -> None:
    """Attribution: what the account lane explains of a fraud, the destination needn't."""
    raised = []
    for amount in (100.0, 1e7):
        told = Told()
        for k in range(40):  # labels first, so that odd amounts are known to be frauds
            told.tell(k, 200 + k, 1e7, told.now_ms + k)
            told.label(told.panel.ordinal - 1, True)
        usual = told.lane("destination_lane", 150, 350, 100.0, HOUR_MS)
        told.tell(151, 350, amount, told.now_ms + 2 * HOUR_MS)
        told.label(told.panel.ordinal - 1, True)
        raised.append(told.lane("destination_lane", 152, 350, 100.0, 3 * HOUR_MS) - usual)
    assert raised[0] > 2.0 > 4.0 * raised[1]


def test_a_destination_is_trusted_again_after_honest_labels_and_by_time() -> None:
    told = Told()
    usual = told.lane("destination_lane", 150, 350, 100.0, 0)
    told.label(told.panel.ordinal - 1, True)
    accused = told.lane("destination_lane", 151, 350, 100.0, HOUR_MS)
    later = told.lane("destination_lane", 152, 350, 100.0, 200 * DAY_MS)
    assert accused > usual + 3.0 and abs(later - usual) < 0.5
    for k in range(4):
        told.lane("destination_lane", 153 + k, 350, 100.0, (2 + k) * HOUR_MS)
        told.label(told.panel.ordinal - 1, False)
    assert told.lane("destination_lane", 160, 350, 100.0, 8 * HOUR_MS) < accused - 2.0


def test_a_label_from_before_the_newest_one_weighs_less_the_older_it_is() -> None:
    """Out of order: a fraud of 60 days ago says little of a destination that was honest yesterday, one of the day before much."""
    values = []
    for days in (60, 2):
        told = Told()
        old = told.panel.ordinal
        told.tell(150, 350, 100.0, told.now_ms)
        told.tell(151, 350, 100.0, told.now_ms + days * DAY_MS)
        told.label(old + 1, False)
        told.label(old, True)
        values.append(told.lane("destination_lane", 152, 350, 100.0, (days + 1) * DAY_MS))
    assert values[0] < values[1] - 0.5


def test_run_age_counts_days_and_can_be_switched_off() -> None:
    for run_age in (True, False):
        told = Told(run_age=run_age)
        told.tell(150, 350, 100.0, told.now_ms)
        told.label(told.panel.ordinal - 1, True)
        days = [told.tell(151 + k, 350, 100.0, told.now_ms + k * DAY_MS + HOUR_MS)["destination_lane"][1][4] for k in range(3)]
        assert days == ([1.0, 2.0, 3.0] if run_age else [0.0, 0.0, 0.0])


def test_suspicion_of_an_account_and_an_address_stays_for_a_while() -> None:
    told = Told()
    before = told.tell(3, 200, 100.0, told.now_ms)["account_lane"][1]
    for k in range(4):
        told.tell(3, 351, 1e8, told.now_ms + k * 1_000)
    inputs = {}
    for name, account, address in (("account", 3, 200), ("neither", 4, 201)):
        run = observations(1, time_ms=told.now_ms + 60_000, account=account, address=address, amount=100.0, amount_base=100.0)
        inputs[name] = told.panel.fold(run)[0][0]
    evidence = told.panel.input_names.index("evidence_12h")
    assert inputs["account"][evidence] > inputs["neither"][evidence] + 0.1 and before[evidence] <= 0.0


def test_an_account_lane_in_words() -> None:
    told = Told()
    _, parts = told.tell(3, 352, 1e7, told.now_ms)["account_lane"]
    words = told.panel.explain("account_lane", parts)
    assert words.startswith("account 9") and " 1 in " in words and "(+0." in words
    parts[:] = 0.0
    assert told.panel.explain("account_lane", parts) == "account 0 %: nothing unusual"
    names = next(one.part_names for one in told.panel.detectors if one.name == "account_lane")
    shown = {
        "amount_over_mean": 5.8,
        "amount_over_mean_decades": 4.97,
        "amount_z": 3.84,
        "amount_z_decades": 4.3,
        "evidence_12h": 2.6,
        "cause_share": 1.0,
    }
    for name, part in shown.items():
        parts[names.index(name)] = part
    assert told.panel.explain("account_lane", parts) == (
        "account 100 %: amount over mean 1 in 93,000 (+5.8), amount z 1 in 20,000 (+3.8), recent evidence (+2.6)"
    )


def test_a_destination_lane_in_words() -> None:
    told = Told()
    explain = told.panel.explain
    assert (
        explain("destination_lane", np.array([6.21, 1.4, -6.0, 0.97, 5.0]))
        == "destination 97 %: earlier frauds to it (+6.2), day 5 of its run (+1.4)"
    )
    assert explain("destination_lane", np.array([0.0, 0.0, -6.0, 0.5, 0.0])) == "destination 50 %: nothing known against it"


def test_p_values_equal_the_twin_and_do_not_tie() -> None:
    cells, numbers, upper, twin = np.zeros(1024), np.array([1.0, 0.0, 0.0]), np.ones(1025), PastTwin()
    rng = np.random.default_rng(7)
    for _ in range(12):
        logits, teach = rng.normal(-6.0, 2.0, 256), rng.random(256) < 0.9
        add_logits(logits, teach, cells, numbers, upper)
        twin.learn(logits.tolist(), teach.tolist())
    assert upper.tolist() == twin.upper
    points = np.linspace(-9.0, -3.0, 500)
    found = [logit_p_value(z, upper, twin.least) for z in points.tolist()]
    assert found == [twin.p_value(z) for z in points.tolist()]
    assert all(later < earlier for earlier, later in pairwise(found))
    assert found[250] == pytest.approx(0.5, abs=0.03)


def test_together_the_lanes_are_a_noisy_or() -> None:
    values = np.array([[-2.0, 3.0], [0.0, -50.0]]) + VALUE_OF_ZERO
    expected = [1.0 - (1.0 - 1.0 / (1.0 + np.exp(-a))) * (1.0 - 1.0 / (1.0 + np.exp(-d))) for a, d in (values - VALUE_OF_ZERO).T]
    assert chances(*values) == pytest.approx(expected)


def test_memory_grows_as_it_fills() -> None:
    lanes = Lanes(1_000_000)
    assert sum(array.nbytes for array in (lanes.memory.bins, lanes.memory.refs)) < 60_000
    lanes.begin(256)
    assert sum(len(array) for name, array in lanes.arrays().items() if name.startswith("remembered")) == 512


def what_is_unknown(run: Run) -> Run:
    run = run.copy()
    for name in ("device", "network", "country", "api_key", "second_factor"):
        run[name] = 0
    run["security_age_ms"], run["balance_share"] = -1, np.nan
    return run


def test_what_is_unknown_adds_nothing_and_learns_nothing() -> None:
    panel, given = fresh(), stream(8, 1_536)
    fold(panel, Stream(what_is_unknown(given.run), given.teach), 0, 1_536)
    panel.label(*some_labels(4, 1_536, 400))
    _, scores = panel.fold(what_is_unknown(cut(given.run, 0, 100)))
    assert not scores["account_lane"].parts[:, 17:25].any()
    assert not panel.arrays()["lanes.model"][1][17 * 64 : 25 * 64].any()
