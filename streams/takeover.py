"""The state that a new owner of the journal goes on with: the newest snapshot that fits the journal, or none and the journal's start.

Every snapshot that doesn't fit is refused by name, and the next older one tried. Called by `streams.core`; never folds.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, NamedTuple, Protocol, Self

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from monitor.contracts.topics import JOURNAL
from monitor.gauges import Gauges
from monitor.outbox import OutputRecord
from monitor.snapshot import Frozen, Header, SnapshotRefusedError
from streams.health import Condition, Health
from streams.kafka import Kafka
from streams.metrics import Metrics
from streams.snapshots import SnapshotStore, SnapshotStoreError, StoredSnapshot

log = structlog.stdlib.get_logger(__name__)

RECORD_TIMEOUT_S = 10.0
STORE_TRIES = 3
STORE_RETRY_S = 1.0
Quarantines = Mapping[int, Literal["detectors", "entry"]]


class FoldEngine(Protocol):
    """What the shell needs of `monitor.engine.Engine`."""

    journal_id: str
    next_offset: int
    careful_until: int
    failing_offset: int | None

    @property
    def term(self) -> str | None:
        """The newest term."""

    def fold(self, start: int, entries: Sequence[bytes]) -> list[OutputRecord]:
        """Take entries from offset `start` on."""

    def freeze(self) -> Frozen:
        """Copy the state."""

    def gauges(self) -> Gauges:
        """The picture."""


class Machine(NamedTuple):
    """How engines are made: a fresh one, one from a snapshot, and snapshots as bytes, in pieces, and back."""

    fresh: Callable[[str, Quarantines], FoldEngine]
    thaw: Callable[[Frozen, Quarantines], FoldEngine]
    pieces: Callable[[Frozen], Iterable[bytes]]
    decode: Callable[[bytes], Frozen]
    read_header: Callable[[bytes], Header]


class JournalUnusableError(Exception):
    """No state can be had from this journal; the text is one sentence for people."""


class Journal(NamedTuple):
    """What the journal holds now. `journal_id` is None while its first entry isn't there: it is empty, or trimmed."""

    log_start: int
    log_end: int
    journal_id: str | None


