"""What the core does about entries that the fold can't take, holes, and a snapshot store that fails."""

import hashlib
import pathlib
from collections.abc import AsyncIterator, Iterable

import msgspec
import pytest

from monitor.contracts.control import Quarantine, Rewind
from streams.health import Condition
from tests.unit.core_stage import FakeEngine, Poison, Stage, each, fresh_cluster, stored
from tests.unit.kafka_fake import Cluster, until


@pytest.fixture
async def cluster() -> Cluster:
    return fresh_cluster()


@pytest.fixture
async def stage(cluster: Cluster, tmp_path: pathlib.Path) -> AsyncIterator[Stage]:
    stage = Stage(cluster, tmp_path)
    yield stage
    await stage.end()


async def test_an_unreadable_snapshot_store_is_loud_and_the_journal_is_folded_from_its_start(cluster: Cluster, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("in the way")
    stage = Stage(cluster, tmp_path / "file" / "snapshots")
    stage.event()
    await stage.owner()
    await until(lambda: len(stage.verdicts()) == 1)
    assert "can't be read" in stage.health.conditions()[Condition.SNAPSHOT_STORE]
    await stage.end()


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

    def put(store: object, name: str, data: Iterable[bytes]) -> None:
        if full:
            raise OSError("No space left on device")
        (tmp_path / name).write_bytes(b"".join(data))

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
