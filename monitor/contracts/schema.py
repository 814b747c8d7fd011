"""JSON Schema (2020-12) per topic and one AsyncAPI 3.0 document, generated from the structs and the table of topics.

`documents` is pure; run as `python -m monitor.contracts.schema FOLDER` this file writes them, which is `make schemas`. The product
itself never reads them: they are for those who write to the input topics and read the outputs.
"""

import pathlib
import sys
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from monitor.contracts.compensation import Compensation, SignOff
from monitor.contracts.control import Control
from monitor.contracts.examples import EXAMPLES
from monitor.contracts.journal import JournalEntry
from monitor.contracts.topics import CONTROL, DEAD_LETTER, INPUTS, JOURNAL, OUTPUTS, RETRIES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VERSION = "1.0.0"

_POSITION_HEADERS = {
    "x-topic": "Input topic of the record, without the prefix.",
    "x-partition": "Its partition, decimal.",
    "x-offset": "Its offset, decimal.",
}
_DEAD_LETTER_HEADERS = {
    **_POSITION_HEADERS,
    "x-timestamp-ms": "The record's Kafka timestamp, decimal.",
    "x-reason": "Why it was refused, one of the reasons of monitor/reasons.py.",
    "x-detail": "The same for people.",
    "x-value-bytes": "Length of the whole value; the dead letter's value is cut at the configured limit.",
    "x-value-sha256": "SHA-256 of the whole value, hexadecimal; empty for a null value.",
    "x-retry-of": 'For a refused retry: "topic/partition@offset" of the record that it was to repair.',
}
_OPTIONAL_HEADERS = {"x-retry-of", "signature", "key"}
_OUTPUT_HEADERS = {
    "journal_id": "SHA-256 of the journal's first entry, hexadecimal: which journal this was decided from.",
    "offset": "Offset of the journal entry that this record follows from, decimal.",
    "index": "Which of that entry's outputs on this topic, decimal. Keep the highest (offset, index) per partition, drop what isn't higher.",
    "signature": "Of a head of the audit trail that is signed: the Ed25519 signature in base64.",
    "key": "Of a head that is signed: the name of the key.",
}
_RETRY_WHAT = "Dead letters sent again after a fix; decoded as the topic that the headers name. A second retry of a position is a repeat."
_DEAD_LETTER_WHAT = "Rejected records: the value's bytes as they came, the facts as headers. Keep one per position, drop repeats."
_CONTROL_WHAT = "Rewinds, done by intake; quarantines, read by the core before it folds."
_COMPENSATION_WHAT = "The compensation file of one incident, which `withdrawal-monitor compensation` writes."
_JOURNAL_WHAT = "All that the core reacts to, in one order; the archive."


class _Channel(NamedTuple):
    """One topic as AsyncAPI wants it told; `action` is what the monitor does."""

    topic: str
    action: Literal["receive", "send"]
    what: str
    key: str | None
    kinds: tuple[Any, ...]
    headers: dict[str, str]


