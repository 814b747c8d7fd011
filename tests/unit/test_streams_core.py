"""The core's loop against a Kafka in memory and a small engine: terms, takeovers, what is sent when, and what the fold can't take."""

import asyncio
import contextlib
import hashlib
import json
import pathlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from monitor.contracts.control import Quarantine, Rewind
from monitor.contracts.outputs import Audit
from monitor.contracts.topics import INPUTS, OUTPUTS
from monitor.engine import GapInJournalError
from monitor.gauges import Gauges
from monitor.outbox import OutputRecord
from monitor.policy import Asset, Policy
from monitor.snapshot import Header, SnapshotRefusedError
from streams.core import CoreWorker
from streams.health import Condition, Health
from streams.metrics import Metrics
from streams.outputs import ProduceFailedError
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


MACHINE = Machine(fresh=FakeEngine, thaw=thaw, encode=msgspec.json.encode, decode=decode, read_header=lambda data: decode(data).header)


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


@pytest.fixture
async def cluster() -> Cluster:
    FakeEngine.poison = staticmethod(lambda _engine, _offset: None)
    return Cluster(TOPICS)


@pytest.fixture
async def stage(cluster: Cluster, tmp_path: pathlib.Path) -> AsyncIterator[Stage]:
    stage = Stage(cluster, tmp_path)
    yield stage
    await stage.end()


async def test_an_empty_journal_begins_with_the_owners_term_and_ticks_carry_it(stage: Stage, cluster: Cluster) -> None:
    await stage.owner()
    await until(lambda: len(cluster.values("journal")) == 2)
    term, tick = (json.loads(value) for value in cluster.values("journal"))
    assert (term["kind"], tick["kind"]) == ("term", "tick") and term["term"] == tick["term"]
    assert term["partitions"] == {topic.name: 1 for topic in INPUTS}
    assert term["policy"]["assets"] == {"JPY": {"decimals": 0}}


async def test_outputs_carry_journal_offset_and_index_and_go_to_the_partition_of_their_key(stage: Stage, cluster: Cluster) -> None:
    await stage.owner()
    await until(lambda: stage.kinds() == ["term", "tick"])
    offsets = [stage.event() for _ in range(20)]
    await until(lambda: len(stage.verdicts()) == 20)
    assert [offset for offset, _ in stage.verdicts()] == offsets
    journal_id = hashlib.sha256(cluster.values("journal")[0]).hexdigest()
    used = [partition for partition in range(4) if cluster.logs[TopicPartition("verdicts", partition)]]
    assert len(used) > 1
    for partition in used:
        records = cluster.logs[TopicPartition("verdicts", partition)]
        assert {dict(record.headers)["journal_id"] for record in records} == {journal_id.encode()}
        assert [int(dict(record.headers)["offset"]) for record in records] == sorted(int(dict(record.headers)["offset"]) for record in records)


async def test_a_failed_output_ends_the_worker_and_nothing_follows_it(stage: Stage, cluster: Cluster, tmp_path: pathlib.Path) -> None:
    await stage.owner()
    cluster.fail_produce = lambda topic: KafkaError("refused") if topic == "verdicts" else None
    stage.event()
    with pytest.raises(ProduceFailedError):
        await stage.task
    assert stage.verdicts() == []
    assert stored(tmp_path) == set()


async def test_a_gap_in_what_the_journal_gives_ends_the_worker(stage: Stage, cluster: Cluster) -> None:
    await stage.owner()
    await until(lambda: stage.kinds() == ["term", "tick"] and stage.worker._acknowledged == 2)
    cluster.append("journal", b'{"kind":"event"}', offset=7)
    with pytest.raises(GapInJournalError):
        await stage.task


