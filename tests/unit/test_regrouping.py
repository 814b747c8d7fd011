"""Marks that go to another incident: what a merge costs is told, people part what was merged wrongly, and no finding merges that again."""

from typing import Any

import pytest

from monitor.engine import Engine
from monitor.policy import FourEyes, Layer
from monitor.snapshot_file import decode, encode
from tests.unit.story import Story
from tests.unit.test_decided import begun, outcome, redirected, say, stage

ALONE = FourEyes(commands=(), above_base_amount="100000000")
INSURED = (Layer("insurance", "JPY", drawn="on_claim", limit_total="1000000", limit_per_event="5000"),)


def victim(story: Story, name: str) -> str:
    """A loss of 5,000 JPY of one customer; its incident."""
    story.tell(f"withdrawals withdrawal_id=v{name} status=requested amount=5 balance_before=1 account_id={name} address=d{name}")
    return story.engine.state.marks.by_id[f"withdrawal:v{name}"].incident_id


def dust(story: Story, name: str, number: int = 0) -> list[dict[str, Any]]:
    """A request of nothing to the same address, by somebody who does so to many."""
    return story.tell(
        f"withdrawals withdrawal_id=t{name}{number} status=requested amount=0.00002 balance_before=0.00001 account_id=eve address=d{name}"
    )


def notices(records: list[dict[str, Any]], why: str) -> list[dict[str, Any]]:
    return [record for record in records if record["topic"] == "alerts" and record["why"] == why]


def test_a_merge_by_which_less_is_covered_is_told() -> None:
    story = begun(layers=INSURED)
    ids = [victim(story, name) for name in "AB"]
    assert dust(story, "A") and story.engine.state.marks.total.uncovered_base_minor == 1
    told = dust(story, "B")
    assert [mark.incident_id for mark in story.engine.state.marks.by_id.values()] == [ids[0]] * 4
    [notice] = notices(told, "less_covered")
    assert (notice["kind"], notice["incident_id"]) == ("notice", ids[0])
    said = f"Incidents {ids[0]} and {ids[1]} are one now, and 5000 JPY less is covered"
    assert str(notice["summary"]).startswith(said)
    [audit] = [record for record in told if record["topic"] == "audit" and record["what"] == "less-covered"]
    assert (audit["subject_id"], str(audit["detail"]).startswith(said)) == (ids[1], True)


def test_a_merge_that_costs_nothing_is_not_told() -> None:
    story = begun()
    victim(story, "A"), victim(story, "B")
    told = dust(story, "A") + dust(story, "B")
    assert story.engine.state.incidents.counts.merged == 1
    assert not notices(told, "less_covered")


def test_people_part_what_was_merged_wrongly_and_it_stays_parted() -> None:
    story = begun(layers=INSURED)
    ids = [victim(story, name) for name in "AB"]
    dust(story, "A"), dust(story, "B")
    marks, incidents = story.engine.state.marks, story.engine.state.incidents
    assert outcome(say(story, "lea", "move", "withdrawal:vB", "mark", argument="new")).startswith("awaits-second")
    assert marks.by_id["withdrawal:vB"].incident_id == ids[0]
    told = say(story, "leo", "move", "withdrawal:vB", "mark", argument="new")
    assert outcome(told).startswith("decided")
    parted = marks.by_id["withdrawal:vB"].incident_id
    assert parted not in ids and f"it is of incident {parted}" in outcome(told)
    assert marks.by_id["withdrawal:vB"].uncovered_base_minor == 0  # an event of its own, with a limit of its own
    assert not [record for record in told if record["topic"] == "alerts"]
    old, new = incidents.by_id[ids[0]], incidents.by_id[parted]
    assert (old.timeline[-1].what, new.timeline[-1].what, new.marks, new.stage) == ("mark_moved", "mark_moved", 1, "new")
    assert ("vB" in old.withdrawals, "vB" in new.withdrawals, "address:dB" in new.keys) == (False, True, True)
    assert story.engine.state.withdrawals.by_id["vB"].incident_id == parted
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    for number in (1, 2):
        dust(story, "B", number)
        dust(story, "A", number)
    assert story.engine.state.incidents.counts.merged == 1
    story.tell("withdrawals withdrawal_id=vB status=broadcast tx_id=t amount=6 account_id=B address=dB")  # more of the same loss: where it is
    marks = story.engine.state.marks
    assert (marks.by_id["withdrawal:vB"].incident_id, marks.by_id["withdrawal:vB"].subject.amount_minor) == (parted, 600_000_000)
    assert story.engine.state.incidents.by_id[parted].certain


