"""The rule of allocation as small tables, the parts in the last column; what may never happen to an account; layers that are refused."""

import msgspec
import pytest

from monitor.contracts.base import Cause, Owner
from monitor.layers import layer_faults, terms_of
from monitor.ledger import LayerState, Ledger, LedgerBrokenError, Part, apportioned, joined, less, shrunk
from monitor.policy import Layer
from tests.simulation.journals import ASSETS, policy

UNAUTHORIZED: Cause = "unauthorized_access"
CUSTOMER: Owner = "customer"


def ledger(*layers: Layer) -> Ledger:
    made = ledger_of(*layers)
    assert list(layer_faults(policy(layers=layers))) == []
    return made


def ledger_of(*layers: Layer) -> Ledger:
    made = Ledger()
    made.configure(terms_of(layers, policy().assets), "JPY")
    return made


def funded(*layers: tuple[Layer, int]) -> Ledger:
    """Layers with what is put in, in their units."""
    made = ledger(*(layer for layer, _ in layers))
    for layer, units in layers:
        if units:
            assert made.fund(layer.layer_id, layer.unit, units * 10 ** ASSETS[layer.unit]) is None
    return made


def story(parts: tuple[Part, ...]) -> str:
    """Layer, what it gives in its unit, and the units and the value that this stands for."""
    return "; ".join(f"{part.layer_id} {part.amount_minor} = {part.asset_minor} for {part.base_minor}" for part in parts)


KIND, MONEY = Layer("kind", "XEM", kind="guarantee"), Layer("money", "JPY")
INSURANCE = Layer("insurance", "JPY", kind="insurance", drawn="on_claim", limit_total="100", limit_per_event="60", deductible="10")


@pytest.mark.parametrize(
    ("layers", "units", "value", "parts"),
    [
        ([(MONEY, 100)], 7, 100, "money 100 = 7 for 100"),
        ([], 7, 100, "uncovered 100 = 7 for 100"),
        # 3 units for 10: two thirds are 6.67, one third is 3.33: the yen that is missing goes to what lost more
        ([(MONEY, 7)], 3, 10, "money 7 = 2 for 7; uncovered 3 = 1 for 3"),
        ([(MONEY, 3)], 3, 10, "money 3 = 1 for 3; uncovered 7 = 2 for 7"),
        # both lose half: ties by layer's name
        ([(MONEY, 1)], 1, 2, "money 1 = 1 for 1; uncovered 1 = 0 for 1"),
        ([(Layer("x", "JPY"), 1), (Layer("a", "JPY"), 1)], 1, 2, "x 1 = 0 for 1; a 1 = 1 for 1"),
        # nothing to carry: no part
        ([(MONEY, 100)], 0, 0, ""),
        # on claim: the first 10 pass by and stay uncovered, then it carries up to its limit for one event
        ([(INSURANCE, 0)], 50, 50, "insurance 40 = 40 for 40; uncovered 10 = 10 for 10"),
        ([(INSURANCE, 0)], 5, 5, "insurance 0 = 0 for 0; uncovered 5 = 5 for 5"),
        ([(INSURANCE, 0)], 90, 90, "insurance 60 = 60 for 60; uncovered 30 = 30 for 30"),
        # the deductible counts from what reaches the layer
        ([(MONEY, 20), (INSURANCE, 0)], 50, 50, "money 20 = 20 for 20; insurance 20 = 20 for 20; uncovered 10 = 10 for 10"),
    ],
)
def test_the_rule_of_allocation(layers: list[tuple[Layer, int]], units: int, value: int, parts: str) -> None:
    assert story(funded(*layers).plan("XRP", units, value, UNAUTHORIZED, CUSTOMER, "i")) == parts


def test_a_layer_in_kind_carries_units_of_its_asset_alone_with_or_without_a_price() -> None:
    made = funded((KIND, 1), (MONEY, 50))
    assert (
        story(made.plan("XEM", 3_000_000, 90, UNAUTHORIZED, CUSTOMER, "i"))
        == "kind 1000000 = 1000000 for 30; money 50 = 1666667 for 50; uncovered 10 = 333333 for 10"
    )
    assert story(made.plan("XEM", 3_000_000, None, UNAUTHORIZED, CUSTOMER, "i")) == "kind 1000000 = 1000000 for None"
    assert story(made.plan("XRP", 3_000_000, None, UNAUTHORIZED, CUSTOMER, "i")) == ""


