"""Decisions of people: who may, on what, on which version, with whom; each refusal changes nothing and is said; each command does what it says."""

import base64
import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor import entries
from monitor.contracts.feedback import Command, Feedback
from monitor.engine import Engine
from monitor.policies import digest
from monitor.policy import Actor, FourEyes
from monitor.signatures import message
from monitor.snapshot_file import decode, encode
from monitor.version import ENGINE_VERSION
from tests.simulation.journals import policy
from tests.unit.story import Story

NAMES = ("ana", "ben", "lea", "leo", "adam", "eve", "mia", "robot", "nobody")
KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"-")) for name in NAMES}
ROLES: dict[str, tuple[str, ...]] = {
    "ana": ("analyst",), "ben": ("analyst",), "lea": ("lead",), "leo": ("lead",), "adam": ("administrator",), "eve": ("administrator",), "mia": (),
}  # fmt: skip


def actors(*names: str) -> dict[str, Actor]:
    """Actors with their roles; robot is a machine with every role."""
    found = {}
    for name in names:
        key = base64.b64encode(KEYS[name].public_key().public_bytes_raw()).decode()
        found[name] = Actor(key, ROLES.get(name, ("analyst", "lead", "administrator")), machine=name == "robot")
    return found


ALL = actors("ana", "ben", "lea", "leo", "mia", "robot") | {"nobody": Actor("!" * 44, ("analyst",))}


def begun(**changes: Any) -> Story:
    """A story with prices, funds, and people who may decide; nobody administers the policy."""
    story = Story(**{"actors": ALL} | changes)
    story.tell("prices price=1000")
    story.tell("reserves layer_id=reserve unit=JPY amount=100000")
    return story


def redirected(story: Story, name: str = "w", amount: str = "1") -> dict[str, Any]:
    """A withdrawal that was paid elsewhere; returns its mark."""
    story.tell(f"withdrawals withdrawal_id={name} status=requested amount={amount} account_id=a-{name}")
    told = story.tell(f"outflows withdrawal_id={name} tx_id=t-{name} address=thief amount={amount}")
    return next(record for record in told if record["topic"] == "marks")


def say(story: Story, actor: str, command: str, subject_id: str, subject: str = "withdrawal", **changes: Any) -> list[dict[str, Any]]:
    """One decision; all records that it causes, its own outcome first. What another said that waits is approved, as the printed command does."""
    story.now_ms += 1_000
    story.numbers += 1
    signer = changes.pop("signer", actor)
    facts: dict[str, Any] = {
        "event_id": f"d{story.numbers}", "occurred_at_ms": story.now_ms, "subject": subject, "subject_id": subject_id, "command": command,
        "actor": actor, "reason": "looked at it", "seen_version": seen(story, subject, subject_id), "journal_id": story.engine.journal_id,
    } | changes  # fmt: skip
    facts = {name: fact for name, fact in facts.items() if fact is not None}
    alike = story.engine.state.approvals.alike(msgspec.convert(facts, Feedback))
    if alike is not None and "approves" not in changes:
        facts["approves"] = alike.event_id
    facts["signature"] = base64.b64encode(KEYS[signer].sign(message(msgspec.convert(facts, Feedback)))).decode()
    records: list[Any] = [*story.feed(story.writer.event("feedback", facts, story.now_ms))]
    return sorted(records, key=lambda record: record.get("event_id") != facts["event_id"])


def seen(story: Story, subject: str, subject_id: str) -> int:
    """The version that somebody sees who looks now."""
    state = story.engine.state
    tables: dict[str, Any] = {"withdrawal": state.withdrawals.by_id, "mark": state.marks.by_id, "incident": state.incidents.by_id}
    by_id = tables.get(subject, {})
    version = by_id[subject_id].version if subject_id in by_id else 0
    return version + sum(state.marks.by_id[name].version for name in state.marks.of_withdrawal(subject_id)) if subject == "withdrawal" else version


def outcome(records: list[dict[str, Any]]) -> str:
    return f"{records[0]['what']}: {records[0]['detail']}"


def stage(story: Story, mark_id: str = "withdrawal:w") -> str:
    return story.engine.state.marks.by_id[mark_id].stage