def test_what_is_parted_stays_so_through_merges() -> None:
    story = begun(four_eyes=ALONE)
    ids = [victim(story, name) for name in "ABC"]
    dust(story, "A"), dust(story, "B")
    say(story, "lea", "move", "withdrawal:vB", "mark", argument="new")
    parted = story.engine.state.marks.by_id["withdrawal:vB"].incident_id
    dust(story, "C")  # of eve's too: C goes to A
    assert story.engine.state.incidents.by_id[ids[2]].merged_into == ids[0]
    story.tell("withdrawals withdrawal_id=x status=requested amount=5 balance_before=1 account_id=C address=dB")  # ties all three
    incidents = story.engine.state.incidents
    assert incidents.by_id[parted].is_open and incidents.by_id[ids[0]].is_open


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("nowhere", 'the argument must name an incident, or be "new"'),
        ("", 'the argument must name an incident, or be "new"'),
        ("own", "it is of incident"),
        ("closed", "is closed"),
    ],
)
def test_what_is_moved_nowhere_is_refused(argument: str, why: str) -> None:
    story = begun(four_eyes=ALONE)
    ids = {"own": victim(story, "A"), "closed": victim(story, "B")}
    say(story, "lea", "close", ids["closed"], "incident", argument="inconclusive")
    assert why in outcome(say(story, "lea", "move", "withdrawal:vA", "mark", argument=ids.get(argument, argument)))
    assert story.engine.state.marks.by_id["withdrawal:vA"].version == 1


def test_a_move_to_a_known_incident_and_the_closing_that_it_stops() -> None:
    story = begun(four_eyes=FourEyes(commands=("close",), above_base_amount="100000000"))
    ids = [victim(story, name) for name in "AB"]
    assert outcome(say(story, "lea", "close", ids[1], "incident", argument="inconclusive")).startswith("awaits-second")
    assert outcome(say(story, "lea", "move", "withdrawal:vA", "mark", argument=ids[1])).startswith("decided")
    incidents = story.engine.state.incidents
    assert [incidents.by_id[name].marks for name in ids] == [0, 2]
    assert incidents.by_id[ids[1]].stage == "acknowledged"


def test_a_loss_is_revised_both_ways_by_two_where_it_is_large() -> None:
    story = begun(four_eyes=FourEyes(above_base_amount="5000"))
    redirected(story, "w", "4")
    say(story, "ana", "confirm", "w")
    told = say(story, "lea", "revise", "w", amount="2.5")
    assert "2.5 BTC are lost, not 4" in outcome(told)
    mark = story.engine.state.marks.by_id["withdrawal:w"]
    assert (mark.stage, mark.subject.amount_minor, mark.base_minor) == ("confirmed", 250_000_000, 2_500)
    assert outcome(say(story, "lea", "revise", "w", amount="6")).startswith("awaits-second")
    assert "2.5 BTC already" in outcome(say(story, "lea", "revise", "w", amount="2.5"))
    assert outcome(say(story, "leo", "revise", "w", amount="6")).startswith("decided")
    assert outcome(say(story, "leo", "revise", "w", amount="1")).startswith("awaits-second")  # the amount that is worth more counts
    assert (stage(story), story.engine.state.marks.by_id["withdrawal:w"].subject.amount_minor) == ("confirmed", 600_000_000)


def test_a_loss_is_not_revised_below_what_is_settled_nor_when_it_is_cleared() -> None:
    story = begun(four_eyes=ALONE)
    redirected(story, "w", "4")
    say(story, "ana", "confirm", "w")
    say(story, "lea", "recovered", "w", amount="1")
    assert "more of the BTC is compensated or came back already" in outcome(say(story, "lea", "revise", "w", amount="0.5"))
    assert "above zero" in outcome(say(story, "lea", "revise", "w", amount="0"))
    redirected(story, "v", "4")
    say(story, "ana", "clear", "v")
    assert "it is cleared: reopen it first" in outcome(say(story, "lea", "revise", "v", amount="3"))
    assert outcome(say(story, "ana", "revise", "w", amount="3")).startswith("refused")  # no role of hers


def test_what_one_person_decided_alone_of_either_incident_counts_for_a_move() -> None:
    story = begun(four_eyes=FourEyes(commands=(), above_base_amount="9000"))
    ids = [victim(story, name) for name in "AB"]
    story.tell("tick")
    assert outcome(say(story, "lea", "change_owner", "withdrawal:vB", "mark", argument="exchange")).startswith("decided")  # 5,000 of B's
    assert outcome(say(story, "lea", "move", "withdrawal:vA", "mark", argument=ids[1])).startswith("awaits-second")
    assert outcome(say(story, "leo", "move", "withdrawal:vA", "mark", argument=ids[1], approves=None)).startswith("decided")
