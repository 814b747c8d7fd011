"""An auditor of marks and layers: reads what is published, and who put how much into which layer, and recomputes everything else.

Own code and own structures: natural units as fractions, sums over the newest version of every mark instead of accounts. It imports nothing of
the ledger; the rule of allocation is written down here a second time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from math import ceil, floor
from typing import Any

Record = dict[str, Any]
Takes = list[tuple[str, str, Fraction, Fraction]]
BASE = "JPY"
NUMBERS = ("amount", "asset_amount", "base_amount", "deductible")
ZERO = Fraction(0)
MINUTE_MS = 60_000
LEFT = "further event of unauthorized access: "
number = cache(Fraction)
STANDING = ("suspected", "confirmed", "partly_recovered")


class Layer:
    """A layer's terms, as the auditor was given them."""

    def __init__(self, terms: Any) -> None:
        self.name, self.unit, self.causes = terms.layer_id, terms.unit, set(terms.causes)
        self.owners = {"customer"} if terms.customers_only else {"customer", "exchange"}
        self.claimed = terms.drawn == "on_claim"
        self.per_event, self.in_all = (None if text is None else number(text) for text in (terms.limit_per_event, terms.limit_total))
        self.deductible = number(terms.deductible)


def near(before: str, after: str) -> bool:
    """Whether a price is within a fifth of another: else it is doubted."""
    return abs(Fraction(after) - Fraction(before)) <= Fraction(before) / 5