def state_of(story: Story) -> bytes:
    """Everything but the counts of outcomes, and what the entry itself leaves: its id, among others."""
    frozen = story.engine.freeze()
    small = json.loads(frozen.small)
    for name in ("totals", "sources", "event_id_counts", "clock", "source_counts"):
        small.pop(name)
    columns = {name: list(column) for name, column in frozen.columns.items() if not name.startswith(("event_ids", "decisions"))}
    return msgspec.json.encode([small, columns])


def test_the_small_are_decided_by_one_the_large_by_two() -> None:
    story = begun(four_eyes=FourEyes(above_base_amount="1000"))
    redirected(story, "w", "1")
    redirected(story, "v", "2")
    assert outcome(say(story, "ana", "confirm", "w")).startswith("decided: ")
    assert stage(story) == "confirmed"
    assert outcome(say(story, "ana", "confirm", "v")).startswith("awaits-second: ")
    assert stage(story, "withdrawal:v") == "suspected"
    assert outcome(say(story, "ana", "confirm", "v")).startswith("awaits-second: ")  # one person isn't two
    told = say(story, "ben", "confirm", "v")
    assert outcome(told).startswith("decided: ") and told[0]["actors"] == ["ana", "ben"]
    assert stage(story, "withdrawal:v") == "confirmed"


def test_what_is_unpriced_needs_two() -> None:
    story = Story(actors=ALL)
    redirected(story)
    assert outcome(say(story, "ana", "confirm", "w")).startswith("awaits-second: ")


def test_a_hold_is_released_by_two_and_can_be_held_again() -> None:
    story = begun()
    story.tell("withdrawals status=requested amount=5 balance_before=1")
    assert story.engine.state.withdrawals.by_id["w"].verdict == "HOLD"
    assert outcome(say(story, "lea", "release", "w")).startswith("awaits-second: ")
    told = say(story, "leo", "release", "w")
    assert "approved by lea first: 1 withdrawal(s) released, 1 mark(s) cleared" in outcome(told)
    [verdict] = [record for record in told if record["topic"] == "verdicts"]
    assert verdict["verdict"] == "CLEAR" and verdict["reasons"][0] == {"rule": "released", "detail": "released by lea and leo", "p_value": None}
    assert stage(story) == "cleared"
    story.tell("outflows withdrawal_id=w tx_id=t address=thief amount=5")
    assert story.engine.state.withdrawals.by_id["w"].verdict == "HOLD"
    assert stage(story) == "suspected"


def test_the_second_person_comes_too_late() -> None:
    story = begun(four_eyes=FourEyes(within_ms=30_000))
    story.tell("withdrawals status=requested amount=5 balance_before=1")
    [first] = say(story, "lea", "release", "w")
    story.now_ms += 40_000
    [expired] = [record for record in story.tell("tick") if record.get("what") == "expired"]
    assert "release of w by lea" in str(expired["detail"])
    assert not [record for record in story.tell("tick") if record.get("what") == "expired"]
    assert "no decision d" in outcome(say(story, "leo", "release", "w", approves=first["event_id"]))
    assert story.engine.state.withdrawals.by_id["w"].verdict == "HOLD"
    assert outcome(say(story, "leo", "release", "w")).startswith("awaits-second: ")
    assert outcome(say(story, "lea", "release", "w")).startswith("decided: ")


def test_what_changed_between_two_people_is_asked_again() -> None:
    story = begun()
    mark = redirected(story)
    say(story, "ana", "confirm", "w")
    assert outcome(say(story, "lea", "compensated", str(mark["mark_id"]), "mark")).startswith("awaits-second: ")
    say(story, "ana", "change_owner", "w", argument="exchange")
    told = say(story, "leo", "compensated", str(mark["mark_id"]), "mark")
    assert outcome(told).startswith("refused") and "what lea approved on version 2 counts no more: it must be asked for again" in outcome(told)
    assert [record["what"] for record in told if record["topic"] == "audit"] == ["refused", "void"]
    assert stage(story) == "confirmed"


