"""Price rules: what each text means, exactly; what is refused, with a word on why; what a mean is."""

import pytest

from monitor.price_rules import Fraction, PriceRule, mean, parse_rule, prices_by


def rule(text: str) -> PriceRule:
    parsed = parse_rule(text)
    assert isinstance(parsed, PriceRule), parsed
    return parsed


@pytest.mark.parametrize(
    ("text", "asset", "price"),
    [
        ("fixed:88.549", "XEM", "88.549"),
        ("fixed:XEM=88.549", "XEM", "88.549"),
        ("fixed:BTC=712000,XEM=0.000000000000000001", "XEM", "0.000000000000000001"),
    ],
)
def test_a_fixed_price(text: str, asset: str, price: str) -> None:
    found = prices_by(rule(text), ["BTC", "XEM"] if "BTC" in text else [asset], {})
    assert not isinstance(found, str)
    assert found[asset].printed() == price
    assert found[asset].prices == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no price rule"),
        ("lowest", "is no price rule"),
        ("fixed:", "is no price above zero"),
        ("fixed:0", "is no price above zero"),
        ("fixed:-1", "is no price above zero"),
        ("fixed:1e3", "is no price above zero"),
        ("fixed:=5", "is no price above zero"),
        ("fixed:XEM=1,XEM=2", "has two prices of XEM"),
        ("fixed:1,2", "has two prices"),
        ("fixed:1,XEM=2", "must name the asset"),
        ("average:1..", "isn't average:FROM..TO"),
        ("average:1", "isn't average:FROM..TO"),
        ("average:2018-01-26T00:00..2018-01-27T00:00", "isn't average:FROM..TO"),
        ("average:5..4", "ends before it begins"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    found = parse_rule(text)
    assert isinstance(found, str)
    assert words in found


def test_an_average_takes_times_with_their_zone_and_both_ends() -> None:
    found = rule("average:2018-01-26T00:00+09:00..2018-01-26T01:00+09:00")
    assert (found.from_ms, found.until_ms) == (1_516_892_400_000, 1_516_896_000_000)
    assert [found.wants(at_ms) for at_ms in (1_516_892_399_999, 1_516_892_400_000, 1_516_896_000_000, 1_516_896_000_001)] == [
        False,
        True,
        True,
        False,
    ]
    assert not rule("loss-time").wants(0)


def test_a_mean_is_exact_and_its_value_is_rounded_up_once() -> None:
    third = mean([(1, 1), (1, 1), (2, 1)])
    assert third is not None
    assert third.numerator * 3 == third.denominator * 4
    assert (third.printed(), third.prices) == ("1.333333333333333333", 3)
    assert third.value(3, 0, 0) == 4  # not 3.999…, rounded up to 4, nor 5
    assert third.value(1, 0, 0) == 2
    assert mean([]) is None


def test_prices_that_are_missing_are_said() -> None:
    assert prices_by(rule("loss-time"), ["BTC"], {}) == {}
    assert "gives no price of ETH" in str(prices_by(rule("fixed:BTC=1"), ["BTC", "ETH"], {}))
    assert "must name the asset of each price: BTC, ETH were lost" in str(prices_by(rule("fixed:1"), ["ETH", "BTC"], {}))
    assert "none is recorded in that time" in str(prices_by(rule("average:1..2"), ["BTC"], {"ETH": [(1, 1)]}))
    assert prices_by(rule("average:1..2"), ["BTC"], {"BTC": [(10, 1), (11, 1)]}) == {"BTC": Fraction(21, 2, 2)}


def test_a_price_of_what_was_not_lost_is_a_mistake() -> None:
    told = str(prices_by(rule("fixed:BTC=1,FOO=2,BAR=3"), ["BTC"], {}))
    assert "names BAR, FOO, of which this incident has nothing to pay back" in told
    assert "names btc" in str(prices_by(rule("fixed:btc=1"), ["BTC"], {}))
    assert prices_by(rule("fixed:BTC=1"), [], {}) == {}, "where nothing is to be paid back, that is said instead"
