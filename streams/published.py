"""What stands published, for people: the newest version of each incident and mark, coverage as it was told last. From Kafka or from a fold.

Reads and keeps; decides nothing. Called by the command line.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from monitor.contracts.outputs import AssetCoverage, Coverage, Incident, Mark
from monitor.outbox import OutputRecord
from streams.kafka import Kafka
from streams.positions import JOURNAL_ID_HEADER, PositionReader
from streams.topic_reader import whole_topic

VERSIONED = ("incidents", "marks")
TAIL_RECORDS = 500
"""Coverage comes whole with each Tick, and changed with single entries between: this many records hold a whole one but in a flood."""
TAIL_GROWS = 20
PROGRESS_RECORDS = 1_000

Progress = Callable[[int], None]
Kind = TypeVar("Kind", bound=msgspec.Struct)


class Published:
    """Takes records in the order in which they were decided. `unreadable` counts those of another version of this program."""

    def __init__(self) -> None:
        self._newest: dict[str, dict[bytes | None, bytes]] = {topic: {} for topic in VERSIONED}
        self._coverage: list[bytes] = []
        self.unreadable = 0

    def take(self, topic: str, key: bytes | None, value: bytes) -> None:
        """The next record of an output topic."""
        if topic in self._newest:
            self._newest[topic][key] = value
        elif topic == "coverage":
            if b'"scope":"whole"' in value:
                self._coverage = []
            self._coverage.append(value)

    def hear(self, records: Iterable[OutputRecord]) -> None:
        """Outputs of a fold."""
        for record in records:
            self.take(record.topic, record.key, record.value)

    def forget(self, topic: str) -> None:
        """Another journal begins on that topic: what stands there was another monitor's."""
        if topic in self._newest:
            self._newest[topic] = {}
        else:
            self._coverage = []

    def incidents(self) -> dict[str, Incident]:
        """The newest version of each incident."""
        return {record.incident_id: record for record in self._read(self._newest["incidents"].values(), Incident)}

    def marks(self) -> dict[str, Mark]:
        """The newest version of each mark."""
        return {record.mark_id: record for record in self._read(self._newest["marks"].values(), Mark)}

    def coverage(self) -> Coverage | None:
        """The newest figures; assets and wallets as they were last told. None if nothing was."""
        told = self._read(self._coverage, Coverage)
        if not told:
            return None
        assets: dict[str, AssetCoverage] = {asset.asset: asset for record in told for asset in record.assets}
        return replace(told[-1], scope=told[0].scope, assets=tuple(asset for _, asset in sorted(assets.items())), hot_wallets=told[0].hot_wallets)

    def _read(self, values: Iterable[bytes], kind: type[Kind]) -> list[Kind]:
        decode, found = msgspec.json.Decoder(kind).decode, []
        for value in values:
            try:
                found.append(decode(value))
            except msgspec.MsgspecError:
                self.unreadable += 1
        return found


async def read_published(kafka: Kafka, topics: Iterable[str], progress: Progress | None = None) -> Published:
    """What stands on these topics now. Raises TopicMissingError or KafkaError."""
    published = Published()
    for topic in topics:
        if topic == "coverage":
            newest = TAIL_RECORDS
            while await _read_topic(kafka, published, topic, progress, newest) >= newest and _lacks_whole(published):
                newest *= TAIL_GROWS
        else:
            await _read_topic(kafka, published, topic, progress)
    return published


def _lacks_whole(published: Published) -> bool:
    coverage = published.coverage()
    return coverage is None or coverage.scope != "whole"


async def _read_topic(kafka: Kafka, published: Published, topic: str, progress: Progress | None, newest: int | None = None) -> int:
    """Take a topic's records, or the `newest` so many, repeats dropped; how many there were."""
    positions, journal, count = PositionReader(), b"", 0
    published.forget(topic)
    async for record in whole_topic(kafka, topic, newest):
        count += 1
        if progress is not None and count % PROGRESS_RECORDS == 0:
            progress(count)
        if not positions.is_new(record.partition, record.headers):
            continue
        own = dict(record.headers)[JOURNAL_ID_HEADER]
        if own != journal:
            published.forget(topic)
            journal = own
        published.take(topic, record.key, record.value)
    return count


async def records_with(kafka: Kafka, topic: str, words: bytes, progress: Progress | None) -> AsyncGenerator[Any, None]:
    """Every record of a topic that holds these bytes: the whole topic is read. Whoever stops early closes it. Raises TopicMissingError or KafkaError."""
    count = 0
    async with contextlib.aclosing(whole_topic(kafka, topic)) as records:
        async for record in records:
            count += 1
            if progress is not None and count % PROGRESS_RECORDS == 0:
                progress(count)
            if words in (record.value or b""):
                yield record


async def find_newest(
    kafka: Kafka, topic: str, words: bytes, wanted: Callable[[Kind], bool], kind: type[Kind], progress: Progress | None
) -> Kind | None:
    """The newest record of a topic that holds these bytes and is wanted: the whole topic is read. Raises TopicMissingError or KafkaError."""
    decode, found, place = msgspec.json.Decoder(kind).decode, None, (-1, -1)
    async for record in records_with(kafka, topic, words, progress):
        told = _told(decode, record)
        if told is not None and wanted(told[1]) and told[0] > place:
            place, found = told
    return found


async def newest_with(kafka: Kafka, topic: str, words: bytes, kind: type[Kind], newest: int) -> list[Kind]:
    """Of the newest so many records of each partition those that hold these bytes, repeats of outputs dropped. Raises TopicMissingError or KafkaError."""
    decode, positions, found = msgspec.json.Decoder(kind).decode, PositionReader(), []
    async for record in whole_topic(kafka, topic, newest):
        if not positions.is_new(record.partition, record.headers) and record.headers:
            continue
        if words in (record.value or b""):
            with contextlib.suppress(msgspec.MsgspecError, UnicodeError):
                found.append(decode(record.value))
    return found


def _told(decode: Callable[[bytes], Kind], record: Any) -> tuple[tuple[int, int], Kind] | None:
    facts = dict(record.headers)
    try:
        return (int(facts["offset"]), int(facts["index"])), decode(record.value)
    except (KeyError, ValueError):  # msgspec's errors are ValueErrors
        return None
