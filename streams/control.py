"""The control topic, followed from its first record: the newest rewind per source, and the quarantined journal entries.

Decides nothing: it tells what was asked for. Called by intake (rewinds) and the core (quarantines, and rewinds that already stand).
"""

import asyncio
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec
import structlog
from aiokafka import TopicPartition
from aiokafka.errors import OffsetOutOfRangeError

from monitor.contracts.control import Control, Quarantine, Rewind
from monitor.contracts.topics import CONTROL
from streams.kafka import Kafka

log = structlog.stdlib.get_logger(__name__)

READ_WAIT_MS = 200
CATCH_UP_TIMEOUT_S = 30.0


class AskedRewind(NamedTuple):
    """A rewind and the offset at which it stands in the control topic: a later one replaces it."""

    control_offset: int
    rewind: Rewind


class ControlReader:
    """Follows the control topic with a consumer of its own, without a group. `start`, then `caught_up` or `follow`, then `stop`."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self._partition = TopicPartition(kafka.names.full(CONTROL), 0)
        self._consumer: Any = None
        self._reading = asyncio.Lock()
        self._decoder = msgspec.json.Decoder(Control)
        self.rewinds: dict[str, AskedRewind] = {}
        self.asked: set[tuple[str, int, str]] = set()
        self._quarantines: dict[str, dict[int, Literal["detectors", "entry"]]] = {}
        self.next_offset = 0

    async def start(self) -> None:
        """Read everything that is there."""
        self._consumer = self._kafka.reader(READ_WAIT_MS)
        await self._consumer.start()
        self._consumer.assign([self._partition])
        await self._from_the_start()
        await self.caught_up()

    async def stop(self) -> None:
        """Close the consumer."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def caught_up(self) -> None:
        """Return when all that stood in the topic at the time of the call has been read. Raises TimeoutError or KafkaError."""
        async with asyncio.timeout(CATCH_UP_TIMEOUT_S):
            end = (await self._consumer.end_offsets([self._partition]))[self._partition]
            while self.next_offset < end:
                await self._read(READ_WAIT_MS)

    async def follow(self, changed: Callable[[], None] = lambda: None) -> None:
        """Read on for ever and call `changed` after each read that brought something."""
        while True:
            before = self.next_offset
            await self._read(READ_WAIT_MS)
            if self.next_offset > before:
                changed()

    def quarantines(self, journal_id: str) -> dict[int, Literal["detectors", "entry"]]:
        """The quarantined entries of one journal: offset to scope."""
        return dict(self._quarantines.get(journal_id, {}))

    async def _from_the_start(self) -> None:
        begin = (await self._consumer.beginning_offsets([self._partition]))[self._partition]
        self._consumer.seek(self._partition, begin)
        self.next_offset = begin

    async def _read(self, wait_ms: int) -> None:
        async with self._reading:
            try:
                fetched = await self._consumer.getmany(timeout_ms=wait_ms)
            except OffsetOutOfRangeError:
                await self._from_the_start()  # the topic was made anew or trimmed: what is there now counts
                return
            for record in fetched.get(self._partition, ()):
                self._take(record)
            self.next_offset = await self._consumer.position(self._partition)

    def _take(self, record: Any) -> None:
        try:
            asked = self._decoder.decode(record.value)
        except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, RecursionError) as error:
            log.warning("a control record can't be read and is left out", control_offset=record.offset, error=str(error))
            return
        if isinstance(asked, Rewind):
            self.rewinds[asked.source] = AskedRewind(record.offset, asked)
            self.asked.add((asked.source, asked.offset, asked.asked_by))
        elif isinstance(asked, Quarantine):
            self._quarantines.setdefault(asked.journal_id, {})[asked.offset] = asked.scope