@pytest.mark.parametrize(
    ("actor", "command", "subject", "subject_id", "changes", "why"),
    [
        ("nobody", "confirm", "withdrawal", "w", {}, "the policy has no key"),
        ("ana", "confirm", "withdrawal", "w", {"signer": "ben"}, "isn't signed with that person's key"),
        ("unknown", "confirm", "withdrawal", "w", {"signer": "nobody"}, "the policy has no key"),
        ("ana", "release", "withdrawal", "w", {}, "none of that person's roles may decide it (analyst)"),
        ("mia", "note", "withdrawal", "w", {}, "none of that person's roles may decide it (none)"),
        ("robot", "release", "withdrawal", "w", {}, "a machine may not decide it"),
        ("robot", "confirm", "withdrawal", "w", {}, "a machine may not decide it"),
        ("ana", "confirm", "withdrawal", "another", {}, "isn't known"),
        ("ana", "confirm", "mark", "another", {}, "isn't known"),
        ("ana", "acknowledge", "incident", "another", {}, "isn't known"),
        ("ana", "acknowledge", "withdrawal", "w", {}, "it is decided about incident, not about withdrawal"),
        ("ana", "confirm", "withdrawal", "w", {"seen_version": 1}, "was made on version 1, the present one is 3 (HOLD, 1 mark(s))"),
        ("ana", "confirm", "withdrawal", "w", {"seen_version": 9}, "was made on version 9"),
        ("ana", "change_cause", "withdrawal", "w", {"argument": "weather"}, "the cause must be one of"),
        ("ana", "change_owner", "withdrawal", "w", {"argument": "thief"}, "the owner must be one of"),
        ("ana", "change_owner", "withdrawal", "w", {"argument": "customer"}, "no mark of it stands as another's"),
        ("lea", "recovered", "withdrawal", "w", {"amount": "0.5"}, "only a loss that is confirmed comes back"),
        ("lea", "recovered", "withdrawal", "w", {"amount": "0"}, "above zero"),
        ("lea", "recovered", "withdrawal", "w", {}, "above zero"),
        ("lea", "recovered", "withdrawal", "w", {"amount": "-1"}, "above zero"),
        ("lea", "compensated", "withdrawal", "w", {}, "no mark of it is confirmed"),
        ("ana", "snooze", "rule", "redirect", {"argument": "address:x", "time_ms": 1}, "is severe and never muted"),
        ("ana", "snooze", "rule", "nonsense", {"argument": "address:x", "time_ms": 1}, "there is no rule"),
        ("ana", "snooze", "rule", "silent", {"argument": "source:x/0", "time_ms": 1}, "until when"),
        ("ana", "snooze", "rule", "silent", {"argument": "x", "time_ms": 1}, "must be the value"),
        ("lea", "reopen", "withdrawal", "w", {}, "no mark of it was decided about"),
    ],
)
def test_refusals_say_why_and_change_nothing(
    actor: str, command: Command, subject: str, subject_id: str, changes: dict[str, Any], why: str,
) -> None:  # fmt: skip
    story = begun()
    redirected(story)
    before = state_of(story)
    records = say(story, actor, command, subject_id, subject, **changes)
    assert outcome(records).startswith("refused: ") and why in outcome(records)
    assert len(records) == 1 and records[0]["actors"] == [actor]
    assert state_of(story) == before


def test_the_same_decision_twice_has_one_effect() -> None:
    story = begun(four_eyes=FourEyes(commands=()))
    redirected(story)
    say(story, "ana", "confirm", "w")
    first = say(story, "lea", "recovered", "w", amount="0.25", event_id="once", occurred_at_ms=story.now_ms)
    assert outcome(first).startswith("decided: ")
    mark = story.engine.state.marks.by_id["withdrawal:w"]
    version = seen(story, "withdrawal", "w")
    again = say(story, "lea", "recovered", "w", amount="0.25", event_id="once", occurred_at_ms=story.now_ms - 1_000, seen_version=version)
    assert again == [] or story.engine.state.marks.by_id["withdrawal:w"] == mark
    other = say(story, "lea", "recovered", "w", amount="0.5", event_id="once")
    assert not [record for record in other if record.get("what") == "decided"]
    assert story.engine.state.marks.by_id["withdrawal:w"] == mark


