"""The figures of live traffic: latency at a fixed rate and during an attack, and what a `kill -9` of the core's owner costs.

Records are sent at scheduled times, whatever the system does, and a withdrawal's latency counts from its scheduled time: a stall delays
all that should have been sent meanwhile (no coordinated omission). The verdict's time is when a consumer has it. Event time goes on at the
pace of the records produced beforehand, so faster than the clock: an account that asks every minute would be an attack, not traffic.
"""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.bench.attack import TRANSFERS
from tests.bench.figures import Results
from tests.bench.topic_io import TopicReader
from tests.bench.traffic import CYCLE_RECORDS, Record
from tests.bench.whole_way import PREFIX, Exchange, compare_positions
from tests.bench.witness import decode_verdict
from tests.bench.workers import Worker

RATES = (1_000, 10_000)
ATTACK_HOLDS_PER_SECOND = 1_000
SETTLING_SECONDS = 3.0
"""At the start of a run that don't count: connections are made, the first batches are small."""
BEFORE_KILL_SECONDS = 5.0
AFTER_KILL_SECONDS = 40.0
SESSION_DEAD_MS = 500
"""A verdict that the broker appended within this time after the kill may have been sent before it; the group notices the death seconds later."""
LAG_SECONDS_MAX = 1.0
LAST_VERDICTS_SECONDS_MAX = 60.0


class Seen(NamedTuple):
    """A withdrawal's first verdict: when the consumer had it, on the monotonic clock in s, and when the broker appended it, in ms."""

    at_s: float
    appended_ms: int


class Watch:
    """Consumes `verdicts` from now on and keeps each withdrawal's first; and `coverage`, of which each record's cause is known by its journal offset."""

    def __init__(self, bootstrap: str) -> None:
        self.seen: dict[str, Seen] = {}
        self.odd: set[str] = set()
        self.held: dict[int, str] = {}
        self.held_s: dict[str, float] = {}
        self.covered_s: dict[int, float] = {}
        self._highest: dict[tuple[str, int], tuple[int, int]] = {}
        self._wanted = 0
        self._complete = asyncio.Event()
        self._consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, check_crcs=False)

    async def start(self, reader: TopicReader) -> None:
        """Stand at the ends of all partitions before anything is sent."""
        ends = await reader.ends(PREFIX + "verdicts") | await reader.ends(PREFIX + "coverage")
        await self._consumer.start()
        self._consumer.assign(list(ends))
        for partition, end in ends.items():
            self._consumer.seek(partition, end)

    async def complete(self, withdrawals: int) -> None:
        """Wait until so many have their verdict, but not for ever."""
        self._wanted = withdrawals
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._complete.wait(), LAST_VERDICTS_SECONDS_MAX)

    async def follow(self) -> None:
        """Read until cancelled."""
        try:
            while True:
                fetched = await self._consumer.getmany(timeout_ms=1_000)
                at_s = time.monotonic()
                for records in fetched.values():
                    for record in records:
                        headers = dict(record.headers)
                        place = int(headers["offset"]), int(headers["index"])
                        partition = record.topic, record.partition
                        if place <= self._highest.get(partition, (-1, -1)):
                            continue  # a repeat: after a kill, of verdicts from before this run too
                        self._highest[partition] = place
                        if record.topic == PREFIX + "coverage":
                            self.covered_s.setdefault(place[0], at_s)
                        else:
                            self._verdict(record, place[0], at_s)
                if self._wanted and len(self.seen) >= self._wanted:
                    self._complete.set()
        finally:
            await self._consumer.stop()

    def _verdict(self, record: Any, offset: int, at_s: float) -> None:
        said = decode_verdict(record.value)
        if said.version and said.verdict != "CLEAR":
            self.odd.add(said.withdrawal_id)
        if said.verdict == "HOLD":
            self.held.setdefault(offset, said.withdrawal_id)
            self.held_s.setdefault(said.withdrawal_id, at_s)
        if said.version == 1 and said.withdrawal_id not in self.seen:
            self.seen[said.withdrawal_id] = Seen(at_s, record.timestamp)


