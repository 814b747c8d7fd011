"""The order of records of several partitions: by time across, by offset inside; who waits for whom, and that nobody waits for ever."""

import random
from collections import defaultdict
from typing import NamedTuple

import pytest
from aiokafka import TopicPartition

from monitor.contracts.topics import INPUTS, RETRIES
from streams.alignment import (
    BUFFERED_BYTES_MAX,
    BUFFERED_ROUNDS_MAX,
    IDLE_STEP_MAX_S,
    IDLE_WAIT_S,
    ORDER_IN_SLICE,
    RECORDS_WHEN_FULL,
    SLICE_MS,
    Alignment,
    Run,
)  # fmt: skip

W0, W1 = TopicPartition("withdrawals", 0), TopicPartition("withdrawals", 1)
POSTINGS, OUTFLOWS, BALANCES = (TopicPartition(topic, 0) for topic in ("postings", "outflows", "balances"))
NOW_MS = 1_000_000


class Record(NamedTuple):
    offset: int
    timestamp: int | None
    value: bytes | None = b"four"


def alignment(*partitions: TopicPartition, round_records: int = 100, hastens: TopicPartition | None = None) -> Alignment:
    made = Alignment(round_records)
    for partition in partitions:
        made.open(partition, partition.topic, hastens=partition == hastens)
    return made


def put(to: Alignment, partition: TopicPartition, *times: int | None, first: int = 0) -> None:
    to.add(partition, [Record(first + number, time) for number, time in enumerate(times)], NOW_MS)


def ended(of: Alignment, *partitions: TopicPartition) -> None:
    for partition in partitions:
        of.set_at_end(partition, at_end=True)


def times(runs: list[Run]) -> list[tuple[str, list[int | None]]]:
    return [(run.partition.topic, [record.timestamp for record in run.records]) for run in runs]


def test_every_input_has_its_place_in_a_slice() -> None:
    assert set(ORDER_IN_SLICE) == {topic.name for topic in INPUTS} | {RETRIES}
    assert len(set(ORDER_IN_SLICE)) == len(ORDER_IN_SLICE)


def test_slices_follow_in_time_and_partitions_inside_a_slice_in_their_order() -> None:
    lanes = alignment(W0, W1, POSTINGS, BALANCES)
    put(lanes, W0, 10, 20, 250)
    put(lanes, BALANCES, 5, 120)
    put(lanes, POSTINGS, 99, 260)
    put(lanes, W1, 30)
    ended(lanes, W0, W1, POSTINGS, BALANCES)
    assert times(lanes.due(0.0)) == [
        ("postings", [99]), ("withdrawals", [10, 20]), ("withdrawals", [30]), ("balances", [5, 120]), ("postings", [260]), ("withdrawals", [250]),
    ]  # fmt: skip
    assert lanes.buffered == 0 and not lanes.more_due


def test_a_partition_alone_in_its_time_is_one_run() -> None:
    lanes = alignment(W0, POSTINGS)
    put(lanes, W0, *range(0, 5_000, 50))
    put(lanes, POSTINGS, 6_000)
    ended(lanes, W0, POSTINGS)
    assert [len(run.records) for run in lanes.due(0.0)] == [100]
    assert lanes.more_due
    assert times(lanes.due(0.0)) == [("postings", [6_000])]


def test_what_may_still_come_holds_later_records_back() -> None:
    lanes = alignment(W0, POSTINGS)
    put(lanes, W0, 100, 300, 900)
    put(lanes, POSTINGS, 50, 320)
    ended(lanes, W0)
    assert times(lanes.due(0.0)) == [("postings", [50]), ("withdrawals", [100]), ("postings", [320]), ("withdrawals", [300])]
    assert (lanes.count(W0), lanes.count(POSTINGS)) == (1, 0)
    put(lanes, POSTINGS, 880, first=2)
    assert times(lanes.due(0.0)) == [("postings", [880])]
    ended(lanes, POSTINGS)
    assert times(lanes.due(0.0)) == [("withdrawals", [900])]


