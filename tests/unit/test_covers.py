"""A decision covers what its actor saw: what came or changed since is left as it is, and said; two persons approve the same."""

from typing import Any

import pytest

from monitor.contracts.feedback import Command
from monitor.engine import Engine
from monitor.policy import FourEyes
from monitor.snapshot_file import decode, encode
from tests.unit.story import Story
from tests.unit.test_decided import begun, outcome, redirected, say, seen, stage

NOBODY = FourEyes(commands=())
"""One person decides everything that isn't worth too much."""


def attacked(**changes: Any) -> tuple[Story, str]:
    """One incident, published with its first mark; its id."""
    story = begun(**changes)
    redirected(story, "a")
    story.tell("tick")
    return story, story.engine.state.marks.by_id["withdrawal:a"].incident_id


def incident_says(story: Story, actor: str, command: str, incident_id: str, **changes: Any) -> list[dict[str, Any]]:
    return say(story, actor, command, incident_id, "incident", **changes)


@pytest.mark.parametrize(
    ("command", "changes", "left_stage"),
    [("confirm", {}, "suspected"), ("clear", {}, "suspected"), ("change_cause", {"argument": "system_failure"}, "suspected")],
)
def test_what_joins_while_a_person_decides_is_left_and_said(command: Command, changes: dict[str, Any], left_stage: str) -> None:
    story, incident_id = attacked(four_eyes=NOBODY)
    version = seen(story, "incident", incident_id)
    for name in "bcd":
        redirected(story, name)
    story.tell("tick")
    told = incident_says(story, "ana", command, incident_id, seen_version=version, **changes)
    assert outcome(told).startswith("decided") and f"3 mark(s) that came or changed since version {version} are left" in outcome(told)
    assert [record["mark_id"] for record in told if record["topic"] == "marks"] == ["withdrawal:a"]
    marks = story.engine.state.marks.by_id
    assert {(marks[f"withdrawal:{name}"].stage, marks[f"withdrawal:{name}"].cause) for name in "bcd"} == {(left_stage, "unauthorized_access")}


def test_what_isnt_told_yet_is_left_though_the_version_is_the_present_one() -> None:
    story, incident_id = attacked(four_eyes=NOBODY)
    redirected(story, "b")
    assert "1 mark(s) that came or changed" in outcome(incident_says(story, "ana", "confirm", incident_id))
    assert (stage(story, "withdrawal:a"), stage(story, "withdrawal:b")) == ("confirmed", "suspected")


def test_where_all_has_changed_it_is_refused() -> None:
    story, incident_id = attacked(four_eyes=NOBODY)
    version = seen(story, "incident", incident_id)
    assert outcome(say(story, "ana", "confirm", "a")).startswith("decided")
    assert outcome(say(story, "lea", "reopen", "a")).startswith("decided")
    story.tell("tick")
    told = outcome(incident_says(story, "ana", "confirm", incident_id, seen_version=version))
    assert told.startswith("refused") and f"1 mark(s) that came or changed since version {version} are left" in told
    assert outcome(incident_says(story, "ana", "confirm", incident_id)).startswith("decided")


def test_an_incident_that_was_decided_about_is_published_at_once() -> None:
    story, incident_id = attacked(four_eyes=NOBODY)
    told = incident_says(story, "ana", "confirm", incident_id)
    [published] = [record for record in told if record["topic"] == "incidents"]
    assert published["version"] == seen(story, "incident", incident_id)
    assert "1 mark(s) with owner exchange" in outcome(incident_says(story, "ana", "change_owner", incident_id, argument="exchange"))


