"""The benchmark's witness finds what is missing, doubled or left out, and a failed comparison fails the run."""

from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, cast

import msgspec
from aiokafka import TopicPartition

from tests.bench.figures import Results
from tests.bench.report import markdown
from tests.bench.topic_io import TopicReader
from tests.bench.witness import Positions, Verdicts

SOURCE = "withdrawals/0"


class Read(NamedTuple):
    partition: int
    offset: int
    timestamp: int
    value: bytes
    headers: list[tuple[str, bytes]]


class FakeReader:
    """Gives its records once, as a topic that has been read to its end."""

    def __init__(self, records: list[Read]) -> None:
        self._records = records

    async def wait_for(self, topic: str, records: int) -> None:
        """Everything is there already."""

    async def read(self, topic: str, start: Mapping[TopicPartition, int]) -> AsyncIterator[Any]:
        for record in self._records:
            if record.offset >= start.get(TopicPartition(topic, record.partition), 0):
                yield record


def verdict(offset: int, name: str, place: tuple[int, int], version: int = 1, kind: str = "CLEAR") -> Read:
    headers = [("offset", str(place[0]).encode()), ("index", str(place[1]).encode())]
    return Read(0, offset, 1_000 + offset, msgspec.json.encode({"withdrawal_id": name, "version": version, "verdict": kind}), headers)


def entry(offset: int, start: int, at: int, kind: str = "withdrawal") -> Read:
    value = msgspec.json.encode({"kind": kind, "clock_ms": 5, "source": SOURCE, "start": start, "offset": at})
    return Read(0, offset, 1_000 + offset, value, [])


def reader(records: list[Read]) -> TopicReader:
    return cast("TopicReader", FakeReader(records))


async def test_verdicts_count_once_each_with_repeats_dropped() -> None:
    heartbeat = Read(0, 2, 0, b'{"kind":"heartbeat","decided_at_ms":1,"term":"t","journal_offset":3}', [("offset", b"3"), ("index", b"0")])
    firsts = [verdict(0, "a", (1, 0)), verdict(1, "b", (2, 0)), heartbeat]
    again = [heartbeat._replace(offset=3), verdict(4, "a", (1, 0)), verdict(5, "a", (4, 0), 2, "HOLD")]
    records = firsts + again
    verdicts = Verdicts("verdicts", {})
    assert await verdicts.wait_for(reader(records), {"a", "b"}, 1.0) == set()
    assert verdicts.appended_ms == {"a": 1_000, "b": 1_001}
    assert (verdicts.repeats, verdicts.odd) == (2, {"a"})


async def test_a_withdrawal_without_verdict_is_missing() -> None:
    verdicts = Verdicts("verdicts", {})
    assert await verdicts.wait_for(reader([verdict(0, "a", (1, 0))]), {"a", "b"}, 0.01) == {"b"}


async def test_accepted_positions_drop_repeats_and_see_holes() -> None:
    positions = Positions("journal", {}, {})
    records = [entry(0, 0, 0), entry(1, 1, 2), entry(2, 1, 1), entry(3, 3, 3)]
    assert await positions.wait_for(reader(records), {"withdrawals": 3}, 1.0)
    assert positions.holes == 0

    torn = Positions("journal", {}, {})
    assert not await torn.wait_for(reader([entry(0, 0, 0), entry(1, 2, 2)]), {"withdrawals": 2}, 0.0)
    assert torn.holes == 1


async def test_a_rejected_record_is_not_accepted() -> None:
    positions = Positions("journal", {}, {})
    assert not await positions.wait_for(reader([entry(0, 0, 0, "rejected")]), {"withdrawals": 1}, 0.0)


def test_a_difference_is_a_failure_and_is_shown() -> None:
    results = Results()
    results.check("end to end, repeat 0: verdicts", False, "9 of 10 withdrawals have a verdict")
    assert [check.name for check in results.failed] == ["end to end, repeat 0: verdicts"]
    assert "DIFFERS: end to end, repeat 0: verdicts: 9 of 10" in markdown(results)