def test_causes_and_owners_that_a_layer_does_not_cover_pass_it_by() -> None:
    made = funded((Layer("thefts", "JPY", causes=(UNAUTHORIZED,)), 100), (Layer("group", "JPY", customers_only=False), 100))
    assert story(made.plan("XRP", 1, 10, UNAUTHORIZED, CUSTOMER, "i")) == "thefts 10 = 1 for 10"
    assert story(made.plan("XRP", 1, 10, "system_failure", CUSTOMER, "i")) == "group 10 = 1 for 10"
    assert story(made.plan("XRP", 1, 10, UNAUTHORIZED, "exchange", "i")) == "group 10 = 1 for 10"


def test_a_deductible_and_a_limit_are_of_one_event_and_are_given_back_with_the_part() -> None:
    made = funded((INSURANCE, 0))
    first = made.plan("XRP", 50, 50, UNAUTHORIZED, CUSTOMER, "i")
    made.hold(first, "i")
    second = made.plan("XRP", 50, 50, UNAUTHORIZED, CUSTOMER, "i")
    assert story(second) == "insurance 20 = 20 for 20; uncovered 30 = 30 for 30"  # no deductible any more, 20 left of the event's 60
    assert story(made.plan("XRP", 50, 50, UNAUTHORIZED, CUSTOMER, "another")) == "insurance 40 = 40 for 40; uncovered 10 = 10 for 10"
    made.give_back(first, "i")
    assert made.uses == {}
    assert made.plan("XRP", 50, 50, UNAUTHORIZED, CUSTOMER, "i") == first


def test_what_is_held_paid_and_recovered_is_in_one_place_and_claims_are_given_back() -> None:
    made = funded((MONEY, 10), (INSURANCE, 0))
    parts = made.plan("XRP", 50, 50, UNAUTHORIZED, CUSTOMER, "i")
    made.hold(parts, "i")
    money, insurance, uncovered = (made.layers[name] for name in ("money", "insurance", "uncovered"))
    assert (money.available_minor, money.held_minor, insurance.funded_minor, insurance.held_minor, uncovered.held_minor) == (0, 10, 30, 30, 10)
    made.pay(parts)
    assert (money.paid_minor, insurance.paid_minor, uncovered.paid_minor, money.held_minor) == (10, 30, 10, 0)
    made.recover(parts, "i")
    assert (money.recovered_minor, money.available_minor, money.funded_minor) == (10, 10, 10)
    assert (insurance.recovered_minor, insurance.available_minor, insurance.funded_minor) == (30, 0, 0)  # it went back to the insurer
    assert made.uses == {}


def test_an_account_that_does_not_add_up_stops_everything() -> None:
    made = funded((MONEY, 10))
    parts = made.plan("XRP", 5, 5, UNAUTHORIZED, CUSTOMER, "i")
    with pytest.raises(LedgerBrokenError, match="money"):
        made.pay(parts)  # what was never held
    made = funded((MONEY, 10))
    made.layers["money"].funded_minor += 1
    with pytest.raises(LedgerBrokenError, match="money"):
        made.hold(parts, "i")


@pytest.mark.parametrize(
    ("layer_id", "unit", "amount", "fund", "draw"),
    [
        ("money", "JPY", 10, None, None),
        ("money", "JPY", 11, None, "layer money has less available than is drawn"),
        ("money", "XEM", 1, "no layer money in XEM in the policy", "no layer money in XEM in the policy"),
        ("nobody's", "JPY", 1, "no layer nobody's in JPY in the policy", "no layer nobody's in JPY in the policy"),
        (
            "insurance", "JPY", 1, "layer insurance is drawn on claim: it isn't funded beforehand",
            "layer insurance is drawn on claim: it isn't drawn down beforehand",
        ),
        (
            "uncovered", "JPY", 1, "layer uncovered is drawn on claim: it isn't funded beforehand",
            "layer uncovered is drawn on claim: it isn't drawn down beforehand",
        ),
    ],
)  # fmt: skip
def test_funding_and_draws(layer_id: str, unit: str, amount: int, fund: str | None, draw: str | None) -> None:
    made = funded((MONEY, 10), (INSURANCE, 0))
    assert made.draw(layer_id, unit, amount) == draw
    assert made.fund(layer_id, unit, amount) == fund