class Loader:
    """Finds the state. One per worker."""

    def __init__(self, kafka: Kafka, store: SnapshotStore, machine: Machine, metrics: Metrics, health: Health) -> None:
        self._kafka = kafka
        self._store = store
        self._machine = machine
        self._metrics = metrics
        self._health = health
        self._partition = TopicPartition(kafka.names.full(JOURNAL), 0)

    async def look(self) -> Journal:
        """What the journal holds now. Raises KafkaError or TimeoutError."""
        async with _Reading(self._kafka, self._partition) as reading:
            return await reading.journal()

    async def follows(self, next_offset: int, previous_sha256: str | None) -> bool:
        """Whether a state that stands at `next_offset` after an entry of that digest is one of this journal."""
        async with _Reading(self._kafka, self._partition) as reading:
            journal = await reading.journal()
            if next_offset > journal.log_end:
                return False
            return previous_sha256 is not None and await reading.digest(next_offset - 1) == previous_sha256

    async def load(self, quarantines: Callable[[str], Quarantines]) -> FoldEngine:
        """The engine to go on with. The journal must not be empty. Raises JournalUnusableError, KafkaError or TimeoutError."""
        async with _Reading(self._kafka, self._partition) as reading:
            journal = await reading.journal()
            stored = await self._stored()
            for candidate in stored:
                engine = await self._try(reading, journal, candidate, quarantines)
                if engine is not None:
                    log.info("state loaded from a snapshot", snapshot=candidate.name, next_offset=engine.next_offset, log_end=journal.log_end)
                    return engine
        if journal.log_start > 0 or journal.journal_id is None:
            raise JournalUnusableError(
                f"The journal begins at offset {journal.log_start} and no snapshot in {self._store.url} fits it: without one its state can't be known."
            )
        if stored and not any(journal.journal_id.startswith(candidate.journal) for candidate in stored):
            self._health.set(
                Condition.JOURNAL_REPLACED,
                f"The snapshots in {self._store.url} are of another journal: this one is folded from its start, what the other held is not in it.",
            )
        log.info("no snapshot fits: the journal is folded from its start", log_end=journal.log_end)
        return await asyncio.to_thread(self._machine.fresh, journal.journal_id, quarantines(journal.journal_id))

    async def _stored(self) -> list[StoredSnapshot]:
        for attempt in range(STORE_TRIES):
            try:
                return await asyncio.to_thread(self._store.names)
            except SnapshotStoreError as error:
                log.warning("the snapshot store can't be read", url=self._store.url, error=str(error), attempt=attempt + 1)
                self._health.set(Condition.SNAPSHOT_STORE, f"Snapshots can't be read from {self._store.url}: {error}.")
            await asyncio.sleep(STORE_RETRY_S)
        return []

    async def _try(
        self, reading: "_Reading", journal: Journal, candidate: StoredSnapshot, quarantines: Callable[[str], Quarantines]
    ) -> FoldEngine | None:
        try:
            data = await asyncio.to_thread(self._store.load, candidate.name)
            header = await asyncio.to_thread(self._machine.read_header, data)
            refused = await _misfit(reading, journal, header)
            if refused is None:
                return await asyncio.to_thread(self._thaw, data, quarantines(header.journal_id))
            reason, why = refused
        except SnapshotRefusedError as error:
            why = str(error)
            reason = "torn" if "torn" in why else "older"
        except SnapshotStoreError as error:
            reason, why = "other", f"it can't be read: {error}"
        self._metrics.snapshot_refused(reason)
        log.warning("snapshot refused", snapshot=candidate.name, reason=reason, why=why)
        return None

    def _thaw(self, data: bytes, quarantines: Quarantines) -> FoldEngine:
        return self._machine.thaw(self._machine.decode(data), quarantines)


async def _misfit(reading: "_Reading", journal: Journal, header: Header) -> tuple[str, str] | None:
    """Why a whole snapshot doesn't fit the journal, as (reason, words); None if it fits."""
    if journal.journal_id is not None and header.journal_id != journal.journal_id:
        return "foreign", "it is of another journal"
    if header.next_offset > journal.log_end:
        return "beyond_journal", f"it goes to offset {header.next_offset}, the journal ends at {journal.log_end}"
    if header.next_offset < journal.log_start:
        return "beyond_journal", f"it ends at offset {header.next_offset}, the journal begins at {journal.log_start}"
    digest = await reading.digest(header.next_offset - 1)
    if digest is None or digest != header.previous_sha256:
        return "foreign", f"the journal's entry at offset {header.next_offset - 1} isn't the one that it was taken after"
    return None


class _Reading:
    """A consumer of its own on the journal, for single records."""

    def __init__(self, kafka: Kafka, partition: TopicPartition) -> None:
        self._consumer = kafka.reader()
        self._partition = partition

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign([self._partition])
        self._consumer.seek(self._partition, 0)
        self._consumer.pause(self._partition)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._consumer.stop()

    async def journal(self) -> Journal:
        starts: Any = await self._consumer.beginning_offsets([self._partition])
        ends: Any = await self._consumer.end_offsets([self._partition])
        log_start, log_end = starts[self._partition], ends[self._partition]
        return Journal(log_start, log_end, await self.digest(0) if log_start == 0 < log_end else None)

    async def digest(self, offset: int) -> str | None:
        """SHA-256 of the entry at that offset; None if it isn't there. Raises TimeoutError."""
        self._consumer.seek(self._partition, offset)
        self._consumer.resume(self._partition)
        try:
            async with asyncio.timeout(RECORD_TIMEOUT_S):
                record = await self._consumer.getone(self._partition)
        except OffsetOutOfRangeError:
            return None
        finally:
            self._consumer.pause(self._partition)
        return sha256(record.value or b"").hexdigest() if record.offset == offset else None
