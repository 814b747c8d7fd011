"""Wallet outflow: a burst of large payouts alarms, ordinary and young streams don't; counts and bounds equal a plain computation."""

import math
import random

import numpy as np
import pytest

from detectors.contract import Floats, Run, Scores, observations
from detectors.wallet_outflow import WalletOutflow
from detectors.words import DAY_MS, HOUR_MS, MINUTE_MS
from tests.unit import detector_twins

START_MS = 1_700_000_000_000


def payouts(times_ms: list[int], amounts: list[float], wallets: list[int]) -> tuple[Run, Floats]:
    """A run and its one input: the amount's log level against everybody's, squashed as the observer does."""
    n = len(times_ms)
    run = observations(n, time_ms=times_ms, wallet=wallets, amount=1.0, amount_base=1.0)
    return run, np.array([[0.5 + 0.5 * amount / (4.0 + abs(amount))] for amount in amounts])


def fresh() -> WalletOutflow:
    detector = WalletOutflow(0)
    detector.reserve({"wallet": 4})
    return detector


def live(detector: WalletOutflow, times_ms: list[int], amounts: list[float], wallets: list[int], *, may_teach: bool = True) -> list[Scores]:
    """Fold and teach in blocks of 256."""
    out = []
    for start in range(0, len(times_ms), 256):
        piece = slice(start, start + 256)
        run, inputs = payouts(times_ms[piece], amounts[piece], wallets[piece])
        out.append(detector.fold(run, inputs))
        detector.learn(run, inputs, np.full(len(run), may_teach))
    return out


def ordinary(seed: int, n: int, step_ms: int) -> tuple[list[int], list[float], list[int]]:
    chance = random.Random(seed)
    times_ms = [START_MS]
    while len(times_ms) < n:
        times_ms.append(times_ms[-1] + int(chance.expovariate(1 / step_ms)))
    return times_ms, [chance.gauss(0.0, 1.5) for _ in times_ms], [0] * n


def seasoned() -> tuple[WalletOutflow, int]:
    """A wallet after ten days of a payout a minute, and the time."""
    detector = fresh()
    times_ms, amounts, wallets = ordinary(1, 14_400, MINUTE_MS)
    live(detector, times_ms, amounts, wallets)
    return detector, times_ms[-1] + MINUTE_MS


def test_forty_large_payouts_in_half_an_hour_alarm_within_twelve_minutes() -> None:
    detector, now_ms = seasoned()
    first = None
    for k in range(40):
        run, inputs = payouts([now_ms + k * 45_000], [4.2], [0])
        if detector.fold(run, inputs).p_value[0] < 1e-6:
            first = k * 45_000
            break
    assert first is not None and first <= 12 * MINUTE_MS


@pytest.mark.parametrize(("seed", "step_ms"), [(2, 1_000), (3, MINUTE_MS), (4, 100)])
def test_ordinary_payouts_do_not_alarm_from_the_first_one_on(seed: int, step_ms: int) -> None:
    scores = live(fresh(), *ordinary(seed, 20_000, step_ms))
    assert min(one.p_value.min() for one in scores) > 1e-6
    ready = np.concatenate([one.ready for one in scores])
    assert not ready[:1_000].any() and ready[-1]


def test_small_payouts_and_unknown_wallets_score_nothing() -> None:
    detector, now_ms = seasoned()
    scores = detector.fold(*payouts([now_ms] * 41, [4.2] * 40 + [0.0], [0] * 41))
    assert scores.value[39] > 6.0 and scores.value[40] == 0.0 and scores.p_value[40] == 1.0
    unknown = detector.fold(*payouts([now_ms] * 3, [9.0] * 3, [-1] * 3))
    assert not unknown.value.any() and not unknown.ready.any()
    other = detector.fold(*payouts([now_ms] * 50, [9.0] * 50, [1] * 50))
    assert not other.value.any() and not other.ready.any()


