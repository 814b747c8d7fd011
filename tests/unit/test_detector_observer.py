"""The observer's kernels equal their plain twin bit for bit, and each input means what its name says."""

from typing import NamedTuple

import numpy as np
import pytest

from detectors.contract import BLOCK_OBSERVATIONS, OBSERVATION, Bools, Floats, Ints, Run, observations
from detectors.lanes import VALUE_OF_ZERO, Lanes
from detectors.observer import EVERYONE, Observer
from detectors.words import DAY_MS, HOUR_MS
from tests.unit.detector_runs import ROWS, START_MS, Stream, cut, cuts, stream
from tests.unit.detector_twins import ObserverTwin, TailTwin
from tests.unit.lane_twins import LanesTwin

INPUTS = len(Observer.INPUT_NAMES)
RATES = {"account": 0.3, "destination": 0.3, "weight": 0.1}
"""The lanes' learning rates."""


class Labels(NamedTuple):
    """Labels that come after so many observations."""

    ordinals: Ints
    fraud: Bools


def labels_of(n: int) -> dict[int, Labels]:
    """Late labels, out of order, some twice and some contradicting, in the middle and at the ends of blocks; more frauds to a few addresses."""
    rng = np.random.default_rng(n)
    told: dict[int, Labels] = {}
    for after in range(320, n, 192):
        ordinals = rng.integers(max(after - 900, 0), after, 40)
        told[after] = Labels(ordinals, rng.random(40) < np.where(ordinals % 3 == 0, 0.6, 0.05))
    return told


def observed(given: Stream, longest: int, told: dict[int, Labels]) -> tuple[Floats, Floats]:
    """What the observer says, block after block, and the logits of both lanes."""
    lanes = Lanes(10_000)
    observer = Observer(lanes, pairs_max=100_000)
    observer.reserve(ROWS)
    out, logits = [], []
    for start, end in cuts(len(given.run), longest):
        out.append(observer.observe(cut(given.run, start, end)))
        logits.append(np.column_stack([lanes.scores(lane).value - VALUE_OF_ZERO for lane in (0, 1)]))
        if end in told:
            lanes.label(*told[end], *observer.filter_rows())
        if end % BLOCK_OBSERVATIONS == 0:
            block = slice(end - BLOCK_OBSERVATIONS, end)
            observer.learn(cut(given.run, block.start, end), np.concatenate(out)[block], given.teach[block])
    return np.concatenate(out), np.concatenate(logits)


def twin_observed(given: Stream, told: dict[int, Labels]) -> tuple[list[list[float]], list[tuple[float, float]]]:
    bins = TailTwin(25, 17)
    twin = ObserverTwin(LanesTwin(bins, RATES))
    run = given.run
    rows: list[list[float]] = []
    for i in range(len(run)):
        rows.append(twin.observe({name: run[name][i].item() for name in OBSERVATION.fields or {}}))
        if len(rows) in told:
            labels = told[len(rows)]
            twin.lanes.label(labels.ordinals.tolist(), labels.fraud.tolist())
        if len(rows) % BLOCK_OBSERVATIONS == 0:
            teach = given.teach[len(rows) - BLOCK_OBSERVATIONS : len(rows)].tolist()
            twin.learn(teach)
            bins.learn(rows[-BLOCK_OBSERVATIONS:], teach)
    return rows, [features["z"] for features in twin.lanes.seen]


@pytest.mark.parametrize(("seed", "step_ms"), [(1, 60_000), (2, 3_600_000), (3, 300)])
def test_kernels_equal_the_twin(seed: int, step_ms: int) -> None:
    given = stream(seed, 16 * BLOCK_OBSERVATIONS + 100, step_ms=step_ms)
    told = labels_of(len(given.run))
    inputs, values = observed(given, 64, told)
    rows, logits = twin_observed(given, told)
    twin = np.array(rows)
    different = [(int(i), Observer.INPUT_NAMES[j]) for i, j in zip(*np.nonzero(inputs != twin), strict=True)]
    assert different == [] and inputs.tobytes() == twin.tobytes()
    assert values.tolist() == [[max(z + VALUE_OF_ZERO, 0.0) - VALUE_OF_ZERO for z in pair] for pair in logits]
    # The stream was eventful enough for all inputs to say something, evidence included.
    assert (inputs.max(axis=0) > inputs.min(axis=0) + 0.05).all() and (np.ptp(values, axis=0) > 3.0).all()


