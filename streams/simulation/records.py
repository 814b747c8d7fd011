"""Input records and the agenda that brings them, and all that happens in the simulated exchange, into the order of time.

The only clock is the agenda's. It also stands for the transport: delays by topic, records delivered twice, a chain watcher that lags.
Used by the other files of this package; `Record` is what the world outside gets.

| what | distribution | source |
| --- | --- | --- |
| event to record | `DELAY_MS` by topic | assumed: a queue's milliseconds; the chain watcher's are longer |
| delivered twice | 1 record in 500, 50 ms to 60 s later, the same event | assumed; at-least-once delivery is what queues promise |
| the watcher lags | twice a day (`exchange`), 1 to 5 minutes, then tells all at once | assumed |
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

Value = dict[str, object]
Deed = Callable[[int], None]
"""Something that happens at its time, which it is given."""

DELAY_MS = {"withdrawals": 15, "outflows": 350, "account-events": 25, "postings": 25}
REPEATED_SHARE = 0.002
REPEATED_AFTER_MS = (50, 60_000)

OUTFLOW_FIELDS = ("tx_id", "wallet_id", "asset", "network", "amount", "address", "tag", "withdrawal_id", "provider_id", "owner")
"""What an outflow has in common with the withdrawal that it serves."""


class Record(NamedTuple):
    """One input record: `value` is the event, `timestamp_ms` the record's own time."""

    topic: str
    key: str
    value: Value
    timestamp_ms: int


class Agenda:
    """Records and deeds still to come; what is due at the same time comes in the order in which it was planned."""

    def __init__(self, run: str, seed: int) -> None:
        self.run = run
        self._rng = random.Random(f"agenda of {seed}")  # noqa: S311  # a simulation; its own, so that a repeat changes nothing else
        self._numbers = itertools.count(1)
        self._pending: list[tuple[int, int, Record | Deed]] = []
        self._pushed = itertools.count()
        self._until_repeat = self._gap()
        self._watcher_back_ms = 0

    def _gap(self) -> int:
        return 1 + int(self._rng.expovariate(REPEATED_SHARE))

    def number(self) -> int:
        """The next of the numbers that event and posting ids are made from."""
        return next(self._numbers)

    def tell(self, topic: str, key: str, at_ms: int, event: Value) -> None:
        """An event happens at that time; its record comes a little later, now and then twice."""
        value = {"event_id": f"{self.run}.{next(self._numbers):x}", "occurred_at_ms": at_ms, "schema_version": 1, **event}
        timestamp_ms = at_ms + DELAY_MS.get(topic, 0)
        if topic == "outflows" and at_ms < self._watcher_back_ms:
            timestamp_ms = self._watcher_back_ms
        record = Record(topic, key, value, timestamp_ms)
        heapq.heappush(self._pending, (timestamp_ms, next(self._pushed), record))
        self._until_repeat -= 1
        if self._until_repeat == 0:
            self._until_repeat = self._gap()
            again_ms = timestamp_ms + self._rng.randrange(*REPEATED_AFTER_MS)
            heapq.heappush(self._pending, (again_ms, next(self._pushed), record._replace(timestamp_ms=again_ms)))

    def at(self, at_ms: int, deed: Deed) -> None:
        """Let something happen later: the books change in the order of time, never when it is planned."""
        heapq.heappush(self._pending, (at_ms, next(self._pushed), deed))

    def watcher_lags(self, until_ms: int) -> None:
        """What is seen on chain from now on is told at that time at the earliest."""
        self._watcher_back_ms = max(self._watcher_back_ms, until_ms)

    def records(self, end_ms: int | None) -> Iterator[Record]:
        """What is due before that time; None: all that is still to come."""
        while self._pending and (end_ms is None or self._pending[0][0] < end_ms):
            due_ms, _, item = heapq.heappop(self._pending)
            if isinstance(item, Record):
                yield item
            else:
                item(due_ms)
