"""What each command may be about and leaves behind, where its plan refuses, and how outcomes are counted; beside the stories of `test_decided`."""

from typing import Any

import pytest

from monitor.policy import FourEyes
from tests.unit.test_decided import begun, outcome, redirected, say, stage

ALONE = FourEyes(commands=())


def test_what_a_command_can_be_about() -> None:
    plans = begun().engine.events.decided.commands.plans
    losses, incident = ["incident", "withdrawal", "mark"], ["incident"]
    assert {command: list(about) for command, about in plans.items()} == {
        "acknowledge": incident, "assign": incident, "note": incident, "set_clock": incident, "close": incident, "reopen": losses, "confirm": losses,
        "clear": losses, "release": ["incident", "withdrawal"], "change_cause": losses, "change_owner": losses, "recovered": ["withdrawal", "mark"],
        "compensated": losses, "revise": ["withdrawal", "mark"], "move": ["mark"], "snooze": ["rule"], "change_policy": ["policy"],
    }  # fmt: skip


def test_a_machine_may_tell_people_what_it_did() -> None:
    story = begun()
    redirected(story)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    told: dict[str, dict[str, Any]] = {
        "acknowledge": {}, "note": {}, "assign": {"argument": "ana"}, "set_clock": {"argument": "halted", "time_ms": story.now_ms},
    }  # fmt: skip
    for command, changes in told.items():
        assert outcome(say(story, "robot", command, incident_id, "incident", **changes)).startswith("decided"), command
    assert "a machine may not decide it" in outcome(say(story, "robot", "close", incident_id, "incident", argument="test"))


def test_outcomes_are_counted_and_say_how_long_they_wait() -> None:
    story = begun(four_eyes=FourEyes(within_ms=60_000))
    redirected(story)
    say(story, "ana", "confirm", "w")
    assert "waits 1 min for a second person: looked at it" in outcome(say(story, "lea", "compensated", "w"))
    say(story, "lea", "compensated", "w", signer="ana")
    say(story, "leo", "recovered", "w", amount="0")
    story.now_ms += 59_000
    story.tell("tick")
    redirected(story, "v")
    say(story, "ana", "confirm", "v")
    assert story.engine.state.totals.decisions == {"decided": 2, "awaits-second": 1, "refused": 2, "expired": 1}


def test_nothing_that_came_back_or_was_paid_is_cleared() -> None:
    story = begun(four_eyes=ALONE)
    for name in ("w", "v"):
        redirected(story, name)
        say(story, "ana", "confirm", name)
    say(story, "lea", "recovered", "w", amount="0.5")
    say(story, "lea", "compensated", "v")
    say(story, "ana", "clear", "w")
    say(story, "ana", "clear", "v")
    assert (stage(story, "withdrawal:w"), stage(story, "withdrawal:v")) == ("partly_recovered", "compensated")
    assert "no mark of it can be cleared (compensated)" in outcome(say(story, "ana", "clear", "withdrawal:v", "mark"))


@pytest.mark.parametrize(
    ("command", "changes", "why"),
    [
        ("release", {}, "nothing of it is held that hasn't left already"),
        ("change_cause", {"argument": "unauthorized_access"}, "no mark of it stands with another cause than unauthorized_access (suspected)"),
        ("recovered", {"amount": "0.000000001"}, "above zero in units of BTC"),
        ("reopen", {}, "no mark of it was decided about (suspected)"),
    ],
)
def test_a_plan_refuses_what_would_change_nothing(command: str, changes: dict[str, Any], why: str) -> None:
    story = begun(four_eyes=ALONE)
    redirected(story)
    assert why in outcome(say(story, "lea", command, "w", **changes))


def test_what_comes_back_is_of_one_mark_and_no_more_than_is_gone() -> None:
    story = begun(four_eyes=ALONE)
    story.tell("withdrawals withdrawal_id=w status=requested")
    assert "it must be about one mark; this has 0" in outcome(say(story, "lea", "recovered", "w", amount="1"))
    story.tell("outflows withdrawal_id=w tx_id=t address=thief")
    say(story, "ana", "confirm", "w")
    assert "more than is still gone" in outcome(say(story, "lea", "recovered", "w", amount="1.00000001"))
    assert outcome(say(story, "lea", "recovered", "withdrawal:w", "mark", amount="1")).startswith("decided")
    assert stage(story) == "partly_recovered"


def test_a_cause_and_an_owner_are_of_the_incident_too_and_say_so() -> None:
    story = begun(four_eyes=ALONE)
    redirected(story)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    assert "1 mark(s) with cause system_failure" in outcome(say(story, "ana", "change_cause", incident_id, "incident", argument="system_failure"))
    assert story.engine.state.incidents.by_id[incident_id].cause == "system_failure"
    assert "1 mark(s) with owner exchange" in outcome(say(story, "ana", "change_owner", incident_id, "incident", argument="exchange"))
    mark = story.engine.state.marks.by_id["withdrawal:w"]
    assert (mark.cause, mark.subject.owner, mark.by_people, mark.version) == ("system_failure", "exchange", True, 3)


def test_a_mark_of_no_withdrawal_is_decided_about_by_its_name() -> None:
    story = begun(four_eyes=ALONE)
    story.tell("outflows tx_id=t address=thief amount=2")
    story.now_ms += 60_000
    story.tell("progress")
    [mark_id] = story.engine.state.marks.by_id
    incident_id = story.engine.state.marks.by_id[mark_id].incident_id
    assert outcome(say(story, "ana", "confirm", mark_id, "mark")).startswith("decided")
    assert outcome(say(story, "lea", "reopen", mark_id, "mark")).startswith("decided") and stage(story, mark_id) == "suspected"
    assert outcome(say(story, "ana", "confirm", incident_id, "incident")).startswith("decided")
    assert [record["version"] for record in say(story, "ana", "clear", mark_id, "mark") if record["topic"] == "marks"] == [5]
    assert outcome(say(story, "lea", "reopen", mark_id, "mark")).startswith("decided") and stage(story, mark_id) == "suspected"


def test_a_merged_incident_is_decided_about_by_the_name_of_the_other() -> None:
    story = begun()
    for name, wallet, to in (("w1", "h1", "x"), ("w2", "h2", "y"), ("w3", "h1", "y")):
        story.tell(f"withdrawals withdrawal_id={name} account_id=a-{name} status=requested wallet_id={wallet} address=home-{name}")
        story.tell(f"outflows withdrawal_id={name} tx_id=t-{name} address={to} wallet_id={wallet}")
    [merged] = [one for one in story.engine.state.incidents.by_id.values() if one.stage == "merged"]
    told = outcome(say(story, "ana", "acknowledge", merged.incident_id, "incident"))
    assert f"is part of incident {merged.merged_into}: decide on that" in told
    assert "3 mark(s)" in outcome(say(story, "ana", "confirm", str(merged.merged_into), "incident"))
