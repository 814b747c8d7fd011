"""What was restored goes on in the order of what was never stopped, where many things come due or change at once."""

import copy

from monitor.engine import Engine
from monitor.policy import FourEyes, Thresholds
from monitor.snapshot_file import decode, encode
from tests.unit.story import Story
from tests.unit.test_decided import begun, redirected, say

ALONE = FourEyes(commands=(), above_base_amount="100000000000")


def restored(story: Story) -> Story:
    """The same story, on an engine that was stopped and restored."""
    other = copy.copy(story)
    other.writer = copy.deepcopy(story.writer)
    other.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    return other


def assert_goes_on_as(story: Story, *lines: str) -> None:
    other = restored(story)
    for line in lines:
        assert story.tell(line) == other.tell(line)


def test_marks_of_one_withdrawal_in_two_incidents() -> None:
    story = begun(four_eyes=ALONE)
    redirected(story)
    story.tell("outflows withdrawal_id=w tx_id=t2 address=home amount=3")
    for _ in range(3):
        story.tell("progress")
    [second] = [name for name in story.engine.state.marks.by_id if name != "withdrawal:w"]
    say(story, "lea", "move", second, "mark", argument="new")
    story.tell("tick")
    say(story, "ana", "change_owner", "withdrawal:w", "mark", argument="exchange")  # it changed last
    story.tell("tick")
    assert_goes_on_as(story, "withdrawals withdrawal_id=w status=confirmed amount=1 account_id=a-w tx_id=t3", "tick")


def test_pages_that_wait_for_one_tick() -> None:
    story = begun(four_eyes=ALONE, thresholds=Thresholds(page_base_amount="1000"))

    def asked(name: str, address: str) -> None:
        story.tell(f"withdrawals withdrawal_id={name} status=requested amount=100 balance_before=0.5 account_id=acc{address} address={address}")

    for number in range(2):
        for address in ("AA", "BB"):
            asked(f"{address}{number}", address)
            story.tell("tick")
            say(story, "ana", "clear", f"{address}{number}")
    for address in ("BB", "AA"):
        asked(f"{address}9", address)
    assert len(story.engine.state.incidents.pages_wait) == 2
    story.tell("tick")
    other = restored(story)
    for each in (story, other):
        each.now_ms += 900_000
        each.tell("account-events action=login")  # the clock that a Tick so far ahead needs beside it
    told = [[record for record in each.tell("tick") if record["topic"] == "alerts" and record["kind"] == "page"] for each in (story, other)]
    assert len(told[0]) == 2
    assert told[0] == told[1]
