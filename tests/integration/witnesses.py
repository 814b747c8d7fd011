"""Two witnesses who share no code with intake or core, and judge from the topics alone what the monitor has done.

Sources: which positions of the input topics had their effect, by a rule of their own over the journal. Outputs: what was published,
repeats dropped, against an offline fold of the journal. Called by the integration tests.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from monitor.engine import Engine

OUTPUT_TOPICS = ("verdicts", "marks", "coverage", "incidents", "alerts", "audit")
FOLD_ENTRIES = 1_000
RECORDS_PER_FETCH = 20_000


class Stored(NamedTuple):
    """A record as it lies in a topic."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, bytes]


class Published(NamedTuple):
    """An output: its place, key and bytes."""

    offset: int
    place: int
    key: bytes | None
    value: bytes


async def read_topic(bootstrap_servers: str, topic: str, count: int) -> list[Stored]:
    """Everything that a topic of `count` partitions holds now, partition by partition in order."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False, max_partition_fetch_bytes=16 * 1024 * 1024)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(count)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        starts = await consumer.beginning_offsets(partitions)
        for partition in partitions:
            consumer.seek(partition, starts[partition])
        left = {partition for partition in partitions if ends[partition] > starts[partition]}
        stored: list[Stored] = []
        while left:
            fetched = await consumer.getmany(*left, timeout_ms=50, max_records=RECORDS_PER_FETCH)
            for partition, records in fetched.items():
                stored += [
                    Stored(partition.partition, record.offset, record.key, record.value, dict(record.headers))
                    for record in records
                    if record.offset < ends[partition]
                ]
            left = {partition for partition in left if await consumer.position(partition) < ends[partition]}
    finally:
        await consumer.stop()
    return sorted(stored, key=lambda record: (record.partition, record.offset))


class SourceWitness:
    """Follows journal entries by the rule of start, next and offset; `read` may be called again with what came since."""

    def __init__(self) -> None:
        self.next: dict[str, int] = {}
        self.accepted: dict[str, list[int]] = {}
        self.rejected: list[str] = []
        self.gaps: dict[str, list[range]] = {}
        self.holes: set[tuple[str, int]] = set()
        self.opened: list[dict[str, Any]] = []
        self.kinds: dict[str, int] = {}
        self.repeats = 0
        self.journal_end = 0

    def read(self, values: Iterable[bytes | None]) -> None:
        """Take entries in the order of the journal."""
        for value in values:
            self.journal_end += 1
            entry = json.loads(value or b"null")
            kind = entry["kind"]
            self.kinds[kind] = self.kinds.get(kind, 0) + 1
            if kind == "source-opened":
                self._open(entry)
            elif kind == "source-accepted":
                self.next[entry["source"]] = entry["position"]
                self.accepted[entry["source"]] = []  # what was before is of another log
            elif "start" in entry:
                self._take(entry["source"], entry["start"], entry["offset"], rejected=kind == "rejected")

    def _open(self, entry: dict[str, Any]) -> None:
        self.opened.append(entry)
        source = entry["source"]
        expected = self.next.setdefault(source, entry["position"])
        if entry["log_start"] > expected:
            self.gaps.setdefault(source, []).append(range(expected, entry["log_start"]))
            self.next[source] = entry["log_start"]

    def _take(self, source: str, start: int, offset: int, *, rejected: bool) -> None:
        expected = self.next.setdefault(source, 0)
        if offset < expected:
            self.repeats += 1
        elif start > expected:
            self.holes.add((source, expected))
        else:
            self.next[source] = offset + 1
            self.accepted.setdefault(source, []).append(offset)
            if rejected:
                self.rejected.append(f"{source}@{offset}")

    def missing(self, ends: Mapping[str, int]) -> dict[str, int]:
        """Sources of which something before their end had no effect yet: where each stands."""
        return {source: self.next.get(source, 0) for source, end in ends.items() if self.next.get(source, 0) < end}

    def assert_one_for_one(self, topic: str, records: Sequence[Stored]) -> None:
        """The accepted positions of a topic are its records, one for one, in order, but for declared gaps."""
        by_partition: dict[int, list[int]] = {}
        for record in records:
            by_partition.setdefault(record.partition, []).append(record.offset)
        for partition, offsets in by_partition.items():
            source = f"{topic}/{partition}"
            accepted = self.accepted.get(source, [])
            there = [offset for offset in accepted if offset >= offsets[0]]  # records before may have been deleted since
            gaps = self.gaps.get(source, [])
            wanted = [offset for offset in offsets if not any(offset in gap for gap in gaps)]
            assert there == wanted, f"{source}: {_first_difference(there, wanted)}"


def _first_difference(found: Sequence[object], wanted: Sequence[object]) -> str:
    for place, (one, other) in enumerate(zip(found, wanted, strict=False)):
        if one != other:
            return f"at place {place} there is {one!r}, but should be {other!r} (of {len(found)} and {len(wanted)})"
    return f"there are {len(found)}, but should be {len(wanted)}"


def without_repeats(records: Iterable[Stored], journal_id: str) -> dict[int, list[Published]]:
    """By partition, each output once: the highest place so far is kept, what isn't higher must be a true repeat and is dropped."""
    kept: dict[int, list[Published]] = {}
    seen: dict[tuple[int, int, int], Published] = {}
    for record in records:
        if record.headers["journal_id"].decode() != journal_id:
            continue
        output = Published(int(record.headers["offset"]), int(record.headers["index"]), record.key, record.value or b"")
        mine = kept.setdefault(record.partition, [])
        if mine and output[:2] <= mine[-1][:2]:
            assert seen.get((record.partition, *output[:2])) == output, f"a repeat of {output[:2]} differs from what was published first"
            continue
        mine.append(output)
        seen[record.partition, *output[:2]] = output
    return kept


def fold(journal: Sequence[bytes], control: Sequence[Stored], partitions: Mapping[str, int]) -> dict[str, dict[int, list[Published]]]:
    """What an offline fold of the journal puts out, by topic and partition."""
    journal_id = sha256(journal[0]).hexdigest()
    asked = [json.loads(record.value or b"null") for record in control]
    quarantines = {row["offset"]: row["scope"] for row in asked if row["kind"] == "quarantine" and row["journal_id"] == journal_id}
    engine = Engine(journal_id, quarantines)
    folded: dict[str, dict[int, list[Published]]] = {topic: {} for topic in OUTPUT_TOPICS}
    for start in range(0, len(journal), FOLD_ENTRIES):
        for record in engine.fold(start, journal[start : start + FOLD_ENTRIES]):
            count = partitions[record.topic]
            places = range(count) if record.key is None else [zlib.crc32(record.key) % count if record.key else 0]
            for partition in places:
                folded[record.topic].setdefault(partition, []).append(Published(record.offset, record.index, record.key, record.value))
    return folded


def assert_same_outputs(topic: str, live: Mapping[int, list[Published]], folded: Mapping[int, list[Published]], until: int) -> int:
    """Live outputs are the fold's, byte for byte and in order, complete up to the journal offset `until`; gives their number."""
    for partition in sorted({*live, *folded}):
        published, wanted = live.get(partition, []), folded.get(partition, [])
        beginning = wanted[: len(published)]
        assert published == beginning, f"{topic}/{partition}: {_first_difference(published, beginning)}"
        late = [output[:2] for output in wanted[len(published) :] if output.offset < until]
        assert not late, f"{topic}/{partition}: {len(late)} outputs were never published, the first is {late[0]}"
    return sum(len(outputs) for outputs in live.values())
