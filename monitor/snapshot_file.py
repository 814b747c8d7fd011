"""A snapshot as bytes: readable JSON and raw arrays, never pickled. A file is magic, header, parts, and a SHA-256 over all before it.

May run in another thread while the fold goes on. Which parts there are is in `monitor.snapshot`. Called by `streams.snapshotting` and `streams.takeover`.
"""

from collections.abc import Collection, Iterator
from hashlib import sha256
from itertools import islice
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.snapshot import COLUMNS, FORMAT, Frozen, Header, SnapshotRefusedError
from monitor.version import ENGINE_VERSION

MAGIC = b"WMSNAP\x00\x01"
CHUNK = 1_000  # values encoded at a time: the interpreter is given back to the fold between two chunks
DIGEST_BYTES = 32
LENGTH_BYTES = 8


class Part(msgspec.Struct, frozen=True):
    """Where a part stands in the file, and how it is to be read."""

    name: str
    bytes: int
    dtype: str | None = None
    shape: tuple[int, ...] = ()


class Contents(msgspec.Struct, frozen=True):
    """The file's beginning: header and table of parts."""

    header: Header
    parts: tuple[Part, ...]


def encode(frozen: Frozen) -> bytes:
    """A frozen state as bytes: magic, length and contents, parts, SHA-256 over all of it."""
    bodies: list[bytes] = [frozen.small]
    parts = [Part("small", len(frozen.small))]
    for name, values in frozen.columns.items():
        body = b"\n".join(_chunks(values))
        bodies.append(body)
        parts.append(Part(name, len(body)))
    for name, array in frozen.arrays.items():
        body = np.ascontiguousarray(array).tobytes()
        bodies.append(body)
        parts.append(Part(name, len(body), array.dtype.str, array.shape))
    contents = msgspec.json.encode(Contents(frozen.header, tuple(parts)))
    digest = sha256(MAGIC)
    pieces = [MAGIC, len(contents).to_bytes(LENGTH_BYTES, "big"), contents, *bodies]
    for piece in pieces[1:]:
        digest.update(piece)
    return b"".join([*pieces, digest.digest()])


def _chunks(values: Collection[Any]) -> Iterator[bytes]:
    rest = iter(values)
    while chunk := list(islice(rest, CHUNK)):
        yield msgspec.json.encode(chunk)


def read_header(data: bytes) -> Header:
    """The header of a snapshot, checked for magic, whole length, checksum, format and engine version. Raises SnapshotRefusedError."""
    return _contents(data)[0].header


def _contents(data: bytes) -> tuple[Contents, int]:
    start = len(MAGIC) + LENGTH_BYTES
    if len(data) < start + DIGEST_BYTES or not data.startswith(MAGIC):
        raise SnapshotRefusedError("it isn't a snapshot, or it is torn")
    if sha256(memoryview(data)[:-DIGEST_BYTES]).digest() != data[-DIGEST_BYTES:]:
        raise SnapshotRefusedError("its checksum is wrong: it is torn or was changed")
    end = start + int.from_bytes(data[len(MAGIC) : start], "big")
    try:
        contents = msgspec.json.decode(data[start:end], type=Contents)
    except msgspec.MsgspecError as error:
        raise SnapshotRefusedError(f"its header can't be read: {error}") from error
    if contents.header.format != FORMAT:
        raise SnapshotRefusedError(f"format {contents.header.format}, this version reads {FORMAT}")
    if contents.header.engine_version != ENGINE_VERSION:
        raise SnapshotRefusedError(f"engine version {contents.header.engine_version}, this is {ENGINE_VERSION}: the journal is folded again")
    return contents, end


def decode(data: bytes) -> Frozen:
    """A snapshot's bytes as a frozen state. Raises SnapshotRefusedError."""
    contents, at = _contents(data)
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