class Story:
    """An observer of its own account rows, told one withdrawal after another; a block ends when it is asked to."""

    def __init__(self, pairs_max: int = 1024) -> None:
        self.observer = Observer(Lanes(1024), pairs_max)
        self.observer.reserve({"account": 2000, "address": 2000, "asset": 3})
        self.pending: list[Run] = []

    def tell(self, time_ms: int, amount: float, account: int = 0, address: int = 0, asset: int = 0, base: float | None = None) -> dict[str, float]:
        price = amount if base is None else base
        run = observations(1, time_ms=time_ms, account=account, address=address, asset=asset, amount=amount, amount_base=price)
        self.pending.append(run)
        return dict(zip(Observer.INPUT_NAMES, self.observer.observe(run)[0].tolist(), strict=True))

    def end_block(self, *, may_teach: bool = True) -> None:
        """Teach what was told; a shorter block than a real one is as good to the observer."""
        block = np.concatenate(self.pending)
        self.observer.learn(block, np.zeros((len(block), INPUTS)), np.full(len(block), may_teach))
        self.pending = []


def used_to(amount: float, *, may_teach: bool = True) -> Story:
    """An account that paid 50 times about that amount, every six hours."""
    told = Story()
    for k in range(50):
        told.tell(START_MS + k * 6 * HOUR_MS, amount * (1.0 + 0.01 * (k % 5)))
    told.end_block(may_teach=may_teach)
    return told


NOW_MS = START_MS + 50 * 6 * HOUR_MS


def test_a_larger_amount_looks_larger_in_each_respect() -> None:
    usual, absurd = used_to(100.0).tell(NOW_MS, 100.0), used_to(100.0).tell(NOW_MS, 100_000.0)
    for name in ("amount_over_mean", "amount", "amount_over_maximum", "amount_z", "address_amount_z", "amount_24h", "address_inflow_24h"):
        assert absurd[name] > usual[name] + 0.2, name
    assert abs(usual["amount_z"] - 0.5) < 0.1
    assert absurd["amount_z"] > 0.9


def test_what_may_not_teach_changes_facts_and_no_baseline() -> None:
    told, held = used_to(100.0), used_to(100.0, may_teach=False)
    a, b = told.tell(NOW_MS, 100.0), held.tell(NOW_MS, 100.0)
    assert a["new_pair"] == b["new_pair"] == pytest.approx(1 / 51)
    assert a["count_1h"] == b["count_1h"] and a["young_address"] == b["young_address"]
    assert held.observer.arrays()["everyone"].tobytes() == Story().observer.arrays()["everyone"].tobytes()
    assert b["amount_over_mean"] == pytest.approx(1 / 11)  # beside itself only: nothing was learnt


def test_rhythm() -> None:
    soon, usual, late = (used_to(100.0).tell(NOW_MS + delay_ms, 100.0) for delay_ms in (1_000 - 6 * HOUR_MS, 0, 60 * DAY_MS))
    assert soon["burst"] > 0.99
    assert 0.2 > usual["burst"] > late["burst"]
    assert soon["dormancy"] < usual["dormancy"] < 0.2 and late["dormancy"] > 0.9
    assert used_to(100.0).tell(NOW_MS - 40 * DAY_MS, 100.0)["dormancy"] == 0.0  # an event from before is no gap


def test_a_burst_shows_in_counts_at_once() -> None:
    told = used_to(100.0)
    first = told.tell(NOW_MS, 100.0)
    last = [told.tell(NOW_MS + k * 1_000, 100.0) for k in range(1, 20)][-1]
    for name in ("count_1h", "count_24h", "amount_24h"):
        assert last[name] > first[name] + 0.3, name