def test_partitions_at_their_ends_hold_nobody_back() -> None:
    lanes = alignment(W0, W1, POSTINGS, OUTFLOWS)
    ended(lanes, W0, W1, POSTINGS, OUTFLOWS)
    put(lanes, OUTFLOWS, 7_000)
    assert times(lanes.due(0.0)) == [("outflows", [7_000])]


def test_a_partition_that_gives_nothing_is_waited_for_once() -> None:
    lanes = alignment(W0, POSTINGS)
    ended(lanes, W0)
    put(lanes, W0, 100)
    now_s = 0.0
    while not (runs := lanes.due(now_s)):
        now_s += 0.125
    assert now_s == IDLE_WAIT_S
    assert times(runs) == [("withdrawals", [100])]
    put(lanes, W0, 200, first=1)
    assert times(lanes.due(now_s)) == [("withdrawals", [200])]
    put(lanes, POSTINGS, 50)
    put(lanes, W0, 300, first=2)
    assert times(lanes.due(now_s)) == [("postings", [50])], "it gives again, so it holds others back again"


def test_time_in_which_the_worker_itself_stood_still_is_no_waiting() -> None:
    lanes = alignment(W0, POSTINGS)
    ended(lanes, W0)
    put(lanes, W0, 100)
    for look in range(int(IDLE_WAIT_S / IDLE_STEP_MAX_S) - 1):
        assert lanes.due(1_000.0 * look) == []


def test_a_hastening_lane_waits_for_nobody_nor_anybody_for_it() -> None:
    lanes = alignment(W0, W1, POSTINGS, hastens=W0)
    put(lanes, W0, 900, 950)
    put(lanes, W1, 100, 500)
    put(lanes, POSTINGS, 200)
    ended(lanes, W1)
    assert [record.timestamp for run in lanes.due(0.0) for record in run.records] == [100, 200, 900, 950]
    put(lanes, POSTINGS, 650, first=1)
    assert [record.timestamp for run in lanes.due(0.0) for record in run.records] == [500, 650]
    ended(lanes, W0)
    lanes.set_at_end(W0, at_end=False)
    put(lanes, W1, 800, first=2)
    put(lanes, POSTINGS, 700, first=2)
    assert lanes.due(0.0) == [], "since its end it is like any other"


@pytest.mark.parametrize("odd", [None, -5, 0, 10**15], ids=["none", "negative", "long ago", "in a far future"])
def test_an_odd_time_moves_no_record_but_with_its_predecessor(odd: int | None) -> None:
    lanes = alignment(W0, POSTINGS)
    put(lanes, W0, 100, odd, 300)
    put(lanes, POSTINGS, 50, 200, 400)
    ended(lanes, W0, POSTINGS)
    assert [record.timestamp for run in lanes.due(0.0) for record in run.records] == [50, 100, odd, 200, 300, 400]
    put(lanes, W0, odd, 500, first=3)
    put(lanes, POSTINGS, 450, first=3)
    assert [record.timestamp for run in lanes.due(0.0) for record in run.records] == [odd, 450, 500]


def test_a_lane_that_is_opened_again_has_forgotten_what_it_had() -> None:
    lanes = alignment(W0, POSTINGS)
    put(lanes, W0, 100, 200)
    put(lanes, POSTINGS, 100)
    lanes.open(W0, "withdrawals", hastens=False)
    assert (lanes.buffered, lanes.count(W0)) == (1, 0)
    put(lanes, W0, 150)
    assert [record.offset for record in lanes.drain(W0)] == [0]
    lanes.clear()
    assert lanes.buffered == 0
    assert lanes.due(9.0) == []


