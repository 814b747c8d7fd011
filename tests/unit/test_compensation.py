"""Whom to pay what: each way of dividing a loss, to the last unit; the public splits by hand; nothing is dropped, whatever is missing."""

import random
from typing import Any

import pytest

from monitor.compensation import statement
from monitor.contracts.compensation import Evidence, Line, NotAttributed, Statement
from monitor.contracts.outputs import Allocation, Mark
from monitor.ledger import apportioned
from monitor.losses import Basis, Loss, OtherIncident, pooled_since
from monitor.money import parse_amount
from monitor.policy import Asset
from monitor.pools import Held
from monitor.price_rules import Fraction, PriceRule, parse_rule, prices_by

ASSETS = {"JPY": Asset(0), "BTC": Asset(8), "MONA": Asset(8), "BCH": Asset(8), "XEM": Asset(6), "ONE": Asset(0)}
SHA = "0" * 64


def loss(name: str, amount: str, asset: str = "ONE", base: str | None = "0", **changes: Any) -> Loss:
    """One confirmed mark, all of it uncovered; `back` came back before. `held`: it never left."""
    back, at_ms = str(changes.pop("back", "0")), int(changes.pop("at_ms", 1_000))
    asked_at_ms, left = int(changes.pop("asked_at_ms", at_ms)), not changes.pop("held", False)
    open_amount = str(changes.pop("open", amount))
    layers = changes.pop("allocations", () if base is None else (Allocation("uncovered", "held", "JPY", base, open_amount, base, "0"),))
    facts: dict[str, Any] = {
        "decided_at_ms": 5_000, "mark_id": name, "version": 2, "state": "confirmed", "withdrawal_id": None, "account_id": None, "owner": "customer",
        "asset": asset, "amount": amount, "open_amount": open_amount, "recovered_amount": back, "compensated_amount": "0", "base_amount": base,
        "price": None if base is None else "1", "price_source": "test", "price_at_ms": 900, "cause": "unauthorized_access", "provider_id": None,
        "incident_id": "i", "allocations": layers, "uncovered_base_amount": base, "policy_version": 1,
    }  # fmt: skip
    return Loss(Mark(**(facts | changes)), asked_at_ms, at_ms, left, (Evidence(7, SHA, "version 1"), Evidence(9, SHA, "version 2")))


def holdings(asset: str = "ONE", at_ms: int = 500, **held: int) -> dict[str, dict[str, Held]]:
    return {asset: {account: Held(quantity, at_ms, Evidence(3, SHA, "holding")) for account, quantity in held.items()}}


def basis(rule: str = "loss-time", losses: list[Loss] | None = None, **changes: Any) -> Basis:
    parsed = parse_rule(rule)
    assert isinstance(parsed, PriceRule)
    prices = prices_by(parsed, {each.mark.asset for each in losses or () if each.left}, {})
    assert not isinstance(prices, str), prices
    facts: dict[str, Any] = {
        "incident_id": "i", "journal_id": SHA, "engine_version": "3", "base_currency": "JPY", "assets": ASSETS, "rule": parsed, "prices": prices,
    }  # fmt: skip
    return Basis(**(facts | changes))


def stated(losses: list[Loss], rule: str = "loss-time", **changes: Any) -> Statement:
    made = statement(basis(rule, losses, **changes), losses)
    assert isinstance(made, Statement), made
    assert_adds_up(made)
    return made


def minor(amount: str, asset: str) -> int:
    parsed = parse_amount(amount, ASSETS[asset].decimals)
    assert isinstance(parsed, int)
    return parsed


def assert_adds_up(made: Statement) -> None:
    """A second adding machine: lines and rests against groups, groups against assets, assets against the total."""
    for group in made.groups:
        every: list[Line | NotAttributed] = [*made.lines, *made.not_attributed]
        parts = [part for part in every if part.group_id == group.group_id]
        if group.way == "never_left":
            assert (parts, group.base_amount) == ([], "0")
            continue
        assert sum(minor(part.quantity, group.asset) for part in parts) == minor(group.quantity, group.asset)
        assert sum(minor(mark.quantity, group.asset) for mark in group.marks) == minor(group.quantity, group.asset)
        assert sum(int(part.base_amount) for part in parts) == int(group.base_amount)
    for total in made.assets:
        its = [group for group in made.groups if group.asset == total.asset]
        assert sum(minor(group.quantity, total.asset) for group in its) == minor(total.quantity, total.asset) + minor(total.never_left, total.asset)
        assert sum(int(group.base_amount) for group in its) == int(total.base_amount)
    assert sum(int(total.base_amount) for total in made.assets) == int(made.totals.base_amount)
    whole = made.totals
    assert int(whole.customers_base_amount) + int(whole.own_base_amount) + int(whole.not_attributed_base_amount) == int(whole.base_amount)


