"""The order in which the records of several partitions are taken: by their timestamps, as far as what was fetched tells.

Pure: no await, no clock; holds fetched records, bounded, and gives back runs that are due. Never changes a partition's own order, drops
nothing and judges nothing. Called by `streams.intake`.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import accumulate
from math import inf
from typing import Any, NamedTuple

from aiokafka import TopicPartition

from monitor.contracts.topics import RETRIES

ORDER_IN_SLICE = (
    "reserves", "providers", "prices", "wallet-events", "account-events", "holdings", "postings",
    "withdrawals", "outflows", "balances", "feedback", RETRIES,
)  # fmt: skip
"""What explains comes before what asks for an explanation: a credit before the withdrawal of it, an outflow before the balance that fell."""
SLICE_MS = 100
"""Records this close are not ordered by time: producers' clocks differ by as much, and a run per record would cost more than the record."""
CLOCK_AHEAD_MAX_MS = 1_000
"""A timestamp that is further ahead of ours says nothing: believed, it would hold its partition back until then."""
IDLE_WAIT_S = 1.0
"""How long a partition that should have more, but gives nothing, holds others back: its leader may be away for longer."""
IDLE_STEP_MAX_S = 0.25
"""What one look adds to that wait at most: a worker that was itself stopped hasn't waited for anybody."""
BUFFERED_BYTES_MAX = 64 * 1024 * 1024
"""With this much in all, only partitions of which nothing is buffered are read on. One fetch may come on top."""
BUFFERED_ROUNDS_MAX = 10
"""The same in rounds of records; one partition may have one round."""
RECORDS_WHEN_FULL = 100
"""What may be fetched at once when all that is full, so that the partition that all wait for can come."""


class Run(NamedTuple):
    """Neighbouring records of one partition, and the bytes of their values."""

    partition: TopicPartition
    records: Sequence[Any]
    value_bytes: int


class Lane:
    """One partition's records that were fetched and not taken, with the times that they count from: these never fall."""

    __slots__ = ("at_end", "begin", "hastens", "partition", "place", "records", "times", "waited_s")

    def __init__(self, partition: TopicPartition, place: tuple[int, int], *, hastens: bool) -> None:
        self.partition = partition
        self.place = place
        self.hastens = hastens
        self.at_end = False
        self.waited_s = 0.0
        self.records: list[Any] = []
        self.times: list[int] = []
        self.begin = 0

    @property
    def holds_back(self) -> bool:
        """Whether what others have must wait for what this one will still give."""
        return not self.at_end and not self.hastens and self.waited_s < IDLE_WAIT_S


Turn = tuple[float, tuple[int, int], Lane]
"""Slice of the lane's next record, the lane's place inside a slice, the lane."""


