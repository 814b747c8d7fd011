"""Decisions that wait for a second person: what waits under which event id, how many of whom and about what, and until when."""

from typing import Any

import msgspec

from monitor.approvals import SHARE, Approval, Approvals, content
from monitor.contracts.feedback import Feedback

LIMIT = 512


def decision(actor: str, event_id: str = "d1", **changes: Any) -> Feedback:
    facts = {
        "event_id": event_id, "occurred_at_ms": 1, "journal_id": "j", "subject": "mark", "subject_id": "m", "command": "confirm", "actor": actor,
        "reason": "seen", "seen_version": 3,
    }  # fmt: skip
    return msgspec.convert(facts | changes, Feedback)


def wait(approvals: Approvals, actor: str, event_id: str, expires_ms: int = 1_000, **changes: Any) -> None:
    approvals.wait(decision(actor, event_id, **changes), f"key of {actor}", 3, expires_ms)


def test_what_waits_is_what_was_decided_by_whom_with_which_key() -> None:
    approvals = Approvals()
    wait(approvals, "ana", "d1")
    said = '["mark","m","confirm",null,null,null]'
    assert approvals.by_event == {"d1": Approval("m", "confirm", "ana", "key of ana", "d1", said, 3, 1_000)}
    assert approvals.waits("m", "confirm", 3) and not approvals.waits("m", "clear", 3) and not approvals.waits("n", "confirm", 3)
    assert approvals.waits("m", "confirm", 2) and not approvals.waits("m", "confirm", 4)


def test_what_is_decided_is_all_but_who_when_why_and_on_which_version() -> None:
    said = content(decision("ana"))
    for changes in ({"subject_id": "n"}, {"command": "clear"}, {"amount": "1"}, {"argument": "x"}, {"time_ms": 1}, {"subject": "withdrawal"}):
        assert content(decision("ana", **changes)) != said
    assert content(decision("ben", "d2", reason="another", seen_version=4, approves="d1")) == said


def test_the_newest_of_another_that_says_the_same_is_alike() -> None:
    approvals = Approvals()
    for number, (actor, amount) in enumerate((("ana", "1"), ("ben", "1"), ("ana", "2"), ("eve", "1"))):
        wait(approvals, actor, f"d{number}", amount=amount)
    found = [approvals.alike(decision(actor, amount=amount)) for actor, amount in (("eve", "1"), ("ana", "1"), ("ana", "2"), ("ben", "2"))]
    assert [None if each is None else each.event_id for each in found] == ["d1", "d3", None, "d2"]


def test_nobody_and_no_subject_takes_more_than_a_share() -> None:
    approvals = Approvals()
    share = LIMIT // SHARE
    for number in range(share):
        assert approvals.full(decision("ana", subject_id="s"), LIMIT) is None
        wait(approvals, "ana", f"a{number}", subject_id=f"s{number}")
    assert approvals.full(decision("ana", subject_id="s"), LIMIT) == f"{share} decision(s) by ana wait for a second person already"
    assert approvals.full(decision("ben", subject_id="s"), LIMIT) is None
    for number in range(share // SHARE):
        wait(approvals, "cem", f"e{number}", subject_id="t")
    assert approvals.full(decision("cem", subject_id="t"), LIMIT) == f"{share // SHARE} decision(s) by cem about t wait for a second person already"
    assert approvals.full(decision("cem", subject_id="u"), LIMIT) is None and approvals.full(decision("ben", subject_id="t"), LIMIT) is None
    for number in range(share):
        wait(approvals, f"p{number}", f"b{number}", subject_id="s")
    assert approvals.full(decision("ben", subject_id="s"), LIMIT) == f"{share} decision(s) about s wait for a second person already"
    assert approvals.full(decision("ben", subject_id="t"), LIMIT) is None
    for number in range(2 * share + share // SHARE, LIMIT):
        wait(approvals, f"q{number}", f"c{number}", subject_id=f"t{number}")
    assert approvals.full(decision("ben", subject_id="t"), LIMIT) == f"{LIMIT} decision(s) wait for a second person already"
    assert approvals.full(decision("ben"), 1) is not None and Approvals().full(decision("ben"), 1) is None


def test_what_is_taken_waits_no_longer() -> None:
    approvals = Approvals()
    wait(approvals, "ana", "d1", 1_000)
    wait(approvals, "ben", "d2", 2_000)
    assert [each.event_id for each in approvals.take(lambda each: each.expires_ms <= 1_000)] == ["d1"]
    assert list(approvals.by_event) == ["d2"]
