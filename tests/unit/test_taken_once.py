"""A signed decision is taken once: by the journal that it names, while it is valid, whoever sends it again; and the second names the first."""

import base64
from typing import Any

import msgspec
import pytest

from monitor import entries
from monitor.clock import Clock
from monitor.contracts.feedback import Feedback
from monitor.decision_ids import AHEAD_MS, SHARE, DecisionIds
from monitor.engine import Engine
from monitor.policy import FourEyes, Limits
from monitor.signatures import message
from monitor.snapshot_file import decode, encode
from monitor.version import ENGINE_VERSION
from tests.simulation.journals import policy
from tests.unit.story import Story
from tests.unit.test_decided import ALL, KEYS, actors, begun, outcome, redirected, say, seen, stage

HOUR_MS = 3_600_000
SMALL = Limits(event_ids=1024, withdrawals=1024)


def made(story: Story, actor: str, command: str, subject_id: str, subject: str = "withdrawal", **changes: Any) -> dict[str, Any]:
    """A signed decision, not yet sent."""
    story.now_ms += 1_000
    story.numbers += 1
    facts: dict[str, Any] = {
        "event_id": f"d{story.numbers}", "occurred_at_ms": story.now_ms, "journal_id": story.engine.journal_id, "subject": subject,
        "subject_id": subject_id, "command": command, "actor": actor, "reason": "looked at it", "seen_version": seen(story, subject, subject_id),
    } | changes  # fmt: skip
    facts["signature"] = base64.b64encode(KEYS[actor].sign(message(msgspec.convert(facts, Feedback)))).decode()
    return facts


def sent(story: Story, facts: dict[str, Any]) -> str:
    """Its outcome: what the fold says of it under its event id."""
    story.now_ms += 1_000
    records: list[dict[str, Any]] = [*story.feed(story.writer.event("feedback", facts, story.now_ms))]
    return outcome([record for record in records if record.get("event_id") == facts["event_id"]])


def traffic(story: Story) -> None:
    """More events than the table of event ids holds."""
    for _ in range(SMALL.event_ids + 10):
        story.tell("account-events action=login")


def recovered(story: Story) -> int:
    return story.engine.state.marks.by_id["withdrawal:w"].recovered_minor


def test_sent_again_it_has_no_second_effect_however_much_came_between() -> None:
    story = begun(limits=SMALL, four_eyes=FourEyes(commands=()))
    redirected(story, "w", "10")
    assert sent(story, made(story, "ana", "confirm", "w")).startswith("decided")
    facts = made(story, "lea", "recovered", "w", amount="1")
    assert sent(story, facts).startswith("decided")
    assert "changes nothing: a decision with that event_id was taken 1 s before" in sent(story, facts)
    traffic(story)
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    assert "was taken" in sent(story, facts)
    story.now_ms += 2 * HOUR_MS
    for _ in range(2):
        assert "a decision is valid for 3600 s" in sent(story, facts)
    assert recovered(story) == 10**8


def test_what_was_refused_doesnt_decide_later() -> None:
    story = begun(limits=SMALL)
    story.tell("withdrawals status=requested")
    facts = made(story, "lea", "recovered", "withdrawal:w", "mark", amount="1", seen_version=2)
    assert "isn't known" in sent(story, facts)
    redirected(story)
    say(story, "ana", "confirm", "w")
    assert seen(story, "mark", "withdrawal:w") == 2
    assert "was taken" in sent(story, facts)
    assert recovered(story) == 0


def test_an_old_clear_is_no_answer_to_two_who_reopened() -> None:
    story = begun(limits=SMALL)
    redirected(story, "w", "10")
    facts = made(story, "ana", "clear", "w")
    assert sent(story, facts).startswith("decided")
    say(story, "lea", "reopen", "w")
    say(story, "leo", "reopen", "w")
    traffic(story)
    assert sent(story, facts).startswith("refused")
    assert stage(story) == "suspected"


def test_what_is_signed_for_another_journal_counts_for_nothing() -> None:
    staging, production = begun(), begun(label_approvals=1)
    redirected(staging)
    redirected(production)
    facts = made(staging, "ana", "clear", "w")
    assert sent(staging, facts).startswith("decided")
    assert f"signed for another journal, {staging.engine.journal_id}" in sent(production, facts)
    assert "isn't signed" in sent(production, facts | {"journal_id": production.engine.journal_id})
    assert stage(production) == "suspected"


