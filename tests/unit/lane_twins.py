"""Plain-Python twin of the two lanes: scoring by stored bins, filters, labels and their revocation, the past of the logits.

Written apart from the kernels: lists, dictionaries and floats; revocation by taking the labels that are left again from the start.
Used by tests/unit/detector_twins.py and the tests of the lanes.
"""

import math
from collections import defaultdict
from typing import Any

from tests.unit.detector_twins import TailTwin, cell, exp, log, sigmoid, single, squash, surprise

INPUTS = 25
ALWAYS_KNOWN = 17
RATES = {"account": 1e-3 + 1.0 / 14.0, "destination": 2e-4 + 1.0 / 28.0}
PRIORS = {"account": 1e-3 / RATES["account"], "destination": 2e-4 / RATES["destination"]}
STRAYS = {"account": 2e-3, "destination": 1e-4}
FILTERS = ("filter_p", "filter_minute", "filter_run")


def logit(p: float) -> float:
    q = min(max(p, 1e-9), 1.0 - 1e-9)
    return log(q / (1.0 - q))


def filter_cell(p: float) -> int:
    return min(max(int((logit(p) + 10.0) * 4.0), 0), 63)


def age_cell(p: float, run: float, now: float) -> int:
    return 0 if run == 0.0 or p < 0.02 else min(1 + int(max(now - run, 0.0) / 1440.0), 63)


def predicted(kind: str, entity: dict[str, Any], now: float) -> float:
    if entity["filter_minute"] == 0.0:
        return PRIORS[kind]
    kept = exp(-RATES[kind] * max(now - entity["filter_minute"], 0.0) / 1440.0)
    return float(PRIORS[kind] + (entity["filter_p"] - PRIORS[kind]) * kept)


