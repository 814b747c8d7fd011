"""Snoozes: what they mute, until when, how many there may be, and that they mute the telling alone."""

from typing import Any

import pytest
from msgspec.structs import replace

from monitor.findings import Finding, Subject
from monitor.policy import FourEyes, Limits
from monitor.snoozes import Snooze, Snoozes
from tests.simulation.journals import START_MS
from tests.unit.story import Story, short
from tests.unit.test_decided import begun, outcome, say


def put(snoozes: Snoozes, rule: str = "sent_again", value: str = "account:a", until_ms: int = 1_000, now_ms: int = 0) -> None:
    snoozes.put(Snooze(rule, value, "ana", until_ms), now_ms)


def found(*keys: str, rule: str = "sent_again") -> Finding:
    return Finding(rule, "twice", START_MS, keys)


def test_a_snooze_mutes_its_rule_on_its_value_until_its_time_and_counts_it() -> None:
    snoozes = Snoozes()
    assert not snoozes.mutes(found("account:a"), 0)
    put(snoozes)
    assert snoozes.mutes(found("account:a"), 999)
    assert snoozes.mutes(found("wallet:hot", "account:a", "address:x"), 0)
    assert not snoozes.mutes(found("account:b"), 0)
    assert not snoozes.mutes(found("account:a", rule="replayed_request"), 0)
    assert not snoozes.mutes(found("account:a"), 1_000)
    assert (snoozes.muted, [snooze.muted for snooze in snoozes.by_key.values()]) == (2, [2])


def test_a_finding_on_two_snoozed_values_is_muted_once() -> None:
    snoozes = Snoozes()
    put(snoozes)
    put(snoozes, value="wallet:hot")
    assert snoozes.mutes(found("account:a", "wallet:hot"), 0)
    assert (snoozes.muted, [snooze.muted for snooze in snoozes.by_key.values()]) == (1, [1, 0])


def test_what_an_incident_shows_of_a_finding_can_be_snoozed_its_account_too() -> None:
    snoozes = Snoozes()
    put(snoozes)
    loss = Subject("withdrawal:w", "w", "a", "customer", "BTC", 1)
    assert snoozes.mutes(replace(found("wallet:hot"), subject=loss), 0)
    assert not snoozes.mutes(replace(found("wallet:hot"), subject=replace(loss, account_id="b")), 0)


def test_another_time_keeps_the_count_and_what_is_over_is_forgotten() -> None:
    snoozes = Snoozes()
    put(snoozes)
    put(snoozes, value="wallet:hot", until_ms=500)
    snoozes.mutes(found("account:a"), 0)
    put(snoozes, until_ms=2_000, now_ms=500)
    assert [(snooze.value, snooze.until_ms, snooze.muted) for snooze in snoozes.by_key.values()] == [("account:a", 2_000, 1)]
    put(snoozes, value="wallet:hot", until_ms=3_000, now_ms=2_000)
    assert [snooze.value for snooze in snoozes.by_key.values()] == ["wallet:hot"]


def test_over_the_limit_only_what_is_snoozed_already_is_and_what_is_over_doesnt_count() -> None:
    snoozes = Snoozes()
    put(snoozes)
    put(snoozes, value="wallet:hot", until_ms=2_000)
    assert not snoozes.full("sent_again", "address:x", 0, 3)
    assert snoozes.full("sent_again", "address:x", 999, 2)
    assert not snoozes.full("sent_again", "account:a", 999, 2)
    assert not snoozes.full("sent_again", "address:x", 1_000, 2)


@pytest.mark.parametrize(
    ("rule", "value", "for_ms", "why"),
    [
        ("sent_again", "wallet:hot", 1, None),
        ("sent_again", "wallet:hot", 0, "time_ms must say until when, at most 10080 min from now"),
        ("sent_again", "wallet:hot", None, "time_ms must say until when"),
        ("sent_again", "wallet:hot", 604_800_000, None),
        ("sent_again", "wallet:hot", 604_800_001, "time_ms must say until when"),
        ("sent_again", "hot", 1, 'the argument must be the value that is snoozed, with its kind, as "network:203.0.113"'),
        ("sent_again", None, 1, "the argument must be the value"),
        ("sent_again", "", 1, "the argument must be the value"),
        ("redirect", "wallet:hot", 1, "redirect is severe and never muted"),
        ("shared_device", "device:d", 1, None),  # a detector's opinion, whatever it is of
        ("half_space_trees", "address:x", 1, None),
    ],
)
def test_what_can_be_snoozed_and_how_long(rule: str, value: str | None, for_ms: int | None, why: str | None) -> None:
    story = begun()
    until_ms = None if for_ms is None else story.now_ms + 1_000 + for_ms  # a decision takes a second
    told = outcome(say(story, "ana", "snooze", rule, "rule", argument=value, time_ms=until_ms))
    if why is None:
        assert told.endswith(f"snoozed for {value} until {until_ms}: looked at it")
    else:
        assert told.startswith("refused: ") and why in told
    assert len(story.engine.state.snoozes.by_key) == (why is None)


def test_so_many_are_snoozed_and_no_more() -> None:
    story = begun(limits=Limits(snoozes=64))
    wanted: dict[str, Any] = {"time_ms": story.now_ms + 3_600_000}
    for number in range(64):
        say(story, "ana", "snooze", "sent_again", "rule", argument=f"wallet:{number}", **wanted)
    assert "64 rules are snoozed already" in outcome(say(story, "ana", "snooze", "sent_again", "rule", argument="wallet:64", **wanted))
    assert outcome(say(story, "ana", "snooze", "sent_again", "rule", argument="wallet:63", **wanted)).startswith("decided: ")


def sent_again(story: Story) -> list[str]:
    """A withdrawal that is signed again after it was paid; what is published of it."""
    story.tell("withdrawals status=requested")
    story.tell("withdrawals status=signed")
    story.tell("withdrawals status=broadcast tx_id=t1")
    return [words for words in map(short, story.tell("withdrawals status=signed")) if words]


def test_nobody_is_told_of_what_is_snoozed_but_it_is_judged_and_counted_all_the_same() -> None:
    assert sent_again(begun()) == ["notice", "verdict HOLD late sent_again"]
    story = begun(four_eyes=FourEyes(commands=("snooze",)))
    wanted = {"argument": "wallet:hot", "time_ms": story.now_ms + 3_600_000}
    assert outcome(say(story, "ana", "snooze", "sent_again", "rule", **wanted)).startswith("awaits-second: ")
    told = f"snoozed for wallet:hot until {wanted['time_ms']}"
    assert told in outcome(say(story, "lea", "snooze", "sent_again", "rule", **wanted))
    assert sent_again(story) == ["verdict HOLD late sent_again"]
    [incident] = story.engine.state.incidents.by_id.values()
    assert incident.findings == 1
    [snooze] = story.engine.state.snoozes.by_key.values()
    assert (snooze.actor, snooze.muted, story.engine.gauges().findings_snoozed) == ("ana and lea", 1, 1)