def test_what_was_withheld_is_too_old_and_what_is_to_come_too_early() -> None:
    story = begun(decision_valid_ms=10_000)
    redirected(story)
    old = made(story, "ana", "clear", "w")
    story.now_ms += 9_001
    assert "it was made 10 s before, and a decision is valid for 10 s" in sent(story, old)
    early = made(story, "ana", "clear", "w", occurred_at_ms=story.now_ms + 2_000 + AHEAD_MS + 1)
    assert "from now" in sent(story, early)
    assert stage(story) == "suspected"
    within = made(story, "ana", "clear", "w", occurred_at_ms=story.now_ms + 2_000 + AHEAD_MS)
    assert sent(story, within).startswith("decided")


def test_an_unsigned_copy_doesnt_take_the_id() -> None:
    story = begun()
    redirected(story)
    facts = made(story, "ana", "clear", "w")
    assert "isn't signed" in sent(story, facts | {"reason": "another"})
    assert sent(story, facts).startswith("decided")


def test_an_event_under_the_same_id_takes_nothing_from_a_decision() -> None:
    story = begun()
    redirected(story)
    facts = made(story, "ana", "clear", "w")
    story.tell(f"withdrawals withdrawal_id=v status=requested event_id={facts['event_id']}")
    assert sent(story, facts).startswith("decided")


def taken(ids: DecisionIds, event_id: str, now_ms: int, actor: str = "ana", made_ms: int | None = None, valid_ms: int = HOUR_MS) -> str | None:
    facts: dict[str, Any] = {
        "event_id": event_id, "occurred_at_ms": now_ms if made_ms is None else made_ms, "journal_id": "j", "subject": "mark", "subject_id": "m",
        "command": "confirm", "actor": actor, "reason": "seen", "seen_version": 1,
    }  # fmt: skip
    return ids.take(msgspec.convert(facts, Feedback), actor, Clock(now_ms, now_ms), valid_ms, 64)


def test_ids_are_kept_for_longer_than_what_they_name_is_valid() -> None:
    ids = DecisionIds()
    now_ms = 10 * HOUR_MS
    assert taken(ids, "d", now_ms, made_ms=now_ms + AHEAD_MS) is None  # by a clock that is ahead
    assert "was taken" in str(taken(ids, "d", now_ms + AHEAD_MS + HOUR_MS, made_ms=now_ms + AHEAD_MS))
    assert "it was made" in str(taken(ids, "d", now_ms + AHEAD_MS + HOUR_MS + 1, made_ms=now_ms + AHEAD_MS))
    assert ids.by_id == {} and ids.by_actor == {}


def test_a_longer_validity_doesnt_bring_back_what_is_forgotten() -> None:
    ids = DecisionIds()
    assert taken(ids, "d", HOUR_MS, valid_ms=1_000) is None
    assert taken(ids, "e", 2 * HOUR_MS, valid_ms=1_000) is None
    assert list(ids.by_id) == ["e"]
    assert "it was made" in str(taken(ids, "d", 2 * HOUR_MS, made_ms=HOUR_MS, valid_ms=9 * HOUR_MS))
    assert taken(ids, "f", 2 * HOUR_MS, made_ms=HOUR_MS + 1, valid_ms=9 * HOUR_MS) is None
    again = DecisionIds()
    again.restore(list(ids.by_id.values()), ids.forgotten_ms)
    assert (again.by_id, again.by_actor, again.forgotten_ms) == (ids.by_id, ids.by_actor, ids.forgotten_ms)


def test_where_no_more_fit_nothing_is_forgotten_and_nobody_blocks_another() -> None:
    ids = DecisionIds()
    share = 64 // SHARE
    for number in range(share):
        assert taken(ids, f"a{number}", HOUR_MS) is None
    assert f"{share} decisions by ana were taken within 3660 s" in str(taken(ids, "more", HOUR_MS))
    for number in range(share, 64):
        assert taken(ids, f"b{number}", HOUR_MS, f"p{number // share}") is None
    assert "64 decisions were taken within 3660 s" in str(taken(ids, "more", HOUR_MS, "eve"))
    assert "was taken" in str(taken(ids, "a0", HOUR_MS))
    assert taken(ids, "more", 2 * HOUR_MS + AHEAD_MS + 1, "eve") is None
    assert list(ids.by_id) == ["more"]


