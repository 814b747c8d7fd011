"""Two are two persons only with two keys; what one may decide alone, and what a policy's terms can and can't make of that."""

import base64
from typing import Any

import msgspec
import pytest

from monitor import entries
from monitor.contracts.compensation import SignOff
from monitor.engine import Engine
from monitor.policies import digest
from monitor.policy import Actor, FourEyes, Policy, Thresholds
from monitor.sign_offs import status
from monitor.snapshot_file import decode, encode
from monitor.version import ENGINE_VERSION
from tests.simulation.journals import PARTITIONS, policy
from tests.unit.story import Story
from tests.unit.test_decided import ALL, KEYS, actors, begun, outcome, redirected, say

OTHER_SPELLING = {"A": "B", "E": "F", "I": "J", "M": "N", "Q": "R", "U": "V", "Y": "Z", "c": "d", "g": "h", "k": "l", "o": "p", "s": "t", "w": "x"}


def spelled_otherwise(text: str) -> str:
    """The same 32 bytes in other letters of base64: the last two bits before the padding say nothing."""
    letter = next((other for one, other in (*OTHER_SPELLING.items(), ("0", "1"), ("4", "5"), ("8", "9")) if text[-2] == one))
    other = f"{text[:-2]}{letter}="
    assert base64.b64decode(other, validate=True) == base64.b64decode(text) and other != text
    return other


def doubled() -> dict[str, Actor]:
    """Lea is there as lea2 too, with her key spelled otherwise."""
    return ALL | {"lea2": Actor(spelled_otherwise(ALL["lea"].public_key), ("lead",))}


def term(story: Story, told: Policy, name: str = "term-2") -> list[str]:
    """A worker takes over; what the core says of its policy."""
    story.now_ms += 1_000
    records = story.feed(entries.term(name, ENGINE_VERSION, told, PARTITIONS, story.now_ms))
    return [f"{record['what']}: {record['detail']}" for record in records if record["topic"] == "audit" and record["what"] != "term"]


def like(story: Story, **changes: Any) -> Policy:
    return msgspec.structs.replace(story.engine.state.policy, **changes)


def test_a_term_makes_nobody_two_persons() -> None:
    story = begun()
    told = term(story, like(story, actors=doubled()))
    assert told == ["refused: of the policy: actors lea and lea2 have one key, and one person can't be two: the former actors and roles stay"]
    assert story.engine.state.policy.actors == ALL


def test_of_the_first_policy_nobody_decides_who_would_be_two() -> None:
    story = begun(actors=doubled())
    assert set(story.engine.state.policy.actors) == {*ALL} - {"lea"}
    story.tell("withdrawals status=requested amount=5 balance_before=1")
    assert "the policy has no key" in outcome(say(story, "lea", "release", "w"))


def test_a_proposal_that_makes_somebody_two_is_one_without_it() -> None:
    story = begun(actors=ALL | actors("adam", "eve"))
    told = term(story, like(story, actors=doubled() | actors("adam", "eve"), late_after_ms=5_000))
    assert [line.partition(":")[0] for line in told] == ["policy-proposed", "refused"]
    [proposal] = story.engine.state.proposals.values()
    assert proposal.policy.actors == story.engine.state.policy.actors


def test_a_vote_and_a_sign_off_are_of_another_key() -> None:
    signed = [SignOff(actor=name, incident_id="i", statement_sha256="0" * 64, signature="x") for name in ("lea", "lea2")]
    assert status(signed, 0, policy(actors=doubled())) == "DRAFT"
    story = begun(label_approvals=2, four_eyes=FourEyes(commands=()))
    story.tell("withdrawals status=requested")
    say(story, "lea", "confirm", "w")
    renamed = {name: actor for name, actor in ALL.items() if name != "lea"} | {"lea2": ALL["lea"]}
    term(story, like(story, actors=renamed))
    KEYS["lea2"] = KEYS["lea"]
    assert "no mark of it is suspected" in outcome(say(story, "lea2", "confirm", "w"))
    del KEYS["lea2"]
    assert story.engine.state.labels.by_id["w"].counted is None