def test_a_loss_from_suspicion_to_compensation() -> None:
    story = begun(four_eyes=FourEyes(commands=("compensated",)))
    redirected(story)
    say(story, "ana", "confirm", "w")
    say(story, "ana", "change_cause", "w", argument="system_failure")
    assert story.engine.state.marks.by_id["withdrawal:w"].cause == "system_failure"
    assert "more than is still gone" in outcome(say(story, "lea", "recovered", "w", amount="1.5"))
    say(story, "lea", "recovered", "w", amount="0.25")
    assert stage(story) == "partly_recovered"
    say(story, "lea", "compensated", "w")
    say(story, "leo", "compensated", "w")
    assert stage(story) == "compensated"
    reserve = story.engine.state.marks.ledger.layers["reserve"]
    assert (reserve.paid_minor, reserve.held_minor) == (750, 0)
    say(story, "lea", "recovered", "w", amount="0.5")
    assert reserve.recovered_minor == 500


def test_what_nothing_was_suspected_of_can_be_reported() -> None:
    story = begun()
    story.tell("withdrawals status=requested")
    told = say(story, "ana", "confirm", "w")
    assert "1 mark(s) made and confirmed" in outcome(told)
    assert stage(story) == "confirmed"
    known = story.engine.state.withdrawals.by_id["w"]
    assert (known.verdict, known.reasons[0].rule, known.reasons[0].detail) == ("HOLD", "reported", "ana say that it was a loss: looked at it")


def test_a_word_never_contradicts_the_mark_that_it_is_about() -> None:
    story = begun(four_eyes=FourEyes(commands=()))
    redirected(story)
    say(story, "ana", "clear", "w")
    assert "no mark of it is suspected (cleared)" in outcome(say(story, "ben", "confirm", "w"))
    say(story, "lea", "reopen", "w")
    say(story, "ana", "confirm", "w")
    say(story, "lea", "recovered", "w", amount="0.5")
    assert "no mark of it can be cleared (partly_recovered)" in outcome(say(story, "ben", "clear", "w"))
    assert outcome(say(story, "ben", "confirm", "w")).startswith("decided: ")  # a second word of the same


def test_a_whole_incident_is_cleared_and_taken_back() -> None:
    story = begun(four_eyes=FourEyes(commands=()))
    for name in ("u", "v", "w"):
        redirected(story, name)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    story.tell("tick")
    assert len(story.engine.state.incidents.by_id) == 1
    assert "3 mark(s) cleared" in outcome(say(story, "ana", "clear", incident_id, "incident"))
    assert story.engine.state.marks.total.marked_base_minor == 0
    assert "3 mark(s) suspected again" in outcome(say(story, "lea", "reopen", "u")) or stage(story, "withdrawal:u") == "suspected"


def test_an_incident_from_acknowledgement_to_its_end() -> None:
    story = begun()
    redirected(story)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    incident: Any = story.engine.state.incidents.by_id[incident_id]

    def tell(actor: str, command: str, **changes: Any) -> str:
        return outcome(say(story, actor, command, incident_id, "incident", **changes))

    assert tell("robot", "acknowledge").startswith("decided: ") and incident.stage == "acknowledged"
    assert tell("ana", "acknowledge").startswith("refused: ")
    assert tell("ana", "assign", argument="ben").startswith("decided: ") and incident.assignee == "ben"
    assert tell("ana", "note").startswith("decided: ")
    assert tell("ana", "set_clock", argument="halted", time_ms=story.now_ms).startswith("decided: ")
    assert "before the incident's first event" in tell("ana", "set_clock", argument="halted", time_ms=1)
    assert "argument must be one of" in tell("lea", "close", argument="whatever")
    assert tell("lea", "close", argument="confirmed_unauthorized").startswith("awaits-second: ")
    assert incident.stage == "pending_closure"
    assert tell("leo", "close", argument="inconclusive").startswith("awaits-second: ")  # another outcome is another decision
    assert tell("leo", "close", argument="confirmed_unauthorized").startswith("decided: ")
    assert (incident.stage, incident.outcome) == ("closed", "confirmed_unauthorized")
    assert "is closed" in tell("leo", "close", argument="confirmed_unauthorized")


def test_new_facts_dont_part_two_who_agree_but_another_decision_does() -> None:
    story = begun()
    redirected(story, "w")
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    say(story, "lea", "close", incident_id, "incident", argument="inconclusive")
    assert outcome(say(story, "leo", "close", incident_id, "incident", argument="inconclusive")).startswith("decided: ")
    say(story, "lea", "reopen", incident_id, "incident")
    story.tell("tick")
    say(story, "leo", "reopen", incident_id, "incident")
    say(story, "lea", "close", incident_id, "incident", argument="inconclusive")
    say(story, "ana", "assign", incident_id, "incident", argument="ben")
    assert "approved on version" in outcome(say(story, "leo", "close", incident_id, "incident", argument="inconclusive"))


