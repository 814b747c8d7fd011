"""One core worker on a Kafka in memory, with a small engine that fails where a test says so. For the tests of the core's loop."""

import asyncio
import contextlib
import hashlib
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from monitor.contracts.outputs import Audit
from monitor.contracts.topics import INPUTS, OUTPUTS
from monitor.gauges import Gauges
from monitor.outbox import OutputRecord
from monitor.policy import Asset, Policy
from monitor.snapshot import Header, SnapshotRefusedError
from streams.core import CoreWorker
from streams.health import Health
from streams.metrics import Metrics
from streams.settings import CoreSettings, KafkaSettings, Settings
from streams.takeover import Machine
from tests.unit.kafka_fake import Cluster, Consumer, FakeKafka, until

JOURNAL = TopicPartition("journal", 0)
TOPICS = {**{topic.name: 1 for topic in INPUTS}, **{topic.name: topic.partitions for topic in OUTPUTS}, "journal": 1, "control": 1}


class Poison(BaseException):
    """What the Rust parts of a library raise."""


class FakeFrozen(msgspec.Struct):
    header: Header


class FakeEngine:
    """One verdict per entry, which repeats it; fails where a test says so. `made` is the test's hook at each construction."""

    poison: Callable[["FakeEngine", int], BaseException | None]

    def __init__(self, journal_id: str, quarantines: Mapping[int, str]) -> None:
        self.journal_id = journal_id
        self.quarantines = quarantines
        self.next_offset = 0
        self.careful_until = 0
        self.failing_offset: int | None = None
        self.term: str | None = None
        self.previous: bytes | None = None
        self.previous_sha256: str | None = None

    def fold(self, start: int, entries: Sequence[bytes]) -> list[OutputRecord]:
        outputs = []
        for offset, value in enumerate(entries, start):
            error = FakeEngine.poison(self, offset)
            if error is not None:
                self.failing_offset = offset
                raise error
            entry = json.loads(value)
            if entry["kind"] == "term":
                self.term = entry["term"]
            elif entry["kind"] == "hole":
                audit = Audit(decided_at_ms=0, what="hole", source="withdrawals/0", expected_offset=entry["expected"], detail="missing")
                outputs.append(OutputRecord("audit", None, msgspec.json.encode(audit), offset, 0))
            elif entry["kind"] == "event":
                outputs.append(OutputRecord("verdicts", b"%d" % offset, value, offset, 0))
        self.next_offset = start + len(entries)
        self.previous = entries[-1]
        return outputs

    def freeze(self) -> Any:
        digest = hashlib.sha256(self.previous).hexdigest() if self.previous is not None else self.previous_sha256
        return FakeFrozen(Header(format=1, engine_version="1", journal_id=self.journal_id, next_offset=self.next_offset, previous_sha256=digest))

    def gauges(self) -> Gauges:
        return Gauges(journal_id=self.journal_id, term=self.term, next_offset=self.next_offset, time_ms=0, base_currency="JPY", base_decimals=0)


def thaw(frozen: Any, quarantines: Mapping[int, str]) -> FakeEngine:
    engine = FakeEngine(frozen.header.journal_id, quarantines)
    engine.next_offset = frozen.header.next_offset
    engine.previous_sha256 = frozen.header.previous_sha256
    return engine


def decode(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data, type=FakeFrozen)
    except msgspec.MsgspecError as error:
        raise SnapshotRefusedError("it is torn") from error


MACHINE = Machine(
    fresh=FakeEngine, thaw=thaw, pieces=lambda frozen: [msgspec.json.encode(frozen)], decode=decode, read_header=lambda data: decode(data).header
)


def stored(directory: pathlib.Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def each(directory: pathlib.Path, change: Callable[[pathlib.Path], object]) -> None:
    for path in directory.iterdir():
        change(path)


class Stage:
    """One core worker on a cluster, which gives it the journal when told."""

    def __init__(self, cluster: Cluster, snapshots: pathlib.Path, **settings: Any) -> None:
        self.cluster = cluster
        self.health = Health()
        self.kafka = FakeKafka(cluster)
        facts: dict[str, Any] = {"snapshot_url": f"file://{snapshots}", "snapshot_interval_ms": 600_000, "tick_interval_ms": 10_000} | settings
        core = CoreSettings(**facts)
        whole = Settings(policy=Policy(assets={"JPY": Asset(0)}), kafka=KafkaSettings(), core=core)
        self.metrics = Metrics(CollectorRegistry())
        self.worker = CoreWorker(self.kafka, whole, self.metrics, self.health, MACHINE)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.worker.run())

    async def consumer(self) -> Consumer:
        def there() -> bool:
            return any(consumer.group == "core" and consumer.listener and not consumer.closed for consumer in self.cluster.consumers)

        await until(lambda: there() or self.task.done())
        return self.cluster.member("core")

    async def give(self, *partitions: TopicPartition) -> Consumer:
        consumer = await self.consumer()
        await consumer.give(partitions or [JOURNAL])
        return consumer

    async def owner(self) -> Consumer:
        consumer = await self.give()
        await until(lambda: self.installed() or self.task.done())
        return consumer

    def installed(self) -> bool:
        return self.worker._installed_generation == self.worker._ownership.generation

    def event(self, **facts: Any) -> int:
        return self.cluster.append("journal", json.dumps({"kind": "event"} | facts).encode())

    def verdicts(self) -> list[tuple[int, int]]:
        """(offset, index) of each verdict record, in the order of each partition."""
        found = []
        for partition in range(TOPICS["verdicts"]):
            for record in self.cluster.logs[TopicPartition("verdicts", partition)]:
                headers = dict(record.headers)
                found.append((int(headers["offset"]), int(headers["index"])))
        return sorted(found)

    def kinds(self) -> list[str]:
        return [json.loads(value)["kind"] for value in self.cluster.values("journal")]

    async def end(self) -> None:
        self.cluster.produce_gate.set()
        await self.worker.stop()
        with contextlib.suppress(Exception):
            await self.task


def fresh_cluster() -> Cluster:
    """A cluster, and an engine that fails nowhere."""
    FakeEngine.poison = staticmethod(lambda _engine, _offset: None)
    return Cluster(TOPICS)
