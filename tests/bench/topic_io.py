"""Topics of the benchmark's broker: make them, fill them, look at their ends, read them back.

Knows nothing of verdicts or figures; used by every measurement that needs Kafka.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.bench.traffic import Record

BATCH_BYTES = 500_000


async def make_topics(bootstrap: str, partitions_by_name: Mapping[str, int]) -> None:
    """Make topics of one replica."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        wanted = [NewTopic(name, partitions, 1) for name, partitions in partitions_by_name.items()]
        answer = await admin.create_topics(wanted)
        failed = [error for error in answer.topic_errors if error[1]]
        if failed:
            raise RuntimeError(f"topics could not be made: {failed}")
    finally:
        await admin.close()


async def produce(bootstrap: str, prefix: str, records: Iterable[Record]) -> dict[str, int]:
    """Write records in order, in large batches; how many went to each topic."""
    parts: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in records:
        parts[record.topic, record.partition].append(record)
    counts: dict[str, int] = defaultdict(int)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_batch_size=BATCH_BYTES)
    async with producer:
        await asyncio.gather(*(_produce_part(producer, prefix + topic, partition, part) for (topic, partition), part in parts.items()))
    for (topic, _), part in parts.items():
        counts[topic] += len(part)
    return dict(counts)


async def _produce_part(producer: AIOKafkaProducer, topic: str, partition: int, records: list[Record]) -> None:
    batch = producer.create_batch()
    for record in records:
        if batch.append(key=record.key, value=record.value, timestamp=None) is None:
            await (await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(key=record.key, value=record.value, timestamp=None)
    await (await producer.send_batch(batch, topic, partition=partition))


class TopicReader:
    """A consumer without a group, for looking at topics from outside."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False, check_crcs=False, max_partition_fetch_bytes=8_388_608
        )

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def partitions(self, topic: str) -> list[TopicPartition]:
        """The topic's partitions, in order; waits for the topic's metadata."""
        while not (found := self._consumer.partitions_for_topic(topic)):
            await self._consumer._client.force_metadata_update()  # the only way to hear of topics made after the start
            self._consumer._client.add_topic(topic)
            await asyncio.sleep(0.05)
        return [TopicPartition(topic, partition) for partition in sorted(found)]

    async def ends(self, topic: str) -> dict[TopicPartition, int]:
        """Where each partition's log ends."""
        return dict(await self._consumer.end_offsets(await self.partitions(topic)))

    async def wait_for(self, topic: str, records: int) -> None:
        """Return once the topic has that many records; asks five times a second, which costs the broker nothing to speak of."""
        while True:
            if sum((await self.ends(topic)).values()) >= records:
                return
            await asyncio.sleep(0.2)

    async def read(self, topic: str, start: Mapping[TopicPartition, int] | None = None) -> AsyncIterator[Any]:
        """Every record from `start` (else from the beginning) to the ends as they are now, partition by partition."""
        ends = await self.ends(topic)
        for partition, end in ends.items():
            position = start.get(partition, 0) if start else 0
            if position >= end:
                continue
            self._consumer.assign([partition])
            self._consumer.seek(partition, position)
            while position < end:
                fetched = await self._consumer.getmany(timeout_ms=500, max_records=5_000)
                for record in fetched.get(partition, ()):
                    position = record.offset + 1
                    if record.offset < end:
                        yield record
