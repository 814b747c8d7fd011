"""Counts outputs against inputs from outside: verdicts, repeats dropped, and accepted source positions in the journal.

Shares no code with intake or core but the shape of their records. Used by the figures that need the whole way.
"""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

import msgspec
from aiokafka import TopicPartition

from tests.bench.topic_io import TopicReader


class _Verdict(msgspec.Struct):
    withdrawal_id: str = ""
    version: int = 0
    verdict: str = ""


class _Entry(msgspec.Struct):
    kind: str
    clock_ms: int
    source: str = ""
    start: int = -1
    offset: int = -1


decode_verdict = msgspec.json.Decoder(_Verdict).decode
_decode_entry = msgspec.json.Decoder(_Entry).decode


class Verdicts:
    """First verdicts by withdrawal since a start: when the broker appended each, in ms; `odd` are those with any verdict but CLEAR.

    Per partition whatever isn't higher than the highest (offset, index) is a repeat.
    """

    def __init__(self, topic: str, start: Mapping[TopicPartition, int]) -> None:
        self.appended_ms: dict[str, int] = {}
        self.odd: set[str] = set()
        self.repeats = 0
        self._topic = topic
        self._positions = dict(start)
        self._first = sum(start.values())
        self._highest: dict[int, tuple[int, int]] = defaultdict(lambda: (-1, -1))

    async def wait_for(self, reader: TopicReader, wanted: AbstractSet[str], seconds_max: float) -> set[str]:
        """Read on until every wanted withdrawal has its verdict; those that have none in time. Doesn't read before there can be enough."""
        try:
            async with asyncio.timeout(seconds_max):
                await reader.wait_for(self._topic, self._first + len(wanted))
                await self._read_on(reader)
                while not wanted <= self.appended_ms.keys():
                    await asyncio.sleep(0.2)
                    await self._read_on(reader)
        except TimeoutError:
            await self._read_on(reader)
        return set(wanted - self.appended_ms.keys())

    async def _read_on(self, reader: TopicReader) -> None:
        async for record in reader.read(self._topic, self._positions):
            self._positions[TopicPartition(self._topic, record.partition)] = record.offset + 1
            headers = dict(record.headers)
            place = int(headers["offset"]), int(headers["index"])
            if place <= self._highest[record.partition]:
                self.repeats += 1
                continue
            self._highest[record.partition] = place
            said = decode_verdict(record.value)
            if said.version == 1:
                self.appended_ms[said.withdrawal_id] = record.timestamp
            if said.version and said.verdict != "CLEAR":
                self.odd.add(said.withdrawal_id)


class Positions:
    """Accepted source positions in the journal since a start, by the rule of sources.

    `next_offsets`, by source, belongs to the caller and goes on from one stretch of the journal to the next. `opened_ms` is when the
    first source was opened, `last_ms` when the broker appended the last entry of a record; `accepted` counts records by topic.
    """

    def __init__(self, topic: str, start: Mapping[TopicPartition, int], next_offsets: dict[str, int]) -> None:
        self.opened_ms = 0
        self.last_ms = 0
        self.accepted: Counter[str] = Counter()
        self.holes = 0
        self._topic = topic
        self._positions = dict(start)
        self._next_offsets = next_offsets

    async def wait_for(self, reader: TopicReader, records: Mapping[str, int], seconds_max: float) -> bool:
        """Read on until as many records of each topic are accepted; False if that takes too long."""
        deadline = time.monotonic() + seconds_max
        while True:
            await self._read_on(reader)
            if self.accepted == records:
                return True
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.2)

    async def _read_on(self, reader: TopicReader) -> None:
        async for record in reader.read(self._topic, self._positions):
            self._positions[TopicPartition(self._topic, record.partition)] = record.offset + 1
            entry = _decode_entry(record.value)
            if entry.kind == "source-opened" and not self.opened_ms:
                self.opened_ms = entry.clock_ms
            if entry.offset < 0:
                continue
            self.last_ms = max(self.last_ms, record.timestamp)
            expected = self._next_offsets.get(entry.source, 0)
            if entry.start > expected:
                self.holes += 1
            elif entry.offset >= expected:
                self._next_offsets[entry.source] = entry.offset + 1
                self.accepted[entry.source.partition("/")[0]] += entry.kind != "rejected"
