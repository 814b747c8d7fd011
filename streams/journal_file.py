"""A journal in a file: one line an entry with its offset, the entry's bytes as they were. The archive, for `audit verify` and `replay`.

A line is {"offset":0,"entry":{…}} with the entry's own bytes; one that can't stand so has its bytes under "base64". Called by the command line.
"""

import base64
import binascii
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import orjson
from msgspec import Meta

from monitor.contracts.topics import JOURNAL
from streams.kafka import Kafka
from streams.replay_lines import LINE_BYTES_MAX, FileRefusedError, line_writer, numbered_lines
from streams.topic_reader import whole_topic

PROGRESS_RECORDS = 1_000
Progress = Callable[[int], None]
"""Called now and then with the records read so far."""


class JournalLine(msgspec.Struct):
    """One line. Either `entry` or `base64` is there; an empty `entry` is none."""

    offset: Annotated[int, Meta(ge=0)]
    entry: msgspec.Raw = msgspec.Raw()
    base64: str | None = None


_decode = msgspec.json.Decoder(JournalLine).decode


def line_of(offset: int, entry: bytes) -> bytes:
    """An entry as a line that gives its bytes back."""
    if b"\n" not in entry:
        line = b'{"offset":%d,"entry":%b}\n' % (offset, entry)
        with contextlib.suppress(ValueError, RecursionError):
            if entry_of(line) == (offset, entry):
                return line
    return orjson.dumps({"offset": offset, "base64": base64.b64encode(entry).decode()}) + b"\n"


def entry_of(line: bytes) -> tuple[int, bytes]:
    """Offset and bytes of the entry that a line holds. Raises ValueError (msgspec's too) or RecursionError if it holds none."""
    found = _decode(line)
    entry = bytes(found.entry)
    if entry and found.base64 is None:
        return found.offset, entry
    if found.base64 is not None and not entry:
        return found.offset, base64.b64decode(found.base64, validate=True)
    raise ValueError("either entry or base64 must be there")


def is_journal_file(path: Path) -> bool:
    """Whether the file's first line holds a journal entry. Raises FileRefusedError if it can't be read."""
    for _, line in numbered_lines(path):
        try:
            entry_of(line or b"")
        except (ValueError, RecursionError):
            return False
        return True
    return False


def read_journal(path: Path) -> Iterator[tuple[int, bytes]]:
    """Offset and bytes of every entry, in the file's order. Raises FileRefusedError at the first line that holds none."""
    for number, line in numbered_lines(path):
        if line is None:
            raise FileRefusedError(f"{path} is no journal: line {number} is longer than {LINE_BYTES_MAX} bytes.")
        try:
            yield entry_of(line)
        except (ValueError, RecursionError, binascii.Error) as error:
            raise FileRefusedError(f"{path} is no journal: line {number} holds no entry ({error}).") from None


async def write_topic(kafka: Kafka, topic: str, out: Path, line: Callable[[Any], bytes | None], progress: Progress | None = None) -> int:
    """Write a line for each record of a topic as it stands now, but where there is none; how many lines. Raises OSError, TopicMissingError or KafkaError."""
    count = read = 0
    with line_writer(out) as file:
        async with contextlib.aclosing(whole_topic(kafka, topic)) as records:
            async for record in records:
                read += 1
                if progress is not None and read % PROGRESS_RECORDS == 0:
                    progress(read)
                found = line(record)
                if found is not None:
                    file.write(found)
                    count += 1
    return count


async def write_journal(kafka: Kafka, out: Path, progress: Progress | None = None) -> int:
    """Write the journal; how many entries it has. Raises what `write_topic` raises."""
    return await write_topic(kafka, JOURNAL, out, lambda record: line_of(record.offset, record.value or b""), progress)
