"""Plain-Python twins of the scope monitors' kernels: each window is counted anew from all that was ever seen, over lists and dictionaries.

No product code is called here. A kernel must equal its twin bit for bit; used by test_detector_flow, test_detector_crowd, test_detector_excess.
"""

import math
from collections import defaultdict
from typing import Any, NamedTuple

from tests.unit.detector_twins import exp, log

DAY = 86_400_000.0
FIVE_DAYS, TWENTY_EIGHT_DAYS = 5.0 * DAY, 28.0 * DAY
YES = 2


def poisson(count: float, expected: float) -> float:
    return count * log(count / expected) - count + expected if count > expected else 0.0


def binomial(count: float, n: float, share: float) -> float:
    if count <= n * share:
        return 0.0
    nats = count * log(count / (n * share))
    return nats + (n - count) * log((n - count) / (n * (1.0 - share))) if n > count else nats


def gamma(total: float, n: float) -> float:
    return total - n - n * log(total / n) if total > n else 0.0


def evidence(p_value: float) -> float:
    return min(-log(max(p_value, 1e-9)), 6.9)


def rise_of(usual: float, now: float) -> float:
    return max((now + 3.0) / (usual + 3.0), 1.0)


def freely(rise: float) -> float:
    return max(rise / 2.0, 1.0)


def limit_after(limit: float, samples: float, value: float, pace: float) -> float:
    return max(limit, value) if samples <= 100.0 else limit + pace * 0.15 * ((1.0 if value > limit else 0.0) - 0.01)


class Passed(NamedTuple):
    """One observation of a flow."""

    time_ms: int
    row: int
    marks: tuple[int, ...]
    sums: tuple[int, int]


class FlowTwin:
    """As `detectors.flow.Flow`, one observation at a time."""

    def __init__(self, window_ms: int, least: tuple[float, float, float]) -> None:
        self.window_ms, self.least = window_ms, least
        self.newest_ms = -math.inf
        self.passed: list[Passed] = []
        self.rows: dict[int, dict[str, Any]] = defaultdict(self.fresh_row)

    @staticmethod
    def fresh_row() -> dict[str, Any]:
        zero = dict.fromkeys(("taught", "count", "samples", "peak"), 0.0)
        return zero | {
            "first": 0,
            "last": 0,
            "sampled": 0,
            "peak_at": 0,
            "told": [0.0] * 4,
            "told_at": [0] * 4,
            "marked": [0.0] * 4,
            "limits": [0.0] * 2,
        }

    def fold(self, one: Passed, *, scored: bool = True) -> tuple[list[float], list[float], tuple[int, int] | None]:
        """Nats, facts, and the window's sums for the end of the block."""
        nats, facts = [0.0] * 6, [0.0] * 14
        self.newest_ms = max(self.newest_ms, one.time_ms)
        if one.row < 0 or one.time_ms <= self.newest_ms - self.window_ms:
            return nats, facts, None
        self.passed.append(one)
        inside = [other for other in self.passed if other.row == one.row and other.time_ms > self.newest_ms - self.window_ms]
        sums = (sum(other.sums[0] for other in inside), sum(other.sums[1] for other in inside))
        row = self.rows[one.row]
        shares = [one.sums[k] > 0 and 100 * one.sums[k] >= sums[k] for k in range(2)]
        if scored and row["taught"] >= 1_000.0 and (YES in one.marks or any(shares)):
            self.judge(row, one, inside, sums, shares, nats, facts)
        return nats, facts, sums

    def windows(self, age_ms: float) -> float:
        return max(FIVE_DAYS * (1.0 - exp(-age_ms / FIVE_DAYS)) / float(self.window_ms), 1.0)

    def marked(self, row: dict[str, Any], k: int, time_ms: int, kept: float) -> float:
        return float(row["marked"][k]) * kept / self.windows(float(max(time_ms - row["told_at"][k], 0)))

    def peak(self, row: dict[str, Any], rise: float, time_ms: int) -> float:
        if rise >= row["peak"] or time_ms - row["peak_at"] > self.window_ms:
            row["peak"], row["peak_at"] = rise, time_ms
        return max(rise, float(row["peak"]))

    def judge(
        self, row: dict[str, Any], one: Passed, inside: list[Passed], sums: tuple[int, int], shares: list[bool], nats: list[float], facts: list[float],
    ) -> None:  # fmt: skip
        kept = exp(-float(max(one.time_ms - row["last"], 0)) / FIVE_DAYS)
        count = float(len(inside))
        usual = row["count"] * kept / self.windows(float(max(one.time_ms - row["first"], 0)))
        facts[0], facts[1] = count, usual
        for k in range(3):
            if one.marks[k] != YES or row["told"][k] < 1_000.0:
                continue
            marked = float(sum(other.marks[k] == YES for other in inside))
            expected = self.marked(row, k, one.time_ms, kept)
            rise = self.peak(row, rise_of(max(usual - expected, 0.0), count - marked), one.time_ms)
            free = freely(rise)
            if k == 1 and row["told"][3] > 0.0:
                free *= rise_of(self.marked(row, 3, one.time_ms, kept) * rise, float(sum(other.marks[3] == YES for other in inside)))
            share = min(max(expected, self.least[k]) / max(usual, self.least[k]), 0.999)
            odds = share / (1.0 - share) * free
            expected = max(expected, self.least[k]) * rise * free
            facts[2 + k], facts[6 + k] = marked, expected
            nats[k] = max(poisson(marked, expected), binomial(marked, count, odds / (1.0 + odds)))
        for k in range(2):
            if shares[k] and row["samples"] >= 100.0:
                rise = self.peak(row, rise_of(usual, count - 1.0), one.time_ms)
                facts[10 + k], facts[12 + k] = float(sums[k]), exp(row["limits"][k])
                over = log(float(sums[k])) - row["limits"][k] - log(rise * freely(rise))
                nats[4 + k] = 4.605170185988092 + 3.0 * over if over > 0.0 else 0.0

    def learn(self, one: Passed, sums: tuple[int, int] | None, *, slow: bool, teach: bool) -> None:
        if one.row < 0:
            return
        row = self.rows[one.row]
        pace = 1.0 if teach and not slow else 0.1
        if row["taught"] == 0.0:
            if not teach:
                return
            row["first"] = row["last"] = row["sampled"] = one.time_ms
        if one.time_ms > row["last"]:
            kept = exp(-pace * float(one.time_ms - row["last"]) / FIVE_DAYS)
            row["last"] = one.time_ms
            row["count"] *= kept
            row["marked"] = [marked * kept for marked in row["marked"]]
        row["taught"] += float(teach)
        row["count"] += pace
        for k, mark in enumerate(one.marks):
            if mark:
                if row["told"][k] == 0.0:
                    row["told_at"][k] = one.time_ms
                row["told"][k] += 1.0
                row["marked"][k] += pace if mark == YES else 0.0
        if sums is not None and one.time_ms - row["sampled"] >= self.window_ms // 8:
            row["sampled"] = one.time_ms
            row["samples"] += pace
            row["limits"] = [limit_after(limit, row["samples"], log(float(max(sums[k], 1))), pace) for k, limit in enumerate(row["limits"])]


