"""Every operation on a mark: what it makes of it, what it refuses, and that a refusal changes nothing."""

import msgspec
import pytest

from monitor.contracts.base import Owner
from monitor.findings import Subject
from monitor.mark_state import Change, MarkState
from monitor.marks import Marks
from monitor.policy import Layer
from monitor.prices import PriceState
from tests.simulation.journals import ASSETS, START_MS, policy

LAYERS = (Layer("kind", "XEM", kind="guarantee"), Layer("money", "JPY", causes=("unauthorized_access",)), Layer("group", "JPY", customers_only=False))
NOW_MS = START_MS


def made(*, kind: int = 0, money: int = 0, group: int = 0, price: str | None = "10") -> Marks:
    """Marks on three layers, with a price of one XEM."""
    marks = Marks(policy(layers=LAYERS))
    for layer_id, unit, amount in (("kind", "XEM", kind), ("money", "JPY", money), ("group", "JPY", group)):
        assert marks.ledger.fund(layer_id, unit, amount) is None
    if price is not None:
        marks.set_price("XEM", price, "test", NOW_MS)
    marks.settle()
    return marks


def subject(amount_minor: int, mark_id: str = "m", owner: Owner = "customer") -> Subject:
    return Subject(mark_id, "w", "a", owner, "XEM", amount_minor)


def held(marks: Marks, amount_minor: int, mark_id: str = "m", incident_id: str = "i") -> MarkState:
    change = marks.hold(subject(amount_minor, mark_id), "unauthorized_access", incident_id, NOW_MS)
    assert change is not None
    return change.after


def done(change: Change | str | None) -> MarkState:
    assert isinstance(change, Change), change
    return change.after


def told(mark: MarkState) -> str:
    """State, what is open and its value; then what is held, paid and came back, by layer."""
    parts = ((name, parts) for name, parts in (("", mark.parts), ("paid ", mark.paid), ("back ", mark.returned)))
    carried = " ".join(f"{name}{part.layer_id}:{part.amount_minor}" for name, of in parts for part in of)
    return f"{mark.stage} {mark.open_minor} {mark.base_minor} {carried}".rstrip()


def refused(marks: Marks, answer: Change | str, why: str, before: bytes) -> None:
    assert answer == why
    assert books(marks) == before


def books(marks: Marks) -> bytes:
    return msgspec.json.encode(
        (marks.by_id, marks.ledger.layers, list(marks.ledger.uses.values()), marks.sums, marks.stages, marks.uncovered.in_order())
    )


def test_a_loss_grows_with_its_incident_and_price_and_never_shrinks_by_a_finding() -> None:
    marks = made(money=50_000_000)
    assert told(held(marks, 3_000_000)) == "suspected 3000000 30 money:30"
    assert marks.hold(subject(3_000_000), "undecided", "another", NOW_MS) is None
    grown = done(marks.hold(subject(5_000_000), "unauthorized_access", "another", NOW_MS))
    assert (told(grown), grown.incident_id, grown.version) == ("suspected 5000000 50 money:50", "i", 2)
    grown = done(marks.hold(subject(6_000_000, owner="exchange"), "undecided", "another", NOW_MS))
    assert (grown.cause, grown.subject.owner, grown.incident_id, grown.version) == ("undecided", "exchange", "i", 3)
    grown = done(marks.hold(subject(7_000_000), "unauthorized_access", "another", NOW_MS))
    assert marks.total.marked_base_minor == 70
    assert marks.stages["suspected"] == 1


def test_the_life_of_a_mark() -> None:
    """29 → 69 → 37 million, confirmed, partly recovered, compensated, and what comes back afterwards."""
    marks = made(kind=20, money=200, group=100)
    held(marks, 29_000_000)
    assert told(done(marks.revise("m", 69_000_000, NOW_MS))) == "suspected 69000000 690 kind:20 money:200 group:100 uncovered:390"
    assert told(done(marks.revise("m", 37_000_000, NOW_MS))) == "suspected 37000000 370 kind:20 money:200 group:100 uncovered:70"
    assert told(done(marks.confirm("m"))) == "confirmed 37000000 370 kind:20 money:200 group:100 uncovered:70"
    assert told(done(marks.recover("m", 10_000_000))) == "partly_recovered 27000000 270 kind:20 money:200 group:70"
    paid = done(marks.compensate("m"))
    assert told(paid) == "compensated 0 0 paid kind:20 paid money:200 paid group:70"
    assert (paid.compensated_minor, paid.recovered_minor) == (27_000_000, 10_000_000)
    assert marks.total.marked_base_minor == 0
    back = done(marks.recover("m", 9_000_000))
    assert told(back) == "compensated 0 0 paid kind:20 paid money:200 paid group:70 back group:70 back money:20"
    assert (marks.ledger.layers["group"].available_minor, marks.ledger.layers["money"].recovered_minor) == (100, 20)
    assert told(done(marks.recover("m", 18_000_000))).endswith("back group:70 back money:200 back kind:20")
    assert all(layer.used_minor == 0 for layer in marks.ledger.layers.values())
    assert marks.ledger.uses == {}


