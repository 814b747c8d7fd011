"""The gate lets the aimed number of observations a day through, whatever the scores do; its kernel equals a plain twin."""

import math
import random

import numpy as np
import pytest

from detectors.contract import Bools, Floats, Run, observations
from detectors.gate import Gate

DAY_MS = 86_400_000
STEP, HOUR_MS = 0.4, 3_600_000


class GateTwin:
    """The same, one observation at a time, over plain floats."""

    def __init__(self, lanes: int) -> None:
        self.newest = 0
        self.lanes = [{"limit": 0.0, "mean": 0.0, "variance": 0.0, "highest": 0.0, "n": 0.0, "open": 0} for _ in range(lanes)]

    def take(self, time_ms: int, values: list[float], p_values: list[float], ready: list[bool], aim_per_day: float, cap: float) -> list[bool]:
        passed = float(min(max(time_ms - self.newest, 0), HOUR_MS)) if self.newest > 0 else 0.0
        self.newest = max(self.newest, time_ms)
        alarms = []
        falling = [
            lane
            for lane, is_ready in zip(self.lanes, ready, strict=True)
            if is_ready and lane["open"] != 2 and (not lane["open"] or lane["limit"] > lane["mean"])
        ]
        sharing = len(falling) or sum(ready)
        for lane, value, p_value, is_ready in zip(self.lanes, values, p_values, ready, strict=True):
            above = False
            if not is_ready:
                lane["highest"] = max(lane["highest"], value) if lane["n"] else value
            else:
                if not lane["open"]:
                    lane["open"], lane["limit"] = 1, max(lane["highest"], lane["mean"]) if lane["n"] else value
                sd = max(math.sqrt(lane["variance"]), 1e-6)
                if lane["open"] == 1:
                    lane["limit"] = max(lane["limit"] - STEP * sd * (aim_per_day / 86_400_000.0) * passed / sharing, lane["mean"])
                if value > lane["limit"]:
                    above = p_value <= cap
                    lane["open"] = 1 if above else 2
                    lane["limit"] = lane["limit"] if above else value
            alarms.append(above)
            lane["n"] += 1.0
            delta = value - lane["mean"]
            if lane["n"] > 100.0:
                reach = 4.0 * max(math.sqrt(lane["variance"]), 1e-6)
                delta = min(max(delta, -reach), reach)
            step = max(1.0 / lane["n"], 0.00002)
            lane["variance"] = (1.0 - step) * (lane["variance"] + step * delta * delta)
            lane["mean"] += step * delta
        return alarms

    def count(self, alarms: list[bool]) -> None:
        rising = [lane for lane, above in zip(self.lanes, alarms, strict=True) if above] or [lane for lane in self.lanes if lane["open"]]
        for lane in rising:
            lane["limit"] += STEP * max(math.sqrt(lane["variance"]), 1e-6) / len(rising)


def alarms_of(gate: Gate, run: Run, values: Floats, p_values: Floats, ready: Bools, aim: float, longest: int, cap: float = 1.0) -> list[int]:
    """Places of the alarms, each counted; runs of that length."""
    found = []
    for start in range(0, len(run), longest):
        piece = slice(start, start + longest)
        forced = np.zeros(len(run[piece]), np.bool_)
        at = 0
        while (at := gate.next(run[piece], values[piece], p_values[piece], ready[piece], forced, at, aim, cap)) < len(forced):
            found.append(start + at)
            gate.count()
            at += 1
    return found