def test_large_values_fill_the_buffer_and_one_round_the_lane() -> None:
    lanes = alignment(W0, W1, round_records=1_000)
    lanes.add(W0, [Record(0, 100, bytes(BUFFERED_BYTES_MAX))], NOW_MS)
    assert lanes.room == RECORDS_WHEN_FULL
    assert lanes.is_full(W0) and not lanes.is_full(W1), "nobody waits in vain for a partition that may not be fetched"
    lanes.drain(W0)
    assert lanes.room == 1_000
    lanes.add(W0, [Record(offset, 100, None) for offset in range(1_000)], NOW_MS)
    assert lanes.is_full(W0) and not lanes.is_full(W1)


class World:
    """Partitions with logs; records become visible to fetches at random, in an order that has nothing to do with their times."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.round_records = self.random.choice([1, 3, 10, 50])
        topics = self.random.sample(ORDER_IN_SLICE, self.random.randint(1, 5))
        self.partitions = [TopicPartition(topic, number) for topic in topics for number in range(self.random.randint(1, 2))]
        self.logs = {partition: self.log() for partition in self.partitions}
        self.leaderless = {partition for partition in self.partitions if self.random.random() < 0.1}
        self.lanes = alignment(*self.partitions, round_records=self.round_records)
        self.fetched = dict.fromkeys(self.partitions, 0)
        self.taken: list[tuple[TopicPartition, Record]] = []

    def log(self) -> list[Record]:
        time_ms, records = 0, []
        for offset in range(self.random.choice([0, 1, 20, 200])):
            time_ms += self.random.choice([0, 1, 30, 100, 2_000])
            records.append(Record(offset, time_ms))
        return records

    def spoil(self) -> None:
        """Times that are missing, absurd or out of order."""
        for log in self.logs.values():
            for offset in range(len(log)):
                if self.random.random() < 0.1:
                    log[offset] = Record(offset, self.random.choice([None, -1, 0, 10**16, self.random.randrange(50_000)]))

    def fetch(self) -> None:
        room = self.lanes.room
        for partition in self.random.sample(self.partitions, self.random.randint(0, len(self.partitions))):
            if self.lanes.is_full(partition) or partition in self.leaderless or room == 0:
                continue
            begin = self.fetched[partition]
            records = self.logs[partition][begin : begin + self.random.randint(1, room)]
            if records:
                self.lanes.add(partition, records, NOW_MS)
                self.fetched[partition] += len(records)
                room -= len(records)

    def look(self, now_s: float) -> None:
        for partition in self.partitions:
            self.lanes.set_at_end(partition, at_end=self.fetched[partition] == len(self.logs[partition]))
        runs = self.lanes.due(now_s)
        assert sum(len(run.records) for run in runs) <= self.round_records
        self.taken += [(run.partition, record) for run in runs for record in run.records]
        bound = BUFFERED_ROUNDS_MAX * self.round_records + RECORDS_WHEN_FULL * len(self.partitions)
        assert self.lanes.buffered == sum(self.fetched.values()) - len(self.taken) <= bound

    def play(self) -> None:
        now_s = 0.0
        for _ in range(40_000):
            self.fetch()
            self.look(now_s)
            now_s += 0.01
            if len(self.taken) == sum(len(log) for partition, log in self.logs.items() if partition not in self.leaderless):
                return
        raise AssertionError(f"stuck with {self.lanes.buffered} buffered")


@pytest.mark.parametrize("seed", range(150))
def test_all_is_taken_once_in_its_partitions_order_whatever_comes_when(seed: int) -> None:
    world = World(seed)
    world.spoil()
    world.play()
    taken = defaultdict(list)
    for partition, record in world.taken:
        taken[partition].append(record)
    assert all(taken[partition] == log for partition, log in world.logs.items() if partition not in world.leaderless), f"seed {seed}"


@pytest.mark.parametrize("seed", range(150))
def test_no_slice_is_begun_before_the_slices_before_it_are_done(seed: int) -> None:
    world = World(seed)
    world.leaderless.clear()
    world.play()
    newest = -1
    for _, record in world.taken:
        assert record.timestamp is not None
        assert record.timestamp // SLICE_MS >= newest // SLICE_MS, f"seed {seed}"
        newest = max(newest, record.timestamp)