def test_a_compensated_loss_that_grows_is_suspected_again_for_the_rest_alone() -> None:
    marks = made(money=1_000)
    held(marks, 5_000_000)
    marks.confirm("m")
    marks.compensate("m")
    assert told(held(marks, 8_000_000)) == "suspected 3000000 30 money:30 paid money:50"
    assert marks.clear("m") == "part of it is compensated or came back: revise its amount instead"
    assert told(done(marks.revise("m", 5_000_000, NOW_MS))) == "compensated 0 0 paid money:50"
    assert told(done(marks.revise("m", 9_000_000, NOW_MS))) == "confirmed 4000000 40 money:40 paid money:50"
    assert told(done(marks.compensate("m"))) == "compensated 0 0 paid money:90"
    assert marks.ledger.layers["money"].available_minor == 910
    marks.recover("m", 1_000_000)
    assert held(marks, 10_000_000).stage == "suspected"
    assert done(marks.confirm("m")).stage == "partly_recovered"


def test_what_comes_back_of_payments_at_two_prices_never_exceeds_what_was_paid() -> None:
    marks = made(money=1_000)
    held(marks, 2_000_000)
    marks.confirm("m")
    marks.compensate("m")
    assert told(done(marks.recover("m", 1_000_000))) == "compensated 0 0 paid money:20 back money:10"
    for later_ms in (1, 2):  # a price that jumps counts once the next is near it
        marks.set_price("XEM", "1", "test", NOW_MS + later_ms)
    assert told(done(marks.revise("m", 12_000_000, NOW_MS))) == "confirmed 10000000 10 money:10 paid money:20 back money:10"
    assert told(done(marks.compensate("m"))) == "compensated 0 0 paid money:30 back money:10"
    assert told(done(marks.recover("m", 1_000_000))) == "compensated 0 0 paid money:30 back money:11"  # of 20 for 11 units, 1.8, rounded down
    assert told(done(marks.recover("m", 10_000_000))) == "compensated 0 0 paid money:30 back money:30"


def test_clearing_gives_back_exactly_what_is_held_and_a_cleared_loss_can_happen_after_all() -> None:
    marks = made(kind=1, money=7)
    before = (msgspec.json.encode(marks.ledger.layers), marks.ledger.uses)
    held(marks, 3_333_333)
    assert told(done(marks.clear("m"))) == "cleared 0 0"
    assert (msgspec.json.encode(marks.ledger.layers), marks.ledger.uses) == before
    assert marks.stages == {"suspected": 0, "confirmed": 0, "partly_recovered": 0, "compensated": 0, "cleared": 1}
    again = held(marks, 3_333_333, incident_id="later")
    assert (again.stage, again.version, again.incident_id) == ("suspected", 3, "later")
    assert marks.of_incident("i") == []
    assert marks.of_incident("later") == ["m"]


def test_another_cause_or_owner_is_allocated_anew_and_findings_change_it_no_longer() -> None:
    marks = made(money=100, group=15)
    held(marks, 3_000_000)
    assert told(done(marks.change_cause("m", "system_failure"))) == "suspected 3000000 30 group:15 uncovered:15"
    assert told(done(marks.change_cause("m", "unauthorized_access"))) == "suspected 3000000 30 money:30"
    assert told(done(marks.change_owner("m", "exchange"))) == "suspected 3000000 30 group:15 uncovered:15"
    grown = held(marks, 4_000_000)
    assert (grown.subject.owner, told(grown)) == ("exchange", "suspected 4000000 40 group:15 uncovered:25")
    marks.clear("m")
    assert held(marks, 1_000_000).subject.owner == "exchange"
    done(marks.hold(subject(1_000_000, "n"), "undecided", "i", NOW_MS))
    done(marks.change_cause("n", "system_failure"))
    assert held(marks, 2_000_000, "n").cause == "system_failure"


