"""Dust from many accounts wakes people a few times, and nothing that leaves or is worth a page waits behind it."""

from typing import Any

import pytest

from monitor.engine import Engine
from monitor.policy import FourEyes, Thresholds
from monitor.snapshot_file import decode, encode
from tests.unit.story import Story
from tests.unit.test_decided import begun, say
from tests.unit.test_paging import pages, told

ALONE = FourEyes(commands=(), above_base_amount="1" + "0" * 20)


def dust(story: Story, number: int, amount: str = "0.00002") -> list[dict[str, Any]]:
    """More is asked for than is held, by an account that nothing ties to others."""
    return story.tell(
        f"withdrawals withdrawal_id=z{number} status=requested amount={amount} balance_before=0.00001 account_id=z{number} address=z{number}"
    )


def stormy(number: int = 50) -> Story:
    story = begun(four_eyes=ALONE)
    for each in range(number):
        dust(story, each)
    return story


def test_dust_wakes_people_five_times_and_then_at_each_tenfold() -> None:
    story = begun()
    woken = {number: pages(records) for number in range(300) if pages(records := dust(story, number))}
    assert woken == {number: ["opened"] for number in (0, 1, 2, 3, 4, 5, 15, 106)}
    assert (story.engine.state.incidents.storm.number, len(story.engine.state.incidents.by_id)) == (292, 300)


def test_every_page_says_how_many_wait_and_each_is_told_as_a_notice() -> None:
    story = stormy(14)
    records = dust(story, 14)
    [alert] = [record for record in records if record["topic"] == "alerts"]
    assert (alert["kind"], alert["severity"]) == ("notice", "critical")
    [page] = [record for record in dust(story, 15) if record["topic"] == "alerts"]
    assert page["kind"] == "page"
    assert "9 more incident(s) are critical, 9 JPY in all, and wake nobody for now: look at the list." in page["summary"]


@pytest.mark.parametrize("restored", [False, True])
def test_what_leaves_or_is_worth_a_page_never_waits(restored: bool) -> None:
    story = stormy()
    if restored:
        story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    storm = story.engine.state.incidents.storm
    assert storm.number == 43
    line = "withdrawals withdrawal_id=z30 amount=0.00002 account_id=z30 address=z30"
    assert pages(told(story, f"{line} status=approved", f"{line} status=signed", f"{line} status=broadcast tx_id=t")) == ["opened"]
    assert pages(dust(story, 900, "90000")) == ["opened"]
    assert pages(story.tell("withdrawals withdrawal_id=z31 status=signed amount=90000 account_id=z31 address=z31")) == ["opened"]  # it grows
    assert (storm.number, storm.base_minor) == (41, 41)


def test_many_that_are_small_page_again_once_they_are_worth_a_page_together() -> None:
    story = begun(thresholds=Thresholds(page_base_amount="10000"))
    for number in range(6):
        assert pages(dust(story, number))
    assert [number for number in range(6, 50) if pages(dust(story, number, "2"))] == [10]  # the fifth makes 10,000 JPY; 100,000 would be the next
    assert story.engine.state.incidents.storm.base_minor == 43 * 2_000


def test_what_people_take_in_hand_or_what_is_given_back_waits_no_longer() -> None:
    story = stormy()
    state = story.engine.state
    number = state.incidents.storm.number
    incident_id = state.marks.by_id["withdrawal:z30"].incident_id
    say(story, "lea", "acknowledge", incident_id, "incident")
    assert state.incidents.storm.number == number - 1
    story.tell("withdrawals withdrawal_id=z31 status=cancelled amount=0.00002 account_id=z31 address=z31")
    assert state.incidents.storm.number == number - 2
    for other in (32, 33):  # tied to one that was paged
        say(story, "lea", "close", state.marks.by_id[f"withdrawal:z{other}"].incident_id, "incident", argument="inconclusive")
    assert state.incidents.storm.number == number - 4
    assert state.incidents.storm.number == sum(one.put_off for one in state.incidents.by_id.values())
    assert state.incidents.storm.base_minor == sum(one.marked_base_minor for one in state.incidents.by_id.values() if one.put_off)


def test_one_that_is_merged_with_what_was_paged_waits_no_longer() -> None:
    story = stormy()
    state = story.engine.state
    number = state.incidents.storm.number
    story.tell("withdrawals withdrawal_id=q status=requested amount=0.00002 balance_before=0.00001 account_id=z0 address=z30")
    assert (state.incidents.counts.merged, state.incidents.storm.number) == (1, number - 1)


def test_one_that_takes_in_what_was_paged_waits_no_longer() -> None:
    story = stormy()
    state = story.engine.state
    number, line = state.incidents.storm.number, "status=requested amount=0.00002 balance_before=0.00001"
    story.tell(f"withdrawals withdrawal_id=p {line} account_id=z30 address=elsewhere")
    assert state.incidents.storm.number == number
    story.tell(f"withdrawals withdrawal_id=q {line} account_id=z0 address=z30")  # the one with more marks stays
    incident = state.incidents.by_id[state.marks.by_id["withdrawal:z0"].incident_id]
    assert (incident.marks, incident.paged_base_minor >= 0, incident.put_off, state.incidents.storm.number) == (4, True, False, number - 1)


def test_after_a_quiet_hour_they_wake_one_by_one_again() -> None:
    story = stormy()
    story.now_ms += 2 * 3_600_000
    told(story, "progress", "prices price=1000")
    assert [number for number in range(100, 112) if pages(dust(story, number))] == [100, 101, 102, 103, 104, 105]