class Model:
    """Numbers that labels move: each with the sum of its squared gradients."""

    def __init__(self) -> None:
        self.numbers: dict[Any, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for lane in ("account", "destination"):
            self.numbers["base", lane] = [-6.0, 0.0]
        for j in range(INPUTS):
            self.numbers["weight", j] = [0.1, 0.0]
        for k in range(64):
            middle = -10.0 + (k + 0.5) / 4.0
            self.numbers["account_filter", k] = [0.4 * max(middle - logit(PRIORS["account"]), 0.0), 0.0]
            self.numbers["destination_filter", k] = [0.8 * max(middle + 6.0, 0.0), 0.0]
        self.fired = {"account": [9.0, 1.0], "destination": [9.0, 1.0]}

    def value(self, *key: Any) -> float:
        return self.numbers[key][0] if key in self.numbers else 0.0

    def account(self, features: dict[str, Any]) -> float:
        z = self.value("base", "account")
        for j, tail_bin in enumerate(features["bins"]):
            if tail_bin is not None:
                z += self.value("weight", j) * surprise(tail_bin) + self.value("bin", j, tail_bin)
        for name in ("account_filter", "hour", "destination_evidence"):
            z += self.value(name, features[name])
        return z

    def destination(self, features: dict[str, Any]) -> float:
        z = self.value("base", "destination") + self.value("destination_filter", features["destination_filter"])
        return z + self.value("run_age", features["run_age"])

    def descend(self, key: Any, gradient: float, rate: float) -> None:
        number = self.numbers[key]
        number[1] += gradient * gradient
        number[0] -= rate * gradient / math.sqrt(1.0 + number[1])

    def learn(self, features: dict[str, Any], fraud: bool, rates: dict[str, float]) -> None:
        p_account, p_destination = sigmoid(self.account(features)), sigmoid(self.destination(features))
        p = 1.0 - (1.0 - p_account) * (1.0 - p_destination)
        explained = 1.0 - 1.0 / max(p, 1e-9) if fraud else 1.0
        gradient, rate = p_account * explained, rates["account"]
        self.descend(("base", "account"), gradient, rate)
        for j, tail_bin in enumerate(features["bins"]):
            if tail_bin is not None:
                self.descend(("bin", j, tail_bin), gradient, rate)
                if surprise(tail_bin) > 0.0:
                    self.descend(("weight", j), gradient * surprise(tail_bin), rates["weight"])
                    self.numbers["weight", j][0] = max(self.numbers["weight", j][0], 0.0)
        for name in ("account_filter", "hour", "destination_evidence"):
            self.descend((name, features[name]), gradient, rate)
        gradient, rate = p_destination * explained, rates["destination"]
        self.descend(("base", "destination"), gradient, rate)
        for name in ("destination_filter", "run_age"):
            self.descend((name, features[name]), gradient, rate)

    def tell(self, kind: str, entity: dict[str, Any], minute: float, fraud: bool, other: float) -> None:
        then = entity["filter_minute"]
        old = predicted(kind, entity, minute)
        fired, quiet = self.fired[kind]
        rho = fired / (fired + quiet)
        bad, good = (rho + (1.0 - rho) * other, other + STRAYS[kind]) if fraud else (1.0 - rho, 1.0)
        if then != 0.0 and then > minute:
            kept = exp(-RATES[kind] * (then - minute) / 1440.0)
            stays, turns = PRIORS[kind] + (1.0 - PRIORS[kind]) * kept, PRIORS[kind] * (1.0 - kept)
            bad, good = bad * stays + good * (1.0 - stays), bad * turns + good * (1.0 - turns)
        new = old * bad / (old * bad + (1.0 - old) * good)
        self.fired[kind][0 if fraud else 1] += 0.1 * new * old
        if entity["filter_run"] != 0.0 and old < 0.02:
            entity["filter_run"] = 0.0
        if fraud and entity["filter_run"] == 0.0 and new > 0.1:
            entity["filter_run"] = minute
        entity["filter_p"] = single(new)
        entity["filter_minute"] = max(then, minute) if then != 0.0 else minute

    def take(self, features: dict[str, Any], fraud: bool, account: dict[str, Any], address: dict[str, Any], rates: dict[str, float]) -> None:
        minute = features["minute"]
        by_account = sigmoid(self.account(features))
        p = predicted("destination", address, minute)
        z = self.value("base", "destination") + self.value("destination_filter", filter_cell(p))
        by_destination = sigmoid(z + self.value("run_age", age_cell(p, address["filter_run"], minute)))
        self.tell("account", account, minute, fraud, by_destination)
        self.tell("destination", address, minute, fraud, by_account)
        self.learn(features, fraud, rates)


class LanesTwin:
    """Both lanes over the dictionaries of an observer's twin."""

    def __init__(self, tail: TailTwin, rates: dict[str, float]) -> None:
        self.tail, self.rates = tail, rates
        self.model = Model()
        self.seen: list[dict[str, Any]] = []
        self.labels: list[tuple[int, bool]] = []
        self.pasts = {"account": PastTwin(), "destination": PastTwin()}

    def score(self, row: list[float], minute: int, hour: int, account: dict[str, Any], address: dict[str, Any]) -> dict[str, Any]:
        """Everything the pass says of one observation, which is remembered."""
        bins = [self.tail.bins[j][cell(row[j])] if j < ALWAYS_KNOWN or row[j] > 0.0 else None for j in range(INPUTS)]
        p_account, p_address = predicted("account", account, minute), predicted("destination", address, minute)
        features = {
            "bins": bins, "account_filter": filter_cell(p_account), "hour": hour, "destination_evidence": int(64 * squash(address["evidence_24h"], 3.0)),
            "destination_filter": filter_cell(p_address), "run_age": age_cell(p_address, address["filter_run"], minute), "minute": minute,
            "account": account, "address": address,
        }  # fmt: skip
        features["z"] = (self.model.account(features), self.model.destination(features))
        self.seen.append(features)
        return features

    def label(self, ordinals: list[int], fraud: list[bool]) -> None:
        for ordinal, is_fraud in zip(ordinals, fraud, strict=True):
            if ordinal >= len(self.seen):
                continue
            given = dict(self.labels)
            if ordinal in given and given[ordinal] != is_fraud:
                self.unlabel([ordinal])
            if given.get(ordinal) != is_fraud:
                self.labels.append((ordinal, is_fraud))
                self.take(ordinal, is_fraud)

    def take(self, ordinal: int, fraud: bool) -> None:
        features = self.seen[ordinal]
        self.model.take(features, fraud, features["account"], features["address"], self.rates)

    def unlabel(self, ordinals: list[int]) -> None:
        """From the start, with the labels that are left."""
        self.labels = [(ordinal, fraud) for ordinal, fraud in self.labels if ordinal not in ordinals]
        self.model = Model()
        for features in self.seen:
            for entity in (features["account"], features["address"]):
                entity.update(dict.fromkeys(FILTERS, 0.0))
        for ordinal, fraud in self.labels:
            self.take(ordinal, fraud)


class PastTwin:
    """A lane's past logits as p-values."""

    def __init__(self) -> None:
        self.cells, self.upper, self.least = [0.0] * 1024, [1.0] * 1025, 1.0
        self.weight, self.seen = 1.0, 0

    @staticmethod
    def place(z: float) -> int:
        return min(max(int((z + 16.0) * 16.0), 0), 1023)

    def p_value(self, z: float) -> float:
        at = self.place(z)
        into = min(max((z + 16.0) * 16.0 - at, 0.0), 1.0)
        return min(max(self.upper[at + 1] + (1.0 - into) * (self.upper[at] - self.upper[at + 1]), self.least), 1.0)

    def learn(self, logits: list[float], teach: list[bool]) -> None:
        held = teach.count(False)
        for z, may in zip(logits, teach, strict=True):
            self.cells[self.place(z)] += self.weight if may else self.weight / held
            self.weight *= 1.0000069314958282
            self.seen += 1
        if self.seen < 2000:
            return
        total = 0.0
        for weight in self.cells:
            total += weight
        above = 0.0
        self.upper[1024] = 0.0
        for k in reversed(range(1024)):
            above += self.cells[k]
            self.upper[k] = above / total
        self.least = 1.0 / (self.seen + 1.0)
