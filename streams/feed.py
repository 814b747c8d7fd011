"""What the intake's consumer gives, in the order of time: fetched into an `Alignment`, with full partitions paused.

Knows of each partition how far it was fetched and whether that is its log's end. Awaits nothing but the consumer, ships nothing. Called by
`streams.intake`.
"""

from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import TopicPartition

from streams.alignment import Alignment, Run
from streams.openings import Opening

POLL_WAIT_MS = 200  # how long a quiet round waits for records: also how soon progress and commits come due
HELD_WAIT_MS = 20  # the same while records are held: that a partition has reached its end wakes nobody


class Feed:
    """The partitions that were opened since `clear`. Those that others own now must not be asked for: the caller looks at its generation."""

    def __init__(self, consumer: Any, round_records: int) -> None:
        self._consumer = consumer
        self._alignment = Alignment(round_records)
        self._fetched: dict[TopicPartition, int] = {}
        self._log_ends: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()

    @property
    def buffered(self) -> int:
        """Records that were fetched and are not taken."""
        return self._alignment.buffered

    def count(self, partition: TopicPartition) -> int:
        """The same of one partition."""
        return self._alignment.count(partition)

    def clear(self) -> None:
        """Forget all partitions and what was fetched of them."""
        self._alignment.clear()
        self._fetched.clear()
        self._log_ends.clear()
        self._paused.clear()

    def open(self, partition: TopicPartition, topic: str, opening: Opening) -> None:
        """Read a partition from its opening's position on; what was fetched before is forgotten. One that is rewound reads old records again: nobody waits for it."""
        self._alignment.open(partition, topic, hastens=opening.why == "rewound")
        self._fetched[partition] = opening.position
        self._log_ends[partition] = opening.log_end
        self._paused.discard(partition)
        self._consumer.seek(partition, opening.position)
        self._consumer.resume(partition)

    def drain(self, partition: TopicPartition) -> Sequence[Any]:
        """What was fetched of a partition, out of turn."""
        return self._alignment.drain(partition)

    async def fetch(self, clock_ms: Callable[[], int], ours: Callable[[], bool]) -> None:
        """Wait for records and keep them, unless the partitions aren't `ours` any more. Raises what `getmany` raises."""
        alignment = self._alignment
        timeout_ms = 0 if alignment.more_due else HELD_WAIT_MS if alignment.buffered else POLL_WAIT_MS
        fetched = await self._consumer.getmany(timeout_ms=timeout_ms, max_records=alignment.room)
        if not ours():
            return
        for partition, records in fetched.items():
            alignment.add(partition, records, clock_ms())
            self._fetched[partition] = records[-1].offset + 1
        # Paused before anything else runs: the consumer would ask for more at once, and throw away what comes for a paused partition.
        self._pause()

    async def due(self, now_s: float) -> list[Run]:
        """The runs whose turn has come, at most one round."""
        if self._alignment.buffered == 0:
            return []
        for partition in self._fetched:
            self._alignment.set_at_end(partition, at_end=await self._at_end(partition))
        runs = self._alignment.due(now_s)
        self._pause()
        return runs

    async def _at_end(self, partition: TopicPartition) -> bool:
        log_end: int | None = self._consumer.highwater(partition)
        if log_end is None:  # not fetched yet
            log_end = self._log_ends[partition]
        if self._fetched[partition] >= log_end:
            return True
        # Markers of transactions may stand after the last record, and what an open transaction wrote can't be fetched yet.
        stable: int | None = self._consumer.last_stable_offset(partition)
        position: int = await self._consumer.position(partition)
        return position >= (log_end if stable is None or stable < 0 else min(log_end, stable))

    def _pause(self) -> None:
        """Pause the partitions that are full, and read on those that aren't any more."""
        if self._alignment.buffered == 0 and not self._paused:
            return
        full = {partition for partition in self._fetched if self._alignment.is_full(partition)}
        for partition in full - self._paused:
            self._consumer.pause(partition)
        for partition in self._paused - full:
            self._consumer.resume(partition)
        self._paused = full
