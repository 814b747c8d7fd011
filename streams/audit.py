"""Verifies the audit trail: a journal, from Kafka or a file, against the heads that were published, from Kafka or a file.

Decides nothing: `monitor.trail_check` compares, `monitor.published_heads` says whose a head is. Called by the command line.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import orjson

from monitor.contracts.topics import JOURNAL
from monitor.published_heads import HeadCopy, PublishedHeads
from monitor.trail import BLOCK_ENTRIES, PRINT_BYTES, digests_of
from monitor.trail_check import Checked, Found, TrailCheck
from streams.head_signer import KEY_HEADER, SIGNATURE_HEADER, HeadFacts
from streams.journal_file import read_journal, write_topic
from streams.kafka import Kafka
from streams.positions import JOURNAL_ID_HEADER
from streams.refusals import RefusedError
from streams.replay_kafka import wait_published
from streams.replay_lines import LINE_BYTES_MAX, FileRefusedError, numbered_lines
from streams.topic_reader import topic_bounds, whole_topic

AUDIT = "audit"
BATCH_ENTRIES = 5_000
PUBLISHED_WAIT_SECONDS = 15.0
JOURNALS_NAMED_MAX = 3

Progress = Callable[[int], None]
Batch = tuple[Sequence[int], Sequence[bytes]]
_decode_head = msgspec.json.Decoder(HeadFacts).decode
_decode_copy = msgspec.json.Decoder(HeadCopy).decode


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a verification gives. `heads` counts published copies by their standing, `unreadable` the records that say they are heads and aren't."""

    checked: Checked
    heads: dict[str, int]
    unreadable: int


class Verification:
    """Takes a journal's entries in order; its first ones say which of the heads are its own."""

    def __init__(self, heads: PublishedHeads) -> None:
        self._heads = heads
        self._check: TrailCheck | None = None
        self._found: list[Found] = []

    def take(self, offsets: Sequence[int], entries: Sequence[bytes]) -> None:
        """The next entries; the first call's should be a whole block, if there are so many."""
        if self._check is None:
            self._check = self._begun(offsets[0], entries)
        self._check.take(offsets, entries)

    def _begun(self, start: int, entries: Sequence[bytes]) -> TrailCheck:
        heads, name = self._heads, sha256(entries[0]).hexdigest() if start == 0 else ""
        journal_id: str | None = (
            name if heads.of(name) else heads.alike(start, [digest[:PRINT_BYTES] for digest in digests_of(entries[:BLOCK_ENTRIES])])
        )
        if journal_id is None:
            journal_id = name
            if heads.journals:
                others = ", ".join(other[:16] for other in heads.journals[:JOURNALS_NAMED_MAX])
                self._found.append(Found("unlike", start, start, f"no head is of this journal; they are of {others}"))
        self._contradicted(journal_id)
        return TrailCheck(journal_id, heads.of(journal_id), start)

    def _contradicted(self, journal_id: str) -> None:
        for block in self._heads.contradicted(journal_id):
            first = block * BLOCK_ENTRIES
            self._found.append(Found("contradiction", first, first + BLOCK_ENTRIES - 1, "two heads were published that say different things of it"))

    def result(self) -> Checked:
        """What came of it. Raises RefusedError if there was nothing to compare."""
        if self._check is None:
            if len(self._heads.journals) != 1:
                raise RefusedError("The journal is empty: there is nothing to verify.")
            (journal_id,) = self._heads.journals
            self._contradicted(journal_id)
            self._check = TrailCheck(journal_id, self._heads.of(journal_id))
        checked = self._check.result()
        if not self._found:
            return checked
        found = sorted([*checked.found, *self._found], key=lambda each: each.first_offset)
        return msgspec.structs.replace(checked, found=found, intact=False, proven=False)


