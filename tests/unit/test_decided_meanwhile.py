"""What people decided, and what comes after: a fact that contradicts it, or another decision that parts the two who would close an incident."""

from typing import Any

import pytest

from monitor.engine import Engine
from monitor.policy import FourEyes
from monitor.snapshot_file import decode, encode
from tests.unit.story import Story
from tests.unit.test_decided import begun, outcome, redirected, say, stage

HELD = "withdrawals status=requested amount=5 balance_before=1"
ALONE = FourEyes(commands=("close",))


def notices(records: list[Any]) -> list[Any]:
    """Alerts that a fact contradicts what was decided."""
    return [record for record in records if record["topic"] == "alerts" and record["why"] == "contradicted"]


def incident_of(story: Story) -> Any:
    return story.engine.state.incidents.by_id[story.engine.state.marks.by_id["withdrawal:w"].incident_id]


# --- a loss that never left ---


@pytest.mark.parametrize(("status", "words"), [("failed", "withdrawal w failed"), ("cancelled", "withdrawal w was cancelled")])
def test_a_confirmed_loss_that_never_left_stays_and_people_are_told(status: str, words: str) -> None:
    story = begun(four_eyes=ALONE)
    story.tell(HELD)
    say(story, "ana", "confirm", "w")
    told = story.tell(f"withdrawals status={status} amount=5")
    assert not [record for record in told if record["topic"] == "marks"]
    detail = f"Mark withdrawal:w is confirmed, but {words} before it left: clear it, or find out what else is wrong."
    assert [(record["what"], record["subject_id"], record["detail"]) for record in told if record["topic"] == "audit"] == [
        ("contradicted", "withdrawal:w", detail)
    ]
    [notice] = notices(told)
    assert (notice["kind"], notice["incident_id"]) == ("notice", incident_of(story).incident_id)
    assert notice["summary"].startswith(f"{detail} ")
    assert [(line.what, line.detail) for line in incident_of(story).timeline[-1:]] == [("contradicted", detail)]
    assert story.engine.state.marks.total.marked_base_minor == 5_000
    assert notices(story.tell(f"withdrawals status={status} amount=5")) == []  # told once
    assert outcome(say(story, "ana", "clear", "w")).startswith("decided")
    assert story.engine.state.marks.total.marked_base_minor == 0


def test_what_came_back_or_was_compensated_contradicts_it_as_well() -> None:
    story = begun(four_eyes=ALONE)
    story.tell(HELD)
    say(story, "ana", "confirm", "w")
    say(story, "lea", "recovered", "w", amount="1")
    assert len(notices(story.tell("withdrawals status=failed amount=5"))) == 1
    say(story, "lea", "compensated", "w")
    story.tell("withdrawals status=approved amount=5")
    [notice] = notices(story.tell("withdrawals status=failed amount=5"))
    assert notice["summary"].startswith("Mark withdrawal:w is compensated, but")


def test_what_is_only_suspected_or_cleared_is_given_back_and_nobody_is_told() -> None:
    story = begun(four_eyes=ALONE)
    story.tell(HELD)
    assert notices(story.tell("withdrawals status=failed amount=5")) == []
    assert stage(story) == "cleared"
    assert notices(story.tell("withdrawals status=cancelled amount=5")) == []


def test_what_left_all_the_same_contradicts_nothing() -> None:
    story = begun(four_eyes=ALONE)
    story.tell(HELD)
    say(story, "ana", "confirm", "w")
    story.tell("withdrawals status=broadcast amount=5 tx_id=t")
    assert notices(story.tell("withdrawals status=failed amount=5")) == []
    assert stage(story) == "confirmed"


def test_another_asset_that_was_to_be_paid_is_given_back_too_and_an_outflow_never() -> None:
    story = begun(four_eyes=ALONE)
    told = story.tell("outflows withdrawal_id=w tx_id=t amount=1")
    told += [record for _ in range(4) for record in story.tell("progress")]
    [outflow] = [record["mark_id"] for record in told if record["topic"] == "marks"]
    story.tell("withdrawals status=requested")
    story.tell("withdrawals status=signed asset=ETH amount=3")
    marks = story.engine.state.marks.by_id
    assert marks["withdrawal:w:ETH"].stage == "suspected"
    story.tell("withdrawals status=failed")
    assert (marks["withdrawal:w:ETH"].stage, marks[str(outflow)].stage) == ("cleared", "suspected")


def test_a_contradiction_parts_two_who_would_close_the_incident() -> None:
    story = begun(four_eyes=ALONE)
    story.tell(HELD)
    say(story, "ana", "confirm", "w")
    incident = incident_of(story)
    say(story, "lea", "close", incident.incident_id, "incident", argument="confirmed_system_failure")
    story.tell("withdrawals status=failed amount=5")
    assert incident.stage == "acknowledged"
    assert "approved on version" in outcome(say(story, "leo", "close", incident.incident_id, "incident", argument="confirmed_system_failure"))


# --- a closing that can't be seconded any more ---


