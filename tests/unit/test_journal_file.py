"""A journal kept in a file gives every byte back, can be read by people, and is folded as the journal itself is."""

from hashlib import sha256
from pathlib import Path

import pytest

from streams.journal_file import entry_of, is_journal_file, line_of, read_journal
from streams.replay import replay_file
from streams.replay_lines import FileRefusedError, line_writer
from streams.settings import Settings
from tests.simulation.journals import altered, honest, journal

AWKWARD = [
    b"", b"null", b"{}", b' {"a": 1}', b'{"a": 1} ', b'{"a":\n1}', b"\xff\xfe", b"\x00", b'{"a":"\xc3"}', b'"text"', b"12", b"[" * 5_000, b'{"a":1', b"}{",
    b'{},"base64":"AAAA"', b'1,"entry":2', b'1,"offset":2', b'{"a":1,"a":2}', '{"a":"円"}'.encode(), b'{"a":"\\ud800"}', b"\r", b"{}\r", b"NaN",
]  # fmt: skip


def written(path: Path, entries: list[bytes], start: int = 0) -> Path:
    with line_writer(path) as file:
        for offset, entry in enumerate(entries, start):
            file.write(line_of(offset, entry))
    return path


@pytest.mark.parametrize("entry", AWKWARD, ids=repr)
def test_every_entry_comes_back_byte_for_byte_in_a_line_of_its_own(entry: bytes) -> None:
    line = line_of(7, entry)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert entry_of(line) == (7, entry)


def test_an_ordinary_entry_stands_as_it_is() -> None:
    assert line_of(3, b'{"kind":"tick","clock_ms":1,"term":"t"}') == b'{"offset":3,"entry":{"kind":"tick","clock_ms":1,"term":"t"}}\n'


@pytest.mark.parametrize("name", ["journal.jsonl", "journal.jsonl.gz"])
def test_a_kept_journal_is_folded_as_the_journal_is(tmp_path: Path, name: str) -> None:
    lines = journal(altered(honest(seconds=20, rate=5, seed=3, accounts=30), seed=4, share=0.2))
    lines.insert(100, b"\xff")
    path = written(tmp_path / name, lines)
    assert is_journal_file(path)
    assert [entry for _, entry in read_journal(path)] == lines
    replayed = replay_file(path, Settings())
    assert (replayed.journal_id, replayed.entries) == (sha256(lines[0]).hexdigest(), len(lines))
    assert replayed.sha256 == replay_file(path, Settings(), batch_entries=7).sha256
    assert path.read_bytes() == written(tmp_path / f"again-{name}", lines).read_bytes()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"offset":1,"base64":"?"}\n', "line 2 holds no entry"),
        (b'{"offset":1}\n', "line 2 holds no entry (either entry or base64 must be there)"),
        (b'{"offset":-1,"entry":{}}\n', "line 2 holds no entry"),
        (b'{"topic":"prices","value":{}}\n', "line 2 holds no entry"),
        (b"no json\n", "line 2 holds no entry"),
    ],
)
def test_a_line_that_holds_no_entry_is_refused_by_its_number(tmp_path: Path, line: bytes, why: str) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(line_of(0, b"{}") + line)
    with pytest.raises(FileRefusedError) as refused:
        list(read_journal(path))
    assert why in str(refused.value)


def test_a_kept_journal_with_a_gap_is_not_folded(tmp_path: Path) -> None:
    lines = journal(honest(seconds=2, rate=5, seed=3))
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"".join(line_of(at if at < 5 else at + 1, line) for at, line in enumerate(lines)))
    with pytest.raises(FileRefusedError, match="has offset 6 where 5 should be"):
        replay_file(path, Settings())


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = written(tmp_path / "kept.jsonl.gz", [b"{}"])
    before = path.read_bytes()

    def fail() -> None:
        with line_writer(path) as file:
            file.write(b"half\n")
            assert path.read_bytes() == before
            raise ConnectionError

    with pytest.raises(ConnectionError):
        fail()
    assert path.read_bytes() == before, "what was kept before isn't lost"
    assert list(tmp_path.iterdir()) == [path], "nothing half is left"
    assert written(path, [b"{}", b"{}"]) == path and len(list(read_journal(path))) == 2


def test_a_device_is_written_to_as_it_is() -> None:
    written(Path("/dev/null"), [b"{}"])
    assert Path("/dev/null").is_char_device()
