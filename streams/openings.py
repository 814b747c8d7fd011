"""Where a source is read on from, when its reader takes it over, lost its place, or was asked to rewind; and what its log holds now.

Judges nothing about gaps or replaced logs: it reports what is there, the core judges. Called by the intake's shell.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from monitor.contracts.topics import JOURNAL
from monitor.intake import digest
from streams.control import AskedRewind
from streams.kafka import Kafka

log = structlog.stdlib.get_logger(__name__)

Why = Literal["first", "resumed", "rewound"]
REWOUND = "rewound="  # commit metadata: the control offset of the last rewind that this source's position has obeyed
NEVER_REWOUND = -1
DIGEST_TIMEOUT_S = 5.0
DIGEST_PARTITIONS_MAX = 8  # partitions read at once for their last record: bounds what the fetches hold in memory


class Resume(NamedTuple):
    """Where a reader stood: the next offset (None: nothing was ever committed) and the last rewind it obeyed."""

    position: int | None
    rewound: int


class Opening(NamedTuple):
    """What a `source-opened` entry says, and the rewind that is obeyed by it."""

    position: int
    log_start: int
    log_end: int
    why: Why
    previous_sha256: str | None
    rewound: int


class Opener:
    """Asks the broker. `group` is the intake's consumer group on the broker."""

    def __init__(self, kafka: Kafka, group: str) -> None:
        self._kafka = kafka
        self._group = group

    async def committed(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Resume]:
        """Committed positions of the group. Raises KafkaError."""
        wanted = list(partitions)
        admin = self._kafka.admin()
        try:
            await admin.start()
            stored = await admin.list_consumer_group_offsets(self._group, partitions=wanted)
        finally:
            await admin.close()
        return {partition: resume_of(stored.get(partition)) for partition in wanted}

    async def journal_begun(self) -> bool:
        """Whether the journal has an entry: its first one must be a term, which only the core's owner writes. Raises KafkaError or TimeoutError."""
        journal = TopicPartition(self._kafka.names.full(JOURNAL), 0)
        reader = self._kafka.reader()
        await reader.start()
        try:
            ends: Mapping[TopicPartition, int] = await reader.end_offsets([journal])
        finally:
            await reader.stop()
        return ends[journal] > 0

    async def plan(self, resumes: Mapping[TopicPartition, Resume], rewinds: Mapping[TopicPartition, AskedRewind]) -> dict[TopicPartition, Opening]:
        """One opening per partition of `resumes`, from what the log holds now. Raises KafkaError or TimeoutError."""
        reader = self._kafka.reader()
        await reader.start()
        try:
            partitions = sorted(resumes)
            _know(reader, partitions)
            starts = await reader.beginning_offsets(partitions)
            ends = await reader.end_offsets(partitions)
            placed = {partition: place(resumes[partition], rewinds.get(partition), starts[partition], ends[partition]) for partition in partitions}
            wanted = [partition for partition, opening in placed.items() if opening.log_start < opening.position <= opening.log_end]
            digests = await _digests_before(reader, {partition: placed[partition].position for partition in wanted})
        finally:
            await reader.stop()
        return {partition: opening._replace(previous_sha256=digests.get(partition)) for partition, opening in placed.items()}


def place(resume: Resume, asked: AskedRewind | None, log_start: int, log_end: int) -> Opening:
    """Position for a source: its resume point, an earlier one if a rewind that wasn't obeyed yet asks for it, inside what the log holds.

    A source that nobody has read starts at its log's start. A resume point that the log doesn't have any more is moved to the
    log's start or end; the core sees from log start and end that records are gone or that the log is another one.
    """
    newest = asked.control_offset if asked else NEVER_REWOUND
    if resume.position is None:
        return Opening(log_start, log_start, log_end, "first", None, newest)
    why: Why = "resumed"
    position = resume.position
    if asked is not None and asked.control_offset > resume.rewound and asked.rewind.offset < position:
        why, position = "rewound", asked.rewind.offset
    return Opening(min(max(position, log_start), log_end), log_start, log_end, why, None, max(resume.rewound, newest))


def commit_metadata(rewound: int) -> str:
    """What is committed beside a position, so that a rewind is obeyed once whoever reads the source next."""
    return f"{REWOUND}{rewound}"


def resume_of(stored: Any) -> Resume:
    """What a committed offset of aiokafka says (None or a negative one: nothing was committed); metadata that isn't ours says nothing."""
    if stored is None or stored.offset < 0:
        return Resume(None, NEVER_REWOUND)
    metadata = stored.metadata or ""
    number = metadata.removeprefix(REWOUND)
    obeyed = int(number) if metadata.startswith(REWOUND) and number.isdecimal() else NEVER_REWOUND
    return Resume(stored.offset, obeyed)


def _know(reader: Any, partitions: Iterable[TopicPartition]) -> None:
    """Have the reader learn all topics at once; asked for offsets of unknown topics, it learns one per 100 ms."""
    reader.assign(list(partitions))
    for partition in partitions:
        reader.pause(partition)
        reader.seek(partition, 0)


async def _digests_before(reader: Any, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, str | None]:
    """SHA-256 of the value right before each position; partitions whose record isn't there any more, or not in time, are left out."""
    digests: dict[TopicPartition, str | None] = {}
    partitions = list(positions)
    for first in range(0, len(partitions), DIGEST_PARTITIONS_MAX):
        waiting = set(partitions[first : first + DIGEST_PARTITIONS_MAX])
        reader.assign(list(waiting))
        for partition in waiting:
            reader.seek(partition, positions[partition] - 1)
        try:
            async with asyncio.timeout(DIGEST_TIMEOUT_S):
                while waiting:
                    await _read_digests(reader, waiting, positions, digests)
        except TimeoutError:
            log.warning("the last record of some sources could not be read in time: whether they were replaced is not checked", sources=len(waiting))
        except OffsetOutOfRangeError:
            log.warning("the last record of some sources is gone: whether they were replaced is not checked", sources=len(waiting))
    return digests


async def _read_digests(
    reader: Any, waiting: set[TopicPartition], positions: Mapping[TopicPartition, int], digests: dict[TopicPartition, str | None]
) -> None:
    fetched = await reader.getmany(*waiting, timeout_ms=500, max_records=len(waiting))
    for partition, records in fetched.items():
        if records[0].offset == positions[partition] - 1:
            digests[partition] = digest(records[0].value)
    for partition in tuple(waiting):
        if partition in fetched or await reader.position(partition) >= positions[partition]:
            waiting.discard(partition)
            reader.pause(partition)


RETRIABLE = (KafkaError, TimeoutError, OSError)
