"""What a person may ask of a running monitor: rewind a source, accept one, quarantine a journal entry. Each is one record, with who and why.

Nothing is changed here: intake and the core act on the record. Called by the command line.
"""

import hashlib

import msgspec

from monitor import entries
from monitor.contracts.control import Control, Quarantine, Rewind
from monitor.contracts.topics import CONTROL, INPUT_BY_NAME, JOURNAL, RETRIES
from streams.kafka import Kafka
from streams.refusals import RefusedError
from streams.topic_reader import Bounds, topic_bounds, whole_topic


async def source_bounds(kafka: Kafka, source: str) -> Bounds:
    """What the source "topic/partition" holds. Raises RefusedError, TopicMissingError or KafkaError."""
    topic, _, partition = source.rpartition("/")
    if topic not in INPUT_BY_NAME and topic != RETRIES:
        raise RefusedError(f'A source is written as topic/partition with one of {", ".join((*INPUT_BY_NAME, RETRIES))}; not "{source}".')
    bounds = await topic_bounds(kafka, topic)
    if not partition.isdecimal() or int(partition) not in bounds:
        raise RefusedError(f'Topic {topic} has the partitions 0 to {len(bounds) - 1}; there is no source "{source}".')
    return bounds[int(partition)]


async def rewind(kafka: Kafka, asked: Rewind) -> None:
    """Ask intake to read a source again from an offset that it holds. Raises RefusedError, TopicMissingError or KafkaError."""
    bounds = await source_bounds(kafka, asked.source)
    if not bounds.start <= asked.offset <= bounds.end:
        raise RefusedError(f"Source {asked.source} holds {bounds}; it can't be read from {asked.offset}.")
    await _ask(kafka, asked)


async def accept(kafka: Kafka, source: str, position: str, actor: str, reason: str, clock_ms: int) -> int:
    """Accept a source from `position` (an offset, "start" or "end") on; gives the offset. Raises RefusedError, TopicMissingError or KafkaError."""
    bounds = await source_bounds(kafka, source)
    named = {"start": bounds.start, "end": bounds.end}
    if position not in named and not position.isdecimal():
        raise RefusedError(f'The position must be an offset, start or end; not "{position}".')
    offset = named[position] if position in named else int(position)
    if not bounds.start <= offset <= bounds.end:
        raise RefusedError(f"Source {source} holds {bounds}; it can't be accepted from {offset}.")
    await _write(kafka, JOURNAL, entries.source_accepted(source, offset, actor, reason, clock_ms))
    return offset


async def quarantine(kafka: Kafka, asked: Quarantine) -> None:
    """Ask the core to keep one journal entry from the detectors or to leave it out. Raises RefusedError, TopicMissingError or KafkaError."""
    bounds = (await topic_bounds(kafka, JOURNAL))[0]
    if not bounds.start <= asked.offset < bounds.end:
        raise RefusedError(f"The journal holds {bounds}; there is no entry {asked.offset}.")
    await _ask(kafka, asked)


async def journal_id(kafka: Kafka) -> str:
    """SHA-256 of the journal's first entry, hexadecimal. Raises RefusedError, TopicMissingError or KafkaError."""
    records = whole_topic(kafka, JOURNAL)
    try:
        async for record in records:
            if record.offset == 0:
                return hashlib.sha256(record.value).hexdigest()
            raise RefusedError(f"The journal begins at offset {record.offset}: its first entry is gone, so give its name with --journal-id.")
    finally:
        await records.aclose()  # closes the consumer now, not when the generator happens to be collected
    raise RefusedError("The journal is empty: there is nothing to quarantine.")


async def _ask(kafka: Kafka, asked: Control) -> None:
    await _write(kafka, CONTROL, msgspec.json.encode(asked))


async def _write(kafka: Kafka, topic: str, value: bytes) -> None:
    producer = kafka.producer()
    try:
        await producer.start()
        await producer.send_and_wait(kafka.names.full(topic), value=value, partition=0)
    finally:
        await producer.stop()
