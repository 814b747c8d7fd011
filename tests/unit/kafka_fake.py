"""A Kafka of one process and no network, for tests of the services' loops: logs, groups that rebalance when told, faults on demand.

It keeps to what the services use of aiokafka (the contract tests say that these names are there). Time is the event loop's.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata

from streams.kafka import TopicNames
from streams.settings import KafkaSettings


class Record(NamedTuple):
    """As aiokafka gives it, as far as we use it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Acknowledged(NamedTuple):
    """What the future of a batch gives."""

    offset: int


class Cluster:
    """Logs by partition and commits by group. `fail_produce` is asked before each batch lands and may give an exception."""

    def __init__(self, partitions: Mapping[str, int]) -> None:
        self.partitions = dict(partitions)
        self.logs: dict[TopicPartition, list[Record]] = defaultdict(list)
        self.starts: dict[TopicPartition, int] = defaultdict(int)
        self.commits: dict[tuple[str, TopicPartition], OffsetAndMetadata] = {}
        self.commit_history: list[dict[TopicPartition, OffsetAndMetadata]] = []
        self.batches: list[tuple[str, int, int]] = []
        self.changed = asyncio.Event()
        self.produce_gate = asyncio.Event()
        self.produce_gate.set()
        self.fail_produce: Callable[[str], Exception | None] = lambda _topic: None
        self.consumers: list[Consumer] = []

    def end(self, partition: TopicPartition) -> int:
        log = self.logs[partition]
        return log[-1].offset + 1 if log else self.starts[partition]

    def append(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = 0,
        headers: Sequence[tuple[str, bytes]] = (),
        offset: int | None = None,
        timestamp_ms: int | None = None,
    ) -> int:
        where = TopicPartition(topic, partition)
        at = self.end(where) if offset is None else offset
        told_ms = int(time.time() * 1000) if timestamp_ms is None else timestamp_ms
        self.logs[where].append(Record(topic, partition, at, told_ms, key, value, tuple(headers)))
        self.changed.set()
        return at

    def trim(self, topic: str, partition: int, start: int) -> None:
        where = TopicPartition(topic, partition)
        self.logs[where] = [record for record in self.logs[where] if record.offset >= start]
        self.starts[where] = start

    def values(self, topic: str, partition: int = 0) -> list[bytes]:
        return [record.value or b"" for record in self.logs[TopicPartition(topic, partition)]]

    def member(self, group: str) -> "Consumer":
        return next(consumer for consumer in reversed(self.consumers) if consumer.group == group and not consumer.closed)


class Consumer:
    """Both kinds: in a group (partitions come by `give` and go by `take`) and without one (`assign`)."""

    def __init__(self, cluster: Cluster, group: str | None) -> None:
        self.cluster = cluster
        self.group = group
        self.closed = False
        self.listener: Any = None
        self.topics: list[str] = []
        self.positions: dict[TopicPartition, int] = {}
        self.paused_set: set[TopicPartition] = set()
        self.polled: dict[TopicPartition, int] = {}
        self.high: dict[TopicPartition, int] = {}
        self.rebalancing = False
        cluster.consumers.append(self)

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.closed = True

    def subscribe(self, topics: Sequence[str], listener: Any) -> None:
        self.topics, self.listener = list(topics), listener

    async def give(self, partitions: Sequence[TopicPartition]) -> None:
        """The group gives these partitions, after taking what it gave before: as aiokafka does it."""
        self.rebalancing = True
        await self.listener.on_partitions_revoked(frozenset(self.positions))
        self.positions = dict.fromkeys(partitions, -1)
        self.paused_set.clear()
        self.rebalancing = False
        await self.listener.on_partitions_assigned(frozenset(partitions))
        self.cluster.changed.set()

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.positions = dict.fromkeys(partitions, -1)
        self.paused_set.clear()

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused_set.update(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused_set.difference_update(partitions)
        self.cluster.changed.set()

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        return self.positions[partition]

    def highwater(self, partition: TopicPartition) -> int | None:
        return self.high.get(partition)

    def last_stable_offset(self, partition: TopicPartition) -> int | None:
        return self.high.get(partition)

    def last_poll_timestamp(self, partition: TopicPartition) -> int | None:
        return self.polled.get(partition)

    async def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.cluster.starts[partition] for partition in partitions}

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {partition: self.cluster.end(partition) for partition in partitions}

    async def getmany(self, *wanted: TopicPartition, timeout_ms: int = 0, max_records: int = 1_000_000) -> dict[TopicPartition, list[Record]]:
        due = asyncio.get_running_loop().time() + timeout_ms / 1_000
        while True:
            found = {} if self.rebalancing else self._ready(wanted, max_records)
            left = due - asyncio.get_running_loop().time()
            if found or left <= 0:
                return found
            self.cluster.changed.clear()
            try:
                async with asyncio.timeout(min(left, 0.02)):
                    await self.cluster.changed.wait()
            except TimeoutError:
                continue

    async def getone(self, *wanted: TopicPartition) -> Record:
        while True:
            found = await self.getmany(*wanted, timeout_ms=50, max_records=1)
            for records in found.values():
                return records[0]

    def _ready(self, wanted: Sequence[TopicPartition], max_records: int) -> dict[TopicPartition, list[Record]]:
        found: dict[TopicPartition, list[Record]] = {}
        for partition, position in self.positions.items():
            if partition in self.paused_set or position < 0 or (wanted and partition not in wanted):
                continue
            end = self.cluster.end(partition)
            if position > end or position < self.cluster.starts[partition]:
                raise OffsetOutOfRangeError({partition: position})
            self.polled[partition] = int(time.time() * 1000)
            self.high[partition] = end
            records = [record for record in self.cluster.logs[partition] if record.offset >= position][:max_records]
            if records:
                found[partition] = records
                max_records -= len(records)
                self.positions[partition] = records[-1].offset + 1
            if max_records <= 0:
                break
        return found

    async def commit(self, offsets: Mapping[TopicPartition, Any]) -> None:
        made = {}
        for partition, at in offsets.items():
            position, metadata = at if isinstance(at, tuple) else (at, "")
            made[partition] = OffsetAndMetadata(position, metadata)
            self.cluster.commits[str(self.group), partition] = made[partition]
        self.cluster.commit_history.append(made)