def test_an_amount_that_cannot_be_read_in_the_base_currency_is_none() -> None:
    story = begun(four_eyes=FourEyes(above_base_amount="1000"))
    told = term(story, like(story, four_eyes=FourEyes(above_base_amount="0.5"), thresholds=Thresholds(page_base_amount="9" * 40)))
    assert told == [
        "refused: of the policy: four_eyes.above_base_amount (0.5) is no amount of JPY: 1000 stays",
        f"refused: of the policy: thresholds.page_base_amount ({'9' * 40}) is no amount of JPY: 10000000 stays",
    ]
    assert story.engine.state.policy.four_eyes.above_base_amount == "1000"
    assets = story.engine.state.policy.assets
    told = term(story, like(story, base_currency="USDC", assets=assets, four_eyes=FourEyes(above_base_amount="70000")))
    assert "refused: of the policy: four_eyes.above_base_amount (70000) is no amount of JPY: 1000 stays" in told


def test_a_limit_that_cannot_be_read_from_the_first_on_is_none_at_all() -> None:
    story = begun(four_eyes=FourEyes(above_base_amount="10000000.5"), thresholds=Thresholds(page_base_amount="10000000.5"))
    mark = redirected(story)
    assert outcome(say(story, "ana", "confirm", "w")).startswith("awaits-second")
    assert story.engine.state.incidents.by_id[mark["incident_id"]].severe
    assert outcome(say(story, "ana", "acknowledge", mark["incident_id"], "incident")).startswith("decided")


def administered(**changes: Any) -> Story:
    return begun(actors=ALL | actors("adam", "eve"), **changes)


def test_the_policy_is_changed_by_two_whatever_it_says() -> None:
    story = administered(four_eyes=FourEyes(commands=()))
    changed = like(story, late_after_ms=5_000)
    term(story, changed)
    assert outcome(say(story, "adam", "change_policy", digest(changed), "policy")).startswith("awaits-second")
    assert outcome(say(story, "eve", "change_policy", digest(changed), "policy")).startswith("decided")


def test_a_policy_that_one_person_alone_could_change_is_refused() -> None:
    story = begun()
    [told] = term(story, like(story, actors=ALL | actors("adam")))
    assert told == "refused: of the policy: only adam may change the policy, which needs two: the former actors and roles stay"


def test_the_order_of_a_table_is_no_difference() -> None:
    for story in (begun(), administered()):
        assert term(story, like(story, actors=dict(reversed(story.engine.state.policy.actors.items())))) == []
        assert story.engine.state.policy.version == 1


def test_a_takeover_ends_no_proposal_and_a_decision_ends_them_all() -> None:
    story = administered()
    standing, one, other = story.engine.state.policy, like(story, late_after_ms=5_000), like(story, late_after_ms=6_000)
    term(story, one, "term-2")
    assert outcome(say(story, "adam", "change_policy", digest(one), "policy")).startswith("awaits-second")
    assert term(story, standing, "term-3") == []
    term(story, other, "term-4")
    assert outcome(say(story, "eve", "change_policy", digest(one), "policy")).startswith("decided")
    assert "no such policy is proposed" in outcome(say(story, "adam", "change_policy", digest(other), "policy"))


def test_proposals_are_bounded() -> None:
    story = administered()
    for number in range(10):
        term(story, like(story, late_after_ms=5_000 + number), f"term-{number + 2}")
    assert [each.policy.late_after_ms for each in story.engine.state.proposals.values()] == [5_002 + number for number in range(8)]


def sums(story: Story, incident_id: str) -> list[int]:
    return list(story.engine.state.incidents.by_id[incident_id].alone.values())


def test_what_one_person_decides_alone_about_an_incident_adds_up() -> None:
    story = begun(four_eyes=FourEyes(commands=(), above_base_amount="3000"))
    for number in range(5):
        mark = redirected(story, f"w{number}")
    incident_id = mark["incident_id"]
    told = [outcome(say(story, "ana", "clear", f"w{number}")).partition(":")[0] for number in range(4)]
    assert told == ["decided", "decided", "decided", "awaits-second"]
    assert sums(story, incident_id) == [3_000]
    assert outcome(say(story, "ben", "clear", "w4")).startswith("decided")  # he has 3,000 of his own
    assert sums(story, incident_id) == [3_000, 1_000]
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    assert sums(story, incident_id) == [3_000, 1_000]


