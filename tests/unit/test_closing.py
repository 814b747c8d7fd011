"""What an incident may be closed as while its marks stand, what its clock sheet waits for afterwards, and who may correct it."""

from typing import Any

import pytest

from monitor.policy import FourEyes
from tests.unit.story import Story
from tests.unit.test_decided import begun, outcome, redirected, say

ALONE = FourEyes(commands=(), above_base_amount="1000000000000")


def close(story: Story, incident_id: str, as_what: str) -> str:
    return outcome(say(story, "lea", "close", incident_id, "incident", argument=as_what))


@pytest.mark.parametrize(
    ("stages", "causes", "as_what", "why"),
    [
        (["confirmed"], [], "test", "1 mark(s) of it are confirmed, with cause unauthorized_access: close it as confirmed_unauthorized, or reopen"),
        (["confirmed"], [], "inconclusive", "close it as confirmed_unauthorized, or"),
        (["confirmed"], [], "confirmed_system_failure", "close it as confirmed_unauthorized, or"),
        (["confirmed"], [], "confirmed_unauthorized", None),
        (["confirmed"], ["undecided"], "inconclusive", None),
        (["confirmed"], ["undecided"], "customers_own_act", "close it as confirmed_unauthorized or confirmed_system_failure or inconclusive"),
        (["confirmed", "confirmed"], ["system_failure"], "confirmed_system_failure", None),
        (["confirmed", "confirmed"], ["undecided"], "inconclusive", "close it as confirmed_unauthorized or confirmed_system_failure, or"),
        (["partly_recovered"], [], "own_treasury_move", "are confirmed"),
        (["compensated"], [], "test", "are confirmed"),
        (["suspected"], [], "test", "1 mark(s) of it are suspected: clear them first, or close it as inconclusive"),
        (["suspected"], [], "customers_own_act", "are suspected"),
        (["suspected"], [], "own_treasury_move", "are suspected"),
        (["suspected"], [], "inconclusive", None),
        (["suspected"], [], "confirmed_system_failure", None),
        (["confirmed", "suspected"], [], "confirmed_unauthorized", None),
        (["cleared"], [], "test", None),
    ],
)
def test_an_incident_is_closed_as_what_its_marks_say(stages: list[str], causes: list[str], as_what: str, why: str | None) -> None:
    story = begun(four_eyes=ALONE)
    for number, stage in enumerate(stages):
        incident_id = redirected(story, f"w{number}")["incident_id"]
        ways: dict[str, list[tuple[str, dict[str, Any]]]] = {
            "suspected": [], "confirmed": [("confirm", {})], "cleared": [("clear", {})], "compensated": [("confirm", {}), ("compensated", {})],
            "partly_recovered": [("confirm", {}), ("recovered", {"amount": "0.5"})],
        }  # fmt: skip
        for command, changes in ways[stage]:
            assert outcome(say(story, "lea", command, f"w{number}", **changes)).startswith("decided")
        for cause in causes[number : number + 1]:
            assert outcome(say(story, "lea", "change_cause", f"w{number}", argument=cause)).startswith("decided")
    told = close(story, incident_id, as_what)
    assert told.startswith("refused") and why in told if why else told.startswith("decided"), told


def test_what_one_was_told_and_the_other_wasnt_is_refused_to_the_second() -> None:
    story = begun()
    incident_id = redirected(story)["incident_id"]
    say(story, "ana", "clear", "w")
    assert close(story, incident_id, "test").startswith("awaits-second")
    redirected(story, "v")
    assert outcome(say(story, "leo", "close", incident_id, "incident", argument="test")).startswith("refused")


def test_a_loss_is_certain_in_no_incident_that_was_closed_as_none() -> None:
    story = begun(four_eyes=ALONE)
    incident_id = redirected(story)["incident_id"]
    close(story, incident_id, "inconclusive")
    assert f"incident {incident_id} is closed as inconclusive: reopen it first" in outcome(say(story, "ana", "confirm", "w"))
    assert outcome(say(story, "ana", "change_cause", "w", argument="undecided")).startswith("decided")
    assert outcome(say(story, "ana", "confirm", "w")).startswith("decided")  # that it is of an unknown cause, the closing says


def test_a_closing_ends_no_clock_while_marks_stand() -> None:
    story = begun(four_eyes=ALONE)
    incident_id = redirected(story)["incident_id"]
    close(story, incident_id, "inconclusive")
    incident = story.engine.state.incidents.by_id[incident_id]
    assert [due.target for due in incident.due(story.engine.state.policy.clock_targets)] == [
        "halted", "regulator_told", "police_told", "customers_told",
    ]  # fmt: skip
    alerts = [record for _ in range(100) for record in told_later(story) if record["topic"] == "alerts" and record["incident_id"] == incident_id]
    assert [alert["why"] for alert in alerts] == ["clock_missed"] and "halted" in str(alerts[0]["summary"])
    say(story, "ana", "clear", "w")
    assert incident.due(story.engine.state.policy.clock_targets) == () and story.engine.state.incidents.due_ms == {}


def told_later(story: Story) -> list[dict[str, Any]]:
    story.now_ms += 20_000
    return [*story.tell("tick")]


def clock(story: Story, actor: str, incident_id: str, name: str, at_ms: int) -> str:
    return outcome(say(story, actor, "set_clock", incident_id, "incident", argument=name, time_ms=at_ms))


def test_what_was_told_is_corrected_by_two() -> None:
    story = begun()
    incident_id = redirected(story)["incident_id"]
    at_ms = story.now_ms
    assert clock(story, "ana", incident_id, "regulator_told", at_ms).startswith("decided")
    assert f"regulator_told is told as {at_ms} already" in clock(story, "ben", incident_id, "regulator_told", at_ms)
    assert clock(story, "ana", incident_id, "regulator_told", at_ms + 1).startswith("awaits-second")
    assert story.engine.state.incidents.by_id[incident_id].clock.regulator_told_at_ms == at_ms
    assert clock(story, "ana", incident_id, "halted", at_ms).startswith("decided")  # another time is told for the first time


def test_a_machine_tells_when_it_was_halted_and_nothing_else() -> None:
    story = begun()
    incident_id = redirected(story)["incident_id"]
    at_ms = story.now_ms
    for name in ("regulator_told", "police_told", "customers_told"):
        assert "a machine may tell when it was halted, once" in clock(story, "robot", incident_id, name, at_ms)
    assert clock(story, "robot", incident_id, "halted", at_ms).startswith("decided")
    assert "a machine may tell when it was halted, once" in clock(story, "robot", incident_id, "halted", at_ms + 1)


def test_notes_and_assignments_push_out_nothing_else() -> None:
    story = begun()
    incident_id = redirected(story)["incident_id"]
    clock(story, "ana", incident_id, "regulator_told", story.now_ms)
    before = [line.what for line in story.engine.state.incidents.by_id[incident_id].timeline]
    for _ in range(60):
        say(story, "robot", "note", incident_id, "incident")
        say(story, "robot", "assign", incident_id, "incident", argument="ana")
    after = [line.what for line in story.engine.state.incidents.by_id[incident_id].timeline]
    assert [what for what in after if what not in ("noted", "assigned")] == before
    assert len(after) == len(before) + 50