async def test_a_snapshot_waits_for_the_acknowledgement_of_what_it_holds(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    stage = Stage(cluster, tmp_path, snapshot_interval_ms=100)
    await stage.owner()
    await until(lambda: len(stored(tmp_path)) > 0)
    await until(lambda: stage.worker._acknowledged == 2)
    await asyncio.sleep(0.3)
    before = stored(tmp_path)
    cluster.produce_gate.clear()
    stage.event()
    await until(lambda: stage.worker._engine is not None and stage.worker._engine.next_offset == 3)
    await asyncio.sleep(0.4)
    assert stored(tmp_path) == before
    cluster.produce_gate.set()
    await until(lambda: any(name.endswith(f"{3:020d}.snapshot") for name in stored(tmp_path)))
    await stage.end()


async def test_the_next_owner_goes_on_from_the_snapshot_of_a_clean_stop(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    first = Stage(cluster, tmp_path)
    await first.owner()
    for _ in range(5):
        first.event()
    await until(lambda: len(first.verdicts()) == 5)
    await first.end()
    second = Stage(cluster, tmp_path)
    await second.owner()
    second.event()
    await until(lambda: len(second.verdicts()) == 6)
    assert len(set(second.verdicts())) == 6
    await second.end()


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda path: path.write_bytes(b"torn"), "torn"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"next_offset":', b'"next_offset":9')), "beyond_journal"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"previous_sha256":"', b'"previous_sha256":"0')), "foreign"),
    ],
    ids=["torn", "beyond the journal", "after another entry"],
)
async def test_a_snapshot_that_does_not_fit_is_refused_and_the_journal_folded_from_its_start(
    cluster: Cluster, tmp_path: pathlib.Path, harm: Callable[[pathlib.Path], None], reason: str
) -> None:
    first = Stage(cluster, tmp_path)
    await first.owner()
    first.event()
    await until(lambda: len(first.verdicts()) == 1)
    await first.end()
    each(tmp_path, harm)
    second = Stage(cluster, tmp_path)
    await second.owner()
    await until(lambda: len(second.verdicts()) == 2)
    assert len(set(second.verdicts())) == 1, "folded again: the same position, the same bytes"
    assert f'snapshots_refused_total{{reason="{reason}"}} 1.0' in second.metrics.render().decode()
    await second.end()


