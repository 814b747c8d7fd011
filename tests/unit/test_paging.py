"""Who is woken again, and for what: a decoy mutes nothing, what leaves is told although it was held, and who comes and goes wakes nobody without end."""

from typing import Any

from monitor.engine import Engine
from monitor.paging import PAGE_AGAIN_MS
from monitor.policy import Thresholds
from monitor.snapshot_file import decode, encode
from tests.unit.story import Story
from tests.unit.test_decided import begun, outcome, say

DECOY = "withdrawals withdrawal_id=decoy amount=60000000 account_id=mule"


def pages(records: list[dict[str, Any]]) -> list[str]:
    """Why people were woken for incidents."""
    return [record["why"] for record in records if record["topic"] == "alerts" and record["kind"] == "page" and record["why"] != "level_crossed"]


def told(story: Story, *lines: str) -> list[dict[str, Any]]:
    return [record for line in lines for record in story.tell(line)]


def theft(story: Story, number: int, amount: str = "1000000") -> list[dict[str, Any]]:
    """So much leaves for the thief, without a request."""
    return told(story, f"outflows tx_id=steal-{number} amount={amount} address=thief", *["progress"] * 6, "tick")


def decoy(story: Story, name: str = "decoy") -> list[dict[str, Any]]:
    """An absurd request to the thief's address, which is cancelled."""
    line = DECOY.replace("=decoy", f"={name}")
    return told(story, f"{line} status=requested balance_before=1 address=thief", f"{line} status=cancelled address=thief")


def test_a_decoy_that_was_cancelled_mutes_no_theft() -> None:
    story = begun()
    assert pages(decoy(story)) == ["opened"]
    assert [pages(theft(story, number)) for number in range(5)] == [["escalated"], [], [], [], []]
    assert len(story.engine.state.incidents.by_id) == 1


def test_a_decoy_that_people_released_mutes_no_theft() -> None:
    story = begun()
    told(story, f"{DECOY} status=requested balance_before=1 address=thief")
    say(story, "lea", "release", "decoy")
    assert outcome(say(story, "leo", "release", "decoy")).startswith("decided")
    assert pages(theft(story, 0, "5000000")) == ["escalated"]


def test_a_decoy_after_a_small_theft_mutes_no_large_one() -> None:
    story = begun()
    assert pages(theft(story, 0, "0.001")) == ["opened"]
    assert pages(decoy(story)) == ["escalated"]
    assert pages(theft(story, 1)) == ["escalated"]


def test_a_decoy_that_stands_after_a_small_theft_mutes_no_large_one() -> None:
    story = begun()
    assert pages(theft(story, 0, "0.001")) == ["opened"]
    assert pages(told(story, f"{DECOY} status=requested balance_before=1 address=thief")) == ["escalated"]
    assert [pages(theft(story, number)) for number in (1, 2)] == [["escalated"], []]  # ten times what had left
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    assert pages(theft(story, 3, "9000000")) == ["escalated"]


def test_what_leaves_wakes_people_although_it_was_held_and_paged() -> None:
    story = begun()
    assert pages(told(story, f"{DECOY} status=requested balance_before=1")) == ["opened"]
    assert pages(told(story, f"{DECOY} status=broadcast tx_id=t")) == ["escalated"]
    assert pages(told(story, f"{DECOY} status=confirmed tx_id=t", "tick")) == []


def test_who_comes_and_goes_wakes_people_once_in_a_while() -> None:
    story = begun()
    began_ms, woken = story.now_ms, 0
    for number in range(600):
        woken += len(pages(decoy(story, f"w{number}")) + pages(told(story, "tick")))
    assert story.now_ms - began_ms >= 2 * PAGE_AGAIN_MS
    assert 3 <= woken <= 2 + (story.now_ms - began_ms) // PAGE_AGAIN_MS


def test_a_page_that_had_to_wait_comes_with_a_tick() -> None:
    story = begun()
    theft(story, 0, "0.001")
    for number in range(3):
        decoy(story, f"w{number}")
    assert pages(told(story, f"{DECOY} status=requested balance_before=1 address=thief")) == []
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    assert pages(told(story, "tick")) == []
    story.now_ms += PAGE_AGAIN_MS
    assert pages(told(story, "prices price=1000", "tick")) == ["escalated"]
    assert pages(told(story, "tick")) == []


def test_what_is_small_beside_what_was_given_back_wakes_nobody() -> None:
    story = begun(thresholds=Thresholds(page_base_amount="1000000"))
    theft(story, 0, "0.001")
    decoy(story)
    for amount, woken in (("900", []), ("100", ["escalated"])):
        line = f"withdrawals withdrawal_id=small-{amount} amount={amount} account_id=mule status=requested balance_before=1 address=thief"
        assert pages(told(story, line)) == woken
    assert not next(iter(story.engine.state.incidents.by_id.values())).page_waits
