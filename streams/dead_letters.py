"""Dead letters looked at and sent again: one per source position, whatever repeats the topic holds.

A retry goes to `retries` with the position in its headers; intake judges it anew and the core drops a second one. Called by the
command line.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from monitor.contracts.topics import DEAD_LETTER, RETRIES
from streams.kafka import Kafka
from streams.topic_reader import whole_topic

POSITION_HEADERS = ("x-topic", "x-partition", "x-offset")


class Position(NamedTuple):
    """Where a rejected record stood: topic (without the prefix), partition, offset."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.offset}"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one dead letter, without its value. `whole` is False where the value was cut."""

    position: str
    topic: str
    reason: str
    detail: str
    key: str | None
    timestamp_ms: int
    value_bytes: int
    value_sha256: str | None
    whole: bool


class Letter(NamedTuple):
    """One dead letter."""

    position: Position
    facts: Facts
    key: bytes | None
    value: bytes | None


class Wanted(NamedTuple):
    """Which dead letters are meant; None or nothing means all."""

    topic: str | None = None
    reason: str | None = None
    positions: frozenset[Position] = frozenset()

    def includes(self, letter: Letter) -> bool:
        """Whether `letter` is meant."""
        return (
            self.topic in {None, letter.position.topic}
            and self.reason in {None, letter.facts.reason}
            and (not self.positions or letter.position in self.positions)
        )


def parse_position(text: str) -> Position:
    """The position written as "topic/partition@offset". Raises ValueError with a sentence."""
    source, _, offset = text.rpartition("@")
    topic, _, partition = source.rpartition("/")
    if not topic or not partition.isdecimal() or not offset.isdecimal():
        raise ValueError(f'A position is written as topic/partition@offset, as in withdrawals/3@1200; not "{text}".')
    return Position(topic, int(partition), int(offset))


async def letters(kafka: Kafka, wanted: Wanted) -> AsyncIterator[Letter]:
    """The dead letters that are meant, the first of each position, in the topic's order. Raises TopicMissingError or KafkaError."""
    seen: set[Position] = set()
    async for record in whole_topic(kafka, DEAD_LETTER):
        letter = _letter(record)
        if letter is not None and letter.position not in seen:
            seen.add(letter.position)
            if wanted.includes(letter):
                yield letter


async def send_again(kafka: Kafka, chosen: Sequence[Letter], corrected: bytes | None = None) -> None:
    """Write the letters to `retries`, with `corrected` as the value if it is given; returns when all are acknowledged. Raises KafkaError."""
    producer = kafka.producer()
    try:
        await producer.start()
        for letter in chosen:
            value = letter.value if corrected is None else corrected
            await producer.send_and_wait(kafka.names.full(RETRIES), value=value, key=letter.key, headers=retry_headers(letter.position))
    finally:
        await producer.stop()


def retry_headers(position: Position) -> list[tuple[str, bytes]]:
    """The headers that tell intake which record this repairs."""
    return [(name, str(value).encode()) for name, value in zip(POSITION_HEADERS, position, strict=True)]


def _letter(record: Any) -> Letter | None:
    """The letter that a record of the topic holds; None for a record that isn't ours (it has no position)."""
    headers: Mapping[str, str] = {name: value.decode("utf-8", "replace") for name, value in record.headers}
    try:
        position = Position(headers["x-topic"], int(headers["x-partition"]), int(headers["x-offset"]))
        timestamp_ms, value_bytes = int(headers["x-timestamp-ms"]), int(headers["x-value-bytes"])
    except (KeyError, ValueError):
        return None
    sha256 = headers.get("x-value-sha256") or None
    facts = Facts(
        position=str(position),
        topic=position.topic,
        reason=headers.get("x-reason", ""),
        detail=headers.get("x-detail", ""),
        key=None if record.key is None else record.key.decode("utf-8", "backslashreplace"),
        timestamp_ms=timestamp_ms,
        value_bytes=value_bytes,
        value_sha256=sha256,
        whole=sha256 is None or hashlib.sha256(record.value or b"").hexdigest() == sha256,
    )
    return Letter(position, facts, record.key, record.value)