def test_a_closing_that_nobody_seconds_in_time_is_taken_back() -> None:
    story = begun(four_eyes=FourEyes(within_ms=30_000))
    redirected(story)
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    incident: Any = story.engine.state.incidents.by_id[incident_id]
    say(story, "lea", "close", incident_id, "incident", argument="confirmed_unauthorized")
    story.now_ms += 20_000
    say(story, "leo", "close", incident_id, "incident", argument="inconclusive")
    story.now_ms += 15_000
    story.tell("tick")
    assert incident.stage == "pending_closure"  # the other proposal waits still
    story.now_ms += 15_000
    assert "expired" in outcome(say(story, "lea", "close", incident_id, "incident", argument="inconclusive"))
    told = story.tell("tick")
    assert [record["what"] for record in told if record.get("event_id") is not None] == ["expired"]
    [published] = [record for record in told if record["topic"] == "incidents"]
    assert (published["state"], published["outcome"]) == ("acknowledged", None)


def test_new_findings_dont_make_a_decision_stale_but_another_decision_does() -> None:
    story = begun()
    redirected(story, "w")
    incident_id = story.engine.state.marks.by_id["withdrawal:w"].incident_id
    version = seen(story, "incident", incident_id)
    redirected(story, "v")
    story.tell("tick")
    assert seen(story, "incident", incident_id) > version
    assert outcome(say(story, "ana", "acknowledge", incident_id, "incident", seen_version=version)).startswith("decided: ")
    assert "was made on version" in outcome(say(story, "ana", "confirm", incident_id, "incident", seen_version=version))
    assert outcome(say(story, "ben", "assign", incident_id, "incident", argument="ben", seen_version=version)).startswith("decided: ")


def test_policies_are_approved_by_two_where_somebody_may() -> None:
    story = Story(actors=actors("ana", "adam", "eve"))
    changed = policy(actors=actors("ana", "adam", "eve"), layers=story.engine.state.policy.layers, late_after_ms=5_000)
    standing = story.engine.state.policy
    told = story.feed(entries.term("term-2", ENGINE_VERSION, changed, {"withdrawals": 1}, story.now_ms))
    assert [record["what"] for record in told if record["topic"] == "audit"] == ["policy-proposed", "term"]
    assert story.engine.state.policy == standing
    name = digest(changed)
    assert "no such policy" in outcome(say(story, "adam", "change_policy", "0" * 64, "policy"))
    assert "roles may decide" in outcome(say(story, "ana", "change_policy", name, "policy"))
    assert outcome(say(story, "adam", "change_policy", name, "policy")).startswith("awaits-second: ")
    assert outcome(say(story, "eve", "change_policy", name, "policy")).startswith("decided: ")
    assert (story.engine.state.policy.late_after_ms, story.engine.state.policy.version) == (5_000, standing.version + 1)
    told = story.feed(entries.term("term-3", ENGINE_VERSION, changed, {"withdrawals": 1}, story.now_ms))
    assert [record["what"] for record in told if record["topic"] == "audit"] == ["term"]  # it is what decides already


def test_where_nobody_may_a_term_changes_the_policy_under_a_new_version() -> None:
    story = begun()
    changed = msgspec.structs.replace(story.engine.state.policy, late_after_ms=5_000)
    told = story.feed(entries.term("term-2", ENGINE_VERSION, changed, {"withdrawals": 1}, story.now_ms))
    [record] = [record for record in told if record.get("what") == "policy-changed"]
    assert "differs in late_after_ms" in str(record["detail"])
    assert story.engine.state.policy.version == changed.version + 1


def test_what_waits_survives_a_restart() -> None:
    story = begun()
    story.tell("withdrawals status=requested amount=5 balance_before=1")
    say(story, "lea", "release", "w")
    say(story, "ana", "snooze", "silent", "rule", argument="source:withdrawals/0", time_ms=story.now_ms + 60_000)
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    assert list(story.engine.state.snoozes.by_key) == ["silent source:withdrawals/0"]
    assert outcome(say(story, "leo", "release", "w")).startswith("decided: ")
