"""At which price a loss is paid back: the price of the loss itself, one that was decided, or the mean of recorded ones. Exact fractions.

Pure; the rule is text, so that it can be recorded as it was chosen. Called by `monitor.compensation` and the command line.
"""

import datetime as dt
import math
from collections.abc import Iterable, Mapping

import msgspec

from monitor.money import PRICE_DECIMALS_MAX, parse_price, print_amount
from monitor.reasons import Reason

LOSS_TIME = "loss-time"
FIXED, AVERAGE = "fixed:", "average:"
FORMS = "loss-time, fixed:88.549, fixed:BTC=712000,XEM=88.549, or average:2018-01-26T00:00Z..2018-01-27T00:00Z"


class Fraction(msgspec.Struct, frozen=True):
    """A price in the base currency per unit, exactly; `prices` says of how many recorded prices it is the mean, 0 if it was decided."""

    numerator: int
    denominator: int
    prices: int = 0

    def value(self, amount_minor: int, decimals: int, base_decimals: int) -> int:
        """Value of an amount in minor units of the base currency, rounded up, as in the ledger."""
        numerator: int = amount_minor * self.numerator * 10**base_decimals
        denominator: int = self.denominator * 10**decimals
        return -(-numerator // denominator)

    def printed(self) -> str:
        """The price to 18 decimals, rounded down."""
        return print_amount(self.numerator * 10**PRICE_DECIMALS_MAX // self.denominator, PRICE_DECIMALS_MAX)


class PriceRule(msgspec.Struct, frozen=True):
    """One rule: `fixed` by asset ("" stands for the only asset that there is), or the range of an average; neither: the price of the loss."""

    text: str
    fixed: dict[str, Fraction] = {}
    from_ms: int | None = None
    until_ms: int | None = None

    def wants(self, at_ms: int) -> bool:
        """Whether a price of that time counts for its average."""
        return self.from_ms is not None and self.until_ms is not None and self.from_ms <= at_ms <= self.until_ms


def parse_rule(text: str) -> PriceRule | str:
    """The rule that a text tells, or what is wrong with it."""
    if text == LOSS_TIME:
        return PriceRule(text)
    if text.startswith(FIXED):
        return _fixed(text)
    if text.startswith(AVERAGE):
        return _average(text)
    return f"'{text}' is no price rule: it is one of {FORMS}"


def _fixed(text: str) -> PriceRule | str:
    fixed: dict[str, Fraction] = {}
    for part in text.removeprefix(FIXED).split(","):
        asset, equals, amount = part.rpartition("=")
        price = parse_price(amount)
        if isinstance(price, Reason) or (equals and not asset):
            return f"'{part}' is no price above zero with at most {PRICE_DECIMALS_MAX} decimals: write fixed:88.549 or fixed:XEM=88.549"
        if asset in fixed:
            return f"'{text}' has two prices of {asset or 'the same'}"
        fixed[asset] = Fraction(price.price_scaled, price.scale)
    if "" in fixed and len(fixed) > 1:
        return f"'{text}' must name the asset of each price"
    return PriceRule(text, fixed)


def _average(text: str) -> PriceRule | str:
    first, dots, last = text.removeprefix(AVERAGE).partition("..")
    times = [_time(word) for word in (first, last)]
    if not dots or times[0] is None or times[1] is None:
        return f"'{text}' isn't average:FROM..TO with times in milliseconds or as 2018-01-26T00:00Z"
    if times[1] < times[0]:
        return f"'{text}' ends before it begins"
    return PriceRule(text, {}, times[0], times[1])


def _time(word: str) -> int | None:
    """Milliseconds of a number, or of an ISO time with its zone; None if it is neither."""
    if word.isdigit() and word.isascii():
        return int(word)
    try:
        moment = dt.datetime.fromisoformat(word)
    except ValueError:
        return None
    if moment.tzinfo is None:
        return None
    return (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)


def mean(prices: Iterable[tuple[int, int]]) -> Fraction | None:
    """The mean of prices, each a numerator over a denominator; None of none."""
    numerator, denominator, count = 0, 1, 0
    for above, below in prices:
        common = math.lcm(denominator, below)
        numerator = numerator * (common // denominator) + above * (common // below)
        denominator, count = common, count + 1
    return Fraction(numerator, denominator * count, count) if count else None


def prices_by(rule: PriceRule, assets: Iterable[str], recorded: Mapping[str, Iterable[tuple[int, int]]]) -> dict[str, Fraction] | str:
    """The price of each asset by a rule that gives one; of the loss's own price none. Why it can't be said, else."""
    names = sorted(assets)
    if rule.text == LOSS_TIME or not names:
        return {}
    if "" in rule.fixed:
        if len(names) > 1:
            return f"{rule.text} must name the asset of each price: {', '.join(names)} were lost"
        return dict.fromkeys(names, rule.fixed[""])
    astray = sorted(set(rule.fixed) - set(names))
    if astray:
        return f"{rule.text} names {', '.join(astray)}, of which this incident has nothing to pay back: it lost {', '.join(names)}"
    found: dict[str, Fraction] = {}
    for asset in names:
        price = rule.fixed.get(asset) if rule.fixed else mean(recorded.get(asset, ()))
        if price is None:
            return f"{rule.text} gives no price of {asset}" + ("" if rule.fixed else ": none is recorded in that time")
        found[asset] = price
    return found
