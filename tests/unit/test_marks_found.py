"""What a finding makes of a loss that is known already, and which losses are known no longer."""

import msgspec

from monitor.marks import Marks
from monitor.policy import Layer, Limits
from tests.simulation.journals import policy
from tests.unit.test_marks import NOW_MS, done, held, made, subject, told


def test_what_people_confirmed_is_suspected_again_when_it_grows() -> None:
    marks = made(kind=10_000_000)
    held(marks, 2_000_000)
    done(marks.confirm("m"))
    assert marks.hold(subject(2_000_000), "unauthorized_access", "i", NOW_MS) is None
    assert told(marks.by_id["m"]).startswith("confirmed 2000000")
    assert told(held(marks, 3_000_000)) == "suspected 3000000 30 kind:3000000"
    assert isinstance(marks.compensate("m"), str)  # nobody confirmed the larger loss
    done(marks.confirm("m"))
    done(marks.recover("m", 1_000_000))
    assert told(held(marks, 4_000_000)) == "suspected 3000000 30 kind:3000000"
    assert told(done(marks.confirm("m"))).startswith("partly_recovered 3000000")


def test_what_people_revised_grows_only_by_more_than_was_known_to_them() -> None:
    marks = made(kind=10_000_000)
    held(marks, 3_000_000)
    done(marks.confirm("m"))
    assert told(done(marks.revise("m", 1_000_000, NOW_MS))).startswith("confirmed 1000000")
    assert told(done(marks.revise("m", 2_000_000, NOW_MS))).startswith("confirmed 2000000")
    assert marks.hold(subject(3_000_000), "unauthorized_access", "i", NOW_MS) is None
    assert told(held(marks, 3_000_001)).startswith("suspected 3000001")
    done(marks.revise("m", 9_000_000, NOW_MS))
    assert told(done(marks.revise("m", 4_000_000, NOW_MS))).startswith("suspected 4000000")
    assert told(held(marks, 5_000_000)).startswith("suspected 5000000")


def test_another_asset_under_a_known_id_is_another_loss() -> None:
    marks = made(kind=10_000_000)
    held(marks, 2_000_000)
    done(marks.confirm("m"))
    other = msgspec.structs.replace(subject(5_000_000), asset="BTC")
    for number in (1, 2):
        change = marks.hold(other, "unauthorized_access", "i", NOW_MS)
        assert (change is not None) == (number == 1)
    assert told(marks.by_id["m"]).startswith("confirmed 2000000")
    assert (marks.by_id["m:BTC"].subject.asset, marks.by_id["m:BTC"].open_minor) == ("BTC", 5_000_000)
    done(marks.clear("m"))
    assert marks.hold(other, "unauthorized_access", "i", NOW_MS) is None
    assert told(held(marks, 1_000_000)) == "suspected 1000000 10 kind:1000000"


def test_over_the_limits_only_what_stands_no_longer_is_forgotten_the_oldest_first() -> None:
    marks = made(money=1_000)
    for number in range(12):
        held(marks, 1_000_000, f"m{number}")
    for number in (0, 1, 2):
        done(marks.clear(f"m{number}"))
    for number in (3, 4):
        done(marks.confirm(f"m{number}"))
        done(marks.compensate(f"m{number}"))
    assert marks.forget(Limits(marks=8, marks_compensated=2)) == 2  # ten that aren't compensated
    assert set(marks.by_id) == {f"m{number}" for number in range(2, 12)}
    assert marks.forget(Limits(marks=1, marks_compensated=2)) == 1  # what stands stays
    assert marks.forget(Limits(marks=1, marks_compensated=1)) == 1
    assert (len(marks.by_id), marks.stages["cleared"], marks.stages["compensated"], marks.standing, marks.forgotten) == (8, 0, 1, 7, 4)
    assert marks.of_incident("i") == sorted(marks.by_id)
    assert marks.forget(Limits(marks=1, marks_compensated=1)) == 0


def test_what_was_paid_counts_for_its_event_when_the_marks_are_forgotten() -> None:
    marks = Marks(policy(layers=(Layer("money", "JPY", limit_per_event="20"),)))
    marks.ledger.fund("money", "JPY", 1_000)
    marks.set_price("XEM", "10", "test", NOW_MS)
    for number in (0, 1):
        held(marks, 1_000_000, f"m{number}")
        done(marks.confirm(f"m{number}"))
        done(marks.compensate(f"m{number}"))
    assert marks.hold(subject(1_000_000, "m0"), "unauthorized_access", "i", NOW_MS) is None  # it is known that it was paid
    assert marks.forget(Limits(marks=1, marks_compensated=1)) == 1
    assert marks.ledger.uses["money", "i"].used_minor == 20
    assert told(held(marks, 1_000_000, "m2")) == "suspected 1000000 10 uncovered:10"  # nobody reopens the event's limit
    assert told(held(marks, 1_000_000, "m3", "another")) == "suspected 1000000 10 money:10"
