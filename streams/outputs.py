"""Writing to Kafka: one round's records, grouped into batches per partition, sent in order, acknowledged or not.

A partition's next batch goes out only when the one before is acknowledged, and nothing follows a failure: what is there is a
prefix. Decides nothing about what is written. Called by intake (journal, dead letters) and the core (all outputs, control).
"""

import asyncio
import itertools
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar
from zlib import crc32

import structlog

from streams.health import Condition, Health

log = structlog.stdlib.get_logger(__name__)
Result = TypeVar("Result")
SILENCE_S = 5.0  # above what a healthy broker takes, below the session after which others take over

Headers = list[tuple[str, bytes]]
Row = tuple[bytes | None, bytes | None, Headers | None]
Partition = tuple[str, int]


class ProduceFailedError(Exception):
    """A batch was not acknowledged. Whoever wrote must stop: later batches would leave a hole."""


async def watched(delivery: Awaitable[Result], health: Health) -> Result:
    """The delivery's result, however long it takes; a worker whose writes aren't acknowledged for SILENCE_S isn't ready and says so."""
    task = asyncio.ensure_future(delivery)
    try:
        done, _ = await asyncio.wait({task}, timeout=SILENCE_S)
        if not done:
            health.set(Condition.BROKER_UNREACHABLE, f"Kafka hasn't acknowledged a write for {SILENCE_S:.0f} s; it is waited for, nothing is lost.")
            log.warning("kafka acknowledges nothing: waiting for it")
        result = await task
    finally:
        task.cancel()
    if not done:
        health.clear(Condition.BROKER_UNREACHABLE)
        log.info("kafka acknowledges again")
    return result


def partition_of(key: bytes | None, partitions: int) -> int:
    """Partition of a keyed record: CRC-32 of the key modulo `partitions`; 0 for a record without a key."""
    return crc32(key) % partitions if key else 0


class Shipment:
    """What one round writes. Fill it, then `deliver` it once; topics are named as on the broker."""

    def __init__(self, producer: Any, timestamp_ms: int) -> None:
        self._producer = producer
        self._timestamp_ms = timestamp_ms
        self._batches: dict[Partition, list[Any]] = {}

    def __bool__(self) -> bool:
        return bool(self._batches)

    def add(self, topic: str, partition: int, value: bytes | None, key: bytes | None = None, headers: Headers | None = None) -> None:
        """Append one record to its partition's last batch, or to a new one when that is full."""
        self.add_rows(topic, partition, [(key, value, headers)])

    def add_rows(self, topic: str, partition: int, rows: Iterable[Row]) -> None:
        """`add` for many records of one partition, each (key, value, headers)."""
        batches = self._batches.setdefault((topic, partition), [])
        if not batches:
            batches.append(self._producer.create_batch())
        append = batches[-1].append
        timestamp_ms = self._timestamp_ms
        for key, value, headers in rows:
            if append(timestamp=timestamp_ms, key=key, value=value, headers=headers) is None:
                batches.append(self._producer.create_batch())
                append = batches[-1].append
                append(timestamp=timestamp_ms, key=key, value=value, headers=headers)

    async def deliver(self) -> list[Any]:
        """Send all and wait until all is acknowledged; gives the acknowledgements' metadata. Raises ProduceFailedError at the first failure."""
        acknowledged: list[Any] = []
        for wave in itertools.zip_longest(*self._batches.values()):
            waiting = [
                await self._send(batch, topic, partition) for (topic, partition), batch in zip(self._batches, wave, strict=True) if batch is not None
            ]
            for result in await asyncio.gather(*waiting, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise ProduceFailedError(f"a write to Kafka failed: {result!r}") from result
                acknowledged.append(result)
        self._batches = {}
        return acknowledged

    async def _send(self, batch: Any, topic: str, partition: int) -> "asyncio.Future[Any]":
        try:
            future: asyncio.Future[Any] = await self._producer.send_batch(batch, topic, partition=partition)
        except Exception as error:
            raise ProduceFailedError(f"a batch for {topic}/{partition} could not be sent: {error!r}") from error
        return future