class Batch:
    """A batch of at most `limit` records."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rows: list[tuple[bytes | None, bytes | None, Sequence[tuple[str, bytes]]]] = []

    def append(
        self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]] | None = None
    ) -> object | None:
        assert headers is None or isinstance(headers, list), "aiokafka refuses any other kind"
        if len(self.rows) >= self.limit:
            return None
        self.rows.append((key, value, headers or []))
        return self


class Producer:
    """Batches land when the cluster's gate is open."""

    def __init__(self, cluster: Cluster, batch_records_max: int) -> None:
        self.cluster = cluster
        self.batch_records_max = batch_records_max

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def create_batch(self) -> Batch:
        return Batch(self.batch_records_max)

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(self.cluster.partitions[topic]))

    async def send_and_wait(self, topic: str, *, value: bytes, key: bytes | None = None, partition: int = 0) -> Acknowledged:
        await self.cluster.produce_gate.wait()
        return Acknowledged(self.cluster.append(topic, value, key, partition))

    async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> "asyncio.Future[Acknowledged]":
        return asyncio.ensure_future(self._land(batch, topic, partition))

    async def _land(self, batch: Batch, topic: str, partition: int) -> Acknowledged:
        await asyncio.sleep(0)
        await self.cluster.produce_gate.wait()
        error = self.cluster.fail_produce(topic)
        if error is not None:
            raise error
        self.cluster.batches.append((topic, partition, len(batch.rows)))
        first = self.cluster.end(TopicPartition(topic, partition))
        for key, value, headers in batch.rows:
            self.cluster.append(topic, value, key, partition, headers)
        return Acknowledged(first)


class Admin:
    """What topics are there, and what groups committed."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def describe_topics(self) -> list[dict[str, Any]]:
        return [{"topic": topic, "partitions": [{"replicas": [1]}] * count} for topic, count in self.cluster.partitions.items()]

    async def describe_configs(self, resources: Sequence[Any]) -> list[Any]:
        return []

    async def list_consumer_group_offsets(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, OffsetAndMetadata]:
        return {partition: self.cluster.commits.get((group, partition), OffsetAndMetadata(-1, "")) for partition in partitions}


class FakeKafka:
    """In place of `streams.kafka.Kafka`."""

    def __init__(self, cluster: Cluster, settings: KafkaSettings | None = None, batch_records_max: int = 1_000) -> None:
        self.cluster = cluster
        self.settings = settings or KafkaSettings(rebalance_timeout_ms=1_000)
        self.names = TopicNames(self.settings)
        self._batch_records_max = batch_records_max

    def group_consumer(self, group: str, fetch_wait_ms: int) -> Consumer:
        return Consumer(self.cluster, self.names.group(group))

    def reader(self, fetch_wait_ms: int = 100) -> Consumer:
        return Consumer(self.cluster, None)

    def producer(self, compression: str | None = None) -> Producer:
        return Producer(self.cluster, self._batch_records_max)

    def admin(self) -> Admin:
        return Admin(self.cluster)


async def until(true: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Give the loop its turns until something holds; TimeoutError if it never does."""
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110  # what is waited for is no event of ours: it is looked at from outside
            await asyncio.sleep(0.005)