def test_what_a_page_shows_is_seen_though_the_verdict_follows_it_in_the_same_entry() -> None:
    story = begun(four_eyes=NOBODY)
    story.tell("withdrawals withdrawal_id=a status=requested amount=2 balance_before=1")
    story.tell("withdrawals withdrawal_id=a status=failed amount=2")  # nothing left, and its mark is given back
    told = story.tell("withdrawals withdrawal_id=a status=broadcast tx_id=t amount=2")  # it did leave: the page comes before the verdict
    [paged, verdict] = [record for record in told if record["topic"] in ("incidents", "verdicts")]
    assert (paged["topic"], verdict["too_late"]) == ("incidents", True)
    assert outcome(incident_says(story, "ana", "confirm", str(paged["incident_id"]), seen_version=paged["version"])).startswith("decided")
    assert stage(story, "withdrawal:a") == "confirmed"


def test_the_second_person_approves_what_the_first_saw_and_no_more() -> None:
    story, incident_id = attacked()
    for name in "bc":
        redirected(story, name)
    story.tell("tick")
    say(story, "ana", "confirm", "a")
    story.tell("tick")
    assert outcome(incident_says(story, "lea", "compensated", incident_id)).startswith("awaits-second")
    for name in "bc":
        say(story, "ana", "confirm", name)
    story.tell("tick")
    told = incident_says(story, "leo", "compensated", incident_id)
    assert outcome(told).startswith("decided") and "1 mark(s) compensated; 2 mark(s) that came or changed" in outcome(told)
    assert [stage(story, f"withdrawal:{name}") for name in "abc"] == ["compensated", "confirmed", "confirmed"]


def test_what_the_first_saw_and_changed_since_is_left() -> None:
    story, incident_id = attacked()
    redirected(story, "b")
    story.tell("tick")
    incident_says(story, "ana", "confirm", incident_id)
    story.tell("tick")
    [first] = incident_says(story, "lea", "compensated", incident_id)
    say(story, "ana", "change_owner", "b", argument="exchange")
    story.tell("tick")
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    assert "1 mark(s) compensated; 1 mark(s)" in outcome(incident_says(story, "leo", "compensated", incident_id))
    assert [stage(story, f"withdrawal:{name}") for name in "ab"] == ["compensated", "confirmed"]
    told = incident_says(story, "leo", "compensated", incident_id, approves=first["event_id"])
    assert "no decision" in outcome(told)  # an approval is used once


def test_where_nothing_is_left_of_what_the_first_saw_the_approval_is_void() -> None:
    story, incident_id = attacked()
    say(story, "ana", "confirm", "a")
    story.tell("tick")
    [first] = incident_says(story, "lea", "compensated", incident_id)
    say(story, "ana", "change_owner", "a", argument="exchange")
    story.tell("tick")
    told = incident_says(story, "leo", "compensated", incident_id)
    assert "what lea approved on version 3 counts no more" in outcome(told)
    assert [(record["what"], record["event_id"]) for record in told if record["topic"] == "audit"][1:] == [("void", first["event_id"])]
    assert stage(story, "withdrawal:a") == "confirmed"
    assert outcome(incident_says(story, "leo", "compensated", incident_id)).startswith("awaits-second")


def test_the_older_of_two_views_counts() -> None:
    story, incident_id = attacked(four_eyes=FourEyes(commands=("confirm",)))
    version = seen(story, "incident", incident_id)
    redirected(story, "b")
    story.tell("tick")
    incident_says(story, "ana", "confirm", incident_id)
    assert "1 mark(s) confirmed" in outcome(incident_says(story, "ben", "confirm", incident_id, seen_version=version))
    assert [stage(story, f"withdrawal:{name}") for name in "ab"] == ["confirmed", "suspected"]


