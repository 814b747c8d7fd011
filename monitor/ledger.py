"""The ledger: double entry in integers, per layer of the reserve in the layer's own unit. No prices' sources, no incidents' contents.

Every change is a transfer between two accounts of one layer; funded + recovered = available + held + paid after every one.
Called by `monitor.marks`. The rule of allocation, in an accountant's words:

1. The layers are asked in the policy's order; one is skipped if it doesn't cover the cause or the owner, or is kept in another asset.
2. A layer in the marked asset takes units, a layer in the base currency takes value. A unit is worth the mark's value divided by its units.
3. Each takes the whole rest, but at most what it has left: what is available (or may still be claimed), and its limits per event and in
   total. The first of an event's loss up to the layer's deductible passes it by.
4. What no layer takes is carried by `uncovered`, a last layer in the base currency, which may be claimed on without a limit.
5. Parts are first reckoned exactly, then rounded down to whole units and whole value; the units and the value that are missing to the mark's go
   one by one to the parts that lost most by it (largest remainder; ties by layer's name). So units and values add up exactly, and no
   layer takes more than it has.
6. What gets smaller without being allocated anew gives back from its last part on; what is given back is what was held.
"""

from typing import Literal

import msgspec

from monitor.contracts.base import Cause, Owner
from monitor.layers import UNCOVERED, Terms
from monitor.uncovered import Group

Debit = Literal["available", "held", "paid"]
Credit = Literal["funded", "recovered"]
Account = Debit | Credit


class LedgerBrokenError(AssertionError):
    """Conservation doesn't hold: a bug of ours. The worker stops loudly; nothing is published from the broken state."""


class LayerState(msgspec.Struct):
    """One layer's accounts, in minor units of `unit`. What came in (funded, recovered) are credits; where it is (the others) are debits."""

    unit: str
    on_claim: bool = False
    funded_minor: int = 0
    recovered_minor: int = 0
    available_minor: int = 0
    held_minor: int = 0
    paid_minor: int = 0

    @property
    def used_minor(self) -> int:
        """What marks have of the layer: held and paid, less what came back."""
        return self.held_minor + self.paid_minor - self.recovered_minor

    @property
    def touched(self) -> bool:
        """Whether anything was ever in it and still is."""
        return bool(self.funded_minor or self.recovered_minor or self.held_minor or self.paid_minor)

    def check(self, layer_id: str) -> None:
        """Raise LedgerBrokenError unless every unit is in exactly one place."""
        available, held, paid, recovered = self.available_minor, self.held_minor, self.paid_minor, self.recovered_minor
        sums = self.funded_minor + recovered == available + held + paid
        if not sums or available < 0 or held < 0 or not 0 <= recovered <= paid:  # so paid and funded aren't below zero either
            raise LedgerBrokenError(f"layer {layer_id}: {self}")


class Part(msgspec.Struct, frozen=True):
    """What one layer carries of a mark: in the layer's unit, and the marked asset's units and the base value that this stands for.

    `base_minor` is None while no price is known; `deductible_minor` is what this mark used up of the layer's deductible for the event.
    """

    layer_id: str
    unit: str
    amount_minor: int
    asset_minor: int
    base_minor: int | None
    deductible_minor: int = 0


class EventUse(msgspec.Struct, frozen=True):
    """What one event (an incident) has of one layer, in the layer's unit: held and paid less what came back, and of the deductible."""

    layer_id: str
    incident_id: str
    used_minor: int
    deductible_minor: int


