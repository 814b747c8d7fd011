"""Reads a whole topic once, from what is there first to what was there last when it was asked; bounded memory, no group, no commit.

Decides nothing. Called by the commands that look at topics (dead letters, the journal's first entry, the bounds of a source).
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from streams.kafka import Kafka
from streams.refusals import RefusedError
from streams.topics import partition_counts

WAIT_MS = 500


class Bounds(NamedTuple):
    """What a partition holds: offsets from `start` up to, but without, `end`."""

    start: int
    end: int

    def __str__(self) -> str:
        return f"the offsets {self.start} to {self.end - 1}" if self.end > self.start else f"nothing (its next offset is {self.end})"


class TopicMissingError(RefusedError):
    """The topic isn't on the broker; the message is one sentence."""


async def whole_topic(kafka: Kafka, topic: str, newest: int | None = None) -> AsyncGenerator[Any, None]:
    """Every record of `topic` (name without the prefix), partition by partition in order of offset; of each the `newest` so many, if given.

    Raises TopicMissingError or KafkaError.
    """
    consumer = kafka.reader()
    try:
        await consumer.start()
        for partition, bounds in (await _bounds(consumer, kafka, topic)).items():
            start = bounds.start if newest is None else max(bounds.start, bounds.end - newest)
            async for record in _between(consumer, partition, Bounds(start, bounds.end)):
                yield record
    finally:
        await consumer.stop()


async def topic_bounds(kafka: Kafka, topic: str) -> dict[int, Bounds]:
    """What each partition of `topic` holds. Raises TopicMissingError or KafkaError."""
    consumer = kafka.reader()
    try:
        await consumer.start()
        return {partition.partition: bounds for partition, bounds in (await _bounds(consumer, kafka, topic)).items()}
    finally:
        await consumer.stop()


async def _bounds(consumer: Any, kafka: Kafka, topic: str) -> dict[TopicPartition, Bounds]:
    name = kafka.names.full(topic)
    try:
        count = (await partition_counts(kafka, [topic]))[topic]  # a fresh consumer knows no topic's partitions yet
    except UnknownTopicOrPartitionError:
        raise TopicMissingError(f"Topic {name} is missing: make it with `withdrawal-monitor topics apply`.") from None
    partitions = [TopicPartition(name, number) for number in range(count)]
    starts, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
    return {partition: Bounds(starts[partition], ends[partition]) for partition in partitions}


async def _between(consumer: Any, partition: TopicPartition, bounds: Bounds) -> AsyncIterator[Any]:
    consumer.assign([partition])
    consumer.seek(partition, bounds.start)
    end, asked = bounds.end, False
    while await consumer.position(partition) < end:
        records = (await consumer.getmany(partition, timeout_ms=WAIT_MS)).get(partition, ())
        if records and not asked:
            # The demo's broker takes the start of its last batch for the log's end; what comes with the first fetch is right everywhere.
            end, asked = max(end, consumer.highwater(partition) or 0), True
        for record in records:
            if record.offset < end:
                yield record