def test_a_layer_that_left_the_policy_keeps_its_accounts_and_can_only_be_drawn_down() -> None:
    made = funded((MONEY, 10))
    made.configure((), "JPY")
    assert story(made.plan("XRP", 1, 5, UNAUTHORIZED, CUSTOMER, "i")) == "uncovered 5 = 1 for 5"
    assert made.fund("money", "JPY", 1) == "layer money isn't in the policy any more: it can be drawn down, not funded"
    assert made.draw("money", "JPY", 10) is None
    assert not made.layers["money"].touched
    assert list(made.layers)[-1] == "uncovered"


def test_what_is_in_a_layer_stays_in_its_unit_and_under_its_way_of_being_drawn() -> None:
    made = funded((MONEY, 10), (KIND, 0))
    assets = policy().assets
    assert made.refuses(terms_of((Layer("money", "BTC"), Layer("kind", "BTC")), assets)) == ["layer money isn't empty: it stays in JPY and prefunded"]
    assert made.refuses(terms_of((Layer("money", "JPY", drawn="on_claim", limit_total="5"),), assets)) == [
        "layer money isn't empty: it stays in JPY and prefunded"
    ]


@pytest.mark.parametrize(
    ("shares", "size", "names", "whole"),
    [
        ([9], 3, "a", [3]),
        ([4, 4, 1], 3, "abc", [2, 1, 0]),  # 1.33 + 1.33 + 0.33: one is missing, all lost as much: by name
        ([1, 4, 4], 3, "cba", [0, 1, 2]),
        ([2, 2, 2], 3, "abc", [1, 1, 0]),
        ([5, 1], 3, "ab", [2, 0]),
        ([0, 3], 3, "ab", [0, 1]),
    ],
)
def test_shares_by_largest_remainder(shares: list[int], size: int, names: str, whole: list[int]) -> None:
    assert apportioned(shares, size, list(names)) == whole


HELD = (Part("kind", "XEM", 4, 4, 40), Part("insurance", "JPY", 30, 3, 30, 5), Part("uncovered", "JPY", 10, 1, 10))


@pytest.mark.parametrize(
    ("units", "value", "left", "taken"),
    [
        (0, 0, "kind 4 = 4 for 40; insurance 30 = 3 for 30; uncovered 10 = 1 for 10", ""),
        (1, 10, "kind 4 = 4 for 40; insurance 30 = 3 for 30", "uncovered 10 = 1 for 10"),
        (2, 19, "kind 4 = 4 for 40; insurance 21 = 2 for 21", "uncovered 10 = 1 for 10; insurance 9 = 1 for 9"),
        (1, 9, "kind 4 = 4 for 40; insurance 30 = 3 for 30; uncovered 1 = 0 for 1", "uncovered 9 = 1 for 9"),
        (6, 61, "kind 2 = 2 for 19", "uncovered 10 = 1 for 10; insurance 30 = 3 for 30; kind 2 = 2 for 21"),
        (8, 80, "", "uncovered 10 = 1 for 10; insurance 30 = 3 for 30; kind 4 = 4 for 40"),
    ],
)
def test_what_gets_smaller_gives_back_from_the_last_part_on(units: int, value: int, left: str, taken: str) -> None:
    found = shrunk(HELD, "XEM", units, value)
    assert tuple(map(story, found)) == (left, taken)
    assert sum(part.deductible_minor for part in (*found[0], *found[1])) == 5
    assert sum(part.amount_minor for part in (*found[0], *found[1])) == 44


def test_a_broken_policy_of_layers_says_what_is_wrong_with_it() -> None:
    broken = (Layer("uncovered", "JPY"), Layer("a", "nothing"), Layer("a", "JPY", drawn="on_claim"))
    assert [field for field, _ in layer_faults(policy(layers=broken))] == ["0.layer_id", "1.unit", "2.layer_id", "2.limit_total"]
    limits = [Layer("a", "JPY", limit_per_event=text, limit_total="100") for text in ("100", "101")]
    assert [[field for field, _ in layer_faults(policy(layers=(layer,)))] for layer in limits] == [[], ["0.limit_per_event"]]


@pytest.mark.parametrize(
    ("funded_minor", "recovered", "available", "held", "paid"),
    [(-1, 0, -1, 0, 0), (-1, 1, 0, 0, 0), (-1, 1, -1, 0, 1), (1, 0, -1, 1, 1), (1, 0, 2, -1, 0), (1, 0, 2, 0, -1), (0, 2, 1, 0, 1), (2, -1, 0, 0, 1), (1, 0, 1, 1, 0)],
)  # fmt: skip
def test_accounts_that_cannot_be(funded_minor: int, recovered: int, available: int, held: int, paid: int) -> None:
    with pytest.raises(LedgerBrokenError, match="layer money"):
        LayerState("JPY", False, funded_minor, recovered, available, held, paid).check("money")
    LayerState("JPY", False, 3, 1, 1, 1, 2).check("money")