class Came(NamedTuple):
    """One observation of a crowd; member below 0 where each is another account."""

    time_ms: int
    key: int
    member: int
    adds: bool
    p_value: float
    fresh: bool
    level: int


class CrowdTwin:
    """As `detectors.crowd.Crowd`, one observation at a time."""

    def __init__(self, window_ms: int, least: float, index: float) -> None:
        self.window_ms, self.least, self.index = window_ms, least, index
        self.newest_ms = -math.inf
        self.came: list[Came] = []
        self.past: dict[int, dict[str, float]] = {}
        self.common = dict.fromkeys(("seen", "known", "evidence", "fellows", "fellow_evidence", "fresh", "entries", "samples"), 0.0)
        self.limits = [0.0, 0.0]
        self.blocks = 0

    def inside(self) -> list[Came]:
        return [other for other in self.came if other.time_ms > self.newest_ms - self.window_ms]

    def fold(self, one: Came) -> tuple[list[float], list[float], tuple[int, int, int]]:
        """Nats, facts, and accounts, value and withdrawals of the crowd for the end of the block."""
        nats, facts = [0.0] * 5, [0.0] * 7
        self.newest_ms = max(self.newest_ms, one.time_ms)
        if one.key == 0 or one.time_ms <= self.newest_ms - self.window_ms:
            return nats, facts, (0, 0, 0)
        if one.adds:
            self.came.append(one)
        own = [other for other in self.inside() if other.key == one.key]
        if not own:
            return nats, facts, (0, 0, 0)
        accounts = len({(other.member, -1 if other.member >= 0 else at) for at, other in enumerate(own)})
        level = sum(other.level for other in own)
        self.judge(one, own, float(accounts), level, nats, facts)
        return nats, facts, (accounts, level, len(own))

    def judge(self, one: Came, own: list[Came], accounts: float, level: int, nats: list[float], facts: list[float]) -> None:
        common, inside, n = self.common, self.inside(), float(len(own))
        units = sum(int(1_048_576.0 * evidence(other.p_value)) for other in own)
        everybody = sum(int(1_048_576.0 * evidence(other.p_value)) for other in inside)
        rise = rise_of(common["entries"] + 7.0, float(len(inside) - len(own)) + 7.0)
        usual = max(common["evidence"], 1.0)
        if common["fellows"] >= 200.0:
            usual = max(usual, common["fellow_evidence"])
        usual = max(usual, (everybody / 1_048_576.0 - units / 1_048_576.0 + 100.0 * usual) / (float(len(inside)) - n + 100.0))
        expected = self.least
        if one.member >= 0:
            if common["samples"] >= 20.0:
                expected = max(exp(self.limits[0]), 1.0)
                risen = log(rise * freely(rise))
                for place, value, limit in ((0, accounts, self.limits[0]), (3, float(max(level, 1)), self.limits[1])):
                    over = log(value) - limit - risen
                    nats[place] = 4.605170185988092 + 3.0 * over if over > 0.0 else 0.0
        else:
            past = self.past.get(one.key)
            if past is not None:
                kept = exp(-float(max(one.time_ms - past["last"], 0)) / TWENTY_EIGHT_DAYS)
                age = float(max(one.time_ms - past["first"], 0))
                windows = max(TWENTY_EIGHT_DAYS * (1.0 - exp(-age / TWENTY_EIGHT_DAYS)), DAY) / float(self.window_ms)
                expected = max(past["accounts"] * kept / windows, self.least)
            over = log(accounts / (expected * freely(rise)))
            nats[0] = self.index * over if accounts > 1.0 and over > 0.0 else 0.0
        total = units / 1_048_576.0
        if common["known"] >= 200.0 and n > 1.0:
            nats[1] = gamma(total / usual, n)
        odds = common["fresh"] / max(1.0 - common["fresh"], 0.001) * freely(rise)
        fresh, expected_fresh = float(sum(other.fresh for other in own)), n * odds / (1.0 + odds)
        if common["seen"] >= 200.0 and expected_fresh > 0.0:
            nats[2] = binomial(fresh, n, odds / (1.0 + odds))
        nats[4] = nats[0] + nats[1]
        facts[:] = [accounts, expected, n, total, usual, fresh, expected_fresh]

    def learn(self, block: list[Came], notes: list[tuple[int, int, int]], slow: list[bool], teach: list[bool]) -> None:
        common, entries = self.common, float(len(self.inside()))
        paces = [1.0 if may and not odd else 0.1 for may, odd in zip(teach, slow, strict=True)]
        mine = [at for at, one in enumerate(block) if one.key and one.adds]
        seen_in_window = {one.key for one in self.came}
        for at in mine:
            one, pace = block[at], paces[at]
            if one.key not in seen_in_window and one.key not in self.past:
                continue
            past = self.past.setdefault(one.key, {"first": one.time_ms, "last": one.time_ms, "accounts": 0.0})
            if one.time_ms > past["last"]:
                past["accounts"] *= exp(-float(one.time_ms - past["last"]) / TWENTY_EIGHT_DAYS)
                past["last"] = one.time_ms
            past["accounts"] += pace
            common["seen"] += 1.0
            common["entries"] += max(1.0 / common["seen"], 0.001) * (entries - common["entries"])
            common["fresh"] += pace * max(1.0 / common["seen"], 0.001) * (float(one.fresh) - common["fresh"])
            if one.p_value < 1.0:
                common["known"] += 1.0
                common["evidence"] += pace * max(1.0 / common["known"], 0.001) * (evidence(one.p_value) - common["evidence"])
                if notes[at][2] >= 3:
                    common["fellows"] += 1.0
                    step = pace * max(1.0 / common["fellows"], 0.001)
                    common["fellow_evidence"] += step * (evidence(one.p_value) - common["fellow_evidence"])
        sampled = set()
        for at in reversed(mine):
            if notes[at][0] and block[at].key not in sampled:
                sampled.add(block[at].key)
                common["samples"] += paces[at]
                for k in range(2):
                    self.limits[k] = limit_after(self.limits[k], common["samples"], log(float(max(notes[at][k], 1))), paces[at])


