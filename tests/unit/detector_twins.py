"""Plain-Python twins of the compiled kernels, written apart from them: the same formulas over dictionaries, lists and floats.

No product code is called here. A kernel must equal its twin bit for bit; used by the tests named test_detector*.
"""

import math
import struct
from collections import defaultdict
from typing import Any

import numpy as np

LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
HOUR, DAY = 3_600_000.0, 86_400_000.0
BIN_CELLS = 512


def single(x: float) -> float:
    """Rounded to float32, as the tables keep it."""
    return float(np.float32(x))


def series(z: float, terms: list[float]) -> float:
    """terms[0] + z (terms[1] + z (...))."""
    total = terms[-1]
    for term in reversed(terms[:-1]):
        total = term + z * total
    return total


def exp(x: float) -> float:
    if math.isnan(x) or x > 709.0:
        return math.inf if x > 709.0 else x
    if x < -708.0:
        return 0.0
    power = math.floor(x * 1.4426950408889634 + 0.5)
    high, low = x - power * LN2_HIGH, power * LN2_LOW
    r = high - low
    z = r * r
    even = series(z, [1 / math.factorial(k) for k in range(2, 13, 2)])
    odd = series(z, [1 / math.factorial(k) for k in range(3, 14, 2)])
    return math.ldexp(1.0 + (r + (z * (even + r * odd) + ((high - r) - low))), power)


def log(x: float) -> float:
    if x == 0.0:
        return -math.inf
    if math.isnan(x) or x < 0.0:
        return math.nan
    if x == math.inf:
        return x
    fraction, power = math.frexp(x)
    if fraction < struct.unpack("<d", struct.pack("<q", 0x3FE6A09E00000000))[0]:
        fraction, power = fraction * 2.0, power - 1
    f = fraction - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = series(w, [2 / k for k in (5, 9, 13, 17, 21)])
    odd = series(w, [2 / k for k in (3, 7, 11, 15, 19)])
    half = 0.5 * f * f
    return power * LN2_HIGH - ((half - (s * (half + (w * even + z * odd)) + power * LN2_LOW)) - f)


def log10(x: float) -> float:
    return log(x) * 0.4342944819032518


def sigmoid(z: float) -> float:
    return 1.0 / (1.0 + exp(-z))


def cell(value: float) -> int:
    return min(max(int(value * BIN_CELLS), 0), BIN_CELLS - 1)


def squash(ratio: float, middle: float) -> float:
    return min(ratio / (ratio + middle), 0.99999)


def squash_signed(z: float, middle: float) -> float:
    return 0.5 + 0.5 * z / (middle + abs(z))


def shrunk(own: float, common: float, n: float, prior: float) -> float:
    weight = n / (n + prior)
    return weight * own + (1.0 - weight) * common


def surprise(tail_bin: int) -> float:
    return max(0.0, (tail_bin - 16) / 6.0)


class TailTwin:
    """Decayed histograms and tail bins."""

    def __init__(self, columns: int, known: int) -> None:
        self.known, self.seen_of = known, [0] * columns
        self.cells = [[0.0] * BIN_CELLS for _ in range(columns)]
        self.bins = [[16] * BIN_CELLS for _ in range(columns)]
        self.weight, self.seen, self.blocks = 1.0, 0, 0

    def learn(self, inputs: list[list[float]], teach: list[bool]) -> None:
        for row, may in zip(inputs, teach, strict=True):
            if may:
                for column, value in enumerate(row[: len(self.cells)]):
                    if column < self.known or value > 0.0:
                        self.cells[column][cell(value)] += self.weight
                        self.seen_of[column] += 1
                self.weight *= 1.0000069314958282
                self.seen += 1
        self.blocks += 1
        if self.blocks % 8 == 0 or self.seen < 4096:
            self.bins = [
                self.mapped(column, seen) if seen >= 1024 else bins for column, seen, bins in zip(self.cells, self.seen_of, self.bins, strict=True)
            ]

    @staticmethod
    def mapped(column: list[float], seen: int) -> list[int]:
        least = 1.0 / (seen + 1.0)
        total = 0.0
        for weight in column:
            total += weight
        below, bins = 0.0, []
        for weight in column:
            upper = max((total - below) / total, least)
            below += weight
            lower = max(below / total, least)
            tail = 16 + math.floor(-6.0 * log10(2.0 * upper)) if upper <= lower else 15 - math.floor(-3.0 * log10(2.0 * lower))
            bins.append(min(max(tail, 0), 63))
        return bins