def test_a_mark_moves_with_what_the_event_had_of_limits_and_deductibles_paid_or_held() -> None:
    marks = Marks(policy(layers=(Layer("insurance", "JPY", drawn="on_claim", limit_total="1000", limit_per_event="60", deductible="10"),)))
    marks.set_price("XEM", "10", "test", NOW_MS)
    held(marks, 5_000_000, "first", "i")
    marks.confirm("first")
    marks.compensate("first")
    assert told(held(marks, 5_000_000, "second", "j")) == "suspected 5000000 50 insurance:40 uncovered:10"
    assert told(done(marks.move("first", "j"))) == "compensated 0 0 paid insurance:40 paid uncovered:10"
    assert ("insurance", "i") not in marks.ledger.uses
    assert marks.of_incident("j") == ["first", "second"]
    assert told(done(marks.move("second", "k"))) == "suspected 5000000 50 insurance:40 uncovered:10"
    # The deductible is borne by what was paid; 20 are left of the event's limit.
    assert told(done(marks.move("second", "j"))) == "suspected 5000000 50 insurance:20 uncovered:30"


def test_what_is_freed_carries_what_stands_uncovered_the_oldest_first_and_no_further() -> None:
    marks = made(money=10)
    for mark_id, amount in (("c", 3_000_000), ("a", 2_000_000), ("b", 4_000_000)):
        held(marks, amount, mark_id)
    assert marks.settle() == []
    assert marks.ledger.fund("money", "JPY", 25) is None
    assert [(change.after.mark_id, told(change.after)) for change in marks.settle()] == [
        ("c", "suspected 3000000 30 money:30"),
        ("a", "suspected 2000000 20 money:5 uncovered:15"),
    ]
    assert marks.uncovered.in_order() == ["a", "b"]
    marks.clear("c")
    assert [told(change.after) for change in marks.settle()] == ["suspected 2000000 20 money:20", "suspected 4000000 40 money:15 uncovered:25"]
    marks.settle()
    assert marks.total.uncovered_base_minor == 25


def test_funding_in_kind_carries_what_has_no_price_yet() -> None:
    marks = made(price=None)
    assert told(held(marks, 3_000_000)) == "suspected 3000000 None"
    assert marks.ledger.fund("money", "JPY", 1_000) is None
    assert marks.settle() == []  # money can't carry what has no value
    assert marks.ledger.fund("kind", "XEM", 2_000_000) is None
    assert [told(change.after) for change in marks.settle()] == ["suspected 3000000 None kind:2000000"]
    assert marks.confirm("m")
    assert marks.compensate("m") == "no price is known yet"
    assert told(done(marks.recover("m", 400_000))) == "partly_recovered 2600000 None kind:2000000"
    assert told(done(marks.recover("m", 1_100_000))) == "partly_recovered 1500000 None kind:1500000"
    marks.set_price("XEM", "10", "test", NOW_MS)
    assert [told(change.after) for change in marks.reprice("XEM", NOW_MS)] == ["partly_recovered 1500000 15 kind:1500000"]
    assert told(done(marks.compensate("m"))) == "compensated 0 0 paid kind:1500000"


def test_the_base_currency_needs_no_price() -> None:
    marks = made(money=100, price=None)
    assert marks.price_standing("JPY", NOW_MS) == "fresh"
    assert told(done(marks.hold(Subject("y", "w", "a", "customer", "JPY", 30), "unauthorized_access", "i", NOW_MS))) == "suspected 30 30 money:30"


def test_a_price_that_is_no_number_values_nothing() -> None:
    marks = made()
    assert marks.value("XEM", 1_000_000) == 10
    assert marks.value("XEM", 1_000_000, PriceState("10.5", "test", NOW_MS)) == 11
    assert marks.value("XEM", 1_000_000, PriceState("ten", "test", NOW_MS)) is None


def test_a_price_values_the_unpriced_of_its_asset_alone() -> None:
    marks = made(price=None)
    held(marks, 3_000_000)
    done(marks.hold(Subject("b", "w", "a", "customer", "BTC", 1), "unauthorized_access", "i", NOW_MS))
    marks.set_price("XEM", "10", "test", NOW_MS)
    assert [change.after.mark_id for change in marks.reprice("XEM", NOW_MS)] == ["m"]
    assert list(marks.unpriced) == ["b"]