class ExcessTwin:
    """As `detectors.excess.Excess`, from READY on."""

    def __init__(self, dispersions: tuple[float, ...]) -> None:
        self.least = [12.06 * dispersion for dispersion in dispersions]
        self.limits = list(self.least)
        self.blocks = 0.0

    def weigh(self, nats: list[float]) -> tuple[float, float, int]:
        """Value in decades, p-value, and the statistic that decided."""
        weighed = [one * (12.06 / limit) for one, limit in zip(nats, self.limits, strict=True)]
        best = max(0.0, *weighed)
        if best == 0.0:
            return 0.0, 1.0, 0
        return best / 2.302585092994046, min(1.0, max(len(nats) * exp(-best), 1e-300)), weighed.index(best)

    def learn(self, block: list[list[float]], teach: list[bool]) -> None:
        self.blocks += 1.0
        for k, limit in enumerate(self.limits):
            taught = max([0.0] + [nats[k] for nats, may in zip(block, teach, strict=True) if may])
            untaught = max([0.0] + [nats[k] for nats, may in zip(block, teach, strict=True) if not may])
            if self.blocks < 100.0:
                self.limits[k] = max(limit, taught)
            elif taught > limit:
                self.limits[k] = limit * (1.0 + 0.02)
            elif untaught > limit:
                self.limits[k] = limit * (1.0 + 0.02 * 0.1)
            else:
                self.limits[k] = max(limit * (1.0 - 0.02 / 675.0), self.least[k])