def documents() -> dict[str, bytes]:
    """All generated documents by file name, as indented JSON."""
    made: dict[str, Any] = {}
    for topic in INPUTS:
        made[topic.name] = _schema(topic.name, f"{topic.what} Key: {topic.key}.", (topic.event,)) | {"examples": list(EXAMPLES[topic.name])}
    for output in OUTPUTS:
        made[output.name] = _schema(output.name, f"{output.what} Key: {output.key or 'none'}.", output.records)
    made[JOURNAL] = _schema(JOURNAL, _JOURNAL_WHAT, (JournalEntry,))
    made[CONTROL] = _schema(CONTROL, _CONTROL_WHAT, (Control,))
    made[f"{RETRIES}.headers"] = _identity(f"{RETRIES}.headers", _RETRY_WHAT) | _headers(_POSITION_HEADERS)
    made[f"{DEAD_LETTER}.headers"] = _identity(f"{DEAD_LETTER}.headers", _DEAD_LETTER_WHAT) | _headers(_DEAD_LETTER_HEADERS)
    made["compensation"] = _schema("compensation", _COMPENSATION_WHAT, (Compensation,))
    made["sign-off"] = _schema("sign-off", "One person's signature under a compensation file.", (SignOff,))
    made["outputs.headers"] = _identity("outputs.headers", "Headers of every record of an output topic.") | _headers(_OUTPUT_HEADERS)
    files = {f"{name}.schema.json": document for name, document in made.items()} | {"asyncapi.json": _asyncapi()}
    return {name: msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n" for name, document in files.items()}


def _identity(name: str, what: str) -> dict[str, Any]:
    return {"$schema": DIALECT, "$id": f"urn:withdrawal-monitor:{name}:1", "title": name, "description": what}


def _schema(name: str, what: str, kinds: tuple[Any, ...]) -> dict[str, Any]:
    """A schema of its own for values of any of the kinds, which need no tag to tell them apart."""
    references, definitions = msgspec.json.schema_components(kinds)
    body = references[0] if len(references) == 1 else {"anyOf": list(references)}
    return _identity(name, what) | body | {"$defs": definitions}


def _headers(headers: dict[str, str]) -> dict[str, Any]:
    """Kafka headers as an object of strings, which are UTF-8 on the wire."""
    return {
        "type": "object",
        "properties": {name: {"type": "string", "description": what} for name, what in headers.items()},
        "required": [name for name in headers if name not in _OPTIONAL_HEADERS],
    }


def _asyncapi() -> dict[str, Any]:
    """All topics as channels. The prefix of the topics' names is the deployment's and is left out."""
    channels, operations, messages = {}, {}, {}
    definitions: dict[str, Any] = {}
    for channel in _channels():
        references, found = msgspec.json.schema_components(channel.kinds, ref_template="#/components/schemas/{name}")
        definitions |= found
        payloads = {reference["$ref"].rpartition("/")[2]: reference for reference in references} or {
            f"{channel.topic}.bytes": {"description": "Any bytes."}
        }
        for name, payload in payloads.items():
            messages[name] = _message(name, payload, channel)
        channels[channel.topic] = {
            "address": channel.topic,
            "description": channel.what,
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in payloads},
        }
        operations[f"{channel.action}-{channel.topic}"] = {
            "action": channel.action,
            "channel": {"$ref": f"#/channels/{channel.topic}"},
            "summary": channel.what,
        }
    what = (
        "Events of the exchange in; verdicts, marks, coverage, incidents and alerts out. `receive` is what the monitor reads, `send` what it writes."
    )
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Withdrawal monitor", "version": VERSION, "description": what},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": definitions},
    }


def _channels() -> list[_Channel]:
    inputs = [_Channel(topic.name, "receive", topic.what, topic.key, (topic.event,), {}) for topic in INPUTS]
    outputs = [_Channel(topic.name, "send", topic.what, topic.key, topic.records, _OUTPUT_HEADERS) for topic in OUTPUTS]
    return [
        *inputs,
        _Channel(RETRIES, "receive", _RETRY_WHAT, "as the record's that it repairs", (), _POSITION_HEADERS),
        _Channel(CONTROL, "receive", _CONTROL_WHAT, None, get_args(Control), {}),
        _Channel(JOURNAL, "send", _JOURNAL_WHAT, None, get_args(JournalEntry), {}),
        _Channel(DEAD_LETTER, "send", _DEAD_LETTER_WHAT, "as the refused record's", (), _DEAD_LETTER_HEADERS),
        *outputs,
    ]


def _message(name: str, payload: dict[str, Any], channel: _Channel) -> dict[str, Any]:
    message: dict[str, Any] = {"name": name, "summary": channel.what, "payload": payload}
    if channel.headers:
        message["headers"] = _headers(channel.headers)
    if channel.key is not None:
        message["bindings"] = {"kafka": {"key": {"type": "string", "description": channel.key}, "bindingVersion": "0.5.0"}}
    if channel.topic in EXAMPLES:
        message["examples"] = [{"name": kind, "payload": example} for kind, example in EXAMPLES[channel.topic]._asdict().items()]
    return message


def write(folder: pathlib.Path) -> None:
    """Write all documents into a folder, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in documents().items():
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
