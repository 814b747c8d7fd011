"""Prices that can be relied on, and those that can't: one that jumps is doubted until a later one is near it.

Pure comparisons of exact numbers; the prices themselves are kept by `monitor.marks`, which calls this.
"""

from typing import Literal

import msgspec

from monitor.money import Price, parse_price

PriceStanding = Literal["fresh", "stale", "missing", "jumped"]
"""How far a price can be relied on. What is marked while it isn't fresh is marked in units, and valued by the next price that can be."""
PriceTaken = Literal["taken", "waits", "left_out"]
"""What becomes of a price that is told: it counts, it waits to be confirmed, or it is older than the known one."""


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