async def test_another_journal_under_the_name_is_said_and_folded_from_its_start(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    first = Stage(cluster, tmp_path)
    await first.owner()
    await first.end()
    cluster.logs[JOURNAL].clear()
    second = Stage(cluster, tmp_path)
    await second.owner()
    assert Condition.JOURNAL_REPLACED in second.health.conditions()
    await second.end()


async def test_a_trimmed_journal_without_a_snapshot_is_refused_by_name(stage: Stage, cluster: Cluster) -> None:
    for _ in range(3):
        cluster.append("journal", b'{"kind":"event"}')
    cluster.trim("journal", 0, 2)
    await stage.give()
    await until(lambda: "The journal begins at offset 2" in "".join(stage.health.sentences()))
    assert not stage.task.done()


async def test_the_state_is_kept_while_the_group_rebalances_and_gives_the_journal_back(stage: Stage, cluster: Cluster) -> None:
    consumer = await stage.owner()
    stage.event()
    await until(lambda: len(stage.verdicts()) == 1 and stage.worker._clean.is_set())
    engine = stage.worker._engine
    await consumer.give([JOURNAL])
    await until(stage.installed)
    assert stage.worker._engine is engine
    stage.event()
    await until(lambda: len(stage.verdicts()) == 2)
    assert stage.kinds().count("term") == 2


async def test_the_state_is_forgotten_when_another_worker_gets_the_journal(stage: Stage) -> None:
    consumer = await stage.owner()
    await consumer.give([])
    await until(stage.installed)
    assert stage.worker._engine is None
    assert "core_owner 0.0" in stage.metrics.render().decode()


async def test_what_is_in_flight_is_acknowledged_before_the_journal_goes(stage: Stage, cluster: Cluster) -> None:
    consumer = await stage.owner()
    await until(lambda: stage.kinds() == ["term", "tick"])
    cluster.produce_gate.clear()
    stage.event()
    await until(lambda: not stage.worker._clean.is_set())
    going = asyncio.create_task(consumer.give([]))
    await asyncio.sleep(0.05)
    assert not going.done()
    cluster.produce_gate.set()
    await going
    assert len(stage.verdicts()) == 1


async def test_a_term_of_a_worker_that_lost_the_journal_is_answered_with_a_new_one(stage: Stage, cluster: Cluster) -> None:
    await stage.owner()
    await until(lambda: stage.kinds() == ["term", "tick"])
    cluster.append("journal", b'{"kind":"term","term":"zombie"}')
    await until(lambda: stage.kinds().count("term") == 3)
    assert json.loads(cluster.values("journal")[-1])["term"] == stage.worker._term


@pytest.mark.parametrize("error", [ValueError("bug"), Poison("rust")], ids=["Exception", "BaseException"])
async def test_an_entry_that_fails_once_is_folded_again(stage: Stage, cluster: Cluster, error: BaseException) -> None:
    failures = [error]
    await stage.owner()
    await until(lambda: stage.kinds() == ["term", "tick"])
    FakeEngine.poison = staticmethod(lambda _engine, offset: failures.pop() if offset == 3 and failures else None)
    for _ in range(3):
        stage.event()
    await until(lambda: {offset for offset, _ in stage.verdicts()} == {2, 3, 4})
    assert cluster.values("control") == []


async def test_an_entry_that_fails_twice_is_kept_from_the_detectors(stage: Stage, cluster: Cluster) -> None:
    await stage.owner()
    await until(lambda: stage.kinds() == ["term", "tick"])
    FakeEngine.poison = staticmethod(lambda engine, offset: Poison("nan") if offset == 3 and 3 not in engine.quarantines else None)
    for _ in range(3):
        stage.event()
    await until(lambda: {offset for offset, _ in stage.verdicts()} == {2, 3, 4})
    asked = msgspec.json.decode(cluster.values("control")[0], type=Quarantine)
    assert (asked.offset, asked.scope, asked.asked_by) == (3, "detectors", "core")
    assert asked.journal_id == hashlib.sha256(cluster.values("journal")[0]).hexdigest()
    assert len(cluster.values("control")) == 1


async def test_an_entry_that_fails_thrice_waits_for_a_person_not_ready(stage: Stage, cluster: Cluster) -> None:
    await stage.owner()
    await until(lambda: stage.kinds() == ["term", "tick"])
    FakeEngine.poison = staticmethod(lambda engine, offset: ValueError("ledger") if offset == 2 and engine.quarantines.get(2) != "entry" else None)
    stage.event()
    stage.event()
    await until(lambda: Condition.ENTRY_REFUSED in stage.health.conditions())
    sentence = stage.health.conditions()[Condition.ENTRY_REFUSED]
    assert "offset 2" in sentence and "withdrawal-monitor core quarantine 2" in sentence
    assert not stage.task.done() and stage.verdicts() == []
    journal_id = hashlib.sha256(cluster.values("journal")[0]).hexdigest()
    decision = Quarantine(journal_id=journal_id, offset=2, scope="entry", asked_by="p", asked_at_ms=0, reason="ticket")
    cluster.append("control", msgspec.json.encode(decision))
    await until(lambda: [offset for offset, _ in stage.verdicts()] == [2, 3])
    assert Condition.ENTRY_REFUSED not in stage.health.conditions()


async def test_a_hole_asks_for_a_rewind_once_also_when_it_is_folded_again(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    stage = Stage(cluster, tmp_path)
    await stage.owner()
    cluster.append("journal", b'{"kind":"hole","expected":17}')
    await until(lambda: len(cluster.values("control")) == 1)
    asked = msgspec.json.decode(cluster.values("control")[0], type=Rewind)
    assert (asked.source, asked.offset) == ("withdrawals/0", 17)
    await stage.end()
    each(tmp_path, pathlib.Path.unlink)
    again = Stage(cluster, tmp_path)
    await again.owner()
    await until(lambda: again.worker._acknowledged == len(cluster.values("journal")))
    assert len(cluster.values("control")) == 1
    await again.end()


async def test_a_full_snapshot_store_is_loud_and_the_fold_goes_on(cluster: Cluster, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(cluster, tmp_path, snapshot_interval_ms=100)
    full = True

    def put(store: object, name: str, data: bytes) -> None:
        if full:
            raise OSError("No space left on device")
        (tmp_path / name).write_bytes(data)

    monkeypatch.setattr("streams.snapshots.obstore.put", put)
    await stage.owner()
    await until(lambda: Condition.SNAPSHOT_STORE in stage.health.conditions())
    assert "No space left" in stage.health.conditions()[Condition.SNAPSHOT_STORE]
    stage.event()
    await until(lambda: len(stage.verdicts()) == 1)
    full = False
    await until(lambda: Condition.SNAPSHOT_STORE not in stage.health.conditions())
    assert stored(tmp_path)
    await stage.end()
