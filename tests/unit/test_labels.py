"""A label counts when enough people who may say so agree, signed, on what they saw; the detectors learn it then, and unlearn it when they don't."""

import base64
from typing import Any

import msgspec
import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.contracts.feedback import Feedback
from monitor.labels import Labels, agreed
from monitor.policy import Actor, FourEyes
from monitor.signatures import is_signed, message, public_key
from tests.unit.story import Story

KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"-")) for name in ("alice", "bob", "carol", "mallory")}
ACTORS = {
    name: Actor(base64.b64encode(KEYS[name].public_key().public_bytes_raw()).decode(), ("lead",)) for name in ("alice", "bob", "carol")
}  # fmt: skip


def decision(story: Story, actor: str, command: str, *, signer: str | None = None, **changes: Any) -> list[str]:
    """One decision about withdrawal w; what the fold says of it."""
    story.now_ms += 1_000
    story.numbers += 1
    facts: dict[str, Any] = {
        "event_id": f"d{story.numbers}", "occurred_at_ms": story.now_ms, "subject": "withdrawal", "subject_id": "w", "command": command, "actor": actor,
        "reason": "looked at it", "seen_version": 1,
    } | changes  # fmt: skip
    text = message(Feedback(**facts))
    facts["signature"] = base64.b64encode(KEYS[signer or actor].sign(text)).decode()
    told = story.feed(story.writer.event("feedback", facts, story.now_ms))
    return [f"{record['what']}: {record['detail']}" for record in told if record["topic"] == "audit"]


def begun(**changes: Any) -> Story:
    story = Story(actors=ACTORS, four_eyes=FourEyes(commands=()), **changes)
    story.tell("prices price=1000")
    story.tell("withdrawals status=requested")
    return story


def version(story: Story) -> int:
    return story.engine.state.withdrawals.by_id["w"].version


def labels_of(story: Story) -> dict[str, bool | None]:
    return {name: label.counted for name, label in story.engine.state.labels.by_id.items()}


def test_two_people_must_agree_and_either_can_take_it_back() -> None:
    story = begun()
    panel = story.engine.state.scoring.panel
    untouched = {name: array.copy() for name, array in panel.arrays().items() if name.startswith("lanes.model")}
    assert "learn" not in decision(story, "alice", "confirm")[0]
    assert labels_of(story) == {"w": None}
    [told] = decision(story, "alice", "confirm", seen_version=version(story))  # one person is one vote
    assert told.startswith("refused: ")
    assert "the detectors learnt 1 of 1" in decision(story, "bob", "confirm", seen_version=version(story))[0]
    assert labels_of(story) == {"w": True}
    taught = {name: array.copy() for name, array in panel.arrays().items() if name in untouched}
    assert any((taught[name] != untouched[name]).any() for name in untouched)
    assert "the detectors unlearnt 1 of 1" in decision(story, "bob", "reopen", seen_version=version(story))[0]
    assert labels_of(story) == {"w": None}
    assert all(np.array_equal(panel.arrays()[name], untouched[name]) for name in untouched)
    assert "learn" not in decision(story, "bob", "clear", seen_version=version(story))[0]
    assert "the detectors learnt 1 of 1" in decision(story, "carol", "clear", seen_version=version(story))[0]
    assert labels_of(story) == {"w": False}


def test_who_disagrees_is_heard() -> None:
    assert agreed({"a": "confirm", "b": "confirm"}, 2) is True
    assert agreed({"a": "confirm", "b": "confirm", "c": "clear"}, 2) is True
    assert agreed({"a": "confirm", "b": "confirm", "c": "clear", "d": "clear"}, 2) is None
    assert agreed({"a": "clear"}, 1) is False
    assert agreed({}, 1) is None


def test_what_is_signed_is_everything_that_is_decided() -> None:
    facts: dict[str, Any] = {
        "event_id": "d", "occurred_at_ms": 1, "subject": "withdrawal", "subject_id": "w", "command": "confirm", "actor": "alice", "reason": "r", "seen_version": 1,
    }  # fmt: skip
    assert message(Feedback(**facts)) == b'["d",1,"withdrawal","w","confirm","alice",1,null,null,null,"r"]'
    signature = base64.b64encode(KEYS["alice"].sign(message(Feedback(**facts)))).decode()
    key = KEYS["alice"].public_key().public_bytes_raw()
    assert is_signed(Feedback(**facts, signature=signature), key)
    others = {"event_id": "e", "occurred_at_ms": 2, "subject_id": "v", "command": "clear", "actor": "bob", "reason": "s", "seen_version": 2}
    for name, value in {**others, "subject": "mark", "amount": "1", "argument": "x", "time_ms": 3}.items():
        assert not is_signed(Feedback(**(facts | {name: value}), signature=signature), key), f"{name} isn't signed"
    for bad in ("", "not base64!", base64.b64encode(b"short").decode()):
        assert not is_signed(msgspec.structs.replace(Feedback(**facts), signature=bad), key)
    assert not is_signed(Feedback(**facts), key)
    assert not is_signed(msgspec.structs.replace(Feedback(**facts), signature=f"!{signature}"), key)
    text = base64.b64encode(key).decode()
    assert public_key(text) == key and public_key(f"!{text}") is None
    assert public_key("not a key") is None and public_key(base64.b64encode(b"x" * 31).decode()) is None


def test_over_the_limit_the_labels_that_were_longest_left_alone_go() -> None:
    labels = Labels()
    for number in range(100):
        labels.vote(f"w{number}", number, "alice", "confirm", 1, 100)
    before, after = labels.vote("w0", 7, "bob", "confirm", 1, 100)
    assert (before.votes, after.votes, after.observation) == ({"alice": "confirm"}, {"alice": "confirm", "bob": "confirm"}, 0)
    assert (len(labels.by_id), labels.evicted) == (100, 0)
    labels.vote("w100", 100, "alice", "confirm", 1, 100)
    assert list(labels.by_id) == [*(f"w{number}" for number in range(7, 100)), "w0", "w100"]
    assert labels.evicted == 6  # a sixteenth of the limit at once


def test_a_withdrawal_that_was_never_scored_has_no_label() -> None:
    story = Story(actors=ACTORS, four_eyes=FourEyes(commands=()), label_approvals=1)
    story.tell("prices price=1000")
    story.tell("withdrawals status=broadcast tx_id=t")
    assert decision(story, "alice", "confirm", seen_version=version(story))[0].startswith("decided: ")
    assert labels_of(story) == {}
