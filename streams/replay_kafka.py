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
from streams.output_hash import OutputHash, record_digest
from streams.positions import INDEX_HEADER, JOURNAL_ID_HEADER, OFFSET_HEADER, PositionReader
from streams.replay import BATCH_ENTRIES, Fold, Progress, Replayed, ReplayFailedError, output_files
from streams.replay_lines import FileRefusedError
from streams.topic_reader import topic_bounds, whole_topic

PUBLISHED_WAIT_SECONDS = 15.0
ROUND_SECONDS = 1.0
"""After an output beyond the journal's end was seen, the rest of its round is acknowledged within this."""
DIFFERENCES_KEPT = 10

Place = tuple[int, int]
"""Offset of the entry and index of the output."""


class Comparison(NamedTuple):
    """Outputs as folded offline against outputs as published, repeats dropped, up to the journal entry `until` (exclusive)."""

    until: int
    compared: int
    folded_sha256: str
    published_sha256: str
    differences: list[str]
    differences_count: int
    unpublished_entries: int

    @property
    def equal(self) -> bool:
        """Whether all is there, byte for byte, and nothing else."""
        return self.differences_count == 0 and self.folded_sha256 == self.published_sha256


class Published:
    """What the output topics hold of one journal: digest by place. Same place, other bytes is a difference of its own."""

    def __init__(self) -> None:
        self.digests: dict[Place, bytes] = {}
        self.contradictions: list[Place] = []

    async def read(self, kafka: Kafka, journal_id: str) -> None:
        """Read all output topics once, repeats dropped. Raises TopicMissingError or KafkaError."""
        for topic in OUTPUTS:
            positions = PositionReader()
            async for record in whole_topic(kafka, topic.name):
                facts = dict(record.headers)
                if facts.get(JOURNAL_ID_HEADER, b"").decode() != journal_id or not positions.is_new(record.partition, record.headers):
                    continue
                place = (int(facts[OFFSET_HEADER]), int(facts[INDEX_HEADER]))
                digest = record_digest(OutputRecord(topic.name, record.key, record.value, *place))
                if self.digests.setdefault(place, digest) != digest:
                    self.contradictions.append(place)


async def journal_id_of(kafka: Kafka) -> tuple[str, int]:
    """The journal's id and its end. Raises FileRefusedError with a sentence if it is empty or its beginning is gone."""
    bounds = (await topic_bounds(kafka, JOURNAL))[0]
    name = kafka.names.full(JOURNAL)
    if bounds.start > 0:
        raise FileRefusedError(f"The beginning of {name} is gone (it starts at offset {bounds.start}): it can't be folded from its first entry.")
    if bounds.end == 0:
        raise FileRefusedError(f"{name} is empty: no core has run yet.")
    async for record in whole_topic(kafka, JOURNAL):
        return sha256(record.value).hexdigest(), bounds.end
    raise FileRefusedError(f"{name} could not be read.")


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
    journal_id, end = await journal_id_of(kafka)
    published = None
    if compare:
        await _wait_published(kafka, end, published_wait_seconds)
        published = Published()
        await published.read(kafka, journal_id)
    control = ControlReader(kafka)
    await control.start()
    await control.stop()
    fold = Fold(control.quarantines(journal_id))
    comparer = None if published is None else Comparer(published, journal_id, end)
    with output_files(out) as files:
        async for batch in _batches(kafka, end, progress):
            if not fold.fold(batch, files):
                raise ReplayFailedError(f"The fold fails at journal offset {fold.failed_at}: {fold.error!r}; see `core quarantine`.")
            if comparer is not None:
                comparer.take(fold.newest)
    return fold.replayed([], 0), None if comparer is None else comparer.result()


class Comparer:
    """Takes the offline outputs in order and looks each one up among the published."""

    def __init__(self, published: Published, journal_id: str, end: int) -> None:
        self._digests = published.digests
        newest = max((offset for offset, _ in published.digests), default=-1)
        # Without an output beyond the end, the newest published entry may be half published: it is left out.
        self.until = end if newest >= end else max(newest, 0)
        self._end = end
        self._folded = OutputHash(journal_id)
        self._journal_id = journal_id
        self._compared = 0
        self._seen: set[Place] = set()
        self._differences = [f"{place} was published with two contents" for place in published.contradictions[:DIFFERENCES_KEPT]]
        self._count = len(published.contradictions)

    def take(self, records: list[OutputRecord]) -> None:
        """The next outputs of the offline fold."""
        for record in records:
            if record.offset >= self.until:
                continue
            place, digest = (record.offset, record.index), record_digest(record)
            self._folded.add(digest)
            self._compared += 1
            self._seen.add(place)
            found = self._digests.get(place)
            if found is None:
                self._differ(f"{record.topic} {place} was never published")
            elif found != digest:
                self._differ(f"{record.topic} {place} was published with other bytes")

    def _differ(self, sentence: str) -> None:
        self._count += 1
        if len(self._differences) < DIFFERENCES_KEPT:
            self._differences.append(sentence)

    def result(self) -> Comparison:
        """The comparison, once all is taken."""
        live = OutputHash(self._journal_id)
        for place in sorted(place for place in self._digests if place[0] < self.until):
            live.add(self._digests[place])
            if place not in self._seen:
                self._differ(f"{place} was published, but the fold doesn't give it")
        return Comparison(
            self.until, self._compared, self._folded.hexdigest(), live.hexdigest(), self._differences, self._count, max(0, self._end - self.until)
        )


async def _batches(kafka: Kafka, end: int, progress: Progress | None) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    expected = 0
    async for record in whole_topic(kafka, JOURNAL):
        if record.offset >= end:
            break
        if record.offset != expected:
            raise FileRefusedError(f"Offset {expected} is missing in {kafka.names.full(JOURNAL)}: it can't be folded.")
        expected += 1
        batch.append(record.value)
        if len(batch) == BATCH_ENTRIES:
            yield batch
            batch = []
            if progress is not None:
                progress(expected)
    if batch:
        yield batch


async def _wait_published(kafka: Kafka, end: int, seconds: float) -> None:
    """Return when the core has published something beyond the journal's end, or after a while if no core runs."""
    deadline = time.monotonic() + seconds
    partition = TopicPartition(kafka.names.full("coverage"), 0)
    reader = kafka.reader()
    await reader.start()
    try:
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