def test_an_intakes_clock_that_is_ahead_makes_nobodys_decision_too_old() -> None:
    story = begun()
    redirected(story)
    story.tell("tick")
    told = {"event_id": "ahead", "occurred_at_ms": story.now_ms, "account_id": "a", "action": "login"}
    story.feed(story.writer.event("account-events", told, story.now_ms + 9 * HOUR_MS))
    facts = made(story, "ana", "clear", "w")
    assert sent(story, facts).startswith("decided")
    story.tell("tick")
    assert "was taken" in sent(story, facts)


def test_machines_take_no_more_together_than_one_person() -> None:
    android = msgspec.structs.replace(ALL["robot"], public_key=ALL["mia"].public_key)
    story = begun(limits=Limits(decision_ids=64), actors=ALL | {"mia": android})
    redirected(story)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    outcomes = [sent(story, made(story, name, "note", incident_id, "incident")) for name in ("robot", "mia") * 8]
    assert "8 decisions by machines were taken" in outcomes[-1]
    assert [each.startswith("decided") for each in outcomes] == [True] * 8 + [False] * 8
    assert sent(story, made(story, "ana", "confirm", "w")).startswith("decided")


# ---- the second person


def test_two_who_say_the_same_by_themselves_are_two_decisions() -> None:
    story = begun(four_eyes=FourEyes(commands=("recovered",)))
    redirected(story)
    say(story, "ana", "confirm", "w")
    [first] = say(story, "lea", "recovered", "w", amount="0.25")
    [other] = say(story, "leo", "recovered", "w", amount="0.25", approves=None)
    assert outcome([other]).startswith("awaits-second")
    assert f"{first['event_id']} by lea says the same and waits too: only what names it approves it" in outcome([other])
    assert recovered(story) == 0
    assert outcome(say(story, "leo", "recovered", "w", amount="0.25", approves=first["event_id"])).startswith("decided")
    assert recovered(story) == 25_000_000
    again = say(story, "lea", "recovered", "w", amount="0.25", approves=other["event_id"])
    assert "counts no more" in outcome(again)  # another version of the mark: who still means it asks again
    assert recovered(story) == 25_000_000


@pytest.mark.parametrize(
    ("changes", "actor", "why"),
    [
        ({"approves": "another"}, "leo", "no decision another waits for a second person"),
        ({"amount": "0.5"}, "leo", "by lea says something else"),
        ({}, "lea", "the second must be another person than the first"),
    ],
)
def test_what_approves_nothing_is_refused_and_the_first_waits_on(changes: dict[str, Any], actor: str, why: str) -> None:
    story = begun(four_eyes=FourEyes(commands=("recovered",)))
    redirected(story)
    say(story, "ana", "confirm", "w")
    [first] = say(story, "lea", "recovered", "w", amount="0.25")
    told = say(story, actor, "recovered", "w", **{"amount": "0.25", "approves": first["event_id"]} | changes)
    assert outcome(told).startswith("refused") and why in outcome(told) and len(told) == 1
    assert outcome(say(story, "leo", "recovered", "w", amount="0.25")).startswith("decided")


def test_a_second_person_too_late_by_a_millisecond_approves_nothing() -> None:
    story = begun(four_eyes=FourEyes(within_ms=30_000))
    story.tell("withdrawals status=requested amount=5 balance_before=1")
    say(story, "lea", "release", "w")
    story.now_ms += 29_000
    assert "no decision" in outcome(say(story, "leo", "release", "w"))
    assert story.engine.state.withdrawals.by_id["w"].verdict == "HOLD"


def told_policy(story: Story, **changes: Any) -> list[dict[str, Any]]:
    """A worker brings another policy."""
    story.now_ms += 1_000
    standing = story.engine.state.policy
    changed = policy(**{"layers": standing.layers, "actors": standing.actors, "four_eyes": standing.four_eyes} | changes)
    return [*story.feed(entries.term("term-2", ENGINE_VERSION, changed, {"withdrawals": 1}, story.now_ms))]


