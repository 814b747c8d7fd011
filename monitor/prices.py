"""Prices that can be relied on, and those that can't: one that jumps is doubted until a later one is near it.

Exact numbers; bounded by the policy's assets. Kept by `monitor.marks`.
"""

from typing import Literal

import msgspec

from monitor.money import Price, parse_price

PriceStanding = Literal["fresh", "stale", "missing", "jumped"]
"""How far a price can be relied on. What is marked while it isn't fresh is marked in units, and valued by the next price that can be."""
PriceTaken = Literal["taken", "waits", "left_out"]
"""What becomes of a price that is told: it counts, it waits to be confirmed, or it is older than the known one, or than one that waits and as far off."""


class PriceState(msgspec.Struct, frozen=True):
    """A price of an asset as it came: base currency per unit."""

    text: str
    source: str
    at_ms: int


def jumps(before: Price, after: Price, percent: int) -> bool:
    """Whether a price moves by more than so many percent of the one before."""
    return abs(after.price_scaled - before.price_scaled) * 100 > before.price_scaled * percent


def confirms(waiting: PriceState | None, told: PriceState, price: Price, percent: int) -> bool:
    """Whether a later price is near one that waits. The same moment told again confirms nothing: it may be the same mistake."""
    doubted = None if waiting is None else parse_price(waiting.text)
    return waiting is not None and isinstance(doubted, Price) and told.at_ms > waiting.at_ms and not jumps(doubted, price, percent)


class Prices:
    """By asset: the newest price that counts, the same as an exact number, and one that jumped and waits for the next."""

    def __init__(self) -> None:
        self.newest: dict[str, PriceState] = {}
        self.scaled: dict[str, Price] = {}
        self.jumped: dict[str, PriceState] = {}

    def tell(self, asset: str, told: PriceState, percent: int) -> PriceTaken:
        """A price comes; one older than the known is left out.

        One that moves by more than so many percent waits for the next: the price before it stands until another one is near it, or a later one near
        the one that waits. What waits is only doubted, so its time keeps nothing out but what is doubted too.
        """
        known, waiting = self.newest.get(asset), self.jumped.get(asset)
        price = parse_price(told.text)
        if not isinstance(price, Price) or (known is not None and told.at_ms < known.at_ms):
            return "left_out"
        if known is not None and jumps(self.scaled[asset], price, percent) and not confirms(waiting, told, price, percent):
            if waiting is not None and told.at_ms < waiting.at_ms:
                return "left_out"
            self.jumped[asset] = told
            return "waits"
        self.jumped.pop(asset, None)
        self.newest[asset], self.scaled[asset] = told, price
        return "taken"

    def standing(self, asset: str, now_ms: int, stale_after_ms: int) -> PriceStanding:
        """How far the price of an asset can be relied on now."""
        known = self.newest.get(asset)
        if known is None:
            return "missing"
        if asset in self.jumped:
            return "jumped"
        return "stale" if now_ms - known.at_ms > stale_after_ms else "fresh"