class Live:
    """One run of live traffic: what was asked for when, and what was seen."""

    def __init__(self, exchange: Exchange, interval_s: float, slot: Callable[[int], list[Record]]) -> None:
        self.scheduled_s: dict[str, float] = {}
        self.sent: Counter[str] = Counter()
        self.late_s = 0.0
        self.processor_percent: dict[str, float] = {}
        self._exchange = exchange
        self._interval_s = interval_s
        self._slot = slot
        self._producer = AIOKafkaProducer(bootstrap_servers=exchange.bootstrap, acks=1, max_batch_size=131_072)

    async def send(self, seconds: float) -> None:
        """Send for so long; each slot of records at its time, or as soon after it as can be."""
        async with self._producer:
            await self._producer.client.force_metadata_update()
            began_s = time.monotonic()
            for slot in range(round(seconds / self._interval_s)):
                due_s = slot * self._interval_s
                ahead_s = began_s + due_s - time.monotonic()
                if ahead_s > 0:
                    await asyncio.sleep(ahead_s)
                else:
                    self.late_s = max(self.late_s, -ahead_s)
                await self._send(self._slot(slot), began_s + due_s)
            await self._send(self._exchange.traffic.drain(self._exchange.now_ms), time.monotonic())

    async def _send(self, records: list[Record], scheduled_s: float) -> None:
        for record in records:
            if record.requested is not None:
                self.scheduled_s[record.requested.decode()] = scheduled_s
            await self._producer.send(PREFIX + record.topic, record.value, record.key, record.partition)
            self.sent[record.topic] += 1


async def latency(exchange: Exchange, reader: TopicReader, results: Results) -> None:
    """Every rate, every repeat: p50, p99 and p99.9 of scheduled send to verdict consumed."""
    for rate in RATES:
        for repeat in range(exchange.size.repeats):
            name = f"latency at {rate:,}/s, repeat {repeat}"
            live = _traffic(exchange, rate)
            watch = await _run(exchange, reader, results, name, live, SETTLING_SECONDS + exchange.size.seconds)
            counted_from_s = min(live.scheduled_s.values()) + SETTLING_SECONDS
            waits_ms = sorted(
                (watch.seen[name].at_s - at_s) * 1_000 for name, at_s in live.scheduled_s.items() if at_s >= counted_from_s and name in watch.seen
            )
            for share, name in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")):
                target = "<= 30" if (rate, name) == (1_000, "p99") else ""
                results.sample(f"latency at {rate:,}/s, {name}", "ms", _quantile(waits_ms, share), target)
            covered_ms = sorted(
                (watch.covered_s[offset] - live.scheduled_s[name]) * 1_000
                for offset, name in watch.held.items()
                if offset in watch.covered_s and live.scheduled_s.get(name, 0.0) >= counted_from_s
            )
            if covered_ms:
                results.sample(f"at {rate:,}/s, a HOLD's coverage published after, median", "ms", _quantile(covered_ms, 0.5), detail=True)
                results.sample(f"at {rate:,}/s, a HOLD's coverage published after, at most", "ms", covered_ms[-1], detail=True)
            worse = 100 * len(watch.odd) / max(1, len(watch.seen))
            results.sample(f"at {rate:,}/s, verdicts WATCH or worse", "%", worse, detail=True)
            for part, percent in live.processor_percent.items():
                results.sample(f"at {rate:,}/s, processor used by {part}", "% of one", percent, detail=True)
            results.sample(f"latency at {rate:,}/s, generator behind its schedule at most", "ms", live.late_s * 1_000, detail=True)


