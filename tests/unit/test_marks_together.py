"""Marks that have something in common: an event's deductible, a withdrawal. What a single mark goes through is in `test_marks.py`."""

from monitor.contracts.base import Cause
from monitor.marks import Marks
from monitor.policy import Layer, Limits
from tests.simulation.journals import policy
from tests.unit.test_marks import NOW_MS, done, held, made, told


def test_who_bears_the_deductible_frees_the_others_of_its_event() -> None:
    """Found by a seeded world: a small loss below the deductible stayed uncovered when a larger one had borne it."""

    def insurance(*causes: Cause) -> tuple[Layer, ...]:
        return (Layer("insurance", "JPY", kind="insurance", causes=causes, drawn="on_claim", limit_total="1000", deductible="67"),)

    marks = Marks(policy(layers=insurance("system_failure")))
    marks.set_price("XEM", "10", "test", NOW_MS)
    held(marks, 2_300_000, "small")
    assert marks.configure(policy(layers=insurance("unauthorized_access"))) == []
    assert marks.settle() == []
    assert told(marks.by_id["small"]) == "suspected 2300000 23 uncovered:23"
    assert told(held(marks, 20_000_000, "large")) == "suspected 20000000 200 insurance:133 uncovered:67"
    [change] = marks.settle()
    assert told(change.after) == "suspected 2300000 23 insurance:23"


def test_a_withdrawal_has_all_its_marks_whatever_their_incidents() -> None:
    """Found by a seeded world: a decision about a withdrawal left out the mark that stood in another incident."""
    marks = made(money=1_000)
    held(marks, 1_000_000, "withdrawal:w", "i")
    held(marks, 2_000_000, "withdrawal:w:t2", "j")
    assert marks.of_withdrawal("w") == ["withdrawal:w", "withdrawal:w:t2"]
    assert (marks.of_withdrawal("v"), marks.of_incident("i")) == ([], ["withdrawal:w"])
    done(marks.move("withdrawal:w:t2", "i"))
    assert (marks.of_withdrawal("w"), marks.of_incident("j")) == (marks.of_incident("i"), [])
    done(marks.clear("withdrawal:w"))
    assert marks.forget(Limits(marks=1)) == 1
    assert marks.of_withdrawal("w") == marks.of_incident("i") == ["withdrawal:w:t2"]


def test_what_is_freed_is_used_under_a_limit_that_was_lowered_below_what_is_held() -> None:
    """Found by random play: a layer over its lowered limit was passed over, though allocating anew carries more."""

    def claimed(limit: str) -> Layer:
        return Layer("claimed", "JPY", kind="insurance", drawn="on_claim", limit_total="1000", limit_per_event=limit)

    marks = Marks(policy(layers=(claimed("11"),)))
    marks.set_price("XEM", "10", "test", NOW_MS)
    assert told(held(marks, 300_000, "small")) == "suspected 300000 3 claimed:3"
    assert told(held(marks, 2_200_000, "large")) == "suspected 2200000 22 claimed:8 uncovered:14"
    assert marks.configure(policy(layers=(Layer("kind", "XEM", limit_per_event="0.8"), claimed("3")))) == []
    assert marks.ledger.fund("kind", "XEM", 5_000_000) is None
    assert marks.settle() == []  # allocated anew it would have as little
    done(marks.clear("small"))
    [change] = marks.settle()
    assert told(change.after) == "suspected 2200000 22 kind:800000 claimed:3 uncovered:11"
