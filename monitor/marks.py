"""Marks: suspected amounts, priced and held on the reserve, and the sums that coverage shows.

A mark has versions and is never forgotten while it stands; one loss (`mark_id`) is marked once. Exact integers throughout, but for the
drain rate, which is a decayed float. Called by `monitor.engine`.
"""

from collections.abc import Iterator

import msgspec

from detectors.elementary import exp
from monitor import money
from monitor.contracts.base import Cause
from monitor.entities import EVICTED_SHARE
from monitor.findings import Subject
from monitor.policy import Policy
from monitor.prices import PriceStanding, PriceState, PriceTaken, confirms, jumps
from monitor.reserve import Part, Reserve

LN2 = 0.6931471805599453
MINUTE_MS = 60_000


class MarkState(msgspec.Struct, frozen=True):
    """The current version of one mark."""

    subject: Subject
    cause: Cause
    incident_id: str
    version: int
    released: bool
    base_minor: int | None
    price: PriceState | None
    parts: tuple[Part, ...]
    uncovered_base_minor: int | None


class AssetSums(msgspec.Struct):
    """Sums over the standing marks of one asset; units of the asset, values of the base currency, both minor."""

    marked_minor: int = 0
    unpriced_minor: int = 0
    marked_base_minor: int = 0
    uncovered_base_minor: int = 0


class Drain(msgspec.Struct):
    """Newly marked base value per minute, decayed: a mark of v adds v·ln2/half-life, which halves every half-life."""

    base_minor_per_minute: float = 0.0
    at_ms: int = 0

    def rate(self, now_ms: int, half_life_ms: int) -> float:
        """The rate now. Asking changes nothing: how often somebody looks must not show in the state."""
        return self.base_minor_per_minute * exp(-LN2 * (max(0, now_ms - self.at_ms) / half_life_ms))

    def add(self, base_minor: int, now_ms: int, half_life_ms: int) -> None:
        """A mark of that value was made now."""
        self.base_minor_per_minute = self.rate(now_ms, half_life_ms) + base_minor * (LN2 * MINUTE_MS / half_life_ms)
        self.at_ms = max(self.at_ms, now_ms)


