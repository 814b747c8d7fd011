"""What each command may be about and leaves behind, where its plan refuses, and how outcomes are counted; beside the stories of `test_decided`."""

from typing import Any

import pytest
from msgspec.structs import replace

from monitor.plans import PlanBrokenError
from monitor.policy import FourEyes
from tests.simulation.journals import START_MS
from tests.unit.story import Story
from tests.unit.test_decided import ALL, actors, begun, outcome, redirected, say, stage, state_of

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
        assert outcome(say(story, "robot", command, incident_id, "incident", **changes)).startswith("decided: "), command
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
    say(story, "lea", "compensated", "v")
    story.now_ms += 59_000
    story.tell("tick")
    assert story.engine.state.totals.decisions == {"decided": 2, "awaits-second": 2, "refused": 2, "expired": 2}


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
    marks = story.engine.state.marks
    say(story, "lea", "recovered", "w", amount="0.5")
    say(story, "lea", "compensated", "w")  # all of it came back: nothing is paid
    for name in ("w", "v"):  # both turn out to be larger
        mark = marks.by_id[f"withdrawal:{name}"]
        marks.hold(replace(mark.subject, amount_minor=2 * mark.subject.amount_minor), mark.cause, mark.incident_id, story.now_ms)
        assert "no mark of it can be cleared (suspected)" in outcome(say(story, "ana", "clear", f"withdrawal:{name}", "mark"))


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


def test_of_what_is_cleared_nothing_is_changed_and_nothing_comes_back() -> None:
    story = begun(four_eyes=ALONE)
    redirected(story)
    say(story, "ana", "clear", "w")
    for command, changes, why in (
        ("clear", {}, "no mark of it can be cleared (cleared)"),  # said once, heard once
        ("change_cause", {"argument": "undecided"}, "no mark of it stands with another cause than undecided (cleared)"),
        ("change_owner", {"argument": "exchange"}, "no mark of it stands as another's than exchange's (cleared)"),
        ("recovered", {"amount": "1"}, "it is cleared: only a loss that is confirmed comes back"),
    ):
        assert why in outcome(say(story, "ana" if command != "recovered" else "lea", command, "w", **changes)), command


def test_what_is_not_held_is_not_released() -> None:
    story = begun(four_eyes=ALONE)
    story.tell("withdrawals status=requested")
    assert story.engine.state.withdrawals.by_id["w"].verdict == "CLEAR"
    assert "nothing of it is held that hasn't left already" in outcome(say(story, "lea", "release", "w"))


def test_what_comes_back_is_of_one_mark_and_no_more_than_is_gone() -> None:
    story = begun(four_eyes=ALONE)
    story.tell("withdrawals withdrawal_id=w status=requested")
    assert "it must be about one mark; this has 0" in outcome(say(story, "lea", "recovered", "w", amount="1"))
    story.tell("outflows withdrawal_id=w tx_id=t address=thief")
    say(story, "ana", "confirm", "w")
    assert "more than is still gone" in outcome(say(story, "lea", "recovered", "w", amount="1.00000001"))
    assert outcome(say(story, "lea", "recovered", "withdrawal:w", "mark", amount="0.75")).startswith("decided: ")
    assert "more than is still gone" in outcome(say(story, "lea", "recovered", "withdrawal:w", "mark", amount="0.25000001"))
    assert "1 mark(s): 0.25 BTC came back" in outcome(say(story, "lea", "recovered", "withdrawal:w", "mark", amount="0.25"))
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
    assert outcome(say(story, "ana", "confirm", mark_id, "mark")).startswith("decided: ")
    assert outcome(say(story, "lea", "reopen", mark_id, "mark")).startswith("decided: ") and stage(story, mark_id) == "suspected"
    assert outcome(say(story, "ana", "confirm", incident_id, "incident")).startswith("decided: ")
    assert [record["version"] for record in say(story, "ana", "clear", mark_id, "mark") if record["topic"] == "marks"] == [5]
    assert outcome(say(story, "lea", "reopen", mark_id, "mark")).startswith("decided: ") and stage(story, mark_id) == "suspected"


