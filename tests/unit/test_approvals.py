"""Decisions that wait for a second person: who seconds what, until when, on which version, and how many may wait."""

from typing import Any

import msgspec

from monitor.approvals import KEPT_MS, Approval, Approvals, Approved
from monitor.contracts.feedback import Feedback

WITHIN_MS = 1_000


def decision(actor: str, event_id: str = "d1", **changes: Any) -> Feedback:
    facts = {
        "event_id": event_id, "occurred_at_ms": 1, "subject": "mark", "subject_id": "m", "command": "confirm", "actor": actor, "reason": "seen",
        "seen_version": 3,
    }  # fmt: skip
    return msgspec.convert(facts | changes, Feedback)


def ask(approvals: Approvals, actor: str, now_ms: int, seen: tuple[int, int] = (3, 3), limit: int = 2, **changes: Any) -> Approved | Approval | str:
    return approvals.ask(decision(actor, **changes), seen, now_ms, WITHIN_MS, limit)


def test_a_second_person_agrees_with_the_first_once() -> None:
    approvals = Approvals()
    assert ask(approvals, "ana", 10) == Approval("m", "confirm", "ana", "d1", 3, 1_010)
    assert ask(approvals, "ben", 1_009) == Approved("ana", "d1")
    assert approvals.by_content == {}


def test_reasons_may_differ_and_nothing_else() -> None:
    approvals = Approvals()
    ask(approvals, "ana", 10)
    for changes in ({"subject_id": "n"}, {"command": "clear"}, {"amount": "1"}, {"argument": "x"}, {"time_ms": 1}, {"subject": "withdrawal"}):
        assert isinstance(ask(approvals, "ben", 10, limit=9, **changes), Approval)
    assert ask(approvals, "ben", 10, limit=9, reason="another") == Approved("ana", "d1")


def test_the_last_moment_is_before_the_end() -> None:
    approvals = Approvals()
    ask(approvals, "ana", 0)
    assert str(ask(approvals, "ben", 1_000)).startswith("the approval by ana expired 0 s before")
    assert "expired 2 s before" in str(ask(approvals, "ben", 3_500))  # it stays until it is told
    assert [one.actor for one in approvals.expired(3_500)] == ["ana"]
    assert "expired" in str(ask(approvals, "ben", 3_500))
    assert isinstance(ask(approvals, "ben", 3_500), Approval)


def test_both_must_have_seen_what_is_the_same_to_a_person() -> None:
    approvals = Approvals()
    for version, seen, agreed in ((3, (3, 5), True), (5, (3, 5), True), (2, (3, 5), False)):
        ask(approvals, "ana", 0, (version, version))
        assert isinstance(ask(approvals, "ben", 1, seen), Approved) == agreed
        assert approvals.by_content == {}


def test_asking_again_counts_anew_and_comes_last() -> None:
    approvals = Approvals()
    ask(approvals, "ana", 0)
    ask(approvals, "ana", 0, subject_id="n")
    ask(approvals, "ana", 500, event_id="d3")
    assert [(one.subject_id, one.event_id, one.expires_ms) for one in approvals.by_content.values()] == [("n", "d1", 1_000), ("m", "d3", 1_500)]
    approvals.stamp(decision("ana"), 7)
    assert [one.version for one in approvals.by_content.values()] == [3, 7]


def test_over_the_limit_nothing_new_waits_and_what_waits_can_be_seconded() -> None:
    approvals = Approvals()
    ask(approvals, "ana", 0)
    ask(approvals, "ana", 0, subject_id="n")
    assert ask(approvals, "ben", 0, subject_id="o") == "2 decisions wait for a second person already"
    assert isinstance(ask(approvals, "ana", 0), Approval)
    assert isinstance(ask(approvals, "ben", 0), Approved)


def test_what_expires_is_told_once_and_remembered_for_a_day() -> None:
    approvals = Approvals()
    ask(approvals, "ana", 0)
    assert list(approvals.expired(999)) == []
    assert approvals.waits("m", "confirm") and not approvals.waits("m", "clear") and not approvals.waits("n", "confirm")
    assert [one.event_id for one in approvals.expired(1_000)] == ["d1"]
    assert not approvals.waits("m", "confirm")
    assert list(approvals.expired(1_000 + KEPT_MS)) == []
    assert len(approvals.by_content) == 1
    assert list(approvals.expired(1_001 + KEPT_MS)) == []
    assert approvals.by_content == {}
    assert KEPT_MS == 24 * 3_600_000