class Marks:
    """All marks, on one reserve, under the newest policy."""

    def __init__(self, policy: Policy) -> None:
        self.reserve = Reserve()
        self.by_id: dict[str, MarkState] = {}
        self.prices: dict[str, PriceState] = {}
        self.scaled: dict[str, money.Price] = {}
        self.jumped: dict[str, PriceState] = {}
        self.sums: dict[str, AssetSums] = {}
        self.total = AssetSums()
        self.unpriced: dict[str, None] = {}
        self.drain = Drain()
        self.suspected = 0
        self.released = 0
        self.configure(policy)

    def configure(self, policy: Policy) -> None:
        """Take a new term's policy. What is held stays held under the layers that hold it."""
        self.policy = policy
        self.reserve.configure(policy.layers, policy.base_currency)

    def decimals(self, unit: str) -> int:
        """Decimals of an asset or of the base currency."""
        return self.policy.assets[unit].decimals

    def set_price(self, asset: str, text: str, source: str, at_ms: int) -> PriceTaken:
        """The newest price of an asset; older ones than the known are left out.

        One that jumps waits for the next: the price before it stands until a later one is near one of the two.
        """
        known, waiting = self.prices.get(asset), self.jumped.get(asset)
        price = money.parse_price(text)
        newest = waiting or known
        if not isinstance(price, money.Price) or (newest is not None and at_ms < newest.at_ms):
            return "left_out"
        told, percent = PriceState(text, source, at_ms), self.policy.price_jump_percent
        if known is not None and jumps(self.scaled[asset], price, percent) and not confirms(waiting, told, price, percent):
            self.jumped[asset] = told
            return "waits"
        self._take_price(asset, told, price)
        return "taken"

    def confirm_price(self, asset: str) -> bool:
        """A person says that the price that jumped is right; False where none waits."""
        told = self.jumped.get(asset)
        price = None if told is None else money.parse_price(told.text)
        if told is None or not isinstance(price, money.Price):
            return False
        self._take_price(asset, told, price)
        return True

    def _take_price(self, asset: str, told: PriceState, price: money.Price) -> None:
        self.jumped.pop(asset, None)
        self.prices[asset] = told
        self.scaled[asset] = price

    def price_standing(self, asset: str, now_ms: int) -> PriceStanding:
        """How far the price of an asset can be relied on now."""
        known = self.prices.get(asset)
        if asset == self.policy.base_currency:
            return "fresh"
        if known is None:
            return "missing"
        if asset in self.jumped:
            return "jumped"
        return "stale" if now_ms - known.at_ms > self.policy.price_stale_after_ms else "fresh"

    def value(self, asset: str, amount_minor: int) -> int | None:
        """The value of an amount in minor units of the base currency, rounded up; None while no price is known."""
        if asset == self.policy.base_currency:
            return amount_minor
        price = self.scaled.get(asset)
        if price is None:
            return None
        return money.value_base_minor(amount_minor, self.decimals(asset), price, self.decimals(self.policy.base_currency))

    def hold(self, subject: Subject, cause: Cause, incident_id: str, now_ms: int) -> MarkState | None:
        """Mark a loss; None when at least as much of it is marked already. A larger loss replaces the mark and stays with its incident."""
        known = self.by_id.get(subject.mark_id)
        stands = known is not None and not known.released
        if known is not None and stands:
            if subject.amount_minor <= known.subject.amount_minor:
                return None
            self._give_back(known)
            incident_id = known.incident_id
        version = 1 if known is None else known.version + 1
        mark = self._held(subject, cause, incident_id, version, now_ms)
        grown = (mark.base_minor or 0) - ((known.base_minor or 0) if known is not None and stands else 0)
        if grown > 0:
            self.drain.add(grown, now_ms, self.policy.drain_half_life_ms)
        self.suspected += not stands
        self.released -= known is not None and not stands
        return mark

    def _held(self, subject: Subject, cause: Cause, incident_id: str, version: int, now_ms: int) -> MarkState:
        price = self.prices.get(subject.asset)
        if price is not None and self.price_standing(subject.asset, now_ms) != "fresh":
            price = None  # a loss isn't valued at a price of another day or at one that is doubted; the next price values it
        has_value = price is not None or subject.asset == self.policy.base_currency
        base = self.value(subject.asset, subject.amount_minor) if has_value else None
        parts, uncovered = self.reserve.hold(subject.asset, subject.amount_minor, base, cause, subject.owner)
        mark = MarkState(
            subject, cause, incident_id, version, released=False, base_minor=base, price=price, parts=parts, uncovered_base_minor=uncovered
        )
        self.by_id[subject.mark_id] = mark
        if base is None:
            self.unpriced[subject.mark_id] = None
        self._add(mark, 1)
        return mark

    def release(self, mark_id: str) -> MarkState | None:
        """The loss didn't happen: give back exactly what was held. None when nothing is marked."""
        mark = self.by_id.get(mark_id)
        if mark is None or mark.released:
            return None
        self._give_back(mark)
        released = msgspec.structs.replace(mark, version=mark.version + 1, released=True, parts=(), uncovered_base_minor=None)
        self.by_id[mark_id] = released
        self.suspected -= 1
        self.released += 1
        return released

    def _give_back(self, mark: MarkState) -> None:
        self.reserve.release(mark.parts)
        self.unpriced.pop(mark.subject.mark_id, None)
        self._add(mark, -1)

    def reprice(self, asset: str, now_ms: int) -> Iterator[tuple[MarkState, MarkState]]:
        """A price of an asset came: marks that had none are valued and held anew, one by one, as new versions; before and after."""
        for mark_id in [mark_id for mark_id in self.unpriced if self.by_id[mark_id].subject.asset == asset]:
            mark = self.by_id[mark_id]
            self._give_back(mark)
            after = self._held(mark.subject, mark.cause, mark.incident_id, mark.version + 1, now_ms)
            if after.base_minor is not None:
                self.drain.add(after.base_minor, now_ms, self.policy.drain_half_life_ms)
            yield mark, after

    def _add(self, mark: MarkState, sign: int) -> None:
        amount, base, uncovered = mark.subject.amount_minor, mark.base_minor, mark.uncovered_base_minor
        for sums in (self.sums.setdefault(mark.subject.asset, AssetSums()), self.total):
            sums.marked_minor += sign * amount
            sums.unpriced_minor += sign * amount if base is None else 0
            sums.marked_base_minor += sign * (base or 0)
            sums.uncovered_base_minor += sign * (uncovered or 0)

    def forget_released(self, limit: int) -> int:
        """Over the limit, released marks go, the oldest first; standing ones never do. Returns how many went."""
        over = len(self.by_id) - limit
        if over <= 0 or self.released == 0:
            return 0
        gone = [mark_id for mark_id, mark in self.by_id.items() if mark.released][: over + limit // EVICTED_SHARE]
        for mark_id in gone:
            del self.by_id[mark_id]
        self.released -= len(gone)
        return len(gone)
