"""A snapshot as bytes: readable JSON and raw arrays, never pickled. A file is magic, parts, their contents, and a SHA-256 over all before it.

May run in another thread while the fold goes on. Which parts there are is in `monitor.snapshot`. Called by `streams.snapshotting` and `streams.takeover`.
"""

from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.snapshot import COLUMNS, FORMAT, Frozen, Header, SnapshotRefusedError
from monitor.version import ENGINE_VERSION

MAGIC = b"WMSNAP\x00\x02"
CHUNK = 1_000  # values encoded at a time: the interpreter is given back to the fold between two chunks
SLICE_BYTES = 1_048_576  # of an array, likewise
DIGEST_BYTES = 32
LENGTH_BYTES = 8


class Part(msgspec.Struct, frozen=True):
    """How long a part is, and how it is to be read."""

    name: str
    bytes: int
    dtype: str | None = None
    shape: tuple[int, ...] = ()


class Contents(msgspec.Struct, frozen=True):
    """What follows the parts: header and table of parts, in the order in which they stand."""

    header: Header
    parts: tuple[Part, ...]


def encode(frozen: Frozen) -> bytes:
    """A frozen state as bytes, in one."""
    return b"".join(pieces(frozen))


def pieces(frozen: Frozen) -> Iterator[bytes]:
    """A frozen state as bytes, piece by piece: magic, parts, contents and their length, SHA-256 over all of it.

    No piece takes long, and the whole is never in memory: the fold, which may go on meanwhile, neither waits nor grows by it.
    """
    digest = sha256()
    parts: list[Part] = []
    for part, body in _bodies(frozen):
        length = 0
        for piece in body:
            length += len(piece)
            digest.update(piece)
            yield piece
        if part is not None:
            parts.append(msgspec.structs.replace(part, bytes=length))
    contents = msgspec.json.encode(Contents(frozen.header, tuple(parts)))
    end = contents + len(contents).to_bytes(LENGTH_BYTES, "big")
    digest.update(end)
    yield end
    yield digest.digest()


def _bodies(frozen: Frozen) -> Iterator[tuple[Part | None, Iterable[bytes]]]:
    yield None, (MAGIC,)
    yield Part("small", 0), (frozen.small,)
    for name, values in frozen.columns.items():
        yield Part(name, 0), _chunks(values)
    for name, array in frozen.arrays.items():
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        yield Part(name, 0, array.dtype.str, array.shape), (flat[at : at + SLICE_BYTES].tobytes() for at in range(0, len(flat), SLICE_BYTES))


def _chunks(values: Collection[Any]) -> Iterator[bytes]:
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK)):
        yield msgspec.json.encode(chunk) + b"\n"


def read_header(data: bytes) -> Header:
    """The header of a snapshot, checked for magic, whole length, checksum, format and engine version. Raises SnapshotRefusedError."""
    return _contents(data).header


def _contents(data: bytes) -> Contents:
    end = len(data) - DIGEST_BYTES - LENGTH_BYTES
    if end < len(MAGIC) or not data.startswith(MAGIC):
        raise SnapshotRefusedError("it isn't a snapshot, or it is torn")
    if sha256(memoryview(data)[:-DIGEST_BYTES]).digest() != data[-DIGEST_BYTES:]:
        raise SnapshotRefusedError("its checksum is wrong: it is torn or was changed")
    start = end - int.from_bytes(data[end : end + LENGTH_BYTES], "big")
    try:
        contents = msgspec.json.decode(data[start:end], type=Contents)
    except msgspec.MsgspecError as error:
        raise SnapshotRefusedError(f"its contents can't be read: {error}") from error
    if contents.header.format != FORMAT:
        raise SnapshotRefusedError(f"format {contents.header.format}, this version reads {FORMAT}")
    if contents.header.engine_version != ENGINE_VERSION:
        raise SnapshotRefusedError(f"engine version {contents.header.engine_version}, this is {ENGINE_VERSION}: the journal is folded again")
    return contents


def decode(data: bytes) -> Frozen:
    """A snapshot's bytes as a frozen state. Raises SnapshotRefusedError."""
    contents, at = _contents(data), len(MAGIC)
    small = b""
    columns: dict[str, Collection[Any]] = {}
    arrays: dict[str, npt.NDArray[Any]] = {}
    try:
        for part in contents.parts:
            body = data[at : at + part.bytes]
            at += part.bytes
            if part.name == "small":
                small = body
            elif part.dtype is not None:
                arrays[part.name] = np.frombuffer(body, dtype=np.dtype(part.dtype)).reshape(part.shape).copy()
            else:
                columns[part.name] = _values(body, COLUMNS[part.name])
    except (msgspec.MsgspecError, ValueError, KeyError, TypeError) as error:
        raise SnapshotRefusedError(f"a part can't be read: {error}") from error
    return Frozen(contents.header, small, columns, arrays)


def _values(body: bytes, kind: Any) -> list[Any]:  # the column's type, as in COLUMNS
    reader = msgspec.json.Decoder(list[kind])
    return [value for line in body.split(b"\n") if line for value in reader.decode(line)]
