"""Folds a live journal again, offline, and compares with what was published: `replay --from-kafka [--compare]`.

Reads the journal, the quarantines on `control` and, to compare, the output topics; writes nothing to Kafka. Called by the command line and the tests.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from aiokafka import TopicPartition

from monitor.contracts.topics import JOURNAL, OUTPUTS
from monitor.outbox import OutputRecord
from streams.control import ControlReader
from streams.kafka import Kafka
from streams.output_hash import record_digest
from streams.positions import INDEX_HEADER, JOURNAL_ID_HEADER, OFFSET_HEADER, PositionReader
from streams.replay import BATCH_ENTRIES, Fold, Hearer, Progress, Replayed, ReplayFailedError, deaf, output_files
from streams.replay_lines import FileRefusedError
from streams.topic_reader import whole_topic

PUBLISHED_WAIT_SECONDS = 15.0
ROUND_SECONDS = 1.0
"""After an output beyond the journal's end was seen, the rest of its round is acknowledged within this."""
DIFFERENCES_KEPT = 10

Place = tuple[int, int]
"""Offset of the entry and index of the output."""


class Comparison(NamedTuple):
    """Outputs as folded offline against outputs as published, repeats dropped, of the journal's entries before `until`.

    `unpublished` counts folded outputs from the newest published entry on that aren't published (yet): the core is behind, or has stopped.
    """

    until: int
    compared: int
    unpublished: int
    folded_sha256: str
    differences: list[str]
    differences_count: int

    @property
    def equal(self) -> bool:
        """Whether all that is published is what the fold gives, byte for byte, and nothing is missing among it."""
        return self.differences_count == 0


class Comparer:
    """Takes the folded outputs in order, then the published ones; keeps a digest of each folded one that wasn't found yet."""

    def __init__(self) -> None:
        self._waiting: dict[Place, bytes] = {}
        self._folded_places = 0
        self._newest = -1
        self._differences: list[str] = []
        self._count = 0

    def folded(self, records: list[OutputRecord]) -> None:
        """The next outputs of the offline fold."""
        for record in records:
            self._waiting[record.offset, record.index] = record_digest(record)
        self._folded_places += len(records)

    async def published(self, kafka: Kafka, journal_id: str, end: int) -> None:
        """Read all output topics once, repeats dropped. Raises TopicMissingError or KafkaError."""
        for topic in OUTPUTS:
            positions = PositionReader()
            seen: dict[Place, bytes] = {}  # of a record without a key there is one in each partition
            async for record in whole_topic(kafka, topic.name):
                facts = dict(record.headers)
                if facts.get(JOURNAL_ID_HEADER, b"").decode() != journal_id or not positions.is_new(record.partition, record.headers):
                    continue
                place = (int(facts[OFFSET_HEADER]), int(facts[INDEX_HEADER]))
                self._newest = max(self._newest, place[0])
                if place[0] < end:
                    self._look(OutputRecord(topic.name, record.key, record.value, *place), seen)

    def _look(self, record: OutputRecord, seen: dict[Place, bytes]) -> None:
        place, digest = (record.offset, record.index), record_digest(record)
        folded = seen.get(place) if record.key is None else None
        if folded is None:
            folded = self._waiting.pop(place, None)
            if record.key is None and folded is not None:
                seen[place] = folded
        if folded is None:
            self._differ(f"{record.topic} {place} was published, but the fold doesn't give it")
        elif folded != digest:
            self._differ(f"{record.topic} {place} was published with other bytes")

    def _differ(self, sentence: str) -> None:
        self._count += 1
        if len(self._differences) < DIFFERENCES_KEPT:
            self._differences.append(sentence)

    def result(self, end: int, folded_sha256: str) -> Comparison:
        """The comparison, once all is taken."""
        unpublished = 0
        for place in self._waiting:
            if place[0] >= self._newest:
                unpublished += 1
            else:
                self._differ(f"{place} was never published")
        until = end if unpublished == 0 else max(self._newest, 0)
        return Comparison(until, self._folded_places - len(self._waiting), unpublished, folded_sha256, self._differences, self._count)


async def replay_journal(
    kafka: Kafka,
    *,
    out: Path | None = None,
    compare: bool = False,
    progress: Progress | None = None,
    published_wait_seconds: float = PUBLISHED_WAIT_SECONDS,
) -> tuple[Replayed, Comparison | None]:
    """Fold the journal as it stands now; with `compare`, against the published outputs, for which it waits a while if a core is running.

    Raises
    ------
    FileRefusedError
        The journal is empty, its beginning is gone, or an offset is missing in it.
    ReplayFailedError
        The fold failed at an entry that nobody has quarantined.
    """
    comparer = Comparer()
    fold = await fold_journal(kafka, out=out, progress=progress, hear=comparer.folded if compare else deaf)
    replayed = fold.replayed([], 0)
    if not compare:
        return replayed, None
    if published_wait_seconds > 0:
        await wait_published(kafka, replayed.entries, published_wait_seconds)
    await comparer.published(kafka, replayed.journal_id, replayed.entries)
    return replayed, comparer.result(replayed.entries, replayed.sha256)


async def fold_journal(kafka: Kafka, *, out: Path | None = None, progress: Progress | None = None, hear: Hearer = deaf) -> Fold:
    """Fold the journal as it stands now, and tell its outputs to `hear`. Raises as `replay_journal`."""
    control = ControlReader(kafka)
    await control.start()
    await control.stop()
    fold: Fold | None = None
    with output_files(out) as files:
        async for batch in journal_batches(kafka, progress):
            if fold is None:
                fold = Fold(control.quarantines(sha256(batch[0]).hexdigest()), hear=hear)
            if not fold.fold(batch, files):
                raise ReplayFailedError(f"The fold fails at journal offset {fold.failed_at}: {fold.error!r}; see `core quarantine`.")
    if fold is None:
        raise FileRefusedError(f"{kafka.names.full(JOURNAL)} is empty: no core has run yet.")
    return fold


async def journal_batches(kafka: Kafka, progress: Progress | None = None) -> AsyncIterator[list[bytes]]:
    """The journal as it stands now, from its first entry on. Raises FileRefusedError if an offset is missing, TopicMissingError or KafkaError."""
    batch: list[bytes] = []
    expected = 0
    name = kafka.names.full(JOURNAL)
    async for record in whole_topic(kafka, JOURNAL):
        if record.offset != expected:
            gone = (
                f"The beginning of {name} is gone (it starts at offset {record.offset})"
                if expected == 0
                else f"Offset {expected} is missing in {name}"
            )
            raise FileRefusedError(f"{gone}: it can't be folded from its first entry.")
        expected += 1
        batch.append(record.value)
        if len(batch) == BATCH_ENTRIES:
            yield batch
            batch = []
            if progress is not None:
                progress(expected)
    if batch:
        yield batch


async def wait_published(kafka: Kafka, end: int, seconds: float) -> None:
    """Return when the core has published something beyond the journal's end, or after a while if no core runs."""
    deadline = time.monotonic() + seconds
    partition = TopicPartition(kafka.names.full("coverage"), 0)
    reader = kafka.reader()
    try:
        await reader.start()
        reader.assign([partition])
        while time.monotonic() < deadline:
            last = (await reader.end_offsets([partition]))[partition] - 1
            if last >= 0:
                reader.seek(partition, last)
                for record in (await reader.getmany(partition, timeout_ms=200)).get(partition, ()):
                    if int(dict(record.headers)[OFFSET_HEADER]) >= end:
                        await asyncio.sleep(ROUND_SECONDS)
                        return
            await asyncio.sleep(0.2)
    finally:
        await reader.stop()
