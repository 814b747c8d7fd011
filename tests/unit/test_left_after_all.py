"""Nothing that leaves is silent: not after a closing, not without a price, not once its incident is forgotten, not when people moved its mark before."""

from typing import Any

import pytest

from monitor.engine import Engine
from monitor.policy import FourEyes, Limits
from monitor.snapshot_file import decode, encode
from tests.unit.story import Story
from tests.unit.test_decided import begun, outcome, redirected, say
from tests.unit.test_paging import pages, told

LINE = "withdrawals withdrawal_id=w amount=90000 account_id=x address=thief"
ALONE = FourEyes(commands=(), above_base_amount="1" + "0" * 20)
SMALL = Limits(incidents=64, withdrawals=1024)


def held(story: Story) -> str:
    """More than is held is asked for and pages; its incident."""
    assert pages(story.tell(f"{LINE} status=requested balance_before=1"))
    story.tell("tick")
    return story.engine.state.marks.by_id["withdrawal:w"].incident_id


def leaves(story: Story) -> list[dict[str, Any]]:
    steps = [f"{LINE} status={status}" for status in ("approved", "signed")]
    return told(story, *steps, *(f"{LINE} tx_id=t status={status}" for status in ("broadcast", "confirmed")), "tick")


def incident_of(story: Story, mark_id: str = "withdrawal:w") -> Any:
    state = story.engine.state
    return state.incidents.by_id[state.marks.by_id[mark_id].incident_id]


@pytest.mark.parametrize("argument", ["inconclusive", "confirmed_system_failure"])
def test_what_was_held_and_leaves_after_the_closing_reopens_it_and_pages(argument: str) -> None:
    story = begun(four_eyes=ALONE)
    incident_id = held(story)
    if argument == "confirmed_system_failure":
        say(story, "lea", "confirm", "w")
    assert outcome(say(story, "lea", "close", incident_id, "incident", argument=argument)).startswith("decided")
    assert pages(leaves(story)) == ["reopened"]
    incident = incident_of(story)
    assert (incident.stage, incident.paged_gone) == ("new", True)
    [line] = [line for line in incident.timeline if line.what == "reopened"]
    assert line.detail == "withdrawal w, which was held, has left"


def test_what_left_before_the_closing_reopens_nothing() -> None:
    story = begun(four_eyes=ALONE)
    incident_id = held(story)
    told(story, *(f"{LINE} status={status}" for status in ("approved", "signed")), f"{LINE} tx_id=t status=broadcast", "tick")
    say(story, "lea", "close", incident_id, "incident", argument="inconclusive")
    assert pages(told(story, f"{LINE} tx_id=t status=confirmed", "tick")) == []
    assert incident_of(story).stage == "closed"


@pytest.mark.parametrize("number", [1, 2])
def test_a_held_mark_that_was_moved_pages_when_it_leaves(number: int) -> None:
    story = begun(four_eyes=ALONE)
    redirected(story, "small", "1")
    first = held(story)
    assert first == incident_of(story, "withdrawal:small").incident_id
    for _ in range(number):
        assert pages(say(story, "lea", "move", "withdrawal:w", "mark", argument="new")) == []
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    assert (incident_of(story).gone, incident_of(story).gone_base_minor) == (False, 0)
    assert pages(leaves(story)) == ["escalated"]
    assert story.engine.state.incidents.by_id[first].gone_base_minor == 1_000


def test_what_has_left_takes_along_that_it_was_told() -> None:
    story = begun(four_eyes=ALONE)
    held(story)
    redirected(story, "large", "100000")
    first = incident_of(story)
    assert pages(say(story, "lea", "move", "withdrawal:large", "mark", argument="new")) == []
    into = incident_of(story, "withdrawal:large")
    assert (into.gone, into.paged_gone, into.gone_base_minor, into.paged_gone_base_minor) == (True, True, 100_000_000, 100_000_000)
    assert (first.gone, first.paged_gone, first.gone_base_minor) == (False, False, 0)
    assert pages(leaves(story)) == ["escalated"]  # less than the other, and the first that leaves of this


def test_a_move_takes_the_clock_along_and_tells() -> None:
    story = begun(four_eyes=ALONE)
    story.tell("withdrawals withdrawal_id=n status=broadcast tx_id=tt account_id=q address=nn wallet_id=other")
    into = next(iter(story.engine.state.incidents.by_id.values()))
    redirected(story, "r", "90000")
    woken_ms = incident_of(story, "withdrawal:r").clock.paged_at_ms
    assert into.clock.paged_at_ms is None and into.paged_base_minor == -1 and woken_ms is not None
    assert pages(say(story, "lea", "move", "withdrawal:r", "mark", argument=into.incident_id)) == [
        "escalated"
    ]  # nobody was woken for what has left there
    assert (into.severity, into.clock.paged_at_ms, into.paged_base_minor, into.certain) == ("critical", woken_ms, 90_001_000, True)
    assert [due.target for due in into.due(story.engine.state.incidents.targets)][:1] == ["acknowledged"]


