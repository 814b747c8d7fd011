"""Snapshots that are gone, damaged, of another journal or can't be kept: nothing is lost, and what is refused is refused by name."""

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from monitor.snapshot import Header
from monitor.snapshot_file import decode, encode
from tests.integration.deployment import PROGRAM, Deployment

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(600)]
MEBIBYTE = 1_048_576


def newest(folder: Path) -> Path:
    return max(folder.glob("*.snapshot"), key=lambda path: path.name.rsplit("-", 1)[1])


def delete_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def tear(folder: Path) -> None:
    path = newest(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(folder: Path) -> None:
    path = newest(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def rewrite(folder: Path, change: Callable[[Header], Header]) -> None:
    """Another snapshot above all others, whole in itself, with another header."""
    frozen = decode(newest(folder).read_bytes())
    header = change(frozen.header)
    data = encode(msgspec.structs.replace(frozen, header=header))
    (folder / f"{header.journal_id[:16]}-{header.next_offset + 10**6:020d}.snapshot").write_bytes(data)


def make_foreign(folder: Path) -> None:
    rewrite(folder, lambda header: msgspec.structs.replace(header, journal_id="f" * 64))


def make_beyond(folder: Path) -> None:
    rewrite(folder, lambda header: msgspec.structs.replace(header, next_offset=10**9))


def make_other_past(folder: Path) -> None:
    rewrite(folder, lambda header: msgspec.structs.replace(header, previous_sha256="0" * 64))


@pytest.mark.parametrize("damage", [delete_all, tear, corrupt, make_foreign, make_beyond, make_other_past], ids=lambda damage: damage.__name__)
def test_damaged_snapshots_are_refused(deployment: Deployment, damage: Callable[[Path], None]) -> None:
    worker = deployment.worker()
    worker.wait_ready()
    with deployment.traffic(2_000) as traffic:
        traffic.wait_sent(6_000)
    deployment.settle()
    assert worker.stop() == 0
    damage(deployment.snapshots)
    again = deployment.worker()
    again.wait_ready()
    with deployment.traffic(2_000, seed=2) as traffic:
        traffic.wait_sent(2_000)
    until = deployment.settle()
    refused = again.metric("withdrawal_monitor_snapshots_refused_total")
    assert again.stop() == 0
    deployment.assert_promises(until)
    if damage is not delete_all:
        assert refused == 1
        assert "snapshot refused" in again.log_file.read_text()


def test_folder_that_cannot_be_written(deployment: Deployment) -> None:
    deployment.snapshots.write_text("a file stands where the folder must be")
    worker = deployment.worker()
    deployment.owner()
    with deployment.traffic(1_000) as traffic:
        traffic.wait_sent(3_000)
        deadline = time.monotonic() + 60
        while "snapshot" not in worker.get("/readyz")[1]:
            assert time.monotonic() < deadline, worker.get("/readyz")
            time.sleep(0.2)
        deployment.snapshots.unlink()
        worker.wait_ready()
    until = deployment.settle()
    assert worker.stop() == 0
    deployment.assert_promises(until)
    assert list(deployment.snapshots.glob("*.snapshot"))


def test_full_disk(deployment: Deployment, tmp_path: Path) -> None:
    """No file of the worker may grow beyond a limit, as on a full disk, until `space` appears."""
    space = tmp_path / "space"
    limited = f"""
import pathlib, resource, threading, time
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
def give_back():
    while not pathlib.Path({str(space)!r}).exists():
        time.sleep(0.1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
threading.Thread(target=give_back, daemon=True).start()
{PROGRAM[1]}
"""
    worker = deployment.worker(program=("-c", limited))
    deployment.owner()
    with deployment.traffic(1_000) as traffic:
        traffic.wait_sent(3_000)
        deadline = time.monotonic() + 60
        while "snapshot" not in worker.get("/readyz")[1]:
            assert time.monotonic() < deadline, worker.get("/readyz")
            time.sleep(0.2)
        assert not list(deployment.snapshots.glob("*.snapshot"))
        traffic.wait_sent(traffic.sent + 3_000)
        space.touch()
        worker.wait_ready()
    until = deployment.settle()
    assert worker.stop() == 0
    deployment.assert_promises(until)