def rows(made: Statement) -> list[tuple[str | None, str, str]]:
    return [(line.account_id, line.quantity, line.base_amount) for line in made.lines]


def test_a_pool_is_divided_by_holdings_and_the_last_unit_goes_by_remainder_then_by_name() -> None:
    # 10 of 30 held: 3⅓ each; the one unit that is left goes to the first name. 100 yen by units 4, 3, 3.
    made = stated([loss("m", "10", base="100")], holdings=holdings(c=10, b=10, a=10))
    assert rows(made) == [("a", "4", "40"), ("b", "3", "30"), ("c", "3", "30")]
    # 7 of 5, 3 and 2 held: 3.5, 2.1, 1.4: the largest remainder first.
    assert rows(stated([loss("m", "7", base="7")], holdings=holdings(a=5, b=3, c=2))) == [("a", "4", "4"), ("b", "2", "2"), ("c", "1", "1")]


def test_a_known_account_bears_its_own_loss_and_so_does_the_exchange() -> None:
    losses = [
        loss("a1", "2", base="20", account_id="ann", asked_at_ms=400),
        loss("a2", "3", base="31", account_id="ann", asked_at_ms=499),
        loss("o", "5", base="50", owner="exchange"),
        loss("p", "4", base="40"),
    ]
    made = stated(losses, holdings=holdings(ann=1, bob=3))
    assert rows(made) == [("ann", "5", "51"), ("ann", "1", "10"), ("bob", "3", "30"), (None, "5", "50")]
    assert [line.owner for line in made.lines] == ["customer", "customer", "customer", "exchange"]
    assert (made.totals.customers, made.totals.own_base_amount) == (2, "50")


def test_the_desks_account_is_no_customer_its_loss_is_everybodys() -> None:
    made = stated([loss("d", "4", base="4", account_id="desk")], holdings=holdings(ann=6, desk=90, bob=2), pooled_accounts=("desk",))
    assert rows(made) == [("ann", "3", "3"), ("bob", "1", "1")]


def test_what_cannot_be_attributed_is_listed_with_its_reason() -> None:
    made = stated([loss("m", "10", base="100")])
    assert rows(made) == []
    [rest] = made.not_attributed
    assert (rest.quantity, rest.base_amount) == ("10", "100")
    assert "no holding of ONE at or before the loss" in rest.reason
    assert [(group.holders, group.held) for group in made.groups] == [(0, "0")]
    # Nobody gets more than was held: 7 of the 10 are known, the other 3 aren't dropped.
    made = stated([loss("m", "10", base="100")], holdings=holdings(a=5, b=2, nothing=0))
    assert rows(made) == [("a", "5", "50"), ("b", "2", "20")]
    [rest] = made.not_attributed
    assert (rest.quantity, rest.base_amount) == ("3", "30")
    assert "held 7 ONE together" in rest.reason
    assert [(group.holders, group.held) for group in made.groups] == [(2, "7")]


def test_two_causes_draw_on_the_same_holdings() -> None:
    made = stated([loss("m", "6", base="6", cause="system_failure"), loss("n", "6", base="6")], holdings=holdings(a=8))
    assert rows(made) == [("a", "6", "6"), ("a", "2", "2")]
    assert [(group.holders, group.held) for group in made.groups] == [(1, "8"), (1, "2")]
    assert [(rest.group_id, rest.quantity) for rest in made.not_attributed] == [("pool, ONE, unauthorized_access", "4")]


def test_what_came_back_before_and_what_was_cleared_is_nobodys_claim() -> None:
    losses = [
        loss("m", "10", base="60", back="4", open="6"),
        loss("c", "99", base="0", state="cleared", open="0", allocations=()),
        loss("r", "8", base="0", back="8", open="0", allocations=()),
    ]
    made = stated(losses, holdings=holdings(a=100))
    assert rows(made) == [("a", "6", "60")]
    assert [mark.mark_id for group in made.groups for mark in group.marks] == ["m"]
    assert "has no mark" in str(statement(basis(), losses[1:]))


