"""The offline fold against what was published: repeats dropped, every difference named, a core that is behind told from one that is wrong."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.outbox import OutputRecord
from streams import replay_kafka
from streams.replay_kafka import Comparer, Comparison

JOURNAL = "j1"
FOLDED = [
    OutputRecord("audit", None, b"a0", 0, 0),
    OutputRecord("verdicts", b"k", b"v1", 3, 0),
    OutputRecord("marks", b"m", b"m1", 3, 1),
    OutputRecord("verdicts", None, b"beat", 5, 0),
    OutputRecord("verdicts", b"k", b"v2", 8, 0),
]


def stored(record: OutputRecord, partition: int = 0, journal_id: str = JOURNAL) -> tuple[str, Any]:
    headers = (("journal_id", journal_id.encode()), ("offset", b"%d" % record.offset), ("index", b"%d" % record.index))
    return record.topic, SimpleNamespace(partition=partition, key=record.key, value=record.value, headers=headers)


def published() -> list[tuple[str, Any]]:
    """All of FOLDED, the heartbeat in both partitions, with repeats after a restart."""
    rows = [stored(record) for record in FOLDED]
    return [*rows[:4], stored(FOLDED[3], partition=1), *rows[1:4], rows[4]]


async def compared(monkeypatch: pytest.MonkeyPatch, rows: list[tuple[str, Any]], end: int = 10) -> Comparison:
    async def whole_topic(_kafka: object, topic: str) -> AsyncIterator[Any]:
        for name, record in rows:
            if name == topic:
                yield record

    monkeypatch.setattr(replay_kafka, "whole_topic", whole_topic)
    comparer = Comparer()
    comparer.folded(FOLDED[:2])
    comparer.folded(FOLDED[2:])
    await comparer.published(None, JOURNAL, end)  # type: ignore[arg-type]  # the fake topic needs no Kafka
    return comparer.result(end, "hash")


async def test_what_is_published_twice_is_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    result = await compared(monkeypatch, published())
    assert result.equal
    assert (result.compared, result.unpublished, result.until) == (5, 0, 10)


async def test_another_journals_outputs_and_later_ones_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = stored(OutputRecord("marks", b"m", b"other", 4, 0), journal_id="j0")
    later = stored(OutputRecord("marks", b"m", b"later", 12, 0))
    assert (await compared(monkeypatch, [foreign, *published(), later])).equal


async def test_a_core_that_is_behind_is_not_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    result = await compared(monkeypatch, [row for row in published() if row[1].value != b"v2"])
    assert result.equal
    assert (result.compared, result.unpublished, result.until) == (4, 1, 5)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: [row for row in rows if row[1].value != b"m1"], "(3, 1) was never published"),
        (lambda rows: [*rows, stored(OutputRecord("marks", b"m", b"more", 9, 0))], "marks (9, 0) was published, but the fold doesn't give it"),
        (lambda rows: [row if row[1].value != b"v2" else stored(replace(FOLDED[4], value=b"v3")) for row in rows], "(8, 0) was published with other bytes"),
        (lambda rows: [row if row[1].value != b"v2" else stored(replace(FOLDED[4], key=b"q")) for row in rows], "(8, 0) was published with other bytes"),
        (lambda rows: [row if row[1].partition == 0 else stored(replace(FOLDED[3], value=b"x"), 1) for row in rows], "(5, 0) was published with other bytes"),
    ],
)  # fmt: skip
async def test_every_difference_is_named(monkeypatch: pytest.MonkeyPatch, change: Any, says: str) -> None:
    result = await compared(monkeypatch, change(published()))
    assert not result.equal
    assert result.differences_count == 1
    assert says in result.differences[0]
