"""How amounts, times and spans are written for people, and read from them. Amounts stay decimal strings or `Decimal`: not a unit is rounded away.

Knows no record and needs no library. Called by everything that writes for people: commands, summaries, reports.
"""

import datetime as dt
import decimal
from collections.abc import Iterable

from streams.refusals import RefusedError

EXACT = decimal.Context(prec=200)
"""Far more digits than an amount can have (64): sums are exact."""
JAPAN = dt.timezone(dt.timedelta(hours=9))
MINUTE_S, HOUR_S, DAY_S = 60, 3_600, 86_400
SEVERITY_STYLES = {"critical": "bold red", "warning": "yellow", "notice": ""}


def total(amounts: Iterable[str | None]) -> str:
    """The exact sum of decimal strings."""
    found = decimal.Decimal(0)
    for amount in amounts:
        found = EXACT.add(found, number(amount))
    return format(found, "f")


def number(amount: str | None) -> decimal.Decimal:
    """What a decimal string stands for, to sort by; zero where none is known."""
    return decimal.Decimal(amount or "0")


def is_zero(amount: str | None) -> bool:
    """Whether nothing is told, or nothing is there."""
    return not (amount or "").strip("0.")


def grouped(amount: str | None) -> str:
    """A decimal string with its thousands set apart: "48200000000" is "48,200,000,000"; "?" where none is known."""
    if amount is None:
        return "?"
    whole, point, fraction = amount.partition(".")
    return f"{int(whole):,}{point}{fraction}"


def spaced(text: str) -> str:
    """A name of the contracts as words."""
    return text.replace("_", " ")


def moment(at_ms: int | None, unknown: str = "") -> str:
    """A time in UTC, to the second."""
    return unknown if at_ms is None else _written(at_ms, dt.UTC, "%Y-%m-%d %H:%M:%S")


def moment_in_japan(at_ms: int) -> str:
    """A time where the exchange's supervisor is, to the minute."""
    return _written(at_ms, JAPAN, "%Y-%m-%d %H:%M")


def _written(at_ms: int, zone: dt.tzinfo, form: str) -> str:
    try:
        return dt.datetime.fromtimestamp(at_ms // 1_000, tz=zone).strftime(form)
    except (ValueError, OverflowError, OSError):
        return f"{at_ms} ms"


def exact_moment(at_ms: int) -> str:
    """A time as `read_moment` reads it, to the millisecond."""
    return dt.datetime.fromtimestamp(at_ms / 1_000, tz=dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_moment(text: str, now_ms: int) -> int:
    """Milliseconds of a time with its zone, as 2026-05-04T10:00Z, or of "now". Raises RefusedError."""
    if text == "now":
        return now_ms
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        raise RefusedError(f'A time is written as 2026-05-04T10:00:00Z, or now; not "{text}".') from None
    if found.tzinfo is None:
        raise RefusedError(f'The time "{text}" says no zone: write {text}Z for UTC, {text}+09:00 for Japan.')
    return (found - dt.datetime.fromtimestamp(0, tz=dt.UTC)) // dt.timedelta(milliseconds=1)


def span(milliseconds: int) -> str:
    """How long, in the two largest units."""
    seconds = max(0, milliseconds) // 1_000
    if seconds < MINUTE_S:
        return f"{seconds} s"
    if seconds < HOUR_S:
        return f"{seconds // MINUTE_S} min"
    if seconds < DAY_S:
        return f"{seconds // HOUR_S} h {seconds % HOUR_S // MINUTE_S} min"
    return f"{seconds // DAY_S} d {seconds % DAY_S // HOUR_S} h"