class Alignment:
    """The lanes of all partitions that a worker reads. `round_records` is what one `due` gives, and one partition may hold, at most.

    Bound: BUFFERED_ROUNDS_MAX rounds or BUFFERED_BYTES_MAX, then RECORDS_WHEN_FULL a partition, if whoever fetches keeps to `room` and `is_full`.
    """

    def __init__(self, round_records: int) -> None:
        self.buffered = 0
        self.more_due = False
        self._round_records = round_records
        self._bytes = 0
        self._lanes: dict[TopicPartition, Lane] = {}
        self._looked_s = inf

    def clear(self) -> None:
        """Forget everything: the partitions are others' now."""
        self._lanes.clear()
        self.buffered = self._bytes = 0
        self.more_due = False

    def open(self, partition: TopicPartition, topic: str, *, hastens: bool) -> None:
        """Start a lane anew, without records. `topic` is the contracts' name; a lane that `hastens` waits for nobody, nor anybody for it, until its end."""
        self.drain(partition)
        self._lanes[partition] = Lane(partition, (ORDER_IN_SLICE.index(topic), partition.partition), hastens=hastens)

    def count(self, partition: TopicPartition) -> int:
        """Records of one partition that are fetched and not taken."""
        return len(self._lanes[partition].records)

    def add(self, partition: TopicPartition, records: Sequence[Any], clock_ms: int) -> None:
        """Records that were fetched, in their order."""
        lane = self._lanes[partition]
        latest_ms = clock_ms + CLOCK_AHEAD_MAX_MS
        last_ms = lane.times[-1] if lane.times else -1
        # What has no time that can be, or an earlier one than its predecessor, is due with its predecessor.
        told = [-1 if (time_ms := record.timestamp) is None or time_ms > latest_ms else time_ms for record in records]
        times = accumulate(told, max, initial=last_ms)
        next(times)
        lane.times.extend(times)
        lane.records.extend(records)
        lane.waited_s = 0.0
        self.buffered += len(records)
        self._bytes += value_bytes(records)

    def set_at_end(self, partition: TopicPartition, *, at_end: bool) -> None:
        """Whether all that the partition's log had at its newest answer was fetched."""
        lane = self._lanes[partition]
        lane.at_end = at_end
        if at_end:
            lane.hastens, lane.waited_s = False, 0.0

    @property
    def room(self) -> int:
        """How many records may be fetched at once."""
        free = 0 if self._bytes >= BUFFERED_BYTES_MAX else BUFFERED_ROUNDS_MAX * self._round_records - self.buffered
        return min(self._round_records, max(RECORDS_WHEN_FULL, free))

    def is_full(self, partition: TopicPartition) -> bool:
        """Whether nothing of this partition may be fetched now; never while nothing of it is held, so that nobody waits for it in vain."""
        count = len(self._lanes[partition].records)
        all_full = self.buffered >= BUFFERED_ROUNDS_MAX * self._round_records or self._bytes >= BUFFERED_BYTES_MAX
        return count >= self._round_records or (count > 0 and all_full)

    def drain(self, partition: TopicPartition) -> list[Any]:
        """All that is buffered of one partition, out of turn."""
        lane = self._lanes.get(partition)
        if lane is None:
            return []
        records, lane.records, lane.times = lane.records, [], []
        self.buffered -= len(records)
        self._bytes -= value_bytes(records)
        return records

    def due(self, now_s: float) -> list[Run]:
        """Take what is due, one round at most: by slices of time, inside a slice by ORDER_IN_SLICE and number. `now_s` may have any beginning.

        Nothing is due that is later than the newest buffered record of a partition which isn't at its end; nothing at all while one of
        these has nothing buffered, for IDLE_WAIT_S. `more_due` says whether the round was too small.
        """
        step_s = max(0.0, min(now_s - self._looked_s, IDLE_STEP_MAX_S))
        self._looked_s = now_s
        self.more_due = False
        if self.buffered == 0:
            return []
        horizon_ms: float = inf
        for lane in self._lanes.values():
            if not lane.records:
                lane.waited_s += step_s
            if lane.holds_back:
                horizon_ms = min(horizon_ms, lane.times[-1] if lane.times else -inf)
        return self._merged(horizon_ms)

    def _merged(self, horizon_ms: float) -> list[Run]:
        queue = [turn for lane in self._lanes.values() if lane.times and (turn := _turn(lane, horizon_ms)) is not None]
        heapify(queue)
        runs: list[Run] = []
        touched = {lane.partition: lane for _, _, lane in queue}
        left = self._round_records
        while queue and left > 0:
            lane = heappop(queue)[2]
            begin = lane.begin
            end = min(_end_of_run(lane, queue, horizon_ms), begin + left)
            run = lane.records[begin:end]
            size = value_bytes(run)
            runs.append(Run(lane.partition, run, size))
            self._bytes -= size
            left -= end - begin
            lane.begin = end
            if end < len(lane.times) and (turn := _turn(lane, horizon_ms)) is not None:
                heappush(queue, turn)
        self.more_due = bool(queue)
        for lane in touched.values():
            del lane.records[: lane.begin], lane.times[: lane.begin]
            lane.begin = 0
        self.buffered -= self._round_records - left
        return runs


def _turn(lane: Lane, horizon_ms: float) -> Turn | None:
    """When the lane's next record has its turn; None if it isn't due. A hastening lane is due always, after all that is in order."""
    if lane.hastens:
        return inf, lane.place, lane
    time_ms = lane.times[lane.begin]
    return (time_ms // SLICE_MS, lane.place, lane) if time_ms <= horizon_ms else None


def _end_of_run(lane: Lane, queue: Sequence[Turn], horizon_ms: float) -> int:
    """Where another lane's turn comes, or the horizon is."""
    times = lane.times
    if lane.hastens:
        return len(times)
    end = len(times) if times[-1] <= horizon_ms else bisect_right(times, horizon_ms, lane.begin)
    if not queue:
        return end
    slice_number, place, _ = queue[0]
    turn_ms = (slice_number + (lane.place < place)) * SLICE_MS
    return end if times[end - 1] < turn_ms else bisect_left(times, turn_ms, lane.begin, end)


def value_bytes(records: Sequence[Any]) -> int:
    """Bytes of the records' values."""
    return sum([len(record.value) for record in records if record.value is not None])
