"""Follows all output topics of one journal without a group, repeats dropped: what a dashboard would do.

Decides nothing and commits nothing. Called by the demo.
"""

from typing import Any

from aiokafka import TopicPartition

from monitor.contracts.topics import OUTPUTS
from monitor.outbox import OutputRecord
from streams.kafka import Kafka
from streams.positions import INDEX_HEADER, OFFSET_HEADER, PositionReader
from streams.topics import partition_counts

WAIT_MS = 50


class OutputFeed:
    """`start`, then `read` again and again, then `stop`."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._names = {kafka.names.full(topic.name): topic.name for topic in OUTPUTS}
        self._positions = PositionReader()
        self._consumer: Any = None

    async def start(self) -> None:
        """Stand at the beginning of every partition. Raises KafkaError, UnknownTopicOrPartitionError for a topic that isn't there."""
        counts = await partition_counts(self._kafka, list(self._names.values()))
        partitions = [TopicPartition(name, number) for name, topic in self._names.items() for number in range(counts[topic])]
        self._consumer = self._kafka.reader(WAIT_MS)
        await self._consumer.start()
        starts = await self._consumer.beginning_offsets(partitions)
        self._consumer.assign(partitions)
        for partition, offset in starts.items():
            self._consumer.seek(partition, offset)

    async def stop(self) -> None:
        """Close the consumer."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def read(self) -> list[OutputRecord]:
        """What is new since the last call, in the order of the fold as far as it has come; waits a moment when there is nothing."""
        fetched = await self._consumer.getmany(timeout_ms=WAIT_MS)
        records = []
        for partition, run in fetched.items():
            topic = self._names[partition.topic]
            for record in run:
                if self._positions.is_new(partition, record.headers):
                    facts = dict(record.headers)
                    records.append(OutputRecord(topic, record.key, record.value, int(facts[OFFSET_HEADER]), int(facts[INDEX_HEADER])))
        records.sort(key=lambda record: (record.offset, record.index))
        return records
