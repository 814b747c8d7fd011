"""The snapshot store on a local directory: made, written whole, kept, listed, and what it says when it can't."""

import pathlib
from collections.abc import Iterator

import pytest

from streams.snapshots import SnapshotStore, SnapshotStoreError, StoredSnapshot

OURS = "a" * 64
FOREIGN = "b" * 64


def store(path: pathlib.Path, kept: int = 3) -> SnapshotStore:
    return SnapshotStore(f"file://{path}", kept)


def test_the_directory_is_made_with_its_parents(tmp_path: pathlib.Path) -> None:
    name = store(tmp_path / "x" / "y z").save(OURS, 7, [b"who", b"le"])
    assert (tmp_path / "x" / "y z" / name).read_bytes() == b"whole"


def test_a_relative_directory_is_of_the_working_directory(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = SnapshotStore("file://./snapshots", 3).save(OURS, 7, [b"who", b"le"])
    assert (tmp_path / "snapshots" / name).exists()


def test_the_highest_come_first_and_the_oldest_of_this_journal_go(tmp_path: pathlib.Path) -> None:
    kept = store(tmp_path)
    kept.save(FOREIGN, 999, [b"f"])
    for offset in (5, 100, 20, 3000):
        kept.save(OURS, offset, [b"%d" % offset])
    found = kept.names()
    assert [(snapshot.journal, snapshot.next_offset) for snapshot in found] == [("a" * 16, 3000), ("b" * 16, 999), ("a" * 16, 100), ("a" * 16, 20)]
    assert kept.load(found[0].name) == b"3000"


def test_other_files_are_left_alone(tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "aaaa-1.snapshot").write_text("not ours")
    kept = store(tmp_path, 1)
    kept.save(OURS, 1, [b"1"])
    kept.save(OURS, 2, [b"2"])
    assert kept.names() == [StoredSnapshot("a" * 16, 2, f"{'a' * 16}-{2:020d}.snapshot")]
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "aaaa-1.snapshot", f"{'a' * 16}-{2:020d}.snapshot"}


def test_saving_twice_at_one_offset_leaves_the_later_whole(tmp_path: pathlib.Path) -> None:
    kept = store(tmp_path)
    kept.save(OURS, 1, [b"long" * 1000])
    name = kept.save(OURS, 1, [b"short"])
    assert kept.load(name) == b"short"


def test_one_that_breaks_off_leaves_nothing(tmp_path: pathlib.Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x" * 10_000_000
        raise MemoryError

    kept = store(tmp_path)
    with pytest.raises(MemoryError):
        kept.save(OURS, 1, broken())
    assert kept.names() == []
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_can_not_be_made_is_said_and_tried_again(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blocked = store(tmp_path / "file" / "snapshots")
    for attempt in (blocked.names, lambda: blocked.save(OURS, 1, [b"x"])):
        with pytest.raises(SnapshotStoreError, match="Not a directory"):
            attempt()
    (tmp_path / "file").unlink()
    assert blocked.save(OURS, 1, [b"x"])


def test_a_snapshot_that_went_meanwhile_is_said(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SnapshotStoreError, match="not found"):
        store(tmp_path).load("gone")


def test_a_url_that_no_store_has_is_said() -> None:
    with pytest.raises(SnapshotStoreError):
        SnapshotStore("ftp://host/x", 3).names()