class Auditor:
    """Takes records in their order; every method asserts."""

    def __init__(self, decimals: dict[str, int], stale_ms: int) -> None:
        self.quantum = {unit: Fraction(1, 10**places) for unit, places in decimals.items()}
        self.stale_ms = stale_ms
        self.layers: list[Layer] = []
        self.units: dict[str, str] = {}
        self.claimed: dict[str, bool] = {"uncovered": True}
        self.put_in: Counter[str] = Counter()
        self.marks: dict[str, Record] = {}
        self.prices: dict[str, tuple[str, int]] = {}
        self.doubted: dict[str, tuple[str, int]] = {}
        self.told: Counter[str] = Counter()
        self.sums: defaultdict[tuple[str, str, str, str | None], Fraction] = defaultdict(Fraction)
        self.worth: defaultdict[tuple[str, str | None], Fraction] = defaultdict(Fraction)
        self.unpriced = 0
        self.paged: dict[str, int] = {}

    def terms(self, layers: Any) -> None:
        """The policy's layers from now on."""
        self.layers = [Layer(terms) for terms in layers]
        for layer in self.layers:
            self.units[layer.name], self.claimed[layer.name] = layer.unit, layer.claimed

    def price(self, asset: str, text: str, at_ms: int) -> None:
        """A price came."""
        known, doubted = self.prices.get(asset), self.doubted.get(asset)
        if known is not None and at_ms < known[1]:
            return
        if known is None or near(known[0], text) or (doubted is not None and at_ms > doubted[1] and near(doubted[0], text)):
            self.prices[asset] = text, at_ms
            self.doubted.pop(asset, None)
        elif doubted is None or at_ms >= doubted[1]:
            self.doubted[asset] = text, at_ms

    def book(self, mark: Record, sign: int) -> None:
        """A version of a mark counts from now on, or no longer."""
        self.unpriced += sign * (mark["base_amount"] is None and mark["state"] in STANDING)
        for field in ("base_amount", "uncovered_base_amount"):
            if (mark[field] or "0") != "0":
                for incident in (None, mark["incident_id"]):
                    self.worth[field, incident] += sign * number(mark[field])
        for part in mark["allocations"]:
            for incident in (None, mark["incident_id"]):
                for field in ("amount", "deductible"):
                    self.sums[part["account"], part["layer_id"], field, incident] += sign * number(part[field])

    def sum(self, account: str, layer: str, field: str = "amount", incident: str | None = None) -> Fraction:
        """What the newest versions of all marks say of one layer."""
        return self.sums[account, layer, field, incident]

    def used(self, layer: str, field: str = "amount", incident: str | None = None) -> Fraction:
        return self.sum("held", layer, field, incident) + self.sum("paid", layer, field, incident) - self.sum("recovered", layer, field, incident)

    def room(self, layer: Layer, incident: str | None = None) -> Fraction:
        used = self.used(layer.name)
        limits = [] if layer.claimed else [Fraction(self.put_in[layer.name]) - used]
        limits += [] if layer.in_all is None else [layer.in_all - used]
        if layer.per_event is not None and incident is not None:
            limits.append(layer.per_event - self.used(layer.name, incident=incident))
        return max(ZERO, min(limits))

    def allocation(self, mark: Record) -> list[Record]:
        """What must be held for a mark, whose older version is out of the books."""
        units = number(mark["open_amount"])
        if units == 0:
            return []
        value = None if mark["base_amount"] is None else number(mark["base_amount"])
        rest, takes = Fraction(1), []  # shares of the whole
        for layer in self.layers:
            if rest == 0 or mark["cause"] not in layer.causes or mark["owner"] not in layer.owners:
                continue
            whole = units if layer.unit == mark["asset"] else value if layer.unit == BASE else None
            if whole is None:
                continue
            due = max(ZERO, layer.deductible - self.used(layer.name, "deductible", mark["incident_id"]))
            passed = min(due, rest * whole)
            share = min(rest - passed / whole, self.room(layer, mark["incident_id"]) / whole)
            passed = ceil(passed / self.quantum[layer.unit]) * self.quantum[layer.unit]
            if share or passed:
                takes.append((layer.name, layer.unit, share, passed))
                rest -= share
        if rest and value is not None:
            takes.append(("uncovered", BASE, rest, ZERO))
        return list(self._whole(takes, mark["asset"], units, value))

    def _whole(self, takes: Takes, asset: str, units: Fraction, value: Fraction | None) -> Iterator[Record]:
        all_units = self._rounded(takes, units, self.quantum[asset])
        values = None if value is None else self._rounded(takes, value, self.quantum[BASE])
        for name, unit, _, passed in takes:
            base = None if values is None else values[name]
            own = all_units[name] if unit == asset or base is None else base
            yield {"layer_id": name, "unit": unit, "amount": own, "asset_amount": all_units[name], "base_amount": base, "deductible": passed}

    @staticmethod
    def _rounded(takes: Takes, whole: Fraction, quantum: Fraction) -> dict[str, Fraction]:
        exact = {name: share * whole / quantum for name, _, share, _ in takes}
        found = {name: floor(size) for name, size in exact.items()}
        while sum(found.values()) < sum(exact.values()):
            lost = max(exact[name] - found[name] for name in exact)
            found[min(name for name in exact if exact[name] - found[name] == lost)] += 1
        return {name: number * quantum for name, number in found.items()}

    def mark(self, mark: Record, now_ms: int) -> None:
        """A version of a mark: it follows from the one before and from what the layers had left."""
        known = self.marks.pop(mark["mark_id"], None)
        if known is not None:
            self.book(known, -1)
            if known["incident_id"] != mark["incident_id"]:  # what is moved takes along when people were woken for it
                self.paged[mark["incident_id"]] = max(self.paged.get(name, 0) for name in (known["incident_id"], mark["incident_id"]))
        assert mark["version"] == (1 if known is None else known["version"] + 1)
        self.figures(mark, known, now_ms)
        parts = {account: plain(mark, account) for account in ("held", "paid", "recovered")}
        before = {account: [] if known is None else plain(known, account) for account in parts}
        if known is not None and mark["recovered_amount"] != known["recovered_amount"]:
            kind = "recovered"
            self.recovered(mark, known, parts, before)
        elif known is not None and mark["compensated_amount"] != known["compensated_amount"]:
            kind = "compensated"
            assert (parts["held"], mark["open_amount"], mark["state"]) == ([], "0", "compensated")
            assert by_layer(parts["paid"]) == by_layer([*before["paid"], *before["held"]])
            assert parts["recovered"] == before["recovered"]
        else:
            assert (parts["paid"], parts["recovered"]) == (before["paid"], before["recovered"])
            kind = self.kind(mark, known)
            if kind == "confirmed":
                assert parts["held"] == before["held"]
            else:
                older = unheld(mark if kind == "moved" or known is None else known)  # what is paid counts for the event that it is of now
                self.book(older, 1)
                assert parts["held"] == self.allocation(mark), kind
                self.book(older, -1)
        self.told[kind] += 1
        self.marks[mark["mark_id"]] = mark
        self.book(mark, 1)

    @staticmethod
    def kind(mark: Record, known: Record | None) -> str:
        """What happened to a mark, from its versions alone."""
        if known is None:
            return "new"
        changed = {field for field in ("cause", "owner", "incident_id", "amount", "price") if mark[field] != known[field]}
        if mark["state"] == "cleared":
            return "moved" if "incident_id" in changed else "cleared"
        if known["state"] == "cleared":
            return "again"
        if "amount" in changed:
            return "grown" if number(mark["amount"]) > number(known["amount"]) else "shrunk"
        for field, kind in (("incident_id", "moved"), ("cause", "cause"), ("owner", "owner"), ("price", "priced")):
            if field in changed:
                return kind
        return "confirmed" if mark["state"] != known["state"] else "settled"

    def figures(self, mark: Record, known: Record | None, now_ms: int) -> None:
        """Amounts, value and price of a version."""
        returned = sum(part["asset_amount"] for part in plain(mark, "recovered"))
        done = number(mark["compensated_amount"]) + number(mark["recovered_amount"]) - returned
        still = number(mark["amount"]) - done if mark["state"] in STANDING else ZERO
        assert number(mark["open_amount"]) == still >= 0
        if mark["state"] == "compensated":
            assert done == number(mark["amount"])
        if known is None or known["state"] == "cleared" != mark["state"] or mark["amount"] != known["amount"]:
            text, at_ms = self.prices.get(mark["asset"], (None, 0))
            old = None if known is None or known["state"] == "cleared" else known["price"]
            counts = text is not None and now_ms - at_ms <= self.stale_ms and mark["asset"] not in self.doubted
            assert mark["price"] == (text if counts else old)
        if still == 0 and mark["base_amount"] is not None:
            assert mark["base_amount"] == "0"
        elif mark["asset"] == BASE:
            assert number(mark["base_amount"]) == still
        elif mark["price"] is None:
            assert mark["base_amount"] is None
        else:
            assert number(mark["base_amount"]) == ceil(still * number(mark["price"]))
        held = plain(mark, "held")
        if mark["base_amount"] is not None:
            assert sum(part["base_amount"] for part in held) == number(mark["base_amount"])
            assert sum(part["asset_amount"] for part in held) == still
            uncovered = sum(part["base_amount"] for part in held if part["layer_id"] == "uncovered")
            assert number(mark["uncovered_base_amount"]) == uncovered
        else:
            assert sum(part["asset_amount"] for part in held) <= still
            assert mark["uncovered_base_amount"] is None

    def recovered(self, mark: Record, known: Record, parts: dict[str, list[Record]], before: dict[str, list[Record]]) -> None:
        """What came back lessens what is held, the last layer first; then it flows to the layers that paid, the last first."""
        assert parts["paid"] == before["paid"]
        assert known["state"] in ("confirmed", "partly_recovered", "compensated")
        assert mark["state"] == ("compensated" if known["state"] == "compensated" else "partly_recovered")
        came = number(mark["recovered_amount"]) - number(known["recovered_amount"])
        lessened = min(came, number(known["open_amount"]))
        value = None
        if known["base_amount"] is not None:
            value = number(known["base_amount"]) - number(mark["base_amount"])
        else:
            lessened -= min(lessened, number(known["open_amount"]) - sum(part["asset_amount"] for part in before["held"]))
        assert popped(before["held"], mark["asset"], lessened, value) == parts["held"]
        back = came - min(came, number(known["open_amount"]))
        if back:
            lacking = minus(before["paid"], before["recovered"])
            units, worth = (sum(part[field] for part in lacking) for field in ("asset_amount", "base_amount"))
            rest = popped(lacking, mark["asset"], back, floor(worth * back / units / self.quantum[BASE]) * self.quantum[BASE])
            assert by_layer(minus(parts["paid"], parts["recovered"])) == by_layer(rest)

    def coverage(self, coverage: Record) -> None:
        """Every layer: what is held, paid and came back is what the marks say; nothing appears or vanishes."""
        assert [layer["layer_id"] for layer in coverage["layers"]][-1] == "uncovered"
        rooms = {layer.name: self.room(layer) for layer in self.layers}
        for layer in coverage["layers"]:
            name = layer["layer_id"]
            funded, recovered, available, held, paid = (number(layer[field]) for field in ("funded", "recovered", "available", "held", "paid"))
            assert (held, paid, recovered) == tuple(self.sum(account, name) for account in ("held", "paid", "recovered")), name
            assert funded + recovered == available + held + paid, name
            assert available >= 0, name
            if self.claimed[name]:
                assert available == 0, name
            else:
                assert funded == self.put_in[name], name
            assert (None if layer["can_carry"] is None else number(layer["can_carry"])) == rooms.get(name), name
        for field, of in (("marked_base_amount", "base_amount"), ("uncovered_base_amount", "uncovered_base_amount")):
            assert number(coverage[field]) == self.worth[of, None]
        assert coverage["at_least"] == (self.unpriced > 0)
        for cause, told in coverage["headroom_base_amount"].items():
            assert number(told) == self.further(cause), cause

    def further(self, cause: str) -> int:
        """What one further event could draw on: of each layer its room, at most its limit for an event, less its deductible, in the base currency."""
        total = 0
        for layer in self.layers:
            if cause in layer.causes:
                carries = max(ZERO, self.room(layer, "another's") - layer.deductible)
                price = "1" if layer.unit == BASE else self.prices.get(layer.unit, ("0", 0))[0]
                total += ceil(carries * number(price))
        return total

    def alerts(self, records: list[Record], now_ms: int) -> None:
        """Of an entry: levels say what is left; the lowest level wakes nobody whom a page of its incident has woken within a minute."""
        for record in records:
            if record["topic"] == "incidents" and record["merged_into"] is not None:
                into = record["merged_into"]
                self.paged[into] = max(self.paged.get(into, 0), self.paged.get(record["incident_id"], 0))
            elif record["topic"] == "alerts" and record["why"] != "level_crossed":
                if record["kind"] == "page":
                    self.paged[record["incident_id"]] = now_ms
            elif record["topic"] == "alerts" and LEFT in record["summary"]:
                assert record["summary"].partition(LEFT)[2].startswith(f"{self.further('unauthorized_access')} {BASE} of ")
                recent = now_ms - self.paged.get(record["incident_id"], 0) <= MINUTE_MS
                assert record["kind"] == ("page" if record["severity"] == "critical" and not recent else "notice")
                self.told[f"lowest level: {record['kind']}"] += record["severity"] == "critical"

    def incident(self, incident: Record) -> None:
        """What an incident says of its marks is the sum over them."""
        for field, of in (("marked_base_amount", "base_amount"), ("uncovered_base_amount", "uncovered_base_amount")):
            assert number(incident[field]) == self.worth[of, incident["incident_id"]], field

    def improvable(self) -> list[str]:
        """Standing marks of which the layers could carry more than they do, by more than what rounding can make."""
        found = []
        for name, mark in self.marks.items():
            held = plain(mark, "held")
            if sum(part["asset_amount"] for part in held if part["layer_id"] != "uncovered") == number(mark["open_amount"]):
                continue
            held_alone = mark | {"allocations": [part for part in mark["allocations"] if part["account"] == "held"]}
            self.book(held_alone, -1)
            could = self.allocation(mark)
            self.book(held_alone, 1)
            more, rounding = carried(could) - carried(held), len(self.layers) + 1
            if more > rounding * max(self.quantum[mark["asset"]], self.quantum[BASE] * worth(mark)):
                found.append(name)
        return found