def stream(seed: int, n: int, gap_ms: float, *, lanes: int = 3) -> tuple[Run, Floats, Floats, Bools]:
    chance = np.random.default_rng(seed)
    times = 1_700_000_000_000 + np.cumsum(chance.exponential(gap_ms, n)).astype(np.int64)
    ready = np.zeros((n, lanes), np.bool_)
    ready[n // 20 :] = True
    return observations(n, time_ms=times, amount=1.0), chance.gamma(2.0, 1.0, (n, lanes)), np.full((n, lanes), 0.001), ready


def test_the_kernel_equals_the_twin_and_cuts_do_not_show() -> None:
    run, values, p_values, ready = stream(3, 20_000, 4_000.0)
    p_values[::3, 1] = 0.2
    late = random.Random(3)
    for i in range(0, len(run), 7):
        run["time_ms"][i] -= late.choice((0, 60_000, 3 * DAY_MS))
    twin, expected = GateTwin(3), []
    for i in range(len(run)):
        alarms = twin.take(int(run["time_ms"][i]), values[i].tolist(), p_values[i].tolist(), ready[i].tolist(), 50.0, 0.01)
        if any(alarms):
            expected.append(i)
            twin.count(alarms)
    states = set()
    for longest in (1, 37, 256):
        gate = Gate(3)
        assert alarms_of(gate, run, values, p_values, ready, 50.0, longest, 0.01) == expected
        states.add(b"".join(array.tobytes() for array in gate.arrays().values()))
    assert len(states) == 1 and len(expected) > 30


@pytest.mark.parametrize("shift", [0.0, 2.0])
def test_the_aim_is_kept_over_weeks_whatever_the_scores_do(shift: float) -> None:
    """28 days of 20,000 observations; from day 14 on every score is larger. Each week's alarms are within a tenth of the aim."""
    n = 28 * 20_000
    run, values, p_values, ready = stream(5, n, DAY_MS / 20_000)
    values[n // 2 :] += shift
    found = np.array(alarms_of(Gate(3), run, values, p_values, ready, 50.0, 256))
    first_ms = int(run["time_ms"][0])
    by_week = np.bincount((run["time_ms"][found] - first_ms) // (7 * DAY_MS), minlength=4)
    assert abs(by_week[1:4] - 350).max() <= 35
    assert abs(by_week[1:4].mean() - 350) <= 17.5


def test_a_rush_asks_for_no_more_than_a_quiet_time() -> None:
    """For a day withdrawals come twenty times as fast: the aim is a number a day, not a share of what comes."""
    run, values, p_values, ready = stream(6, 500_000, DAY_MS / 20_000)
    gaps = np.diff(run["time_ms"], prepend=run["time_ms"][0])
    gaps[200_000:] //= 20
    run["time_ms"] = run["time_ms"][0] + np.cumsum(gaps)
    found = np.array(alarms_of(Gate(3), run, values, p_values, ready, 50.0, 256))
    days = (run["time_ms"][-1] - run["time_ms"][200_000]) / DAY_MS
    # each of three lanes climbs once to where one in 20 times as many is, about ten steps; a share of what comes would be 750
    assert len(found[found >= 200_000]) <= 50 * days + 45


def test_what_is_likely_is_never_let_through() -> None:
    """An exchange with a handful of withdrawals a day: the aim can't be met with what looks usual."""
    run, values, p_values, ready = stream(7, 3_000, DAY_MS / 20)
    p_values[:] = 0.3
    p_values[1_000] = 0.001
    values[1_000] = 50.0
    assert alarms_of(Gate(3), run, values, p_values, ready, 50.0, 256, 0.01) == [1_000]


def test_a_lane_that_can_let_nothing_through_leaves_its_share_to_the_others() -> None:
    """Without labels a lane may score everything alike: the aim is kept by the others."""
    n = 14 * 20_000
    run, values, p_values, ready = stream(10, n, DAY_MS / 20_000)
    values[:, 1], p_values[:, 1] = 1.0, 1.0
    found = np.array(alarms_of(Gate(3), run, values, p_values, ready, 50.0, 256, 0.01))
    second_week = found[run["time_ms"][found] >= run["time_ms"][0] + 7 * DAY_MS]
    assert abs(len(second_week) - 350) <= 35


def test_warming_lanes_let_nothing_through_but_what_is_forced() -> None:
    run, values, p_values, ready = stream(8, 100, 1_000.0)
    ready[:] = False
    forced = np.zeros(100, np.bool_)
    forced[40] = True
    gate = Gate(3)
    assert gate.next(run, values, p_values, ready, forced, 0, 50.0, 1.0) == 40 and not gate.alarms.any()
    assert gate.next(run, values, p_values, ready, forced, 41, 50.0, 1.0) == 100


def test_a_restored_gate_goes_on() -> None:
    run, values, p_values, ready = stream(9, 20_000, 4_000.0)
    whole = Gate(3)
    found = alarms_of(whole, run, values, p_values, ready, 50.0, 256)
    first, second = Gate(3), Gate(3)
    early = alarms_of(first, run[:10_240], values[:10_240], p_values[:10_240], ready[:10_240], 50.0, 256)
    second.restore({name: array.copy() for name, array in first.arrays().items()})
    late = alarms_of(second, run[10_240:], values[10_240:], p_values[10_240:], ready[10_240:], 50.0, 256)
    assert early + [10_240 + at for at in late] == found


def test_lanes_that_stay_keep_their_limits_wherever_they_go() -> None:
    run, values, p_values, ready = stream(9, 20_000, 4_000.0)
    gate = Gate(3)
    alarms_of(gate, run, values, p_values, ready, 50.0, 256)
    before = gate.arrays()["lanes"].reshape(3, -1).copy()
    gate.keep([2, None, 0])
    after = gate.arrays()["lanes"].reshape(3, -1)
    assert after[0].tobytes() == before[2].tobytes() and after[2].tobytes() == before[0].tobytes()
    assert not after[1].any()
    assert gate.newest_ms == int(run["time_ms"].max())