def test_the_ledgers_value_counts_what_is_held_and_what_is_paid() -> None:
    parts = (
        Allocation("kind", "paid", "ONE", "3", "3", "30", "0"),
        Allocation("money", "paid", "JPY", "41", "4", "41", "0"),
        Allocation("money", "held", "JPY", "35", "3", "35", "0"),
        Allocation("money", "recovered", "JPY", "9", "1", "9", "0"),
    )
    made = stated([loss("m", "10", base="35", open="3", compensated_amount="7", allocations=parts)], holdings=holdings(a=10))
    assert made.totals.ledger_base_amount == made.totals.base_amount == "106"
    assert [(layer.layer_id, layer.account, layer.amount) for layer in made.groups[0].layers] == [
        ("kind", "paid", "3"), ("money", "paid", "41"), ("money", "held", "35"), ("money", "recovered", "9"),
    ]  # fmt: skip
    assert made.lines[0].layers == ("kind", "money")


def test_another_price_than_the_losss_values_each_asset_once_and_says_what_the_ledger_has() -> None:
    # Three marks of 1 at 1.1: once 3.3, rounded up 4; not three times 2.
    losses = [loss(name, "1", base="5", account_id=name) for name in ("a", "b", "c")]
    made = stated(losses, "fixed:1.1")
    assert (made.totals.base_amount, made.totals.ledger_base_amount) == ("4", "15")
    assert rows(made) == [("a", "1", "2"), ("b", "1", "1"), ("c", "1", "1")]
    assert [price.price for price in made.prices] == ["1.1"]


def test_without_a_price_of_the_loss_another_must_be_chosen() -> None:
    unpriced = [loss("m", "2", base=None)]
    assert "choose a fixed price" in str(statement(basis(), unpriced))
    made = stated(unpriced, "fixed:5", holdings=holdings(a=2))
    assert (rows(made), made.totals.ledger_base_amount) == ([("a", "2", "10")], None)


def test_suspected_marks_are_counted_and_the_newest_offset_is_that_of_what_is_used() -> None:
    made = stated([loss("m", "2", base="2", state="suspected")], holdings=holdings(a=2))
    assert (made.suspected, made.last_offset) == (1, 9)
    assert [(each.offset, each.what) for each in made.groups[0].marks[0].evidence] == [(7, "version 1"), (9, "version 2")]
    assert made.lines[0].holding == Evidence(3, SHA, "holding")


def test_the_holdings_of_the_first_loss_from_the_pool_are_wanted() -> None:
    losses = [
        loss("late", "1", at_ms=9_000), loss("early", "1", at_ms=4_000), loss("own", "1", at_ms=10, owner="exchange"),
        loss("account", "1", at_ms=20, account_id="a"), loss("cleared", "1", at_ms=30, state="cleared"), loss("btc", "1", "BTC", at_ms=50),
        loss("desk", "1", "XEM", at_ms=60, account_id="desk"), loss("held", "1", at_ms=40, held=True),
    ]  # fmt: skip
    assert pooled_since(losses, ("desk",)) == {"ONE": 4_000, "BTC": 50, "XEM": 60}
    late = stated([loss("late", "1", at_ms=9_000, cause="system_failure"), loss("early", "1", at_ms=4_000), loss("later", "1", at_ms=9_500)])
    assert [group.held_until_ms for group in late.groups] == [4_000, 4_000]