def test_a_move_of_what_nobody_was_woken_for_pages() -> None:
    story = begun(four_eyes=ALONE)
    ids = []
    for name in "nm":
        story.tell(f"withdrawals withdrawal_id={name} status=broadcast tx_id=t{name} account_id={name} address={name} wallet_id={name} amount=6000")
        ids.append(incident_of(story, f"withdrawal:{name}"))
    assert [one.paged_base_minor for one in ids] == [-1, -1]
    assert pages(say(story, "lea", "move", "withdrawal:n", "mark", argument=ids[1].incident_id)) == ["opened"]


# --- no price ---


def stolen(story: Story, name: str, amount: str, address: str = "thief") -> list[dict[str, Any]]:
    """So much of an asset without a price is paid elsewhere."""
    line = f"withdrawals withdrawal_id={name} status=requested amount=1 asset=ETH network=n account_id=z-{name} address=home"
    return told(story, line, f"outflows withdrawal_id={name} tx_id=t-{name} asset=ETH network=n address={address} amount={amount}", "tick")


@pytest.mark.parametrize("price", ["none", "stale", "jumped"])
def test_a_theft_that_nobody_can_value_pages_although_a_decoy_did(price: str) -> None:
    story = begun()
    if price != "none":
        story.tell("prices asset=ETH price=500")
    if price == "jumped":
        story.tell("prices asset=ETH price=100")
    if price == "stale":
        story.now_ms += story.engine.state.policy.price_stale_after_ms
        story.tell("progress"), story.tell("prices price=1000")
    redirected(story, "decoy", "1")
    records = stolen(story, "e", "5000000")
    assert pages(records) == ["escalated"]
    [page] = [record for record in records if record["topic"] == "alerts" and record["kind"] == "page"]
    assert "at least 1,000 JPY (value unknown: no price)" in page["title"]
    assert pages(stolen(story, "f", "5000000")) == []  # not for each
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    assert pages(stolen(story, "g", "50000000")) == ["escalated"]  # ten times that
    assert pages(told(story, "prices asset=ETH price=500", "prices asset=ETH price=500")) == ["escalated"]


def test_what_was_never_requested_and_has_no_price_pages() -> None:
    story = begun()
    line = "withdrawals withdrawal_id=n status=broadcast tx_id=tt asset=ETH network=n account_id=q address=nn wallet_id=other amount=5000000"
    assert pages(story.tell(line)) == ["opened"]
    assert pages(story.tell(line.replace("=n ", "=m ", 1).replace("tt", "uu"))) == []


def test_what_is_held_without_a_price_pages_once_and_again_when_it_leaves() -> None:
    story = begun()
    line = "withdrawals withdrawal_id=w amount=90000 asset=ETH network=n account_id=x address=thief"
    redirected(story, "decoy", "1")
    assert pages(story.tell(f"{line} status=requested balance_before=1")) == ["escalated"]
    assert pages(told(story, f"{line} status=approved", f"{line} status=signed", f"{line} status=broadcast tx_id=t")) == ["escalated"]
    assert pages(told(story, f"{line} status=confirmed tx_id=t", "tick")) == []


# --- its incident is forgotten ---


def forgotten(command: str) -> Story:
    story = begun(limits=SMALL, four_eyes=ALONE)
    incident_id = held(story)
    assert outcome(say(story, "ana", "clear", "w")).startswith("decided")
    say(story, "lea", "close", incident_id, "incident", argument="customers_own_act")
    for number in range(80):
        story.tell(f"withdrawals withdrawal_id=z{number} status=requested amount=2 balance_before=1 account_id=z{number} address=z{number}")
    assert incident_id not in story.engine.state.incidents.by_id, command
    return story


def test_a_loss_whose_incident_is_forgotten_opens_another_when_it_leaves() -> None:
    story = forgotten("leaves")
    assert pages(leaves(story)) == ["opened"]
    assert story.engine.state.marks.by_id["withdrawal:w"].stage == "suspected"
    incident = incident_of(story)
    assert (incident.marks, incident.marked_base_minor, incident.gone, "w" in incident.withdrawals) == (1, 90_000_000, True, True)


def test_a_loss_whose_incident_is_forgotten_is_reopened_in_another() -> None:
    story = forgotten("reopen")
    say(story, "lea", "reopen", "w")
    records = say(story, "leo", "reopen", "w")
    assert outcome(records).startswith("decided")
    assert pages(records) == ["opened"]
    assert (incident_of(story).marks, incident_of(story).rule, story.engine.state.marks.by_id["withdrawal:w"].cause) == (
        1,
        "reported",
        "system_failure",
    )
    assert "look at it again" in incident_of(story).detail


def test_a_loss_that_was_paid_back_and_grows_after_its_incident_is_forgotten_is_in_another() -> None:
    story = begun(limits=SMALL, four_eyes=ALONE)
    redirected(story, "w", "5")
    incident_id = incident_of(story).incident_id
    for command in ("confirm", "compensated"):
        assert outcome(say(story, "lea", command, "w")).startswith("decided")
    say(story, "lea", "close", incident_id, "incident", argument="confirmed_unauthorized")
    for number in range(80):
        story.tell(f"withdrawals withdrawal_id=z{number} status=requested amount=2 balance_before=1 account_id=z{number} address=z{number}")
    assert incident_id not in story.engine.state.incidents.by_id
    assert pages(story.tell("outflows withdrawal_id=w tx_id=t-w address=thief amount=90000 output_index=1"))
    assert (incident_of(story).marks, incident_of(story).gone) == (1, True)