def test_a_stale_price_makes_no_mark_but_the_mark_keeps_its_own() -> None:
    marks = made(money=1_000)
    held(marks, 1_000_000)
    later_ms = NOW_MS + policy().price_stale_after_ms + 1
    assert done(marks.hold(subject(2_000_000, "n"), "unauthorized_access", "i", later_ms)).base_minor is None
    assert told(done(marks.revise("m", 2_000_000, later_ms))) == "suspected 2000000 20 money:20"


@pytest.mark.parametrize(
    ("operation", "arguments", "why"),
    [
        ("revise", (0, NOW_MS), "the amount of a loss is above zero: clear the mark instead"),
        ("revise", (-5, NOW_MS), "the amount of a loss is above zero: clear the mark instead"),
        ("revise", (3_000_000, NOW_MS), "it is marked with that amount already"),
        ("recover", (1,), "it is only suspected: confirm it first"),
        ("compensate", (), "it is only suspected: confirm it first"),
        ("change_cause", ("unauthorized_access",), "that is its cause already"),
        ("change_owner", ("customer",), "that is its owner already"),
        ("move", ("i",), "it is of that incident already"),
    ],
)
def test_a_suspected_mark_refuses(operation: str, arguments: tuple[object, ...], why: str) -> None:
    marks = made(money=10)
    held(marks, 3_000_000)
    before = books(marks)
    refused(marks, getattr(marks, operation)("m", *arguments), why, before)
    unknown = arguments or ()
    refused(marks, getattr(marks, operation)("nobody's", *unknown), "no such mark is known", before)


@pytest.mark.parametrize(
    ("operation", "arguments", "why"),
    [
        ("confirm", (), "it is partly recovered already"),
        ("recover", (0,), "what came back is above zero"),
        ("recover", (-1,), "what came back is above zero"),
        ("recover", (2_000_001,), "that is more than is still gone"),
        ("revise", (999_999, NOW_MS), "more than that is compensated or came back already"),
        ("clear", (), "part of it is compensated or came back: revise its amount instead"),
    ],
)
def test_a_partly_recovered_mark_refuses(operation: str, arguments: tuple[object, ...], why: str) -> None:
    marks = made(money=10)
    held(marks, 3_000_000)
    marks.confirm("m")
    marks.recover("m", 1_000_000)
    refused(marks, getattr(marks, operation)("m", *arguments), why, books(marks))


def test_what_is_compensated_or_cleared_refuses_to_be_so_again() -> None:
    marks = made(money=100)
    held(marks, 3_000_000)
    held(marks, 1_000_000, "n")
    marks.confirm("m")
    marks.compensate("m")
    marks.clear("n")
    before = books(marks)
    refused(marks, marks.compensate("m"), "it is compensated already", before)
    refused(marks, marks.confirm("m"), "it is compensated already", before)
    for answer in (marks.clear("n"), marks.confirm("n"), marks.compensate("n"), marks.recover("n", 1), marks.revise("n", 5, NOW_MS)):
        refused(marks, answer, "it is cleared", before)


def test_everything_recovered_leaves_nothing_to_pay() -> None:
    marks = made(money=100)
    held(marks, 3_000_000)
    marks.confirm("m")
    assert told(done(marks.recover("m", 3_000_000))) == "partly_recovered 0 0"
    assert told(done(marks.compensate("m"))) == "compensated 0 0"
    assert marks.ledger.layers["money"].available_minor == 100


def test_layers_of_a_term_that_are_wrong_are_refused_and_the_former_stay() -> None:
    marks = made(money=10)
    held(marks, 3_000_000)
    faults = marks.configure(policy(version=2, layers=(Layer("money", "JPY"), Layer("money", "JPY"))))
    assert faults == ["layers.1.layer_id (money) is there twice; every layer needs a name of its own."]
    [fault] = marks.configure(policy(version=2, layers=(Layer("money", "nothing"),)))
    assert fault == f"layers.0.unit (nothing) must be one of policy.assets; known are {', '.join(ASSETS)}."
    assert marks.configure(policy(version=2, layers=(Layer("money", "XEM"),))) == ["layer money isn't empty: it stays in JPY and prefunded"]
    assert (marks.policy.version, marks.policy.layers) == (2, LAYERS)
    assert marks.configure(policy(version=3, layers=LAYERS[1:])) == []
    assert marks.ledger.fund("money", "JPY", 20) is None
    assert [told(change.after) for change in marks.settle()] == ["suspected 3000000 30 money:30"]


