"""Money: exact at every size, one form on the wire, nothing but strings taken."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.money import AMOUNT_MINOR_MAX, PRICE_DECIMALS_MAX, Price, parse_amount, parse_price, print_amount, rate, value_base_minor
from monitor.reasons import Reason

decimals_of_assets = st.integers(0, 24)
minors = st.integers(0, AMOUNT_MINOR_MAX)
decimal_strings = st.from_regex(r"[0-9]{1,30}(\.[0-9]{1,24})?", fullmatch=True)


@given(minors, decimals_of_assets)
def test_what_is_printed_parses_to_the_same_amount(minor: int, decimals: int) -> None:
    assert parse_amount(print_amount(minor, decimals), decimals) == minor


@given(minors, decimals_of_assets)
def test_a_print_is_the_shortest_exact_form(minor: int, decimals: int) -> None:
    text = print_amount(minor, decimals)
    assert Fraction(text) == Fraction(minor, 10**decimals)
    assert "." not in text or not text.endswith(("0", "."))
    assert text == "0" or not text.startswith("00")


@given(decimal_strings, decimals_of_assets)
def test_amounts_are_exact(text: str, decimals: int) -> None:
    minor = parse_amount(text, decimals)
    if len(text.partition(".")[2]) > decimals:
        assert minor is Reason.AMOUNT_TOO_PRECISE
    elif Fraction(text) * 10**decimals > AMOUNT_MINOR_MAX:
        assert minor is Reason.AMOUNT_TOO_LARGE
    else:
        assert minor == Fraction(text) * 10**decimals


@pytest.mark.parametrize(
    ("text", "decimals", "expected"),
    [
        ("0", 8, 0),
        ("0.25", 8, 25_000_000),
        ("1.00", 2, 100),
        ("007", 0, 7),
        ("0.000000000000000001", 18, 1),
        (str(AMOUNT_MINOR_MAX), 0, AMOUNT_MINOR_MAX),
        (str(AMOUNT_MINOR_MAX + 1), 0, Reason.AMOUNT_TOO_LARGE),
        ("9" * 64, 0, Reason.AMOUNT_TOO_LARGE),
        ("9" * 65, 0, Reason.BAD_AMOUNT),
        ("1.000", 2, Reason.AMOUNT_TOO_PRECISE),
        ("0.5", 0, Reason.AMOUNT_TOO_PRECISE),
    ],
)
def test_limits(text: str, decimals: int, expected: int | Reason) -> None:
    assert parse_amount(text, decimals) == expected


@pytest.mark.parametrize(
    "text",
    ["", ".", "1.", ".5", "1.2.3", "+1", "-1", "-0", "1e3", "1E3", "0x10", "1_000", "1,5", " 1", "1 ", "1\n", "\n1", "1.5\n", "NaN", "inf", "١٢", "\uff11", "1²", "1\x00"],
)  # fmt: skip
def test_other_forms_are_refused(text: str) -> None:
    assert parse_amount(text, 8) is Reason.BAD_AMOUNT
    assert parse_price(text) is Reason.BAD_AMOUNT


@pytest.mark.parametrize("number", [0.25, 1, 0, None, True, b"1", Fraction(1)])
def test_other_types_are_refused(number: object) -> None:
    assert parse_amount(number, 8) is Reason.BAD_AMOUNT  # type: ignore[arg-type]  # that is the test


def test_below_zero_is_never_printed() -> None:
    with pytest.raises(ValueError, match="below zero"):
        print_amount(-1, 8)


@given(st.integers(1, AMOUNT_MINOR_MAX))
def test_prices_are_exact(scaled: int) -> None:
    price = parse_price(print_amount(scaled, PRICE_DECIMALS_MAX))
    assert isinstance(price, Price)
    assert Fraction(price.price_scaled, price.scale) == Fraction(scaled, 10**PRICE_DECIMALS_MAX)


def test_a_price_is_above_zero_and_has_at_most_18_decimals() -> None:
    assert parse_price("0.000") is Reason.AMOUNT_NOT_POSITIVE
    assert parse_price("0." + "0" * 18 + "1") is Reason.AMOUNT_TOO_PRECISE


@given(minors, decimals_of_assets, st.integers(1, 10**30), decimals_of_assets)
def test_a_value_is_rounded_up_to_the_smallest_unit(minor: int, decimals: int, scaled: int, base_decimals: int) -> None:
    at = rate(print_amount(scaled, PRICE_DECIMALS_MAX), decimals, base_decimals)
    assert at is not None
    exact = Fraction(minor, 10**decimals) * Fraction(scaled, 10**PRICE_DECIMALS_MAX) * 10**base_decimals
    value = value_base_minor(minor, at)
    assert 0 <= value - exact < 1


def test_the_value_of_a_satoshi_is_at_least_one_yen() -> None:
    at = rate("17250000", 8, 0)
    assert at is not None
    assert value_base_minor(1, at) == 1
    assert value_base_minor(100_000_000, at) == 17_250_000


def test_what_is_no_price_has_no_rate() -> None:
    assert rate("0", 8, 0) is rate("1e3", 8, 0) is None
