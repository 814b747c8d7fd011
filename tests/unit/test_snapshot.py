"""A snapshot that is torn, changed, of another format or engine is refused by name; a whole one gives the same state."""

from collections.abc import Callable
from hashlib import sha256

import pytest

from monitor import snapshot
from monitor.engine import Engine
from monitor.snapshot import SnapshotRefusedError
from monitor.snapshot_file import DIGEST_BYTES, LENGTH_BYTES, decode, encode, read_header
from tests.simulation.journals import altered, honest, journal


@pytest.fixture(scope="module")
def whole() -> tuple[Engine, bytes]:
    lines = journal(altered(honest(seconds=20, rate=5, seed=3, accounts=30), seed=4, share=0.2))
    engine = Engine(sha256(lines[0]).hexdigest())
    engine.fold(0, lines)
    return engine, encode(engine.freeze())


def sealed(data: bytes) -> bytes:
    """The same with a right checksum."""
    return data[:-DIGEST_BYTES] + sha256(data[:-DIGEST_BYTES]).digest()


def test_header_says_what_it_is_of(whole: tuple[Engine, bytes]) -> None:
    engine, data = whole
    header = read_header(data)
    assert (header.journal_id, header.next_offset) == (engine.journal_id, engine.next_offset)
    assert header.previous_sha256 == engine.state.trail.newest_sha256


def test_a_restored_engine_freezes_to_the_same_bytes(whole: tuple[Engine, bytes]) -> None:
    data = whole[1]
    assert encode(Engine.thaw(decode(data)).freeze()) == data


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda _: b"", "torn"),
        (lambda data: data[:-1], "checksum"),
        (lambda data: data[: len(data) // 2], "checksum"),
        (lambda data: data[:400] + bytes([data[400] ^ 1]) + data[401:], "checksum"),
        (lambda data: b"PK" + data[2:], "isn't a snapshot"),
        (lambda data: sealed(data.replace(b'"format":3', b'"format":4')), "format 4"),
        (lambda data: sealed(data.replace(b'"engine_version":"', b'"engine_version":"x')), "can't be read|engine version"),
        (lambda data: sealed(data[: -DIGEST_BYTES - LENGTH_BYTES] + (1 << 40).to_bytes(LENGTH_BYTES, "big") + data[-DIGEST_BYTES:]), "can't be read"),
    ],
)
def test_refused_by_name(whole: tuple[Engine, bytes], spoil: Callable[[bytes], bytes], why: str) -> None:
    with pytest.raises(SnapshotRefusedError, match=why):
        decode(spoil(whole[1]))


def test_parts_that_do_not_fit_are_refused(whole: tuple[Engine, bytes]) -> None:
    frozen = decode(whole[1])
    frozen.columns["withdrawals.id"] = [*frozen.columns["withdrawals.id"], "one more"]
    with pytest.raises(SnapshotRefusedError, match="don't fit"):
        Engine.thaw(frozen)


def test_every_column_has_a_type(whole: tuple[Engine, bytes]) -> None:
    assert set(whole[0].freeze().columns) == set(snapshot.COLUMNS)