def test_zaif_four_and_a_half_of_six_point_seven_billion_were_customers() -> None:
    """Public: 6.7 bn JPY in 5,966 BTC, MONA and BCH, 4.5 bn of them customers'. By hand, at 720,000, 115 and 40,000 JPY.

    4,007.01 × 720,000 + 4,188,900 × 115 + 28,330.7325 × 40,000 = 2,885,047,200 + 481,723,500 + 1,133,229,300 = 4,500,000,000;
    1,958.99 × 720,000 + 2,047,900 × 115 + 13,850.4675 × 40,000 = 1,410,472,800 + 235,508,500 +   554,018,700 = 2,200,000,000.
    """
    parts = {"BTC": ("4007.01", "1958.99"), "MONA": ("4188900", "2047900"), "BCH": ("28330.7325", "13850.4675")}
    losses = []
    for asset, (customers, own) in parts.items():
        losses += [loss(f"{asset} c", customers, asset, "1"), loss(f"{asset} o", own, asset, "1", owner="exchange")]
    rng = random.Random(6_700)
    held = {
        asset: {f"customer-{number}": Held(rng.randint(1, 10**15), 0, Evidence(number, SHA, "holding")) for number in range(700)} for asset in parts
    }
    made = stated(losses, "fixed:BTC=720000,MONA=115,BCH=40000", holdings=held)
    totals = made.totals
    assert (totals.customers_base_amount, totals.own_base_amount, totals.base_amount) == ("4500000000", "2200000000", "6700000000")
    assert (totals.not_attributed_base_amount, totals.customers) == ("0", 700)
    assert next(total for total in made.assets if total.asset == "BTC").quantity == "5966"


def test_coincheck_pays_260_000_customers_at_88_549_yen() -> None:
    """Public: 523,000,000 XEM, 88.549 JPY each: 46,311,127,000 JPY. Every customer within one unit and one yen of the exact share."""
    rng = random.Random(88_549)
    accounts = [f"customer-{number:06}" for number in range(260_000)]
    weights = [rng.randint(1, 100) ** 2 for _ in accounts]
    quantities = apportioned([weight * 526_300_000 * 10**6 for weight in weights], sum(weights), accounts)
    held = {"XEM": {account: Held(quantity, 0, Evidence(1, SHA, "holding")) for account, quantity in zip(accounts, quantities, strict=True)}}
    losses = [loss("test", "10", "XEM", "1"), loss("burst", "522999990", "XEM", "1")]
    made = stated(losses, "fixed:XEM=88.549", holdings=held)
    assert (made.totals.customers, made.totals.customers_base_amount, made.totals.own_base_amount) == (260_000, "46311127000", "0")
    assert made.assets[0].quantity == "523000000"
    total = sum(quantities)
    for line, quantity in list(zip(made.lines, quantities, strict=True))[::997]:
        given = minor(line.quantity, "XEM")
        assert abs(given * total - quantity * 523 * 10**12) < total
        assert abs(int(line.base_amount) * 10**9 - given * 88_549) < 10**9


@pytest.mark.parametrize("seed", range(60))
def test_whatever_is_lost_and_known_nothing_is_lost_on_the_way(seed: int) -> None:
    rng = random.Random(seed)
    losses = [
        loss(
            f"m{number}", str(rng.randint(1, 10**9)), rng.choice(("ONE", "JPY")), str(rng.randint(0, 10**6)),
            account_id=rng.choice((None, None, "a", "h0", "desk")), owner=rng.choice(("customer", "customer", "exchange")),
            cause=rng.choice(("unauthorized_access", "system_failure")), held=rng.random() < 0.2,
        )
        for number in range(rng.randint(1, 30))
    ]  # fmt: skip
    losses.append(loss("gone", "5", "ONE", "5"))
    held = {
        asset: {f"h{number}": Held(rng.choice((0, 1, rng.randint(1, 10**9))), 0, Evidence(1, SHA, "holding")) for number in range(rng.randint(0, 40))}
        for asset in ("ONE", "JPY")
    }
    lost = {each.mark.asset for each in losses if each.left}
    prices = rng.choice(({"ONE": "0.37", "JPY": "1"}, {"ONE": "88.549", "JPY": "3.000000001"}))
    rule = rng.choice(("loss-time", "fixed:" + ",".join(f"{asset}={prices[asset]}" for asset in sorted(lost))))
    made = stated(losses, rule, holdings=held, pooled_accounts=("desk",))
    for left, field in ((True, "quantity"), (False, "never_left")):
        marked = sum(minor(each.mark.amount, each.mark.asset) for each in losses if each.left == left)
        assert sum(minor(getattr(total, field), total.asset) for total in made.assets) == marked
    assert made.totals.ledger_base_amount == str(sum(int(each.mark.base_amount or 0) for each in losses))
    if rule == "loss-time":
        assert int(made.totals.base_amount) + int(made.totals.never_left_base_amount or 0) == int(made.totals.ledger_base_amount or 0)
    for asset, of in held.items():
        for account, has in of.items():
            lines = [line for line in made.lines if (line.account_id, line.asset) == (account, asset)]
            got = sum(minor(line.quantity, asset) for line in lines)
            assert got <= has.quantity_minor or all(line.held is None for line in lines), "more than was held only if all of it is its own"
    again = statement(
        basis(rule, losses, holdings={name: dict(reversed(of.items())) for name, of in held.items()}, pooled_accounts=("desk",)), losses[::-1]
    )
    assert again == made, "the order in which things are told mustn't matter"


