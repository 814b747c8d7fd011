"""What is kept beyond the limits: marks that stand and the incidents that have them, however many; people and the gauges are told."""

from monitor.engine import Engine
from monitor.policy import Limits
from monitor.snapshot_file import decode, encode
from tests.unit.test_decided import begun, outcome, redirected, say

DUST = "status=requested amount=0.00002 balance_before=0.00001"


def test_an_incident_with_marks_is_never_forgotten_and_the_limit_is_said_once() -> None:
    story = begun(limits=Limits(incidents=64, marks=64))
    redirected(story, "big", "50000")
    marks, incidents = story.engine.state.marks, story.engine.state.incidents
    big = marks.by_id["withdrawal:big"].incident_id
    told = []
    for number in range(100):
        told += story.tell(f"withdrawals withdrawal_id=q{number} {DUST} address=d{number} account_id=m{number}")
        if number == 80:
            story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    marks, incidents = story.engine.state.marks, story.engine.state.incidents
    assert incidents.marked == marks.standing == len(marks.by_id) == 101
    assert {mark.incident_id for mark in marks.by_id.values()} <= set(incidents.by_id)
    assert outcome(say(story, "ana", "acknowledge", big, "incident")).startswith("decided")
    said = [record["title"] for record in told if record["topic"] == "alerts" and "limits" in str(record["title"])]
    assert said == ["More losses stand than the limits are made for"]
    tables = story.engine.gauges().tables
    assert (tables["mark"].used, tables["mark"].limit) == (101, 64)
    assert tables["incident"].used > 64


def test_of_incidents_without_marks_the_least_severe_go_first() -> None:
    story = begun(limits=Limits(incidents=64))
    grave = []
    for number in range(3):
        name = f"grave{number}"
        line = f"withdrawals withdrawal_id={name} {DUST.replace('0.00002', '60000')} address={name} account_id={name}"
        story.tell(line)
        story.tell(line.replace("requested", "cancelled"))
        grave.append(story.engine.state.withdrawals.by_id[name].incident_id)
    for number in range(80):  # warnings, without a mark
        story.tell(f"wallet-events wallet_id=w{number} action=signer_changed")
    incidents = story.engine.state.incidents
    assert len(incidents.by_id) <= 64 and incidents.counts.evicted > 0
    assert set(grave) <= set(incidents.by_id)