def test_counts_and_bounds_equal_a_plain_computation() -> None:
    detector = fresh()
    times_ms, amounts, wallets = ordinary(5, 5_000, 20_000)
    chance = random.Random(5)
    times_ms = [time_ms - chance.choice((0, 0, 0, 60_000)) for time_ms in times_ms]
    scores = live(detector, times_ms, amounts, wallets)
    limit = n = exceeded = 0.0
    first_ms = taught_ms = times_ms[0]
    large: list[int] = []
    for start in range(0, 5_000, 256):
        block = range(start, min(start + 256, 5_000))
        for i in block:
            got = scores[start // 256]
            j = i - start
            if n < 100 or round_trip(amounts[i]) <= limit:
                assert got.value[j] == 0.0 and got.parts[j, 0] == 0.0
                continue
            large.append(times_ms[i] // 10_000)
            count = sum(1 for bucket in large if bucket > times_ms[i] // 10_000 - 90)
            kept = detector_twins.exp(-float(max(times_ms[i] - taught_ms, 0)) / (5.0 * DAY_MS))
            age = float(max(times_ms[i] - first_ms, 0))
            expected = max(exceeded * kept / max(96.0 * 5.0 * (1.0 - detector_twins.exp(-age / (5.0 * DAY_MS))), 1.0), 0.2)
            assert got.parts[j].tolist() == [count, expected]
            if n >= 1_000 and count > expected:
                nats = (count * detector_twins.log(count / expected) - count + expected) / 1.5
                assert got.value[j] == nats / 2.302585092994046 and got.p_value[j] == detector_twins.exp(-nats)
        for i in block:
            amount = round_trip(amounts[i])
            limit = amount if n == 0 else limit
            exceeded *= detector_twins.exp(-1.0 * float(max(times_ms[i] - taught_ms, 0)) / (5.0 * DAY_MS))
            exceeded += float(n >= 100 and amount > limit)
            taught_ms = max(taught_ms, times_ms[i])
            n += 1
            limit = max(limit, amount) if n <= 100 else limit + 0.05 * (float(amount > limit) - 0.01)
    assert n == 5_000 and len(large) > 20


def round_trip(amount: float) -> float:
    """Squashed and back, as it reaches the detector."""
    u = 2.0 * (0.5 + 0.5 * amount / (4.0 + abs(amount))) - 1.0
    return 4.0 * u / (1.0 - abs(u))


def days_until_silent(*, may_teach: bool) -> int:
    detector, now_ms = seasoned()
    for day in range(60):
        times_ms = [now_ms + day * DAY_MS + k * MINUTE_MS for k in range(1_440)]
        scores = live(detector, times_ms, [4.2] * 1_440, [0] * 1_440, may_teach=may_teach)
        if scores[-1].p_value[-1] > 1e-6:
            return day
    return 60


def test_a_lasting_change_that_may_not_teach_is_learnt_too_but_slowly() -> None:
    assert days_until_silent(may_teach=True) == 0
    assert 3 <= days_until_silent(may_teach=False) <= 40


def test_words() -> None:
    assert fresh().explain(np.array([41.0, 3.21])) == "41 payouts above the wallet's usual 99 % in 15 min, 3.2 expected"
    assert fresh().explain(np.array([0.0, 0.0])) == "not among the wallet's large payouts"


def test_the_window_ends_after_fifteen_minutes() -> None:
    detector, now_ms = seasoned()
    now_ms += HOUR_MS
    detector.fold(*payouts([now_ms] * 20, [5.0] * 20, [0] * 20))
    for later_ms, count in ((14 * MINUTE_MS, 21), (15 * MINUTE_MS + 20_000, 2)):
        assert detector.fold(*payouts([now_ms + later_ms], [5.0], [0])).parts[0, 0] == count
    assert math.isfinite(detector.fold(*payouts([now_ms], [5.0], [0])).value[0])