async def verify(
    kafka: Kafka,
    keys: Mapping[str, bytes],
    journal: Path | None = None,
    heads: Path | None = None,
    progress: Progress | None = None,
    published_wait_seconds: float = PUBLISHED_WAIT_SECONDS,
) -> Verified:
    """Verify a journal with heads; what isn't given as a file is read from Kafka, the journal up to where it ends now.

    Raises
    ------
    FileRefusedError
        A file can't be read, or isn't what it should be.
    RefusedError
        There is nothing to compare, or a topic is missing.
    """
    end = (await topic_bounds(kafka, JOURNAL))[0].end if journal is None else 0
    if heads is not None:
        published, unreadable = heads_of_file(heads, keys), 0
    else:
        published, unreadable = await _heads_of_kafka(kafka, keys)
        newest = end // BLOCK_ENTRIES - 1
        if newest >= 0 and not any(newest in published.of(journal_id) for journal_id in published.journals):
            await wait_published(kafka, end, published_wait_seconds)
            published, unreadable = await _heads_of_kafka(kafka, keys)
    # What has come since has no head yet; what has one is compared, whatever the broker says of the journal's end.
    end = max(end, published.end)
    verification, count = Verification(published), 0
    async for offsets, entries in _kafka_batches(kafka, end) if journal is None else _file_batches(journal):
        verification.take(offsets, entries)
        count += len(entries)
        if progress is not None:
            progress(count)
    return Verified(
        checked=verification.result(), heads={str(standing): number for standing, number in published.copies.items()}, unreadable=unreadable
    )


async def _kafka_batches(kafka: Kafka, end: int) -> AsyncIterator[Batch]:
    offsets: list[int] = []
    entries: list[bytes] = []
    async with contextlib.aclosing(whole_topic(kafka, JOURNAL)) as records:
        async for record in records:
            if record.offset >= end:
                break
            offsets.append(record.offset)
            entries.append(record.value or b"")
            if len(entries) == BATCH_ENTRIES:
                yield offsets, entries
                offsets, entries = [], []
    if entries:
        yield offsets, entries


async def _file_batches(path: Path) -> AsyncIterator[Batch]:
    lines = read_journal(path)
    while batch := list(islice(lines, BATCH_ENTRIES)):
        yield [offset for offset, _ in batch], [entry for _, entry in batch]


def heads_of_file(path: Path, keys: Mapping[str, bytes]) -> PublishedHeads:
    """The heads in a file that `write_heads` wrote. Raises FileRefusedError at the first line that is none, or if there is none at all."""
    heads = PublishedHeads(keys)
    for number, line in numbered_lines(path):
        try:
            why = f"longer than {LINE_BYTES_MAX} bytes" if line is None else heads.add(_decode_copy(line))
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            why = str(error)
        if why is not None:
            raise FileRefusedError(f"{path} is no file of heads: line {number}: {why}.")
    if not heads.journals:
        raise FileRefusedError(f"{path} holds no head.")
    return heads


async def _heads_of_kafka(kafka: Kafka, keys: Mapping[str, bytes]) -> tuple[PublishedHeads, int]:
    heads, unreadable = PublishedHeads(keys), 0
    async for record in whole_topic(kafka, AUDIT):
        if is_head(record):
            copy = head_copy(record)
            unreadable += copy is None or heads.add(copy) is not None
    return heads, unreadable


def is_head(record: Any) -> bool:
    """Whether a record of `audit` says that it is a head."""
    return b'"what":"head"' in (record.value or b"")


def head_copy(record: Any) -> HeadCopy | None:
    """The head that a record of `audit` holds, with what its headers say; None if it can't be read."""
    try:
        facts = {name: value.decode() for name, value in record.headers}
        head = _decode_head(record.value)
        copy = {
            "journal_id": facts.get(JOURNAL_ID_HEADER), "last_offset": head.last_offset, "head_sha256": head.head_sha256, "prints": head.prints,
            "key": facts.get(KEY_HEADER), "signature": facts.get(SIGNATURE_HEADER),
        }  # fmt: skip
        return msgspec.convert(copy, HeadCopy)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


async def write_heads(kafka: Kafka, out: Path, progress: Progress | None = None) -> int:
    """Write the published heads as JSON lines, repeats dropped; how many there are. Raises what `write_topic` raises."""
    seen: set[bytes] = set()

    def line_of(record: Any) -> bytes | None:
        copy = head_copy(record) if is_head(record) else None
        if copy is None:
            return None
        line = orjson.dumps(msgspec.to_builtins(copy), option=orjson.OPT_APPEND_NEWLINE)
        digest = sha256(line).digest()
        if digest in seen:
            return None
        seen.add(digest)
        return line

    return await write_topic(kafka, AUDIT, out, line_of, progress)
