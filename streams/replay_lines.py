"""Lines of a replay file: input records as JSON objects, or why a line is none. Plain or gzipped, any bytes, bounded memory.

Judges only the line; what the record says is judged by intake. Called by `streams.replay`; its ways with files also by `streams.journal_file`.
"""

import contextlib
import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, NamedTuple

import msgspec
from msgspec import Meta

from monitor.contracts.topics import INPUT_BY_NAME

LINE_BYTES_MAX = 16 * 1024 * 1024
"""A longer line is read over: no record that intake accepts comes near it."""

TIMESTAMP_MAX_MS = 253_402_300_799_999
"""The last millisecond of the year 9999."""

CLOCK_JUMP_MAX_MS = 366 * 86_400_000
"""A line whose time is further ahead of all before it is refused: the replay's clock would run through it, and all after it would be in the past."""

GZIP_MAGIC = b"\x1f\x8b"


class FileRefusedError(Exception):
    """The file can't be replayed; the message is one sentence for people."""


class ReplayRecord(NamedTuple):
    """One input record, in the form that intake takes; `offset` is counted by the replay, per topic."""

    topic: str
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class BadLine(NamedTuple):
    """A line that is no record, and why; lines count from 1."""

    line: int
    reason: str


class _Line(msgspec.Struct):
    topic: str
    value: msgspec.Raw
    timestamp: Annotated[int, Meta(ge=0, le=TIMESTAMP_MAX_MS)]
    key: str | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_text = msgspec.json.Decoder(str).decode


class ReplayLines:
    """The lines of one file, in order. Read once; a line is a record or a `BadLine`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offsets = dict.fromkeys(INPUT_BY_NAME, 0)
        self._newest_ms = -1

    def __iter__(self) -> Iterator[ReplayRecord | BadLine]:
        """Raises FileRefusedError if the file can't be read to its end."""
        for number, line in numbered_lines(self.path):
            yield BadLine(number, f"longer than {LINE_BYTES_MAX} bytes") if line is None else self._record(number, line)

    def _record(self, number: int, line: bytes) -> ReplayRecord | BadLine:
        try:
            decoded = _decode_line(line)
            value = _value(bytes(decoded.value))
            key = None if decoded.key is None else decoded.key.encode()
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            return BadLine(number, str(error))
        offset = self._offsets.get(decoded.topic)
        if offset is None:
            return BadLine(number, f"topic {decoded.topic[:64]!r} is no input topic")
        if 0 <= self._newest_ms < decoded.timestamp - CLOCK_JUMP_MAX_MS:
            return BadLine(number, "timestamp is more than a year after all before it")
        self._newest_ms = max(self._newest_ms, decoded.timestamp)
        self._offsets[decoded.topic] = offset + 1
        return ReplayRecord(decoded.topic, offset, decoded.timestamp, key, value)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes | None]]:
    """The lines of a file, plain or gzipped, that aren't blank, with their numbers from 1; None for one that is too long. Raises FileRefusedError."""
    number = 0
    try:
        with path.open("rb") as stored:
            file = _unpacked(path, stored)
            while line := file.readline(LINE_BYTES_MAX):
                number += 1
                if len(line) == LINE_BYTES_MAX and not line.endswith(b"\n"):
                    _read_over(file)
                    yield number, None
                elif not line.isspace():
                    yield number, line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise FileRefusedError(f"{path} isn't whole gzip: after line {number} it can't be unpacked ({error}).") from None
    except OSError as error:
        raise FileRefusedError(f"{path} can't be read: {error.strerror or error}.") from None


def _unpacked(path: Path, stored: IO[bytes]) -> IO[bytes]:
    packed = stored.read(len(GZIP_MAGIC)) == GZIP_MAGIC
    stored.seek(0)
    if not packed and path.suffix == ".gz":
        raise FileRefusedError(f"{path} ends in .gz, but it isn't gzip.")
    return gzip.GzipFile(fileobj=stored) if packed else stored  # type: ignore[return-value]  # GzipFile reads as any binary file does


@contextlib.contextmanager
def line_writer(path: Path) -> Iterator[IO[bytes]]:
    """A file to write, gzipped if its name ends in .gz, without name and time in gzip's header: the same lines give the same file. Raises OSError.

    It takes its name when it is whole: what had the name before is kept until then, and nobody takes half a file for all of it.
    """
    direct = path.exists() and not path.is_file()  # a pipe or a terminal is written to as it is
    part = path if direct else path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            if path.suffix != ".gz":
                yield file
            else:
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                    yield packed  # type: ignore[misc]  # GzipFile is written to as any binary file is
        if not direct:
            part.replace(path)
    finally:
        if not direct:
            part.unlink(missing_ok=True)


def _value(raw: bytes) -> bytes | None:
    """The record's value: an object's own bytes, a string's text, null's nothing."""
    if raw == b"null":
        return None
    return _decode_text(raw).encode() if raw.startswith(b'"') else raw


def _read_over(file: IO[bytes]) -> None:
    while (rest := file.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
        pass
