"""The core's loop against a Kafka in memory and a small engine: terms, takeovers, and what is sent when."""

import asyncio
import hashlib
import json
import pathlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from monitor.contracts.topics import INPUTS
from monitor.engine import GapInJournalError
from streams.health import Condition
from streams.outputs import ProduceFailedError
from tests.unit.core_stage import JOURNAL, Stage, each, fresh_cluster, stored
from tests.unit.kafka_fake import Cluster, until


@pytest.fixture
async def cluster() -> Cluster:
    return fresh_cluster()


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


async def test_a_journal_that_goes_while_its_state_is_loaded_is_not_folded(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    loading, loaded = asyncio.Event(), asyncio.Event()
    load = stage.worker._loader.load

    async def slow(quarantines: Any) -> Any:
        loading.set()
        await loaded.wait()
        return await load(quarantines)

    monkeypatch.setattr(stage.worker._loader, "load", slow)
    consumer = await stage.give()
    await loading.wait()
    await consumer.give([])
    loaded.set()
    await until(stage.installed)
    stage.event()
    await until(lambda: stage.worker._engine is None)
    assert stage.verdicts() == [] and "tick" not in stage.kinds()
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