def test_a_layer_is_touched_while_anything_is_in_any_of_its_accounts() -> None:
    assert not LayerState("JPY").touched and not LayerState("JPY").on_claim
    for name in ("funded_minor", "recovered_minor", "held_minor", "paid_minor"):
        assert msgspec.structs.replace(LayerState("JPY"), **{name: 1}).touched


def test_a_layer_that_is_not_empty_stays_what_it_is() -> None:
    made = funded((MONEY, 10))
    on_claim = Layer("money", "JPY", drawn="on_claim", limit_total="5")
    assert made.refuses(terms_of((on_claim,), policy().assets)) == ["layer money isn't empty: it stays in JPY and prefunded"]
    other = ledger(INSURANCE)
    other.hold(other.plan("XRP", 50, 50, UNAUTHORIZED, CUSTOMER, "i"), "i")
    assert other.refuses(terms_of((Layer("insurance", "JPY"),), policy().assets)) == ["layer insurance isn't empty: it stays in JPY and on claim"]


def test_an_event_gives_back_no_more_than_it_had_and_uncovered_has_no_limits() -> None:
    made = funded((MONEY, 5))
    parts = made.plan("XRP", 9, 9, UNAUTHORIZED, CUSTOMER, "i")
    made.hold(parts, "i")
    assert [layer_id for layer_id, _ in made.uses] == ["money"]
    with pytest.raises(LedgerBrokenError, match="event j gave back more than it had"):
        made.give_back(parts, "j")
    with pytest.raises(LedgerBrokenError, match="gave back more"):
        made.count((Part("money", "JPY", 0, 0, 0, 1),), "i", -1)


def test_what_counts_for_another_event_frees_its_layer() -> None:
    made = funded((MONEY, 5))
    parts = made.plan("XRP", 5, 5, UNAUTHORIZED, CUSTOMER, "i")
    made.hold(parts, "i")
    made.freed.clear()
    made.note_freed(parts, parts, "i")
    assert made.freed == {}
    made.count(parts, "i", -1)
    assert list(made.freed) == [("money", None)]
    made.configure((), "JPY")
    made.freed.clear()
    made.configure(terms_of((MONEY,), policy().assets), "JPY")
    assert list(made.freed) == [("money", None)]


@pytest.mark.parametrize(
    ("before", "after", "freed"),
    [
        (((1, 0),), (), [("money", None)]),  # to the last unit
        (((2, 0),), ((1, 0),), [("money", None)]),
        (((1, 0),), ((1, 0),), []),
        (((1, 0),), ((2, 0),), []),
        ((), ((0, 1),), [("money", "i")]),  # who bears an event's deductible spares the others of the event it
        (((0, 1),), ((0, 2),), [("money", "i")]),
        (((0, 1),), ((0, 1),), []),
        (((0, 2),), ((0, 1),), []),
    ],
)
def test_a_layer_is_free_for_others_when_a_mark_has_less_of_it_or_bears_more_of_its_deductible(
    before: tuple[tuple[int, int], ...], after: tuple[tuple[int, int], ...], freed: list[tuple[str, str | None]]
) -> None:
    made = funded((MONEY, 5))
    made.freed.clear()
    less, more = (tuple(Part("money", "JPY", amount, 1, 1, deductible) for amount, deductible in parts) for parts in (before, after))
    made.note_freed(less, more, "i")
    assert list(made.freed) == freed


def test_parts_are_added_up_and_taken_apart_with_their_deductibles() -> None:
    first, second = Part("insurance", "JPY", 30, 3, 30, 10), Part("insurance", "JPY", 5, 1, 5, 4)
    assert joined((first,), (second,)) == (Part("insurance", "JPY", 35, 4, 35, 14),)
    assert less((Part("insurance", "JPY", 35, 4, 35, 14),), (second,)) == (first,)
    unpriced, half = Part("kind", "XEM", 6, 6, None), Part("kind", "XEM", 2, 2, None)
    assert joined((unpriced,), (half,)) == (Part("kind", "XEM", 8, 8, None),)
    assert less((unpriced,), (half,)) == (Part("kind", "XEM", 4, 4, None),)
    assert shrunk((unpriced,), "XEM", 2, None) == ((Part("kind", "XEM", 4, 4, None),), (half,))
