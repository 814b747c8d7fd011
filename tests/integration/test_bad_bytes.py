"""Any bytes on any topic: exactly one dead letter per source position, an UNSCORED verdict for a bad withdrawal, and the stream goes on."""

import json
from collections import Counter
from hashlib import sha256

import pytest

from tests.integration.deployment import INPUTS, Deployment
from tests.integration.exchange import Exchange, Message
from tests.integration.traffic import now_ms

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]
DEEP = 100_000
LARGE = 10_000_000


def bad_values(good: dict[str, object]) -> list[bytes]:
    """Ways to be wrong, of a value that is right otherwise."""
    text = json.dumps(good).encode()
    return [
        b"", b"\x00", b"\xff\xfe\xfd", b"null", b"[]", b"7", b'"text"', b"{}", text[:-1], text + b"}", b"\xef\xbb\xbf" + text,
        text.replace(b"{", b'{"occurred_at_ms":1,', 1),
        text.replace(b"{", b'{"event_id":"other",', 1),
        text.replace(b'"event_id"', b'"schema_version":2,"event_id"'),
        text.replace(b'"event_id"', b'"extra":NaN,"event_id"'),
        text.replace(str(good["occurred_at_ms"]).encode(), b"1e400"),
        text.replace(str(good["event_id"]).encode(), b"a\\u0000b"),
        text.replace(str(good["event_id"]).encode(), b"\xc3\x28"),
        text.replace(b'"event_id"', b'"extra":' + b"[" * DEEP + b"]" * DEEP + b',"event_id"'),
        text.replace(b'"event_id"', b'"extra":"' + b"x" * LARGE + b'","event_id"'),
    ]  # fmt: skip


def goods() -> dict[str, Message]:
    """A good message for each topic."""
    exchange = Exchange(5)
    found = {message.topic: message for message in [*exchange.some(3_000, now_ms()), *exchange.opening(now_ms())]}
    assert set(found) == set(INPUTS)
    return found


def test_one_dead_letter_per_bad_record(deployment: Deployment) -> None:
    worker = deployment.worker(INTAKE__RECORD_BYTES_MAX="262144")
    worker.wait_ready()
    bad: list[Message] = []
    odd: list[Message] = []  # an outflow is a fact on chain, whatever clock dates it: never rejected for its time
    for topic, good in goods().items():
        event = json.loads(good.value)
        bad += [Message(topic, good.key, value) for value in bad_values(event)]
        beyond = Message(topic, good.key, good.value.replace(str(event["occurred_at_ms"]).encode(), b"36893488147419103232"))
        (odd if topic == "outflows" else bad).append(beyond)
    bad += [Message("retries", b"k", value) for value in (b"", b"{}", b"\xff")]
    with deployment.traffic(300) as traffic:
        traffic.wait_sent(300)
        deployment.produce([*bad, *odd])
        traffic.wait_sent(traffic.sent + 300)
    until = deployment.settle()
    assert worker.stop() == 0
    witness = deployment.assert_promises(until)
    wrong = {message.value for message in bad}
    positions = {
        f"{topic}/{record.partition}@{record.offset}": record
        for topic in (*INPUTS, "retries")
        for record in deployment.read(topic)
        if record.value in wrong
    }
    assert len(positions) == len(bad)
    assert sorted(witness.rejected) == sorted(positions)
    letters: Counter[str] = Counter()
    for letter in deployment.read("dead-letter"):
        facts = {name: value.decode() for name, value in letter.headers.items()}
        position = f"{facts['x-topic']}/{facts['x-partition']}@{facts['x-offset']}"
        letters[position] += 1
        value = positions[position].value or b""
        assert facts["x-value-sha256"] == sha256(value).hexdigest()
        assert int(facts["x-value-bytes"]) == len(value)
        assert value.startswith(letter.value or b"")
        assert facts["x-reason"]
    assert letters == Counter(positions.keys())
    unscored = [record for record in deployment.read("verdicts") if b'"UNSCORED"' in (record.value or b"")]
    assert len(unscored) == sum(position.startswith(("withdrawals/", "outflows/")) for position in positions)