def unheld(mark: Record) -> Record:
    """A mark with what was paid and came back alone; nothing of one that is new."""
    return mark | {"allocations": [part for part in mark["allocations"] if part["account"] != "held"]}


def worth(mark: Record) -> Fraction:
    """Units for one of the base currency; none while there is no price."""
    value = number(mark["base_amount"] or 0)
    return number(mark["open_amount"]) / value if value else ZERO


def carried(parts: list[Record]) -> Fraction:
    return sum((part["asset_amount"] for part in parts if part["layer_id"] != "uncovered"), ZERO)


def plain(mark: Record, account: str) -> list[Record]:
    """A mark's allocations of one account, with fractions."""
    parts = [part for part in mark["allocations"] if part["account"] == account]
    return [
        {field: (None if value is None else number(value)) if field in NUMBERS else value for field, value in part.items() if field != "account"}
        for part in parts
    ]


def by_layer(parts: list[Record]) -> dict[str, Record]:
    """Parts added up by layer; layers of which nothing is there left out."""
    found: dict[str, Record] = {}
    for part in parts:
        known = found.get(part["layer_id"])
        found[part["layer_id"]] = part if known is None else part | {field: known[field] + part[field] for field in NUMBERS}
    return {name: part for name, part in found.items() if any(part[field] for field in NUMBERS)}


def minus(parts: list[Record], fewer: list[Record]) -> list[Record]:
    gone = {part["layer_id"]: part for part in fewer}
    zero = dict.fromkeys(NUMBERS, ZERO)
    return [part | {field: part[field] - gone.get(part["layer_id"], zero)[field] for field in NUMBERS} for part in parts]


def popped(parts: list[Record], asset: str, units: Fraction, value: Fraction | None) -> list[Record]:
    """Parts without so many units and so much value, taken from the end."""
    rest: list[Record] = []
    for part in reversed(parts):
        took = min(units, part["asset_amount"])
        units -= took
        worth = None if value is None else min(value, part["base_amount"])
        value = None if value is None or worth is None else value - worth
        left = part["asset_amount"] - took
        base = None if worth is None else part["base_amount"] - worth
        if not rest and left == 0 and not base:
            continue
        own = left if part["unit"] == asset or base is None else base
        rest.insert(0, part | {"amount": own, "asset_amount": left, "base_amount": base})
    return rest