def test_what_was_held_and_never_left_is_nobodys_claim_and_stands_by_itself() -> None:
    losses = [
        loss("gone", "4", base="40", account_id="ann"),
        loss("h1", "60", base="600", account_id="mule", held=True),
        loss("h2", "6", base="66", owner="exchange", held=True, state="suspected"),
        loss("h3", "5", base="0", held=True, state="cleared", open="0", allocations=()),
    ]
    made = stated(losses)
    assert rows(made) == [("ann", "4", "40")]
    assert [(group.group_id, group.quantity, group.ledger_base_amount, len(group.marks)) for group in made.groups if group.way == "never_left"] == [
        ("never left (customer), ONE, unauthorized_access", "60", "600", 1), ("never left (exchange), ONE, unauthorized_access", "6", "66", 1),
    ]  # fmt: skip
    [total] = made.assets
    assert (total.quantity, total.never_left, total.never_left_base_amount, total.base_amount, total.ledger_base_amount) == (
        "4", "66", "666", "40", "706",
    )  # fmt: skip
    assert (made.totals.never_left_base_amount, made.totals.ledger_base_amount, made.totals.base_amount) == ("666", "706", "40")
    assert (made.never_left, made.suspected) == (2, 1)


def test_what_was_held_needs_no_price_and_changes_none() -> None:
    losses = [loss("gone", "1", base="5"), loss("held", "2", base=None, held=True), loss("btc", "1", "BTC", base=None, held=True)]
    for rule, base in (("loss-time", "5"), ("fixed:1.1", "2")):
        made = stated(losses, rule, holdings=holdings(a=1))
        assert (made.totals.base_amount, made.totals.ledger_base_amount, made.totals.never_left_base_amount) == (base, None, None)
    assert "held never left the exchange: clear it" in str(statement(basis(), losses[1:]))


def test_what_was_paid_for_what_never_left_must_come_back_first() -> None:
    paid = (Allocation("money", "paid", "JPY", "10", "2", "10", "0"),)
    facts: dict[str, Any] = {"base": "0", "open": "0", "state": "compensated", "compensated_amount": "2", "allocations": paid, "held": True}
    for back, blocking in (("0", 1), ("1", 1), ("2", 0)):
        made = stated([loss("gone", "1", base="5", account_id="a"), loss("held", "2", back=back, **facts)])
        assert (made.never_left, made.totals.never_left_base_amount, made.totals.customers_base_amount) == (blocking, "10", "5")


def test_own_losses_count_against_the_holding_before_the_pool_is_divided() -> None:
    # Both held 2; ann's own withdrawal of 2 was stolen, and 2 of the pool: all of the pool's is bob's.
    own = loss("own", "2", base="2", account_id="ann", at_ms=3_000)
    made = stated([own, loss("pool", "2", base="2")], holdings=holdings(ann=2, bob=2))
    assert rows(made) == [("ann", "2", "2"), ("bob", "2", "2")]
    # Of 3 in the pool 1 has no holder left, and the reason says why.
    made = stated([own, loss("pool", "3", base="3")], holdings=holdings(ann=2, bob=2))
    assert [(rest.quantity, "part of which is lost otherwise" in rest.reason) for rest in made.not_attributed] == [("1", True)]
    # A part of the holding is left: 2 to 1, not 2 to 2.
    made = stated([loss("own", "1", base="1", account_id="ann"), loss("pool", "3", base="3")], holdings=holdings(ann=2, bob=2))
    assert [(line.account_id, line.quantity, line.held, line.lost_before) for line in made.lines] == [
        ("ann", "1", None, None), ("ann", "1", "2", "1"), ("bob", "2", "2", None),
    ]  # fmt: skip
    # A holding told after it was asked for has it in it already; what never left isn't lost.
    made = stated([own._replace(asked_at_ms=499), loss("pool", "2", base="2")], holdings=holdings(ann=2, bob=2))
    assert rows(made) == [("ann", "2", "2"), ("ann", "1", "1"), ("bob", "1", "1")]
    at_once = stated([own._replace(asked_at_ms=500), loss("pool", "2", base="2")], holdings=holdings(ann=2, bob=2))
    assert rows(at_once) == [("ann", "2", "2"), ("bob", "2", "2")]
    made = stated([own._replace(left=False), loss("pool", "2", base="2")], holdings=holdings(ann=2, bob=2))
    assert rows(made) == [("ann", "1", "1"), ("bob", "1", "1")]


