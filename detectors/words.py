"""Numbers as people read them in an explanation. No state; called by the detectors' `explain`."""

from detectors.elementary import exp

LN10 = 2.302585092994046
MINUTE_MS = 60_000
DECADES_SPELT = 9.0
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def one_in(decades: float) -> str:
    """A rarity in decades as "1 in 93,000", two digits kept; beyond a billion its power of ten."""
    if decades >= DECADES_SPELT:
        return f"1 in 10^{int(decades)}"
    return f"1 in {two_digits(exp(decades * LN10)):,}"


def two_digits(number: float) -> int:
    """A number >= 1 to two leading digits."""
    whole = round(number)
    unit = int("1" + "0" * (len(str(whole)) - 2))
    return (whole + unit // 2) // unit * unit


def duration(duration_ms: float) -> str:
    """A time span in its largest whole unit, as "2 h"."""
    for unit_ms, unit in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if duration_ms >= unit_ms:
            return f"{int(duration_ms // unit_ms)} {unit}"
    return f"{int(duration_ms // 1000)} s"


def times_usual(ratio: float) -> str:
    """A ratio to two digits, without an exponent."""
    return f"{two_digits(ratio):,}" if ratio >= 10.0 else f"{ratio:.2g}"
