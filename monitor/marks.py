"""Marks: losses, suspected or certain, priced and allocated to the layers of the reserve, and the sums that coverage shows.

A mark has versions and is never forgotten while it stands; one loss (`mark_id`) is marked once. Every operation returns the change that it made,
or why it is refused and then has changed nothing. Exact integers throughout, but for the drain rate. Called by `monitor.decisions`.
"""

from collections.abc import Callable, Collection, Iterator
from itertools import islice

from msgspec.structs import replace

from monitor import money
from monitor.contracts.base import Cause, Owner
from monitor.contracts.outputs import MarkStage
from monitor.entities import EVICTED_SHARE
from monitor.findings import Subject
from monitor.layers import Terms, layer_faults, terms_of
from monitor.ledger import EventUse, LayerState, Ledger, Part, joined, less, shrunk
from monitor.mark_state import AssetSums, Change, Drain, MarkState, found, group_of, told
from monitor.policy import Layer, Limits, Policy
from monitor.prices import Prices, PriceStanding, PriceState, PriceTaken
from monitor.uncovered import Uncovered, leave


class Marks:
    """All marks, on one ledger, under the newest policy."""

    def __init__(self, policy: Policy) -> None:
        self.ledger = Ledger()
        self.by_id: dict[str, MarkState] = {}
        self.by_incident: dict[str, dict[str, None]] = {}
        self.by_withdrawal: dict[str | None, dict[str, None]] = {}
        self.prices = Prices()
        self.sums: dict[str, AssetSums] = {}
        self.total = AssetSums()
        self.unpriced: dict[str, None] = {}
        self.uncovered = Uncovered()
        self.drain = Drain()
        self.stages: dict[MarkStage, int] = {"suspected": 0, "confirmed": 0, "partly_recovered": 0, "compensated": 0, "cleared": 0}
        self.layers: tuple[Layer, ...] = ()
        self.tells: Callable[[str], int] = lambda _: 0
        self.forgotten = self.forgotten_version = 0
        self.configure(policy)

    def configure(self, policy: Policy) -> list[str]:
        """Take a new term's policy; what is held stays held under the layers that hold it. Returns why its layers are refused: then the former ones stay."""
        faults = [f"layers.{field} {why}" for field, why in layer_faults(policy)]
        order = () if faults else terms_of(policy.layers, policy.assets)
        faults = faults or self.ledger.refuses(order)
        if not faults:
            self.layers = policy.layers
            self.ledger.configure(order, policy.base_currency)
        self.policy = replace(policy, layers=self.layers)
        return faults

    def restore(
        self, layers: dict[str, LayerState], marks: Collection[MarkState], uncovered: Collection[str], uses: Collection[EventUse],
    ) -> None:  # fmt: skip
        """Accounts and marks as they were between two entries, when nothing freed waited to be used."""
        self.ledger.layers = layers
        self.ledger.uses = {(use.layer_id, use.incident_id): use for use in uses}
        self.ledger.freed.clear()
        self.ledger.reordered = False
        for mark in marks:
            self.by_id[mark.mark_id] = mark
            self.by_incident.setdefault(mark.incident_id, {})[mark.mark_id] = None
            self.by_withdrawal.setdefault(mark.subject.withdrawal_id, {})[mark.mark_id] = None
        for mark_id in uncovered:
            self.uncovered.put(mark_id, group_of(self.by_id[mark_id]))

    def decimals(self, unit: str) -> int:
        """Decimals of an asset or of the base currency."""
        return self.policy.assets[unit].decimals

    def set_price(self, asset: str, text: str, source: str, at_ms: int) -> PriceTaken:
        """A price of an asset, of which `monitor.prices` says what becomes of it."""
        return self.prices.tell(asset, PriceState(text, source, at_ms), self.policy.price_jump_percent)

    def price_standing(self, asset: str, now_ms: int) -> PriceStanding:
        """How far the price of an asset can be relied on now."""
        return "fresh" if asset == self.policy.base_currency else self.prices.standing(asset, now_ms, self.policy.price_stale_after_ms)

    def value(self, asset: str, amount_minor: int, price: PriceState | None = None) -> int | None:
        """The value of an amount in minor units of the base currency, rounded up, at a price or the newest; None while none is known."""
        if asset == self.policy.base_currency:
            return amount_minor
        price = price or self.prices.newest.get(asset)
        if price is None:
            return None
        assets = self.policy.assets
        rate = money.rate(price.text, assets[asset].decimals, assets[self.policy.base_currency].decimals)
        return None if rate is None else money.value_base_minor(amount_minor, rate)

    def fresh_price(self, asset: str, now_ms: int) -> PriceState | None:
        """The price that a loss is valued at now. Never one of another day or one that is doubted: the next price values it then."""
        return self.prices.newest.get(asset) if self.price_standing(asset, now_ms) == "fresh" else None

    def of_incident(self, incident_id: str) -> list[str]:
        """The marks of an incident, by name."""
        return sorted(self.by_incident.get(incident_id, ()))

    def of_withdrawal(self, withdrawal_id: str) -> list[str]:
        """The marks of a withdrawal, by name, whatever their incidents: it may be lost in more than one way."""
        return sorted(self.by_withdrawal.get(withdrawal_id, ()))

    def hold(self, subject: Subject, cause: Cause, incident_id: str, now_ms: int) -> Change | None:
        """Mark a loss; None when at least as much of it is marked already. A larger loss makes the mark grow, and is suspected; it stays with its incident.

        Another asset under the same id is another loss: it has a mark of its own, with the asset in its name.
        """
        known = self.by_id.get(subject.mark_id)
        if known is not None and known.subject.asset != subject.asset:  # never a revision: units of two assets can't be compared
            subject = replace(subject, mark_id=f"{subject.mark_id}:{subject.asset}")
            known = self.by_id.get(subject.mark_id)
        after = found(known, subject, cause, incident_id, self.forgotten_version)
        return None if after is None else self._priced(known, after, now_ms)

    def revise(self, mark_id: str, amount_minor: int, now_ms: int) -> Change | str:
        """People say that the whole loss is another, larger or smaller; not less than is compensated or came back. A fact that was known changes it no more."""
        mark = self._known(mark_id)
        if isinstance(mark, str):
            return mark
        if amount_minor <= 0:
            return "the amount of a loss is above zero: clear the mark instead"
        if amount_minor == mark.subject.amount_minor:
            return "it is marked with that amount already"
        if amount_minor < mark.settled_minor:
            return "more than that is compensated or came back already"
        stage = mark.stage
        if stage == "compensated":
            stage = "confirmed"
        elif amount_minor == mark.settled_minor and mark.compensated_minor:
            stage = "compensated"
        after = replace(
            mark, subject=replace(mark.subject, amount_minor=amount_minor), stage=stage, version=mark.version + 1,
            told_minor=mark.told_minor or mark.subject.amount_minor,
        )  # fmt: skip
        return self._priced(mark, after, now_ms)

    def clear(self, mark_id: str) -> Change | str:
        """The loss didn't happen: give back exactly what is held."""
        mark = self._known(mark_id)
        if isinstance(mark, str):
            return mark
        if mark.compensated_minor or mark.recovered_minor:
            return "part of it is compensated or came back: revise its amount instead"
        return self._placed(mark, replace(mark, stage="cleared", version=mark.version + 1), 0, mark.price)

    def confirm(self, mark_id: str) -> Change | str:
        """The loss is certain."""
        mark = self._known(mark_id)
        if isinstance(mark, str):
            return mark
        if mark.stage != "suspected":
            return f"it is {told(mark.stage)} already"
        stage: MarkStage = "partly_recovered" if mark.recovered_minor else "confirmed"
        return self._replaced(mark, replace(mark, stage=stage, version=mark.version + 1))

    def suspect_again(self, mark_id: str, now_ms: int) -> Change | str:
        """What was said of the loss, that it is certain or that it is none, doesn't hold any more."""
        mark = self.by_id.get(mark_id)
        if mark is None or mark.stage not in ("confirmed", "cleared"):
            return "no such mark is known" if mark is None else f"it is {told(mark.stage)}"
        if mark.stage == "confirmed":
            return self._replaced(mark, replace(mark, stage="suspected", version=mark.version + 1))
        return self.hold(mark.subject, mark.cause, mark.incident_id, now_ms) or "it is marked already"

    def change_cause(self, mark_id: str, cause: Cause) -> Change | str:
        """Another cause: what is held is allocated anew, what is paid stays paid."""
        mark = self._known(mark_id)
        if isinstance(mark, str):
            return mark
        if mark.cause == cause:
            return "that is its cause already"
        return self._placed(mark, replace(mark, cause=cause, version=mark.version + 1, by_people=True), mark.base_minor, mark.price)

    def change_owner(self, mark_id: str, owner: Owner) -> Change | str:
        """Another owner of the loss: what is held is allocated anew, what is paid stays paid."""
        mark = self._known(mark_id)
        if isinstance(mark, str):
            return mark
        if mark.subject.owner == owner:
            return "that is its owner already"
        return self._placed(
            mark, replace(mark, subject=replace(mark.subject, owner=owner), version=mark.version + 1, by_people=True), mark.base_minor, mark.price
        )

    def move(self, mark_id: str, incident_id: str) -> Change | str:
        """Another incident: limits and deductibles of that event hold now, for what is paid too. A cleared mark moves as well."""
        mark = self.by_id.get(mark_id)
        if mark is None:
            return "no such mark is known"
        if mark.incident_id == incident_id:
            return "it is of that incident already"
        paid = less(mark.paid, mark.returned)
        self.ledger.count(paid, mark.incident_id, -1)
        self.ledger.count(paid, incident_id, 1)
        return self._placed(mark, replace(mark, incident_id=incident_id, version=mark.version + 1), mark.base_minor, mark.price)

    def recover(self, mark_id: str, amount_minor: int) -> Change | str:
        """Units came back: first they lessen what is open, from the last layer on; the rest flows to the layers that paid, the last first."""
        mark = self._known(mark_id)
        if isinstance(mark, str):
            return mark
        if mark.stage == "suspected":
            return "it is only suspected: confirm it first"
        if amount_minor <= 0:
            return "what came back is above zero"
        if amount_minor > mark.subject.amount_minor - mark.recovered_minor:
            return "that is more than is still gone"
        lessened = min(amount_minor, mark.open_minor)
        after = replace(
            mark, stage="partly_recovered" if mark.standing else mark.stage, version=mark.version + 1,
            recovered_minor=mark.recovered_minor + amount_minor, returned_minor=mark.returned_minor + amount_minor - lessened,
        )  # fmt: skip
        if amount_minor > lessened:
            after = self._returned(mark, after)
        return self._lessened(mark, after)

    def compensate(self, mark_id: str) -> Change | str:
        """What is open was paid to whom it belongs: what is held for it is paid."""
        mark = self._known(mark_id)
        if isinstance(mark, str):
            return mark
        if mark.stage == "suspected":
            return "it is only suspected: confirm it first"
        if mark.stage == "compensated":
            return "it is compensated already"
        if mark.base_minor is None:
            return "no price is known yet"
        self.ledger.pay(mark.parts)
        after = replace(
            mark, stage="compensated", version=mark.version + 1, base_minor=0, parts=(), paid=joined(mark.paid, mark.parts),
            compensated_minor=mark.compensated_minor + mark.open_minor,
        )  # fmt: skip
        return self._replaced(mark, after)

    def reprice(self, asset: str, now_ms: int) -> Iterator[Change]:
        """A price of an asset came: marks that had none are valued and allocated anew, one by one."""
        for mark_id in [mark_id for mark_id in self.unpriced if self.by_id[mark_id].subject.asset == asset]:
            mark = self.by_id[mark_id]
            yield self._priced(mark, replace(mark, version=mark.version + 1), now_ms)

    def settle(self) -> list[Change]:
        """What was freed carries what stands uncovered, the oldest first, until it is used up. Called once at the end of every entry.

        Costs what changes, and a look at each group of uncovered marks; not a look at each mark. After a change all are asked again.
        """
        changes: list[Change] = []
        freed, asked = self.ledger.freed, dict[tuple[str, str | None], None]()
        while freed and self.uncovered.of:
            layer_id, incident_id = one = next(iter(freed))
            del freed[one]
            asked[one] = None
            covered = [change for terms in self.ledger.order if terms.layer_id == layer_id for change in self._cover(terms, incident_id)]
            if covered:
                changes += covered
                freed.update(asked)
        freed.clear()
        self.ledger.reordered = False
        return changes

    def _cover(self, terms: Terms, incident_id: str | None) -> list[Change]:
        """Let one layer carry what stands uncovered, of one incident or of all. A mark that it doesn't help keeps what it has."""
        ledger, changes = self.ledger, list[Change]()
        for mark_id in self.uncovered.oldest_first(lambda group: ledger.may_help(terms, group), incident_id):
            if ledger.left(terms) == 0:
                break
            mark = self.by_id[mark_id]
            if ledger.left(terms, mark.incident_id) == 0:  # below zero, over a limit that was lowered, allocating anew may help
                continue
            ledger.give_back(mark.parts, mark.incident_id)
            after = replace(mark, version=mark.version + 1, parts=self._plan(mark, mark.base_minor))
            better = (after.uncarried_minor, after.uncovered_base_minor or 0) < (mark.uncarried_minor, mark.uncovered_base_minor or 0)
            ledger.hold(after.parts if better else mark.parts, mark.incident_id)
            if better:
                ledger.note_freed(mark.parts, after.parts, mark.incident_id)
                changes.append(Change(mark, after))
        for before, after in changes:  # only now: the index mustn't change while it is read
            self._replaced(before, after, tells=False)
        return changes

    def forget(self, limits: Limits) -> int:
        """Over its limit, what is cleared goes, the oldest first, and so does what is compensated over a limit of its own. Returns how many went.

        What stands never goes. An event has had of a layer what was paid for it, known or forgotten.
        """
        paid = self.stages["compensated"]
        return self._forget("cleared", len(self.by_id) - paid, limits.marks) + self._forget("compensated", paid, limits.marks_compensated)

    def _forget(self, stage: MarkStage, number: int, limit: int) -> int:
        if number <= limit or self.stages[stage] == 0:
            return 0
        gone = list(islice((mark for mark in self.by_id.values() if mark.stage == stage), number - limit + limit // EVICTED_SHARE))
        for mark in gone:
            withdrawal_id = mark.subject.withdrawal_id
            same = [mark.mark_id] if withdrawal_id is None else self.of_withdrawal(withdrawal_id)  # a decision on it has seen their sum
            self.forgotten_version = max(self.forgotten_version, sum(self.by_id[mark_id].version for mark_id in same))
            self.stages[stage] -= 1
            del self.by_id[mark.mark_id]
            leave(self.by_incident, mark.incident_id, mark.mark_id)
            leave(self.by_withdrawal, mark.subject.withdrawal_id, mark.mark_id)
        self.forgotten += len(gone)
        return len(gone)

    @property
    def standing(self) -> int:
        """How many marks stand."""
        return self.stages["suspected"] + self.stages["confirmed"] + self.stages["partly_recovered"]

    def _known(self, mark_id: str) -> MarkState | str:
        mark = self.by_id.get(mark_id)
        return "no such mark is known" if mark is None else "it is cleared" if mark.stage == "cleared" else mark

    def _priced(self, before: MarkState | None, after: MarkState, now_ms: int) -> Change:
        """Value what is open at the newest price, or at the mark's own if that is stale, and allocate it anew."""
        price = self.fresh_price(after.subject.asset, now_ms) or after.price
        priced = price is not None or after.subject.asset == self.policy.base_currency
        base = self.value(after.subject.asset, after.open_minor, price) if priced else None
        grown = (base or 0) - (0 if before is None else before.base_minor or 0)
        if grown > 0:
            self.drain.add(grown, now_ms, self.policy.drain_half_life_ms)
        return self._placed(before, after, base, price)

    def _plan(self, mark: MarkState, base_minor: int | None) -> tuple[Part, ...]:
        return self.ledger.plan(mark.subject.asset, mark.open_minor, base_minor, mark.cause, mark.subject.owner, mark.incident_id)

    def _placed(self, before: MarkState | None, after: MarkState, base_minor: int | None, price: PriceState | None) -> Change:
        """Give back what is held, and allocate what is open by the rule."""
        held = () if before is None else before.parts
        if before is not None:
            self.ledger.give_back(held, before.incident_id)
        parts = self._plan(after, base_minor)
        self.ledger.hold(parts, after.incident_id)
        moved = before is not None and before.incident_id != after.incident_id
        self.ledger.note_freed(held, () if moved else parts, after.incident_id)  # what an event leaves is free for it, even if another takes it
        if moved:
            self.ledger.note_freed((), parts, after.incident_id)
        after = replace(after, base_minor=base_minor, price=price, parts=parts, told_in=self.tells(after.incident_id))
        return self._replaced(before, after, tells=False)

    def _lessened(self, before: MarkState, after: MarkState) -> Change:
        """Less is open: take it off the parts, the last first. The value is that of the mark's price, rounded up."""
        units, base = before.open_minor - after.open_minor, before.base_minor
        if base is None:
            units = max(0, units - before.uncarried_minor)
            left = None if after.open_minor else 0
        else:
            left = self.value(after.subject.asset, after.open_minor, after.price)
        parts, taken = shrunk(before.parts, after.subject.asset, units, None if base is None or left is None else base - left)
        self.ledger.give_back(taken, before.incident_id)
        self.ledger.note_freed(taken, (), before.incident_id)
        return self._replaced(before, replace(after, base_minor=left, parts=parts))

    def _returned(self, before: MarkState, after: MarkState) -> MarkState:
        """What was compensated came back: to the layers that paid, the last first; in value, in proportion to what they still lack, rounded down."""
        rest = less(before.paid, before.returned)
        lacked = sum(part.base_minor or 0 for part in rest)
        units = after.returned_minor - before.returned_minor
        _, taken = shrunk(rest, after.subject.asset, units, lacked * units // (before.compensated_minor - before.returned_minor))
        self.ledger.recover(taken, before.incident_id)
        self.ledger.note_freed(taken, (), before.incident_id)
        return replace(after, returned=joined(before.returned, taken))

    def look_again(self, mark_id: str) -> str:
        """Something was found out about its withdrawal: who saw it before must look again. Returns its incident."""
        incident_id = self.by_id[mark_id].incident_id
        self.by_id[mark_id] = replace(self.by_id[mark_id], told_in=self.tells(incident_id))
        return incident_id

    def _replaced(self, before: MarkState | None, after: MarkState, *, tells: bool = True) -> Change:
        """The mark's new version is the one that is known, in every index and sum; its incident's next version tells it, if it doesn't say so already."""
        mark_id = after.subject.mark_id
        after = replace(after, told_in=self.tells(after.incident_id)) if tells else after
        self.by_id[mark_id] = after
        if before is not None:
            self._add(before, -1)
            self.stages[before.stage] -= 1
            leave(self.by_incident, before.incident_id, mark_id)
            leave(self.by_withdrawal, before.subject.withdrawal_id, mark_id)
        self._add(after, 1)
        self.stages[after.stage] += 1
        self.by_incident.setdefault(after.incident_id, {})[mark_id] = None
        self.by_withdrawal.setdefault(after.subject.withdrawal_id, {})[mark_id] = None
        if after.base_minor is None:
            self.unpriced[mark_id] = None
        else:
            self.unpriced.pop(mark_id, None)
        if after.uncovered_base_minor or after.uncarried_minor:
            self.uncovered.put(mark_id, group_of(after))
        else:
            self.uncovered.drop(mark_id)
        return Change(before, after)

    def _add(self, mark: MarkState, sign: int) -> None:
        for sums in (self.sums.setdefault(mark.subject.asset, AssetSums()), self.total):
            sums.add(mark, sign)