class CalibrationTwin:
    """A score's past as p-values."""

    def __init__(self, middle: float) -> None:
        self.middle = middle
        self.cells, self.p_values = [0.0] * BIN_CELLS, [1.0] * BIN_CELLS
        self.weight, self.seen = 1.0, 0

    def p_value(self, score: float) -> float:
        return self.p_values[cell(score / (score + self.middle))]

    def learn(self, scores: list[float], teach: list[bool]) -> None:
        held = teach.count(False)
        for score, may in zip(scores, teach, strict=True):
            self.cells[cell(score / (score + self.middle))] += self.weight if may else self.weight / held
            self.weight *= 1.0000069314958282
            self.seen += 1
        if self.seen < 2000:
            return
        total = 0.0
        for weight in self.cells:
            total += weight
        above = 0.0
        for k in reversed(range(BIN_CELLS)):
            above += self.cells[k]
            self.p_values[k] = min(max(above / total, 1.0 / (self.seen + 1.0)), 1.0)


def _fresh() -> dict[str, Any]:
    return defaultdict(float, hours=[0] * 24)


class ObserverTwin:
    """The 26 inputs. Fields hold what float32 tables hold: `single` at every store. `lanes` is a `lane_twins.LanesTwin`."""

    def __init__(self, lanes: Any) -> None:
        self.lanes = lanes
        self.accounts: dict[int, dict[str, Any]] = defaultdict(_fresh)
        self.addresses: dict[int, dict[str, Any]] = defaultdict(_fresh)
        self.assets: dict[int, dict[str, Any]] = defaultdict(_fresh)
        self.everyone: dict[str, Any] = _fresh()
        self.pairs: dict[tuple[int, int], int] = defaultdict(int)
        self.uses: dict[tuple[int, str, int], int] = defaultdict(int)
        self.block: list[dict[str, Any]] = []

    def observe(self, seen: dict[str, Any]) -> list[float]:
        """One observation by the names of its columns."""
        t, a, d, s, amount, base = (seen[name] for name in ("time_ms", "account", "address", "asset", "amount", "amount_base"))
        account, address, everyone = self.accounts[a], self.addresses[d], self.everyone
        log_amount = log(amount)
        log_level = self.log_level(self.assets[s], log_amount, base)
        level = exp(log_level)
        known = everyone["n"] > 0
        common = (everyone["mean_level"] if known else level, everyone["mean_log"] if known else log_level, max(everyone["variance_log"], 0.04))
        gap = self.account_to_now(account, t)
        found = {"account": a, "address": d, "asset": s, "t": t, "level": level, "log_level": log_level, "log_amount": log_amount, "gap": gap}
        row = self.of_amount(account, address, level, log_level, common)
        row += self.of_rhythm(account, t, gap, level, common[0])
        found["new_pair"] = self.pairs[a, d] == 0
        row += self.of_address(address, t, level, common[0], self.pairs[a, d])
        row.append(self.of_hour(account, t))
        row += [squash(account["evidence_12h"], 3.0), squash(account["evidence_7d"], 3.0)]
        row += self.of_use(account, a, t, gap, seen)
        minute = min(max(t // 60_000, -2_147_483_647), 2_147_483_647) or 1
        found["z"] = self.lanes.score(row, minute, (t // 3_600_000) % 24, account, address)["z"]
        found["factor"] = seen["second_factor"]
        found["trust"] = max(1.0 - sigmoid(found["z"][0]), 1e-6)
        row.append(self.lanes.pasts["account"].p_value(found["z"][0]))
        excess = max(found["z"][0] + 6.0 - everyone["evidence_limit"], 0.0)
        for field, more in (("evidence_12h", excess), ("evidence_7d", excess), ("count_1h", 1.0), ("count_24h", 1.0), ("level_24h", level)):
            account[field] = single(account[field] + more)
        address["inflow_24h"] = single(address["inflow_24h"] + level)
        address["evidence_24h"] = single(address["evidence_24h"] + excess)
        self.pairs[a, d] += 1
        self.block.append(found)
        return row

    def log_level(self, asset: dict[str, Any], log_amount: float, base: float) -> float:
        if base > 0.0:
            result = log(base)
            asset["log_price"], asset["priced"] = result - log_amount, True
        elif asset["priced"]:
            result = log_amount + asset["log_price"]
        elif asset["n"] > 0:
            result = log_amount - asset["mean_log"] + self.everyone["mean_log"]
        else:
            result = self.everyone["mean_log"] if self.everyone["n"] > 0 else log_amount
        return min(max(result, -60.0), 60.0)

    @staticmethod
    def account_to_now(account: dict[str, Any], t: int) -> float:
        if "last" not in account:
            account["last"] = t
            return -1.0
        gap = float(max(t - account["last"], 0))
        account["last"] = max(account["last"], t)
        in_day = exp(-gap / DAY)
        decays = {"count_1h": exp(-gap / HOUR), "count_24h": in_day, "level_24h": in_day, "evidence_7d": exp(-gap / (7.0 * DAY))}
        for field, decay in decays.items():
            account[field] = single(account[field] * decay)
        account["evidence_12h"] = single(account["evidence_12h"] * (in_day * in_day))
        return gap

    @staticmethod
    def of_amount(
        account: dict[str, Any], address: dict[str, Any], level: float, log_level: float, common: tuple[float, float, float]
    ) -> list[float]:
        n = account["n"]
        row = [squash(level / shrunk(account["mean_level"], common[0], n, 2.0), 10.0), squash_signed(log_level - common[1], 4.0)]
        row.append(min(level / (level + (account["maximum_level"] if n > 0 else common[0])), 0.99999))
        for entity in (account, address):
            mean = shrunk(entity["mean_log"], common[1], entity["n"], 3.0)
            variance = max(shrunk(entity["variance_log"], common[2], entity["n"], 3.0), 0.04)
            row.append(squash_signed((log_level - mean) / math.sqrt(variance), 3.0))
        return row

    def of_rhythm(self, account: dict[str, Any], t: int, gap: float, level: float, common_level: float) -> list[float]:
        n = account["n"]
        usual = max(shrunk(account["mean_gap_s"], self.everyone["mean_gap_s"], max(n - 1.0, 0.0), 2.0), 1.0)
        row = [0.0, 0.0] if gap < 0.0 else [squash(usual / (0.001 * gap + 1.0), 10.0), squash(0.001 * gap / usual, 5.0)]
        count_a_day = level_a_day = 0.0
        if n > 0:
            kept = exp(-float(max(t - account["taught"], 0)) / (28.0 * DAY))
            days = max(account["days_28d"] * kept + 28.0 * (1.0 - kept), 1.0)
            count_a_day, level_a_day = account["count_28d"] * kept / days, account["level_28d"] * kept / days
        mean_level = shrunk(account["mean_level"], common_level, n, 2.0)
        row += [squash(account["count_1h"], 3.0), squash((account["count_24h"] + 1.0) / (count_a_day + 1.0), 3.0)]
        return [*row, squash((account["level_24h"] + level) / (level_a_day + mean_level), 3.0)]

    @staticmethod
    def of_address(address: dict[str, Any], t: int, level: float, common_level: float, paid_before: int) -> list[float]:
        if "last" not in address:
            address["first"] = address["last"] = t
        else:
            in_day = exp(-float(max(t - address["last"], 0)) / DAY)
            address["last"] = max(address["last"], t)
            for field in ("payers_24h", "inflow_24h", "evidence_24h"):
                address[field] = single(address[field] * in_day)
        age = float(max(t - address["first"], 0))
        if paid_before == 0:
            address["payers_24h"] = single(address["payers_24h"] + 1.0)
        row = [min(1.0 / (1.0 + paid_before), 0.99999), min(exp(-age / (7.0 * DAY)), 0.99999)]
        payers = inflow = 0.0
        if address["n"] > 0:
            kept = exp(-float(max(t - address["taught"], 0)) / (28.0 * DAY))
            days = max(28.0 * (1.0 - exp(-age / (28.0 * DAY))), 1.0)
            payers, inflow = address["payers_28d"] * kept / days, address["inflow_28d"] * kept / days
        return [*row, squash(address["payers_24h"] / (payers + 1.0), 3.0), squash((address["inflow_24h"] + level) / (inflow + common_level), 10.0)]

    def of_hour(self, account: dict[str, Any], t: int) -> float:
        hour = (t // 3_600_000) % 24
        common = (self.everyone["hours"][hour] + 1.0) / (self.everyone["hours_seen"] + 24.0)
        share = float((account["hours"][hour] + 4.0 * common) / (sum(account["hours"]) + 4.0))
        return 1.0 / (1.0 + 24.0 * share)

    def of_use(self, account: dict[str, Any], a: int, t: int, gap: float, seen: dict[str, Any]) -> list[float]:
        row = []
        for kind in ("device", "network", "country", "api_key"):
            used = self.uses[a, kind, seen[kind]]
            row.append(0.0 if seen[kind] == 0 else min(1.0 / (1.0 + used), 0.99999))
            self.uses[a, kind, seen[kind]] += 1
        age = seen["security_age_ms"]
        row.append(0.0 if age < 0 else min(max(exp(-float(age) / DAY), 1e-6), 0.99999))
        travel = 0.0
        if seen["country"] != 0:
            if account["country"] != 0:
                moved = account["country"] != seen["country"]
                travel = min(max(exp(-max(gap, 0.0) / (12.0 * HOUR)), 1e-6), 0.99999) if moved else 1e-6
            account["country"] = seen["country"]
        share = seen["balance_share"]
        row += [travel, 0.0 if math.isnan(share) else max(squash(share, 1.0), 1e-6)]
        given = seen["second_factor"]
        return [*row, max(0.25 * (account["factor"] - given), 1e-6) if given > 0 and account["factor"] > 0.0 else 0.0]

    def learn(self, teach: list[bool]) -> None:
        for lane, past in enumerate(self.lanes.pasts.values()):
            if self.lanes.tail.seen >= 1024:
                past.learn([found["z"][lane] for found in self.block], teach)
        for found, may in zip(self.block, teach, strict=True):
            if may:
                self.teach_account(found, self.accounts[found["account"]])
                self.teach_everyone(found, self.accounts[found["account"]])
                self.teach_address(found, self.addresses[found["address"]])
        self.block = []

    @staticmethod
    def moments(entity: dict[str, Any], value: float, step: float, keep: Any) -> None:
        delta = value - entity["mean_log"]
        entity["variance_log"] = keep((1.0 - step) * (entity["variance_log"] + step * delta * delta))
        entity["mean_log"] = keep(entity["mean_log"] + step * delta)

    def taught(self, entity: dict[str, Any], found: dict[str, Any], sums: dict[str, float]) -> float:
        """Decay 28-day sums to the event and add to them; count it and move the moments; what was kept."""
        t = found["t"]
        kept = exp(-float(max(t - entity["taught"], 0)) / (28.0 * DAY)) if entity["n"] > 0 else 1.0
        entity["taught"] = max(entity["taught"], t) if entity["n"] > 0 else t
        for field, more in sums.items():
            entity[field] = single(entity[field] * kept + more)
        entity["n"] = single(entity["n"] + found["trust"])
        self.moments(entity, found["log_level"], min(found["trust"] * max(1.0 / entity["n"], 0.01), 1.0), single)
        return kept

    def teach_account(self, found: dict[str, Any], account: dict[str, Any]) -> None:
        level = found["level"]
        kept = self.taught(account, found, {"count_28d": found["trust"], "level_28d": found["trust"] * level})
        account["days_28d"] = single(account["days_28d"] * kept + 28.0 * (1.0 - kept))
        trust = found["trust"]
        maximum = account["maximum_level"] * math.sqrt(math.sqrt(kept))
        account["maximum_level"] = single(maximum + trust * max(level - maximum, 0.0))
        step = min(trust * max(1.0 / account["n"], 0.01), 1.0)
        account["mean_level"] = single(account["mean_level"] + step * (level - account["mean_level"]))
        hour = (found["t"] // 3_600_000) % 24
        if trust >= 0.5:
            if account["hours"][hour] == 255:
                account["hours"] = [count // 2 for count in account["hours"]]
            account["hours"][hour] += 1
        given = float(found["factor"])
        if given > 0.0:
            account["factor"] = single(account["factor"] + trust * 0.1 * (given - account["factor"])) if account["factor"] > 0.0 else given

    def teach_everyone(self, found: dict[str, Any], account: dict[str, Any]) -> None:
        everyone, asset, level = self.everyone, self.assets[found["asset"]], found["level"]
        trust = found["trust"]
        everyone["n"] += trust
        step = min(trust * max(1.0 / everyone["n"], 0.001), 1.0)
        self.moments(everyone, found["log_level"], step, float)
        everyone["mean_level"] += step * (level - everyone["mean_level"])
        gap_s = 0.001 * found["gap"]
        if gap_s >= 0.0:
            step = 1.0 if account["mean_gap_s"] == 0.0 else trust * max(1.0 / max(account["n"] - 1.0, 1.0), 0.01)
            account["mean_gap_s"] = single(account["mean_gap_s"] + step * (gap_s - account["mean_gap_s"]))
            everyone["gaps"] += 1.0
            everyone["mean_gap_s"] += trust * max(1.0 / everyone["gaps"], 0.001) * (gap_s - everyone["mean_gap_s"])
        everyone["hours"][(found["t"] // 3_600_000) % 24] += 1.0
        everyone["hours_seen"] += 1.0
        over = 1.0 if found["z"][0] + 6.0 > everyone["evidence_limit"] else 0.0
        everyone["evidence_limit"] += 0.02 * (over - 0.03)
        asset["n"] += 1.0
        asset["mean_log"] += max(1.0 / asset["n"], 0.001) * (found["log_amount"] - asset["mean_log"])

    def teach_address(self, found: dict[str, Any], address: dict[str, Any]) -> None:
        self.taught(address, found, {"payers_28d": found["trust"] * float(found["new_pair"]), "inflow_28d": found["trust"] * found["level"]})