def test_a_merged_incident_is_decided_about_by_the_name_of_the_other() -> None:
    story = begun()
    for name, wallet, to in (("w1", "h1", "x"), ("w2", "h2", "y"), ("w3", "h1", "y")):
        story.tell(f"withdrawals withdrawal_id={name} account_id=a-{name} status=requested wallet_id={wallet} address=home-{name}")
        story.tell(f"outflows withdrawal_id={name} tx_id=t-{name} address={to} wallet_id={wallet}")
    [merged] = [one for one in story.engine.state.incidents.by_id.values() if one.stage == "merged"]
    for command in ("acknowledge", "note", "confirm"):
        told = outcome(say(story, "ana", command, merged.incident_id, "incident"))
        assert told.startswith("refused: ") and f"is part of incident {merged.merged_into}: decide on that" in told
    assert "3 mark(s)" in outcome(say(story, "ana", "confirm", str(merged.merged_into), "incident"))


@pytest.mark.parametrize(
    ("state", "command", "changes", "why"),
    [
        ("acknowledged", "acknowledge", {}, "is acknowledged"),
        ("closed", "acknowledge", {}, "is closed"),
        ("closed", "assign", {"argument": "ben"}, "is closed"),
        ("new", "assign", {}, "the argument must name whom it is assigned to"),
        ("new", "assign", {"argument": ""}, "the argument must name whom it is assigned to"),
        ("new", "set_clock", {"argument": "halted"}, "time_ms must say when it was"),
        ("new", "set_clock", {"time_ms": START_MS}, "from people, not "),
        ("new", "set_clock", {"argument": "paged", "time_ms": START_MS}, "from people, not paged"),
        ("new", "set_clock", {"argument": "halted", "time_ms": START_MS + 86_400_000}, "is still to come"),
        ("closed", "set_clock", {"argument": "halted", "time_ms": START_MS}, "is before the incident's first event"),
        ("closed", "close", {"argument": "test"}, "is closed"),
        ("new", "close", {}, "the argument must be one of confirmed_unauthorized, "),
        ("new", "close", {"argument": "merged"}, "the argument must be one of confirmed_unauthorized, "),
        ("new", "reopen", {}, "is new"),
    ],
)
def test_what_an_incident_refuses(state: str, command: str, changes: dict[str, Any], why: str) -> None:
    story = begun(four_eyes=ALONE)
    redirected(story)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    if state == "acknowledged":
        say(story, "ana", "acknowledge", incident_id, "incident")
    elif state == "closed":
        say(story, "lea", "close", incident_id, "incident", argument="inconclusive")
    assert story.engine.state.incidents.by_id[incident_id].stage == state
    before = state_of(story)
    told = outcome(say(story, "lea", command, incident_id, "incident", **changes))
    assert told.startswith("refused: ") and why in told
    assert state_of(story) == before


def test_what_was_done_to_an_incident_is_said_and_published() -> None:
    story = begun(four_eyes=ALONE)
    redirected(story)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    at_ms = story.now_ms
    for command, changes, told, after in (
        ("acknowledge", {}, "acknowledged", "acknowledged"),
        ("assign", {"argument": "ben"}, "assigned to ben", "investigating"),
        ("note", {}, "noted", "investigating"),
        ("set_clock", {"argument": "halted", "time_ms": at_ms}, f"halted at {at_ms}", "investigating"),
        ("close", {"argument": "inconclusive"}, "closed as inconclusive", "closed"),
        ("note", {}, "noted", "closed"),
        ("set_clock", {"argument": "police_told", "time_ms": at_ms}, f"police_told at {at_ms}", "closed"),
        ("reopen", {}, "open again", "investigating"),
    ):
        records = say(story, "lea", command, incident_id, "incident", **changes)
        assert outcome(records) == f"decided: {command} of incident {incident_id} by lea: {told}: looked at it"
        assert [record["state"] for record in records if record["topic"] == "incidents"] == [after], command
    sheet = story.engine.state.incidents.by_id[incident_id].clock
    assert (sheet.halted_at_ms, sheet.police_told_at_ms) == (at_ms, at_ms)


def test_rules_and_policies_have_no_versions() -> None:
    story = begun()
    wanted = {"argument": "wallet:hot", "time_ms": story.now_ms + 60_000, "seen_version": 1}
    assert "it was made on version 1, the present one is 0 (a rule)" in outcome(say(story, "ana", "snooze", "sent_again", "rule", **wanted))
    story = Story(actors=actors("adam", "eve"))
    assert "it was made on version 1, the present one is 0 (a policy)" in outcome(
        say(story, "adam", "change_policy", "0" * 64, "policy", seen_version=1)
    )