def test_addresses_grow_old_and_new_payers_count() -> None:
    told = Story()
    assert told.tell(START_MS, 1.0, address=5)["young_address"] == pytest.approx(1.0, abs=1e-4)
    assert told.tell(START_MS + 7 * DAY_MS, 1.0, address=5)["young_address"] == pytest.approx(1 / np.e)
    seen = [told.tell(START_MS + 8 * DAY_MS, 1.0, account=k, address=5)["address_payers_24h"] for k in range(1, 10)]
    assert seen == sorted(seen) and seen[-1] > seen[0] + 0.3
    assert told.tell(START_MS + 8 * DAY_MS, 1.0, account=9, address=5)["address_payers_24h"] == pytest.approx(seen[-1], rel=1e-6)


def test_rare_hours() -> None:
    told = used_to(100.0)  # at four hours of the day only
    assert told.tell(NOW_MS + 3 * HOUR_MS, 100.0)["rare_hour"] > 0.8
    assert told.tell(NOW_MS + 6 * HOUR_MS, 100.0)["rare_hour"] < 0.3


def test_without_a_price_the_last_one_stands_in() -> None:
    told = used_to(100.0)
    told.tell(NOW_MS, 1.0, account=1, asset=1, base=100.0)
    assert told.tell(NOW_MS, 1.0, asset=1, base=np.nan)["amount_over_mean"] == pytest.approx(used_to(100.0).tell(NOW_MS, 100.0)["amount_over_mean"])


def test_an_asset_without_any_price_is_measured_by_its_own_usual_amount() -> None:
    told = used_to(100.0)
    for _ in range(20):
        told.tell(NOW_MS, 1e9, account=1, asset=2, base=np.nan)
    told.end_block()
    usual, absurd = (told.tell(NOW_MS, amount, account=7, asset=2, base=np.nan)["amount"] for amount in (1e9, 1e12))
    assert abs(usual - 0.5) < 0.05 and absurd > 0.75


@pytest.mark.parametrize("amount", [5e-324, 1e-300, 1e300, 1.7e308])
@pytest.mark.parametrize("time_ms", [-(1 << 51), 0, (1 << 51)])
def test_no_number_or_time_leaves_the_range(amount: float, time_ms: int) -> None:
    told = used_to(100.0)
    for base in (amount, np.nan):
        for at in (time_ms, NOW_MS):
            values = told.tell(at, amount, base=base).values()
            assert all(0.0 <= value < 1.0 for value in [*values][:-1])
    told.end_block()
    assert all(0.0 <= value < 1.0 for value in [*told.tell(NOW_MS, 1.0).values()][:-1])


def test_a_forgotten_account_is_new_and_its_pairs_are_gone() -> None:
    told = used_to(100.0)
    assert told.tell(NOW_MS, 100.0)["new_pair"] < 0.1
    told.observer.forget("account", np.array([0], np.int32))
    again = told.tell(NOW_MS, 100.0)
    assert again["new_pair"] > 0.99 and again["burst"] == again["dormancy"] == 0.0


def test_pairs_are_bounded_and_the_longest_unseen_go() -> None:
    told = Story(pairs_max=1024)
    for block in range(12):
        told.tell(START_MS, 1.0, account=0, address=0)
        for k in range(200):
            told.tell(START_MS, 1.0, account=1 + block * 100 + k % 100, address=1 + k)
        told.end_block()
        used, limit = told.observer.use()["pairs"]
        assert used <= limit == 1024
    assert told.tell(START_MS, 1.0, account=0, address=0)["new_pair"] < 0.1  # seen in every block
    assert told.tell(START_MS, 1.0, account=1, address=1)["new_pair"] > 0.99  # not since the first
    assert told.tell(START_MS, 1.0, account=1101, address=1)["new_pair"] < 0.6  # in the last


def test_halving_everybodys_hours_keeps_their_shares() -> None:
    told = used_to(100.0)
    everyone = told.observer.arrays()["everyone"].view(EVERYONE)
    everyone["hours"] *= 4_000.0
    everyone["hours_seen"] *= 4_000.0
    before = everyone["hours"][0] / everyone["hours_seen"][0]
    told.tell(NOW_MS, 100.0)
    told.end_block()
    assert everyone["hours_seen"][0] == 100_001.0
    assert np.allclose(everyone["hours"][0] / everyone["hours_seen"][0], before, atol=1e-4)