class Ledger:
    """The layers in the policy's order, then `uncovered`. A layer that the policy dropped keeps its accounts and takes no new marks."""

    def __init__(self) -> None:
        self.layers: dict[str, LayerState] = {}
        self.order: tuple[Terms, ...] = ()
        self.base_currency = ""
        self.uses: dict[tuple[str, str], EventUse] = {}
        self.freed: dict[tuple[str, str | None], None] = {}
        """Layers that may carry more since they were last asked: for all marks, or for those of one incident."""
        self.reordered = False

    def configure(self, order: tuple[Terms, ...], base_currency: str) -> None:
        """Take the layers of a new term's policy, which `monitor.layers` has checked. Whatever they may carry now counts as freed."""
        self.order = order
        self.base_currency = base_currency
        uncovered = self.layers.pop(UNCOVERED, None) or LayerState(base_currency, on_claim=True)
        for terms in order:
            known = self.layers.get(terms.layer_id)
            if known is None or not known.touched:
                self.layers[terms.layer_id] = LayerState(terms.unit, terms.on_claim)
            self.freed[terms.layer_id, None] = None
        self.reordered = True
        self.layers[UNCOVERED] = uncovered

    def refuses(self, order: tuple[Terms, ...]) -> list[str]:
        """Why the layers can't become these: what is in a layer stays in its unit and under its way of being drawn on."""
        faults = []
        for terms in order:
            known = self.layers.get(terms.layer_id)
            if known is not None and known.touched and (known.unit, known.on_claim) != (terms.unit, terms.on_claim):
                way = "on claim" if known.on_claim else "prefunded"
                faults.append(f"layer {terms.layer_id} isn't empty: it stays in {known.unit} and {way}")
        return faults

    def _post(self, layer_id: str, debit: Debit, credit: Account, amount_minor: int) -> None:
        """One transfer: `debit` gets the amount, and either another debit account gives it or a credit account owes it."""
        layer = self.layers[layer_id]
        name, other = f"{debit}_minor", f"{credit}_minor"
        setattr(layer, name, getattr(layer, name) + amount_minor)
        owed = credit in ("funded", "recovered")
        setattr(layer, other, getattr(layer, other) + (amount_minor if owed else -amount_minor))
        layer.check(layer_id)

    def fund(self, layer_id: str, unit: str, amount_minor: int) -> str | None:
        """Add to a layer; returns why it is refused, or None."""
        why = self._not_usable(layer_id, unit, "funded")
        if why is None and all(layer_id != terms.layer_id for terms in self.order):
            why = f"layer {layer_id} isn't in the policy any more: it can be drawn down, not funded"
        if why is None:
            self._post(layer_id, "available", "funded", amount_minor)
            self.freed[layer_id, None] = None
        return why

    def draw(self, layer_id: str, unit: str, amount_minor: int) -> str | None:
        """Its owner takes from what is available; returns why it is refused, or None."""
        why = self._not_usable(layer_id, unit, "drawn down")
        if why is not None:
            return why
        layer = self.layers[layer_id]
        if layer.available_minor < amount_minor:
            return f"layer {layer_id} has less available than is drawn"
        self._post(layer_id, "available", "funded", -amount_minor)
        return None

    def _not_usable(self, layer_id: str, unit: str, done: str) -> str | None:
        layer = self.layers.get(layer_id)
        if layer is None or layer.unit != unit:
            return f"no layer {layer_id} in {unit} in the policy"
        if layer.on_claim:
            return f"layer {layer_id} is drawn on claim: it isn't {done} beforehand"
        return None

    def room(self, terms: Terms, incident_id: str | None = None) -> int:
        """What a layer can still carry, in its unit: at all, or for one event."""
        return max(0, self.left(terms, incident_id))

    def left(self, terms: Terms, incident_id: str | None = None) -> int:
        """The same, below zero by what it carries over a limit that was lowered since."""
        layer = self.layers[terms.layer_id]
        room = layer.available_minor
        if terms.limit_total_minor is not None:
            left = terms.limit_total_minor - layer.used_minor
            room = left if terms.on_claim else min(room, left)
        if terms.limit_per_event_minor is not None and incident_id is not None:
            use = self.uses.get((terms.layer_id, incident_id))
            room = min(room, terms.limit_per_event_minor - (0 if use is None else use.used_minor))
        return room

    def _borne(self, terms: Terms, incident_id: str) -> int:
        """How much of a layer's deductible an event has borne."""
        use = self.uses.get((terms.layer_id, incident_id))
        return 0 if use is None else use.deductible_minor

    def may_help(self, terms: Terms, group: Group) -> bool:
        """Whether a layer may carry more of marks that wait in a group. Who bears all that reaches it asks in vain.

        But not where its event has borne too much, which one may be spared, nor while the layers have new terms.
        """
        if group.cause not in terms.causes or (terms.customers_only and group.owner != "customer"):
            return False
        if terms.layer_id in group.bearing and not self.reordered and self._borne(terms, group.incident_id) <= terms.deductible_minor:
            return False
        return terms.unit in (group.asset, self.base_currency) and self.left(terms, group.incident_id) != 0

    def plan(
        self, asset: str, amount_minor: int, base_minor: int | None, cause: Cause, owner: Owner, incident_id: str,
    ) -> tuple[Part, ...]:  # fmt: skip
        """How the rule above allocates an amount now. Changes nothing.

        Parameters
        ----------
        base_minor
            The amount's value in the base currency's minor units; None while no price is known: then only layers in kind carry it, and what
            they don't carry is in no part.
        """
        value = 1 if base_minor is None else base_minor
        rest = amount_minor * value  # shares are whole numbers of 1/(amount × value): one unit is `value` of them, one of value `amount_minor`
        if rest == 0:
            return ()
        takes: list[tuple[str, str, int, int]] = []
        for terms in self.order:
            if cause not in terms.causes or (terms.customers_only and owner != "customer"):
                continue
            if terms.unit == asset:
                size = value
            elif terms.unit == self.base_currency and base_minor is not None:
                size = amount_minor
            else:
                continue
            passed = 0
            if terms.deductible_minor:
                left = max(0, terms.deductible_minor - self._borne(terms, incident_id))
                passed = min(left, -(-rest // size))
            taken = min(max(0, rest - passed * size), self.room(terms, incident_id) * size)
            if taken or passed:
                takes.append((terms.layer_id, terms.unit, taken, passed))
                rest -= taken
                if rest == 0:
                    break
        if rest and base_minor is not None:
            takes.append((UNCOVERED, self.base_currency, rest, 0))
        return self._rounded(takes, asset, amount_minor, base_minor)

    @staticmethod
    def _rounded(takes: list[tuple[str, str, int, int]], asset: str, amount_minor: int, base_minor: int | None) -> tuple[Part, ...]:
        """Exact shares as whole units and whole value."""
        names = [take[0] for take in takes]
        shares = [take[2] for take in takes]
        units = shares if base_minor is None else apportioned(shares, base_minor, names)
        values: list[int] | None = None if base_minor is None else apportioned(shares, amount_minor, names)
        parts = []
        for place, (layer_id, unit, _, passed) in enumerate(takes):
            base = None if values is None else values[place]
            own = units[place] if unit == asset or base is None else base
            parts.append(Part(layer_id, unit, own, units[place], base, passed))
        return tuple(parts)

    def hold(self, parts: tuple[Part, ...], incident_id: str) -> None:
        """Hold planned parts for an event; what is drawn on claim is claimed now."""
        for part in parts:
            if self.layers[part.layer_id].on_claim:
                self._post(part.layer_id, "available", "funded", part.amount_minor)
            self._post(part.layer_id, "held", "available", part.amount_minor)
            self._use(part, incident_id, 1)

    def give_back(self, parts: tuple[Part, ...], incident_id: str) -> None:
        """Give back what was held; what was claimed isn't any more."""
        for part in parts:
            self._post(part.layer_id, "available", "held", part.amount_minor)
            if self.layers[part.layer_id].on_claim:
                self._post(part.layer_id, "available", "funded", -part.amount_minor)
            self._use(part, incident_id, -1)

    def note_freed(self, before: tuple[Part, ...], after: tuple[Part, ...], incident_id: str) -> None:
        """Layers that a mark has less of than before may carry something else now, and those of which it bears more of its event's deductible something of that event."""
        now = {part.layer_id: part.amount_minor for part in after}
        for part in before:
            if part.amount_minor > now.get(part.layer_id, 0):
                self.freed[part.layer_id, None] = None
        borne = {part.layer_id: part.deductible_minor for part in before}
        for part in after:
            if part.deductible_minor > borne.get(part.layer_id, 0):
                self.freed[part.layer_id, incident_id] = None

    def pay(self, parts: tuple[Part, ...]) -> None:
        """Pay out what was held."""
        for part in parts:
            self._post(part.layer_id, "paid", "held", part.amount_minor)

    def recover(self, parts: tuple[Part, ...], incident_id: str) -> None:
        """What was paid came back. What was claimed goes back to whom it was claimed of."""
        for part in parts:
            self._post(part.layer_id, "available", "recovered", part.amount_minor)
            if self.layers[part.layer_id].on_claim:
                self._post(part.layer_id, "available", "funded", -part.amount_minor)
            self._use(part, incident_id, -1)

    def count(self, parts: tuple[Part, ...], incident_id: str, sign: Literal[1, -1]) -> None:
        """Parts count for an event from now on, or no longer; no account changes, but limits and deductibles of events may leave more room."""
        for part in parts:
            self._use(part, incident_id, sign)
            self.freed[part.layer_id, None] = None

    def _use(self, part: Part, incident_id: str, sign: int) -> None:
        if part.layer_id == UNCOVERED:
            return
        key = (part.layer_id, incident_id)
        known = self.uses.get(key)
        used, deductible = sign * part.amount_minor, sign * part.deductible_minor
        if known is not None:
            used, deductible = used + known.used_minor, deductible + known.deductible_minor
        if used < 0 or deductible < 0:
            raise LedgerBrokenError(f"layer {part.layer_id}: event {incident_id} gave back more than it had")
        if used or deductible:
            self.uses[key] = EventUse(part.layer_id, incident_id, used, deductible)
        else:
            self.uses.pop(key, None)


def apportioned(shares: list[int], size: int, names: list[str]) -> list[int]:
    """Shares divided by `size`, in whole numbers that add up: rounded down, then by largest remainder, ties by name. `size` divides their sum."""
    if len(shares) == 1:
        return [shares[0] // size]
    pairs = [divmod(share, size) for share in shares]
    whole = [pair[0] for pair in pairs]
    missing = sum(pair[1] for pair in pairs) // size
    if missing:
        for place in sorted(range(len(shares)), key=lambda place: (-pairs[place][1], names[place]))[:missing]:
            whole[place] += 1
    return whole


def shrunk(parts: tuple[Part, ...], asset: str, asset_minor: int, base_minor: int | None) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """Take units and value off parts, each by itself, from the last part on.

    Returns
    -------
    What is left, and what was taken off. A part's deductible is given back with the last of it.
    """
    left: list[Part] = []
    taken: list[Part] = []
    for part in reversed(parts):
        units = min(asset_minor, part.asset_minor)
        asset_minor -= units
        base: int | None = None
        if base_minor is not None and part.base_minor is not None:
            base = min(base_minor, part.base_minor)
            base_minor -= base
        own = units if part.unit == asset or base is None else base
        gone = not left and units == part.asset_minor and base == part.base_minor
        if gone:
            taken.append(part)
            continue
        if units or base:
            taken.append(Part(part.layer_id, part.unit, own, units, base))
        rest = None if part.base_minor is None or base is None else part.base_minor - base
        left.append(Part(part.layer_id, part.unit, part.amount_minor - own, part.asset_minor - units, rest, part.deductible_minor))
    return tuple(reversed(left)), tuple(taken)


def less(parts: tuple[Part, ...], fewer: tuple[Part, ...]) -> tuple[Part, ...]:
    """Parts, of each layer one, without others that are of them."""
    by_layer = {part.layer_id: part for part in fewer}
    rest = []
    for part in parts:
        gone = by_layer.get(part.layer_id)
        if gone is None:
            rest.append(part)
        else:
            base = None if part.base_minor is None or gone.base_minor is None else part.base_minor - gone.base_minor
            amount, asset, deductible = (
                part.amount_minor - gone.amount_minor,
                part.asset_minor - gone.asset_minor,
                part.deductible_minor - gone.deductible_minor,
            )
            rest.append(Part(part.layer_id, part.unit, amount, asset, base, deductible))
    return tuple(rest)


def joined(parts: tuple[Part, ...], more: tuple[Part, ...]) -> tuple[Part, ...]:
    """Parts added up by layer, in the order in which the layers first come."""
    by_layer: dict[str, Part] = {}
    for part in (*parts, *more):
        known = by_layer.get(part.layer_id)
        if known is not None:
            base = None if known.base_minor is None or part.base_minor is None else known.base_minor + part.base_minor
            deductible = known.deductible_minor + part.deductible_minor
            part = Part(part.layer_id, part.unit, known.amount_minor + part.amount_minor, known.asset_minor + part.asset_minor, base, deductible)  # noqa: PLW2901
        by_layer[part.layer_id] = part
    return tuple(by_layer.values())
