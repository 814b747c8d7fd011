"""The checked-in schemas are those of the code; examples and what the code writes are valid by them."""

import json
import pathlib
from typing import Any

import jsonschema
import msgspec
import pytest

from monitor import entries
from monitor.contracts.dead_letters import DeadLetter
from monitor.contracts.examples import EXAMPLES
from monitor.contracts.outputs import Heartbeat, Verdict
from monitor.contracts.schema import DIALECT, documents
from monitor.contracts.topics import CONTROL, DEAD_LETTER, INPUT_BY_NAME, INPUTS, JOURNAL, OUTPUTS, RETRIES
from monitor.decode import IntakeLimits
from monitor.intake import Intake
from monitor.policy import Asset, Policy

FOLDER = pathlib.Path(__file__).parents[2] / "deploy" / "schemas"
DOCUMENTS = {name: json.loads(content) for name, content in documents().items()}
ASSETS = {"BTC": Asset(decimals=8), "JPY": Asset(decimals=0)}
CLOCK_MS = 1_760_000_001_000


def validate(name: str, content: object) -> None:
    jsonschema.Draft202012Validator(DOCUMENTS[f"{name}.schema.json"]).validate(content)


class Record(msgspec.Struct):
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = CLOCK_MS
    headers: tuple[tuple[str, bytes | None], ...] = ()


def test_checked_in_schemas_are_current() -> None:
    assert {path.name: path.read_bytes() for path in FOLDER.iterdir()} == documents(), "run `make schemas` and commit what changed"


def test_every_topic_is_there() -> None:
    topics = {*INPUT_BY_NAME, *(topic.name for topic in OUTPUTS)}
    names = {*topics, JOURNAL, CONTROL, f"{RETRIES}.headers", f"{DEAD_LETTER}.headers", "outputs.headers", "compensation", "sign-off"}
    assert set(DOCUMENTS) == {f"{name}.schema.json" for name in names} | {"asyncapi.json"}
    assert set(DOCUMENTS["asyncapi.json"]["channels"]) == {*topics, JOURNAL, CONTROL, RETRIES, DEAD_LETTER}


@pytest.mark.parametrize("name", [name for name in DOCUMENTS if name != "asyncapi.json"])
def test_schemas_are_valid_and_explain_every_input_field(name: str) -> None:
    document = DOCUMENTS[name]
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$schema"] == DIALECT
    assert document["description"]
    for topic in INPUTS:
        if name == f"{topic.name}.schema.json":
            assert topic.key in document["$defs"][topic.event.__name__]["required"]


@pytest.mark.parametrize("topic", INPUTS, ids=lambda topic: topic.name)
def test_examples_are_valid(topic: Any) -> None:
    minimal, full = EXAMPLES[topic.name]
    validate(topic.name, minimal)
    validate(topic.name, full)
    assert set(full) == set(topic.event.__struct_fields__)
    assert set(minimal) == {field.name for field in msgspec.structs.fields(topic.event) if field.required}
    for name in minimal:
        with pytest.raises(jsonschema.ValidationError):
            validate(topic.name, {other: content for other, content in minimal.items() if other != name})


@pytest.mark.parametrize(
    ("topic", "name", "content"),
    [
        ("withdrawals", "amount", 0.25),
        ("withdrawals", "amount", "-1"),
        ("withdrawals", "amount", "1e3"),
        ("withdrawals", "amount", "."),
        ("withdrawals", "status", "asked"),
        ("withdrawals", "schema_version", 2),
        ("withdrawals", "event_id", ""),
        ("withdrawals", "event_id", "e" * 129),
        ("prices", "price", 5),
        ("feedback", "seen_version", -1),
    ],
)
def test_what_the_decoder_refuses_for_its_form_the_schema_refuses(topic: str, name: str, content: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validate(topic, EXAMPLES[topic].full | {name: content})


def test_journal_entries_are_valid() -> None:
    intake = Intake(ASSETS, IntakeLimits(), "JPY")
    written = [
        entries.source_opened("withdrawals/3", 5, 2, 9, "first", "worker-1", None, CLOCK_MS),
        entries.progress("withdrawals/3", 9, 9, CLOCK_MS),
        entries.source_accepted("withdrawals/3", 4, "operator-4", "made anew", CLOCK_MS),
        entries.term("term-1", "0.1.0", Policy(assets=ASSETS), dict.fromkeys(INPUT_BY_NAME, 4), CLOCK_MS),
        entries.tick("term-1", CLOCK_MS),
        *intake.take("withdrawals", 0, 0, [Record(0, b"k", b"bad"), Record(1, None, None)], CLOCK_MS).entries,
    ]
    for topic in INPUTS:
        event = EXAMPLES[topic.name].full
        key, value = str(event[topic.key]).encode(), json.dumps(event).encode()
        written += intake.take(topic.name, 0, 0, [Record(0, key, value)], CLOCK_MS).entries
        headers = (("x-topic", topic.name.encode()), ("x-partition", b"0"), ("x-offset", b"0"))
        written += intake.take(RETRIES, 0, 0, [Record(0, key, value, headers=headers)], CLOCK_MS).entries
    for entry in written:
        validate(JOURNAL, json.loads(entry))


def test_headers_are_those_of_the_schema() -> None:
    letter = DeadLetter(
        topic="prices", partition=0, offset=1, timestamp_ms=2, key=None, value=b"", value_bytes=0, value_sha256=None, reason="r", detail="d",
        retry_of="prices/0@0",
    )  # fmt: skip
    headers = {name: value.decode() for name, value in letter.headers()}
    assert list(headers) == list(DOCUMENTS[f"{DEAD_LETTER}.headers.schema.json"]["properties"])
    validate(f"{DEAD_LETTER}.headers", headers)
    validate(f"{RETRIES}.headers", headers)
    del headers["x-retry-of"]
    validate(f"{DEAD_LETTER}.headers", headers)


def test_a_topic_of_two_kinds_takes_both() -> None:
    verdict = Verdict(decided_at_ms=1, withdrawal_id="wd-1", account_id="acct-1", version=1, verdict="CLEAR", mode="observe", policy_version=1)
    for record in (verdict, Heartbeat(decided_at_ms=1, term="term-1", journal_offset=0)):
        validate("verdicts", json.loads(msgspec.json.encode(record)))
    with pytest.raises(jsonschema.ValidationError):
        validate("verdicts", {"decided_at_ms": 1})


def references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for content in node.values() for found in references(content)]
    return [found for content in node for found in references(content)] if isinstance(node, list) else []


def test_asyncapi_references_resolve_and_messages_name_their_key() -> None:
    document = DOCUMENTS["asyncapi.json"]
    assert document["asyncapi"] == "3.0.0"
    for reference in references(document):
        assert reference.startswith("#/")
        place: Any = document
        for step in reference[2:].split("/"):
            place = place[step]
    for topic in INPUTS:
        message = document["components"]["messages"][topic.event.__name__]
        assert message["bindings"]["kafka"]["key"]["description"] == topic.key
        assert [example["name"] for example in message["examples"]] == ["minimal", "full"]
    for operation in document["operations"].values():
        assert operation["action"] == ("receive" if operation["channel"]["$ref"].rpartition("/")[2] in {*INPUT_BY_NAME, RETRIES, CONTROL} else "send")