def test_a_closing_that_another_decision_makes_stale_is_taken_back_at_once() -> None:
    story = begun()
    story.tell(HELD)
    incident = incident_of(story)
    say(story, "ana", "acknowledge", incident.incident_id, "incident")
    say(story, "lea", "close", incident.incident_id, "incident", argument="inconclusive")
    told = say(story, "ana", "set_clock", incident.incident_id, "incident", argument="halted", time_ms=story.now_ms)
    [published] = [record for record in told if record["topic"] == "incidents"]
    assert (published["state"], published["outcome"]) == ("acknowledged", None)
    lines = [(line["what"], line["detail"]) for line in published["timeline"][-2:]]
    assert lines[0] == ("closure_withdrawn", "its clock sheet was filled in meanwhile")
    assert lines[1][0] == "clock_set"
    # The stale one is refused, asked for again, and then it takes two as ever.
    assert "approved on version" in outcome(say(story, "leo", "close", incident.incident_id, "incident", argument="inconclusive"))
    assert outcome(say(story, "leo", "close", incident.incident_id, "incident", argument="inconclusive")).startswith("awaits-second")
    assert incident.stage == "pending_closure"
    assert outcome(say(story, "lea", "close", incident.incident_id, "incident", argument="inconclusive")).startswith("decided")


def test_the_stale_one_s_end_doesnt_take_back_what_was_proposed_since() -> None:
    story = begun(four_eyes=FourEyes(within_ms=30_000))
    story.tell(HELD)
    incident = incident_of(story)
    say(story, "lea", "close", incident.incident_id, "incident", argument="inconclusive")
    say(story, "ana", "assign", incident.incident_id, "incident", argument="ben")
    assert (incident.stage, incident.assignee) == ("investigating", "ben")
    story.now_ms += 15_000
    say(story, "leo", "close", incident.incident_id, "incident", argument="confirmed_system_failure")
    story.now_ms += 15_000
    assert [record["what"] for record in story.tell("tick") if record.get("event_id")] == ["expired"]
    assert incident.stage == "pending_closure"
    story.now_ms += 15_000
    story.tell("tick")
    assert (incident.stage, incident.outcome) == ("investigating", None)


def test_what_it_goes_back_to_survives_a_restart() -> None:
    story = begun(four_eyes=FourEyes(within_ms=30_000))
    story.tell(HELD)
    say(story, "lea", "close", incident_of(story).incident_id, "incident", argument="inconclusive")
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    story.now_ms += 35_000
    story.tell("tick")
    assert incident_of(story).stage == "acknowledged"


# --- a merge makes no decision stale but a closing ---


def merge(story: Story, name: str, address: str = "thief") -> None:
    """Two requests of dust, the second of which ties the first's incident to that of the address."""
    merged = story.engine.state.incidents.counts.merged
    for number, to in enumerate((f"h{name}", address)):
        story.tell(f"withdrawals withdrawal_id={name}{number} status=requested amount=0.00002 balance_before=0.00001 account_id=e{name} address={to}")
    assert story.engine.state.incidents.counts.merged == merged + 1


@pytest.mark.parametrize("command", ["acknowledge", "assign", "note", "confirm", "clear", "change_cause"])
def test_a_merge_makes_no_decision_stale_and_what_it_brought_is_left(command: str) -> None:
    story = begun(four_eyes=FourEyes(commands=(), above_base_amount="1000000000"))
    redirected(story, "w")
    incident = incident_of(story)
    story.tell("tick")
    version = incident.version
    merge(story, "m")
    argument = {"assign": "ben", "change_cause": "system_failure"}.get(command)
    told = outcome(say(story, "lea", command, incident.incident_id, "incident", argument=argument, seen_version=version))
    assert told.startswith("decided"), told
    left = command not in ("acknowledge", "assign", "note")
    assert ("2 mark(s) that came or changed since version" in told) == left
    marks = story.engine.state.marks.by_id
    assert {(marks[f"withdrawal:m{number}"].stage, marks[f"withdrawal:m{number}"].cause) for number in range(2)} == {("suspected", "system_failure")}


def test_a_merge_voids_nothing_that_waits_but_a_closing() -> None:
    story = begun(four_eyes=FourEyes(commands=("compensated", "close")))
    redirected(story, "w")
    incident = incident_of(story)
    say(story, "ana", "confirm", "w")
    story.tell("tick")
    assert outcome(say(story, "lea", "compensated", incident.incident_id, "incident")).startswith("awaits-second")
    merge(story, "m")
    assert outcome(say(story, "leo", "compensated", incident.incident_id, "incident")).startswith("decided")
    assert stage(story) == "compensated"
    assert outcome(say(story, "lea", "close", incident.incident_id, "incident", argument="confirmed_unauthorized")).startswith("awaits-second")
    merge(story, "n")
    assert incident.stage != "pending_closure"
    told = outcome(say(story, "leo", "close", incident.incident_id, "incident", argument="confirmed_unauthorized"))
    assert told.startswith("refused") and "a mark of it came or grew" in told