def test_a_hold_that_joined_later_or_has_new_reasons_is_not_released() -> None:
    story = begun()
    for name in "ab":
        story.tell(f"withdrawals withdrawal_id={name} status=requested amount=5 balance_before=1 address=shop account_id=x")
    incident_id = story.engine.state.marks.by_id["withdrawal:a"].incident_id
    story.tell("tick")
    assert outcome(incident_says(story, "lea", "release", incident_id)).startswith("awaits-second")
    story.tell("withdrawals withdrawal_id=c status=requested amount=5 balance_before=1 address=shop account_id=x")
    story.tell("withdrawals withdrawal_id=b status=approved amount=6 balance_before=1 address=shop account_id=x")  # another amount: held for that too
    story.tell("tick")
    known = story.engine.state.withdrawals.by_id
    assert known["b"].version > 1
    assert outcome(incident_says(story, "leo", "release", incident_id)).startswith("decided")
    assert [known[name].verdict for name in "abc"] == ["CLEAR", "HOLD", "HOLD"]
    assert [stage(story, f"withdrawal:{name}") for name in "abc"] == ["cleared", "suspected", "suspected"]


@pytest.mark.parametrize(("command", "between"), [("compensated", "change_owner"), ("recovered", "change_cause"), ("clear", "confirm")])
def test_of_a_withdrawal_every_change_of_a_mark_parts_the_two(command: Command, between: Command) -> None:
    story = begun(four_eyes=FourEyes(commands=(command,)))
    redirected(story)
    if command != "clear":
        say(story, "ana", "confirm", "w")
    amount = {"amount": "0.5"} if command == "recovered" else {}
    assert outcome(say(story, "lea", command, "w", **amount)).startswith("awaits-second")
    changes = {"change_owner": {"argument": "exchange"}, "change_cause": {"argument": "system_failure"}}.get(between, {})
    assert outcome(say(story, "ana", between, "w", **changes)).startswith("decided")
    told = say(story, "leo", command, "w", **amount)
    assert outcome(told).startswith("refused") and "counts no more" in outcome(told)
    assert stage(story) == "confirmed"


def test_of_a_withdrawal_an_old_version_is_stale_when_a_mark_of_it_changed() -> None:
    story = begun(four_eyes=NOBODY)
    redirected(story)
    version = seen(story, "withdrawal", "w")
    say(story, "ana", "confirm", "w")
    assert "was made on version" in outcome(say(story, "ben", "clear", "w", seen_version=version))
    assert stage(story) == "confirmed"


def test_a_closing_is_stale_when_more_is_marked_than_the_person_saw() -> None:
    story, incident_id = attacked(four_eyes=NOBODY)
    version = seen(story, "incident", incident_id)
    redirected(story, "b")
    story.tell("tick")
    told = outcome(incident_says(story, "lea", "close", incident_id, argument="inconclusive", seen_version=version))
    assert told.startswith("refused") and f"a mark of it came or grew since version {version}" in told
    assert outcome(incident_says(story, "lea", "close", incident_id, argument="inconclusive")).startswith("decided")


def test_a_closing_that_is_proposed_comes_to_nothing_when_more_is_marked() -> None:
    story, incident_id = attacked()
    incident: Any = story.engine.state.incidents.by_id[incident_id]
    incident_says(story, "lea", "close", incident_id, argument="inconclusive")
    version = seen(story, "incident", incident_id)
    assert incident.stage == "pending_closure"
    redirected(story, "b", "5000000")
    assert (incident.stage, incident.outcome) == ("acknowledged", None)
    assert "was made on version" in outcome(incident_says(story, "leo", "close", incident_id, argument="inconclusive", seen_version=version))
    story.tell("tick")
    assert "what lea approved on version" in outcome(incident_says(story, "leo", "close", incident_id, argument="inconclusive"))
    assert incident.stage == "acknowledged"


def test_what_carries_a_mark_is_no_change_of_it() -> None:
    story, incident_id = attacked(four_eyes=NOBODY)
    redirected(story, "b", "1000")  # uncovered, mostly
    story.tell("tick")
    version = seen(story, "incident", incident_id)
    before = story.engine.state.marks.by_id["withdrawal:b"].version
    story.tell("reserves layer_id=reserve unit=JPY amount=5000000")
    assert story.engine.state.marks.by_id["withdrawal:b"].version == before + 1
    assert "2 mark(s) confirmed:" in outcome(incident_says(story, "ana", "confirm", incident_id, seen_version=version))