def other(name: str, *losses: Loss, **held: int) -> OtherIncident:
    return OtherIncident(name, losses, holdings("ONE", 500, **held))


def test_two_incidents_that_rob_one_pool_divide_the_holdings_once() -> None:
    first, second = loss("m1", "3", base="3", at_ms=1_000), loss("m2", "3", base="3", at_ms=2_000)
    held = holdings(ann=4)
    made = stated([first], incident_id="i1", holdings=held, others=(other("i2", second, ann=4),))
    assert (rows(made), made.counted_first) == ([("ann", "3", "3")], ()), "what came later changes nothing"
    made = stated([second], incident_id="i2", holdings=held, others=(other("i1", first, ann=4),))
    assert [(line.account_id, line.quantity, line.lost_before) for line in made.lines] == [("ann", "1", "3")]
    assert [rest.quantity for rest in made.not_attributed] == ["2"]
    assert [(each.incident_id, each.asset, each.quantity) for each in made.counted_first] == [("i1", "ONE", "3")]
    # What the division of the first follows from counts for how far the journal was needed.
    late = first._replace(evidence=(Evidence(70, SHA, "version 1"),))
    assert stated([second], incident_id="i2", holdings=held, others=(other("i1", late, ann=4),)).last_offset == 70
    assert stated([second], incident_id="i2", holdings=holdings(ann=4, at_ms=1_500), others=(other("i1", late, ann=4),)).last_offset == 9
    # A holding told between the two has the first in it, or was made whole: it stands.
    made = stated([second], incident_id="i2", holdings=holdings(ann=4, at_ms=1_500), others=(other("i1", first, ann=4),))
    assert (rows(made), made.counted_first) == ([("ann", "3", "3")], ())
    # At the same moment the names decide, in both statements alike.
    alike = second._replace(lost_at_ms=1_000, asked_at_ms=1_000)
    assert rows(stated([alike], incident_id="i2", holdings=held, others=(other("i1", first, ann=4),))) == [("ann", "1", "1")]
    assert rows(stated([first], incident_id="i1", holdings=held, others=(other("i2", alike, ann=4),))) == [("ann", "3", "3")]


def test_the_earlier_incident_is_divided_as_its_own_statement_is() -> None:
    own = loss("own", "2", base="2", account_id="ann", at_ms=800)
    first, third = loss("m1", "4", base="4", at_ms=1_000), loss("m3", "6", base="6", at_ms=3_000)
    held = {"ann": 5, "bob": 5, "cyd": 5, "desk": 90}
    told = holdings("ONE", 500, **held)
    one = stated([own, first], incident_id="i1", holdings=told, pooled_accounts=("desk",))
    assert [(line.account_id, line.quantity) for line in one.lines if line.held] == [("ann", "1"), ("bob", "2"), ("cyd", "1")]
    beside = other("i1", own, first, loss("held", "9", held=True), loss("c", "9", state="cleared", open="0"), **held)
    later = other("i9", loss("late", "1", account_id="cyd", at_ms=3_001), **held)
    three = stated([third], incident_id="i3", holdings=told, others=(later, beside), pooled_accounts=("desk",))
    assert [(line.account_id, line.lost_before) for line in three.lines] == [("ann", "3"), ("bob", "2"), ("cyd", "1")]
    assert [(each.incident_id, each.quantity) for each in three.counted_first] == [("i1", "6")]
    assert stated([third], incident_id="i3", holdings=told, others=(beside, later), pooled_accounts=("desk",)) == three


def test_a_price_is_a_fraction() -> None:
    assert Fraction(1, 3).value(10, 0, 0) == 4
