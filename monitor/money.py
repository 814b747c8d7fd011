"""Money: the one gate between decimal strings on the wire and `int` minor units inside, and value in the base currency.

Never a float, never `Decimal` (at 28 digits it drops the last unit of large token amounts). Called by `monitor.decode` and the core.
"""

from functools import lru_cache
from math import gcd
from typing import NamedTuple

import msgspec

from monitor.reasons import Reason

AMOUNT_MINOR_MAX = 10**36
"""Largest amount that is taken: a thousand times the largest token supply in use (10^15 tokens of 18 decimals)."""

AMOUNT_CHARACTERS_MAX = 64
"""As in `contracts.base.Amount`; keeps int() far from its own limit on digits."""

PRICE_DECIMALS_MAX = 18


class Price(msgspec.Struct, frozen=True, gc=False):
    """Base currency per unit of an asset, exact: price_scaled / scale, where scale is a power of ten."""

    price_scaled: int
    scale: int


def parse_amount(text: str, decimals: int) -> int | Reason:
    """Minor units of a decimal string such as "0.25" for an asset of that many decimals; zero is an amount here.

    Digits, at most one point, digits on both sides of it. Refused by value: BAD_AMOUNT (anything else, floats and ints too),
    AMOUNT_TOO_PRECISE (more decimals than the asset has, zeros too), AMOUNT_TOO_LARGE (above AMOUNT_MINOR_MAX).
    """
    if type(text) is not str or len(text) > AMOUNT_CHARACTERS_MAX:
        return Reason.BAD_AMOUNT
    whole, point, fraction = text.partition(".")
    digits = whole + fraction
    if not (digits.isdigit() and digits.isascii()) or (point and not (whole and fraction)):
        return Reason.BAD_AMOUNT
    if len(fraction) > decimals:
        return Reason.AMOUNT_TOO_PRECISE
    minor = int(digits + "0" * (decimals - len(fraction)))
    return minor if minor <= AMOUNT_MINOR_MAX else Reason.AMOUNT_TOO_LARGE


def print_amount(minor: int, decimals: int) -> str:
    """The shortest decimal string of an amount: 25000000 with 8 decimals is "0.25". Raises ValueError below zero: the wire has no sign."""
    if minor < 0:
        raise ValueError(f"an amount can't be below zero: {minor}")
    if decimals == 0:
        return str(minor)
    digits = str(minor).rjust(decimals + 1, "0")
    fraction = digits[-decimals:].rstrip("0")
    return f"{digits[:-decimals]}.{fraction}" if fraction else digits[:-decimals]


def parse_price(text: str) -> Price | Reason:
    """Price of a decimal string with at most 18 decimals; reasons as for amounts, and AMOUNT_NOT_POSITIVE for zero."""
    scaled = parse_amount(text, PRICE_DECIMALS_MAX)
    if isinstance(scaled, Reason):
        return scaled
    if scaled == 0:
        return Reason.AMOUNT_NOT_POSITIVE
    return Price(price_scaled=scaled, scale=10**PRICE_DECIMALS_MAX)


class Rate(NamedTuple):
    """A price in minor units, exact and in lowest terms: so many of the base currency for so many of the asset."""

    base_minor: int
    asset_minor: int


@lru_cache(maxsize=4_096)
def rate(text: str, decimals: int, base_decimals: int) -> Rate | None:
    """The rate of a price as it came, for an asset and a base currency of so many decimals; None for what is no price."""
    price = parse_price(text)
    if isinstance(price, Reason):
        return None
    base, asset = price.price_scaled * 10**base_decimals, price.scale * 10**decimals
    divisor = gcd(base, asset)
    return Rate(base // divisor, asset // divisor)


def value_base_minor(amount_minor: int, at: Rate) -> int:
    """Value of an amount in minor units of the base currency, rounded up to the smallest unit."""
    return -(-amount_minor * at.base_minor // at.asset_minor)