async def owner_killed(exchange: Exchange, reader: TopicReader, results: Results, owner: Worker) -> Worker:
    """Kill the core's owner at the highest rate, a second core worker standing by; the owner at the end."""
    for repeat in range(exchange.size.repeats):
        standby = exchange.worker("core")
        await standby.ready()
        killing = asyncio.create_task(_kill_later(owner))
        live = _traffic(exchange, RATES[-1])
        watch = await _run(exchange, reader, results, f"kill -9, repeat {repeat}", live, BEFORE_KILL_SECONDS + AFTER_KILL_SECONDS)
        killed_s, killed_ms = await killing
        after = sorted(
            (seen.at_s, seen.at_s - live.scheduled_s[name])
            for name, seen in watch.seen.items()
            if name in live.scheduled_s and seen.appended_ms > killed_ms + SESSION_DEAD_MS
        )
        results.sample("kill -9 of the core's owner, to the first new verdict", "s", after[0][0] - killed_s if after else math.inf, "<= 15")
        behind = [at_s for at_s, wait_s in after if wait_s > LAG_SECONDS_MAX]
        results.sample("kill -9 of the core's owner, until lag < 1 s", "s", (behind[-1] if behind else after[0][0]) - killed_s, "<= 30")
        owner = standby
    return owner


async def _kill_later(owner: Worker) -> tuple[float, float]:
    """Kill it when traffic has run for a while: when, on the monotonic clock in s and on the wall clock in ms."""
    await asyncio.sleep(BEFORE_KILL_SECONDS)
    owner.kill()
    return time.monotonic(), time.time() * 1_000


async def under_attack(exchange: Exchange, reader: TopicReader, results: Results) -> None:
    """One attack of 110,000 HOLDs while honest traffic goes on: how long verdicts take meanwhile, first ones and HOLDs alike."""
    for repeat in range(exchange.size.repeats):
        name = f"attack, live, repeat {repeat}"
        live = Live(exchange, 1 / ATTACK_HOLDS_PER_SECOND, exchange.attacked_slot)
        watch = await _run(exchange, reader, results, name, live, TRANSFERS / ATTACK_HOLDS_PER_SECOND)
        waits_ms = sorted(
            (at_s - live.scheduled_s[name]) * 1_000
            for seen in ({name: seen.at_s for name, seen in watch.seen.items()}, watch.held_s)
            for name, at_s in seen.items()
            if name in live.scheduled_s
        )
        for share, quantile in ((0.5, "p50"), (0.99, "p99")):
            target = "<= 1,000" if quantile == "p99" else ""
            results.sample(f"verdicts while {ATTACK_HOLDS_PER_SECOND:,} a second are held, {quantile}", "ms", _quantile(waits_ms, share), target)
        for part, percent in live.processor_percent.items():
            results.sample(f"the same, processor used by {part}", "% of one", percent, detail=True)
        held = len(watch.held_s.keys() & live.scheduled_s.keys())
        results.check(f"{name}: HOLDs", held >= TRANSFERS, f"{held:,} of {TRANSFERS:,} are held")


def _traffic(exchange: Exchange, rate: int) -> Live:
    """Honest traffic of `rate` records a second."""
    return Live(exchange, CYCLE_RECORDS / rate, lambda _: exchange.slot())


async def _run(exchange: Exchange, reader: TopicReader, results: Results, name: str, live: Live, seconds: float) -> Watch:
    """Send for so long, then wait for the verdicts that are still to come."""
    watch = Watch(exchange.bootstrap)
    journal = await reader.ends(PREFIX + "journal")
    await watch.start(reader)
    following = asyncio.create_task(watch.follow())
    before, began_s = exchange.processor_seconds(), time.monotonic()
    await exchange.while_workers_run(live.send(seconds))
    lasted_s = time.monotonic() - began_s
    live.processor_percent = {part: 100 * (used - before[part]) / lasted_s for part, used in exchange.processor_seconds().items()}
    await exchange.while_workers_run(watch.complete(len(live.scheduled_s)))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    asked, answered = live.scheduled_s.keys(), watch.seen.keys()
    detail = f"{len(asked & answered)} of {len(asked)} withdrawals have a verdict, {len(answered - asked)} verdicts for others; {live.sent.total()} records sent"
    results.check(f"{name}: verdicts", asked == answered, detail)
    await compare_positions(exchange, reader, results, name, journal, live.sent)
    return watch


def _quantile(ordered: list[float], share: float) -> float:
    """The smallest value that at least this share doesn't exceed; infinite if there is none at all."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.inf
