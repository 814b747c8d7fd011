"""What is kept over all marks: sums, the drain, the indexes, how many there may be, and that all of it is restored. Single marks are in `test_marks.py`."""

import math

import pytest

from monitor.marks import Marks
from monitor.policy import Limits
from tests.simulation.journals import policy
from tests.unit.test_marks import LAYERS, NOW_MS, done, held, made


def test_at_the_limit_nothing_is_forgotten_and_over_it_some_at_once() -> None:
    marks = made(money=1_000)
    for number in range(32):
        held(marks, 1_000_000, f"m{number}")
        marks.clear(f"m{number}")
    assert marks.forget(Limits(marks=32)) == 0
    assert marks.forget(Limits(marks=31)) == 2  # the one that is over, and a sixteenth of the limit, so that it is seldom looked for


def test_only_what_a_loss_grows_by_drains() -> None:
    marks = made(money=500)
    half_life_ms = marks.policy.drain_half_life_ms

    def rate() -> float:
        return marks.drain.rate(NOW_MS, half_life_ms)

    held(marks, 10_000_000)
    first = rate()
    assert first == pytest.approx(100 * math.log(2) * 60_000 / half_life_ms)  # 100 yen, per minute
    done(marks.revise("m", 5_000_000, NOW_MS))
    done(marks.clear("m"))
    assert rate() == first
    held(marks, 20_000_000)
    assert rate() == pytest.approx(3 * first)  # what was given back counts anew when it is marked again
    done(marks.revise("m", 30_000_000, NOW_MS))
    assert rate() == pytest.approx(4 * first)
    assert marks.drain.rate(NOW_MS + half_life_ms, half_life_ms) == pytest.approx(2 * first)
    assert marks.drain.rate(NOW_MS - half_life_ms, half_life_ms) == rate()
    before = marks.drain.base_minor_per_minute, marks.drain.at_ms
    done(marks.revise("m", 29_999_999, NOW_MS + 1))  # worth the same
    assert (marks.drain.base_minor_per_minute, marks.drain.at_ms) == before


def test_an_unpriced_loss_drains_once_it_is_priced() -> None:
    marks = made(price=None)
    half_life_ms = marks.policy.drain_half_life_ms
    held(marks, 10_000_000)
    assert marks.drain.rate(NOW_MS, half_life_ms) == 0
    marks.set_price("XEM", "10", "test", NOW_MS)
    assert [change.after.base_minor for change in marks.reprice("XEM", NOW_MS)] == [100]
    assert marks.drain.rate(NOW_MS, half_life_ms) == pytest.approx(100 * math.log(2) * 60_000 / half_life_ms)


def test_sums_of_what_was_paid_and_came_back() -> None:
    marks = made(money=500)
    held(marks, 10_000_000)
    done(marks.confirm("m"))
    done(marks.recover("m", 3_000_000))
    done(marks.compensate("m"))
    sums = marks.sums["XEM"]
    assert (sums.marked_minor, sums.compensated_minor, sums.recovered_minor) == (0, 7_000_000, 3_000_000)
    held(marks, 4_000_000, "n")
    assert (sums.marked_minor, sums.unpriced_minor, marks.total.marked_base_minor) == (4_000_000, 0, 40)


def test_an_incident_that_all_its_marks_left_is_forgotten_here() -> None:
    marks = made(money=500)
    held(marks, 1_000_000, "m")
    held(marks, 1_000_000, "n")
    done(marks.move("m", "j"))
    assert marks.by_incident == {"i": {"n": None}, "j": {"m": None}}
    done(marks.move("n", "j"))
    assert marks.by_incident == {"j": {"m": None, "n": None}}


def test_what_is_restored_is_what_it_was_and_nothing_freed_waits() -> None:
    marks = made(kind=1_000_000, money=50)
    for name, incident_id in (("m", "i"), ("n", "j"), ("o", "i")):
        held(marks, 5_000_000, name, incident_id)
    marks.settle()
    again = Marks(policy(layers=LAYERS))
    again.restore(marks.ledger.layers, marks.by_id.values(), marks.uncovered.in_order(), marks.ledger.uses.values())
    for name in ("by_id", "by_incident", "by_withdrawal"):
        assert getattr(again, name) == getattr(marks, name)
    assert (again.ledger.layers, again.ledger.uses, again.ledger.freed) == (marks.ledger.layers, marks.ledger.uses, {})
    assert again.uncovered.in_order() == marks.uncovered.in_order() == ["n", "o"]