def test_what_was_said_of_a_loss_can_be_taken_back_unless_more_has_happened() -> None:
    marks = made(money=500)
    held(marks, 10_000_000)
    assert marks.suspect_again("x", NOW_MS) == "no such mark is known"
    assert marks.suspect_again("m", NOW_MS) == "it is suspected"
    done(marks.confirm("m"))
    again = done(marks.suspect_again("m", NOW_MS))
    assert (told(again), again.version) == ("suspected 10000000 100 money:100", 3)
    done(marks.clear("m"))
    again = done(marks.suspect_again("m", NOW_MS))
    assert (told(again), again.version) == ("suspected 10000000 100 money:100", 5)
    done(marks.confirm("m"))
    done(marks.recover("m", 1))
    assert marks.suspect_again("m", NOW_MS) == "it is partly recovered"


def test_what_an_event_gives_back_or_leaves_is_free_and_nothing_else() -> None:
    marks = made(kind=1_000_000, money=500)
    held(marks, 10_000_000)
    done(marks.confirm("m"))
    marks.ledger.freed.clear()
    done(marks.change_cause("m", "undecided"))
    assert list(marks.ledger.freed) == [("money", None)]  # what the other layer holds it goes on holding
    marks.ledger.freed.clear()
    done(marks.move("m", "j"))
    assert list(marks.ledger.freed) == [("kind", None), ("uncovered", None)]
    marks.ledger.freed.clear()
    done(marks.recover("m", 1_000_000))
    assert list(marks.ledger.freed) == [("uncovered", None)]
    done(marks.compensate("m"))
    marks.ledger.freed.clear()
    done(marks.recover("m", 9_000_000))
    assert list(marks.ledger.freed) == [("uncovered", None), ("kind", None)]


def test_a_unit_that_is_worth_nothing_by_rounding_stands_uncovered_too() -> None:
    marks = made(kind=2)
    assert told(held(marks, 3)) == "suspected 3 1 kind:2 uncovered:0"
    assert marks.by_id["m"].uncarried_minor == 1
    assert marks.ledger.fund("kind", "XEM", 1) is None
    assert [told(change.after) for change in marks.settle()] == ["suspected 3 1 kind:3"]
    marks = made(kind=2)
    held(marks, 3)
    marks.confirm("m")
    assert told(done(marks.compensate("m"))) == "compensated 0 0 paid kind:2 paid uncovered:0"
    back = done(marks.recover("m", 2))
    assert [(part.layer_id, part.asset_minor, part.base_minor) for part in back.returned] == [("uncovered", 1, 0), ("kind", 1, 0)]


def test_a_yen_that_stands_for_no_unit_by_rounding_stands_uncovered_too() -> None:
    marks = made(money=1, price="1000001")  # a unit is worth 2 yen, rounded up
    assert told(held(marks, 1)) == "suspected 1 2 money:1 uncovered:1"
    assert marks.by_id["m"].uncarried_minor == 0
    assert marks.ledger.fund("money", "JPY", 1) is None
    assert [told(change.after) for change in marks.settle()] == ["suspected 1 2 money:2"]


def test_a_loss_of_one_unit_is_a_loss() -> None:
    marks = made(money=500)
    held(marks, 10)  # worth 1 yen, rounded up
    assert marks.drain.rate(NOW_MS, marks.policy.drain_half_life_ms) > 0
    assert told(done(marks.revise("m", 1, NOW_MS))) == "suspected 1 1 money:1"
    done(marks.confirm("m"))
    assert told(done(marks.recover("m", 1))) == "partly_recovered 0 0"
    assert done(marks.revise("m", 2, NOW_MS)).stage == "partly_recovered"
    assert done(marks.revise("m", 1, NOW_MS)).stage == "partly_recovered"  # nothing of it was compensated


def test_an_unpriced_loss_of_which_all_came_back_is_worth_nothing() -> None:
    marks = made(price=None)
    held(marks, 10)
    done(marks.confirm("m"))
    assert told(done(marks.recover("m", 4))) == "partly_recovered 6 None"
    assert told(done(marks.recover("m", 6))) == "partly_recovered 0 0"
    assert marks.unpriced == {}