@pytest.mark.parametrize("after", ["nobody", "another key", "another role", "the same"])
def test_under_another_policy_the_first_counts_if_that_person_still_may(after: str) -> None:
    story = begun()
    story.tell("withdrawals status=requested amount=5 balance_before=1")
    [first] = say(story, "lea", "release", "w")
    people = actors("ana", "ben", "lea", "leo")
    if after == "nobody":
        del people["lea"]
    elif after == "another key":
        people["lea"] = actors("eve")["eve"]
        people["lea"] = msgspec.structs.replace(people["lea"], roles=("lead",))
    elif after == "another role":
        people["lea"] = msgspec.structs.replace(people["lea"], roles=("analyst",))
    told = told_policy(story, actors=people, late_after_ms=5_000)
    void = [record for record in told if record.get("what") == "void"]
    assert [record["event_id"] for record in void] == ([] if after == "the same" else [first["event_id"]])
    got = outcome(say(story, "leo", "release", "w", approves=first["event_id"]))
    assert got.startswith("decided" if after == "the same" else "refused")
    assert story.engine.state.withdrawals.by_id["w"].verdict == ("CLEAR" if after == "the same" else "HOLD")


def test_at_the_second_approval_the_first_is_looked_at_again() -> None:
    story = begun()
    redirected(story)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    say(story, "lea", "close", incident_id, "incident", argument="inconclusive")
    story.engine.state.policy = msgspec.structs.replace(story.engine.state.policy, actors=actors("ana", "ben", "leo"))
    told = say(story, "leo", "close", incident_id, "incident", argument="inconclusive")
    assert "the policy has no such key of lea any more" in outcome(told)
    assert story.engine.state.incidents.by_id[incident_id].stage == "acknowledged"
    assert {record["what"] for record in told if record["topic"] == "audit"} == {"void", "refused"}


def test_a_closing_whose_second_wait_is_stale_waits_for_nobody() -> None:
    story = begun(four_eyes=FourEyes(within_ms=30_000))
    redirected(story)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    incident: Any = story.engine.state.incidents.by_id[incident_id]
    say(story, "lea", "close", incident_id, "incident", argument="inconclusive")
    say(story, "ana", "assign", incident_id, "incident", argument="ben")  # parts the two
    say(story, "leo", "close", incident_id, "incident", argument="confirmed_unauthorized")
    assert incident.stage == "pending_closure" and len(story.engine.state.approvals.by_event) == 2
    told = told_policy(story, actors=actors("ana", "ben", "lea"), late_after_ms=5_000)
    assert [record["what"] for record in told if record.get("event_id")] == ["void"]
    assert incident.stage == "investigating"


def test_two_approve_a_policy_under_which_others_may_no_longer() -> None:
    people = actors("ana", "lea", "leo", "adam", "eve")
    story = Story(actors=people)
    story.tell("withdrawals status=requested amount=5 balance_before=1")
    [first] = say(story, "lea", "release", "w")
    del people["lea"]
    told_policy(story, actors=people)
    [name] = story.engine.state.proposals
    say(story, "adam", "change_policy", name, "policy")
    told = say(story, "eve", "change_policy", name, "policy")
    assert [(record["what"], record["event_id"]) for record in told if record["topic"] == "audit"][1:] == [("void", first["event_id"])]
    assert story.engine.state.approvals.by_event == {}


def test_one_person_under_two_names_is_no_second() -> None:
    people = actors("ana", "lea", "leo")
    people["leo"] = people["lea"]
    story = begun(four_eyes=FourEyes(commands=("confirm",)))
    story.engine.state.policy = msgspec.structs.replace(story.engine.state.policy, actors=people)
    redirected(story)
    say(story, "lea", "confirm", "w")
    assert "the second must be another person" in outcome(say(story, "leo", "confirm", "w", signer="lea"))
    assert stage(story) == "suspected"


def test_who_fills_the_table_blocks_nobody_else_and_what_expired_counts_for_nothing() -> None:
    story = begun(limits=Limits(approvals=64), four_eyes=FourEyes(commands=("snooze",), within_ms=60_000))
    until_ms = story.now_ms + HOUR_MS

    def snooze(actor: str, value: int, rule: str) -> str:
        return outcome(say(story, actor, "snooze", rule, "rule", argument=f"address:{value}", time_ms=until_ms))

    rules = ("unit_confusion", "silent", "sent_again")
    for value, rule in enumerate(rules):
        assert snooze("ana", value, rule).startswith("awaits-second")
    assert "1 decision(s) by ana about silent wait" in snooze("ana", 8, "silent")
    assert snooze("ben", 9, rules[0]).startswith("awaits-second")
    story.now_ms += 60_000  # no Tick told of it
    assert snooze("ana", 10, rules[0]).startswith("awaits-second")
    assert len(story.engine.state.approvals.by_event) == 1
