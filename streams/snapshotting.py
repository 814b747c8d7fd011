"""Taking snapshots while the fold goes on: copied in the loop, encoded and stored piece by piece by another thread, one at a time.

A store that fails is said loudly and tried again at the next interval; the fold never waits for it. Called by `streams.core`.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator

import structlog

from monitor.snapshot import Frozen
from streams.health import Condition, Health
from streams.metrics import Metrics
from streams.snapshots import SnapshotStore, SnapshotStoreError

log = structlog.stdlib.get_logger(__name__)


class Snapshotter:
    """Decides when a snapshot is due and sees it stored. `interval_s` is from one start to the next."""

    def __init__(
        self, store: SnapshotStore, pieces: Callable[[Frozen], Iterable[bytes]], interval_s: float, metrics: Metrics, health: Health
    ) -> None:
        self._store = store
        self._pieces = pieces
        self._interval_s = interval_s
        self._metrics = metrics
        self._health = health
        self._storing: asyncio.Task[None] | None = None
        self._due_s = time.monotonic() + interval_s
        self._stored_offset = -1
        self._failed = False

    def due(self, next_offset: int) -> bool:
        """Whether a state that stands at `next_offset` is to be frozen now."""
        return next_offset != self._stored_offset and time.monotonic() >= self._due_s and (self._storing is None or self._storing.done())

    def start(self, frozen: Frozen) -> None:
        """Store a frozen state. Every output of what it holds must have been acknowledged."""
        self._due_s = time.monotonic() + self._interval_s
        self._storing = asyncio.create_task(self._keep(frozen))

    async def finish(self) -> None:
        """Wait for the one that is being stored."""
        if self._storing is not None:
            await asyncio.wait([self._storing])

    async def _keep(self, frozen: Frozen) -> None:
        began_s = time.monotonic()
        try:
            size_bytes = await asyncio.to_thread(self._write, frozen)
        except (SnapshotStoreError, MemoryError) as error:
            self._metrics.snapshot_failed()
            self._health.set(Condition.SNAPSHOT_STORE, f"Snapshots can't be stored in {self._store.url}: {error}. Nothing is lost; trying again.")
            if not self._failed:
                log.error("snapshots can't be stored: trying again", url=self._store.url, error=str(error))  # noqa: TRY400  # no traceback: the store's words say it
            self._failed = True
            return
        self._stored_offset = frozen.header.next_offset
        self._metrics.snapshot(time.monotonic() - began_s, size_bytes, time.time_ns() // 1_000_000)
        for condition in (Condition.SNAPSHOT_STORE, Condition.SNAPSHOT_REFUSED, Condition.JOURNAL_REPLACED):
            self._health.clear(condition)
        if self._failed:
            self._failed = False
            log.info("snapshots are stored again", url=self._store.url)

    def _write(self, frozen: Frozen) -> int:
        size_bytes = 0

        def counted() -> Iterator[bytes]:
            nonlocal size_bytes
            for piece in self._pieces(frozen):
                size_bytes += len(piece)
                yield piece

        self._store.save(frozen.header.journal_id, frozen.header.next_offset, counted())
        return size_bytes