def test_what_comes_back_in_slices_and_what_is_reported_in_slices_adds_up() -> None:
    story = begun(four_eyes=FourEyes(commands=(), above_base_amount="3000"))
    redirected(story, "w", "10")
    say(story, "ana", "confirm", "w")
    say(story, "ben", "confirm", "w")
    told = [outcome(say(story, "lea", "recovered", "w", amount="1.5")).partition(":")[0] for _ in range(3)]
    assert told == ["decided", "decided", "awaits-second"]
    story = begun(four_eyes=FourEyes(commands=(), above_base_amount="3000"))
    for number in range(3):
        story.tell(f"withdrawals withdrawal_id=r{number} account_id=a{number} status=requested amount=1.5")
    told = [outcome(say(story, "ana", "confirm", f"r{number}")).partition(":")[0] for number in range(3)]
    assert told == ["decided", "decided", "awaits-second"]


def test_two_incidents_that_become_one_have_both_sums() -> None:
    story = begun(four_eyes=FourEyes(commands=(), above_base_amount="3000"))
    for name, wallet, to in (("w1", "h1", "x"), ("w2", "h2", "y")):
        story.tell(f"withdrawals withdrawal_id={name} account_id=a-{name} status=requested wallet_id={wallet} address=home-{name} amount=1.5")
        story.tell(f"outflows withdrawal_id={name} tx_id=t-{name} address={to} wallet_id={wallet} amount=1.5")
        assert outcome(say(story, "ana", "confirm", name)).startswith("decided")
    story.tell("withdrawals withdrawal_id=w3 account_id=a-w3 status=requested wallet_id=h1 address=home-w3")
    story.tell("outflows withdrawal_id=w3 tx_id=t-w3 address=y wallet_id=h1")
    [alone] = [one.alone for one in story.engine.state.incidents.by_id.values() if one.alone]
    assert list(alone.values()) == [3_000]
    assert outcome(say(story, "ana", "confirm", "w3")).startswith("awaits-second")


def test_where_an_incident_is_forgotten_or_has_no_room_one_person_decides_nothing() -> None:
    story = begun()
    mark = redirected(story)
    incident = story.engine.state.incidents.by_id[mark["incident_id"]]
    incident.alone = {f"key {number}": 1 for number in range(256)}
    assert outcome(say(story, "ana", "confirm", "w")).startswith("awaits-second")
    incident.alone = {}
    del story.engine.state.incidents.by_id[mark["incident_id"]]
    assert outcome(say(story, "ana", "clear", "w")).startswith("awaits-second")


@pytest.mark.parametrize("price", ["stale", "jumped"])
def test_a_loss_without_a_fresh_price_may_be_any_amount(price: str) -> None:
    story = begun(price_stale_after_ms=60_000)
    if price == "stale":
        story.now_ms += 120_000
    else:
        story.tell("prices price=1000000")
    redirected(story)
    story.tell("withdrawals withdrawal_id=v account_id=b status=requested")
    assert story.engine.state.marks.by_id["withdrawal:w"].base_minor is None
    for name in ("w", "v"):
        assert outcome(say(story, "ana", "confirm", name)).startswith("awaits-second"), name


def test_a_machine_is_neither_of_two_persons() -> None:
    story = begun(four_eyes=FourEyes(commands=("acknowledge",)))
    incident_id = redirected(story)["incident_id"]
    assert "a machine may not decide it" in outcome(say(story, "robot", "acknowledge", incident_id, "incident"))


def test_by_default_two_say_what_came_back() -> None:
    story = begun()
    redirected(story)
    say(story, "ana", "confirm", "w")
    assert outcome(say(story, "lea", "recovered", "w", amount="0.1")).startswith("awaits-second")


def test_parting_marks_makes_no_room() -> None:
    story = begun(four_eyes=FourEyes(commands=(), above_base_amount="3000"))
    for number in range(3):
        mark = redirected(story, f"w{number}", "1.5")
    told = [outcome(say(story, "lea", "move", f"withdrawal:w{number}", "mark", argument="new")).partition(":")[0] for number in range(3)]
    assert told == ["decided", "decided", "awaits-second"]
    assert sums(story, mark["incident_id"]) == [3_000]