def test_a_word_on_a_mark_or_an_incident_is_one_on_its_withdrawals() -> None:
    story = begun(four_eyes=ALONE)
    redirected(story)
    labels, incidents = story.engine.state.labels.by_id, story.engine.state.incidents.by_id
    say(story, "ana", "confirm", "withdrawal:w", "mark")
    ana, ben, lea = (ALL[name].public_key for name in ("ana", "ben", "lea"))
    assert labels["w"].votes == {ana: "confirm"}
    [incident] = incidents.values()
    incident.withdrawals.clear()  # as one beyond the limit of what incidents name
    say(story, "ben", "confirm", incident.incident_id, "incident")
    assert labels["w"].votes == {ana: "confirm", ben: "confirm"}
    say(story, "lea", "compensated", "w")
    assert "0 mark(s) confirmed" in outcome(say(story, "lea", "confirm", "w"))  # who agrees with what was paid is heard too
    assert list(labels["w"].votes) == [ana, ben, lea]


def test_who_has_said_it_of_one_of_two_withdrawals_is_heard_on_both() -> None:
    story = begun(four_eyes=ALONE)
    for name, actor in (("w", "ana"), ("v", "ben")):
        redirected(story, name)
        say(story, actor, "confirm", name)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    assert "0 mark(s) confirmed" in outcome(say(story, "ana", "confirm", incident_id, "incident"))
    ana, ben = (ALL[name].public_key for name in ("ana", "ben"))
    assert {name: list(label.votes) for name, label in story.engine.state.labels.by_id.items()} == {"w": [ana], "v": [ben, ana]}
    assert "no mark of it is suspected (confirmed)" in outcome(say(story, "ana", "confirm", incident_id, "incident"))


def test_what_was_never_scored_keeps_nobody_from_a_word_on_the_others() -> None:
    story = begun(four_eyes=ALONE)
    story.tell("withdrawals withdrawal_id=u status=broadcast tx_id=t-u account_id=a-u")
    story.tell("outflows withdrawal_id=u tx_id=t-u address=thief")
    redirected(story, "w")
    [incident_id] = story.engine.state.incidents.by_id
    say(story, "ana", "confirm", incident_id, "incident")
    assert {mark.stage for mark in story.engine.state.marks.by_id.values()} == {"confirmed"}
    assert list(story.engine.state.labels.by_id) == ["w"]
    assert "no mark of it is suspected (confirmed)" in outcome(say(story, "ben", "confirm", "u"))  # the detectors couldn't learn it
    story.engine.state.withdrawals.by_id.pop("w")  # as one that is forgotten
    assert "no mark of it is suspected (confirmed)" in outcome(say(story, "ben", "confirm", incident_id, "incident"))
    assert "nothing of it is held that hasn't left already" in outcome(say(story, "lea", "release", incident_id, "incident"))


def test_what_has_left_is_not_released_with_the_rest_of_its_incident() -> None:
    story = begun(four_eyes=ALONE)
    redirected(story)
    story.tell("withdrawals withdrawal_id=v status=requested account_id=a-v")
    story.tell("withdrawals withdrawal_id=v status=signed account_id=a-v address=thief")
    [incident_id] = story.engine.state.incidents.by_id
    assert "1 withdrawal(s) released, 1 mark(s) cleared" in outcome(say(story, "lea", "release", incident_id, "incident"))
    assert (stage(story), stage(story, "withdrawal:v")) == ("suspected", "cleared")


def test_a_plan_that_does_not_hold_stops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    story = begun(four_eyes=ALONE)
    redirected(story)
    monkeypatch.setattr(story.engine.state.marks, "confirm", lambda _: "it can't be")
    with pytest.raises(PlanBrokenError, match="the plan found mark withdrawal:w fit, and it is refused: it can't be"):
        say(story, "ana", "confirm", "w")
    story = begun(four_eyes=ALONE)
    redirected(story)
    [incident_id] = story.engine.state.incidents.by_id
    monkeypatch.setattr(story.engine.events.decided.commands.incidents.handling, "acknowledge", lambda *_: "it can't be")
    with pytest.raises(PlanBrokenError, match=f"the plan found incident {incident_id} fit, and it is refused: it can't be"):
        say(story, "ana", "acknowledge", incident_id, "incident")
