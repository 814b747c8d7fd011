"""The figures of the whole way: broker, intake and core together, each as a process. End to end, and intake alone.

Records are produced beforehand. The clock runs from the intake's first `source-opened` entry, written when it has its partitions and
has read nothing yet, to the broker's stamp of the last withdrawal's first verdict. The core is warm: it has seen every account.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from aiokafka import TopicPartition

from tests.bench.figures import Results
from tests.bench.topic_io import TopicReader, produce
from tests.bench.traffic import CYCLE_RECORDS, Record, Traffic
from tests.bench.witness import Positions, Verdicts
from tests.bench.workers import Worker, broker_cpu_seconds, run_command
from tests.bench.workload import PARTITIONS, WITHDRAWAL_INTERVAL_MS, Size, configuration

PREFIX = "bench."
CHUNK_RECORDS = 100_000
SECONDS_MAX = 600.0
AFTERWARDS_SECONDS_MAX = 30.0
END_TO_END = "end to end"
INTAKE_ALONE = "intake alone"
EVENT_TIME_MS = 90 * 86_400_000
"""How far in the past the first event is: more than all figures together need, and less than intake takes for absurd."""
CORE_MEMORY = "core process, RSS after the end-to-end runs"


ROBBED_PER_HONEST_SLOT = 10


T = TypeVar("T")
Ends = Mapping[str, Mapping[TopicPartition, int]]
"""Ends of the topics that outputs are counted on, before a run: by name, by partition."""


class Backlog(NamedTuple):
    """What was produced beforehand: the withdrawals that were requested, and records by topic."""

    requested: set[str]
    records: dict[str, int]

    @property
    def total(self) -> int:
        """Records on all topics."""
        return sum(self.records.values())


class Exchange:
    """The benchmark's exchange and our workers on one broker; its event time goes on from figure to figure."""

    def __init__(self, bootstrap: str, folder: Path, size: Size) -> None:
        self.bootstrap = bootstrap
        self.size = size
        self.folder = folder
        self.traffic = Traffic(size.accounts, size.addresses, PARTITIONS)
        self.configuration = folder / "bench.toml"
        self.configuration.write_text(configuration(bootstrap, PREFIX, folder), encoding="utf-8")
        self.now_ms = time.time_ns() // 1_000_000 - EVENT_TIME_MS
        self.next_offsets: dict[str, int] = {}
        self._workers: list[Worker] = []

    def worker(self, role: str) -> Worker:
        """A new worker process."""
        worker = Worker(self.configuration, role, f"{role}-{len(self._workers)}")
        self._workers.append(worker)
        return worker

    async def while_workers_run(self, waiting: Coroutine[Any, Any, T]) -> T:
        """What is waited for. Raises RuntimeError as soon as a worker has ended by itself."""
        task = asyncio.create_task(waiting)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=1.0)
                for worker in self._workers:
                    worker.check()
        finally:
            task.cancel()
        return task.result()

    def close(self) -> None:
        """Kill what still runs."""
        for worker in self._workers:
            worker.kill()

    def processor_seconds(self) -> dict[str, float]:
        """Processor time used so far: of the workers that run, by role, of the broker and of this process."""
        used = {"intake": 0.0, "core": 0.0, "broker": broker_cpu_seconds(), "the benchmark itself": time.process_time()}
        for worker in self._workers:
            if worker.process.poll() is None:
                used[worker.role] += worker.cpu_seconds
        return used

    def slot(self, account: int | None = None) -> list[Record]:
        """The traffic's next slot; event time goes on."""
        self.now_ms += WITHDRAWAL_INTERVAL_MS
        return self.traffic.slot(self.now_ms, account)

    def attacked_slot(self, number: int) -> list[Record]:
        """A slot of an attack: a robbed payout, and now and then a slot of honest traffic, whose event time goes on."""
        records = self.traffic.robbed(self.now_ms)
        return records if number % ROBBED_PER_HONEST_SLOT else records + self.slot()

    async def produce(self, slots: int, every_account: bool = False, setup: bool = False) -> Backlog:
        """Produce a backlog whose last record in each partition of `withdrawals` is a request: its verdict shows that all was taken."""
        requested: set[str] = set()
        counts: Counter[str] = Counter()
        records: list[Record] = self.traffic.setup(self.now_ms) if setup else []
        for slot in range(slots):
            records += self.slot(slot % self.size.accounts if every_account else None)
            if len(records) >= CHUNK_RECORDS:
                counts.update(await self._send(records, requested))
                records = []
        records += self.traffic.drain(self.now_ms)
        records += self.traffic.last(self.now_ms)
        counts.update(await self._send(records, requested))
        return Backlog(requested, dict(counts))

    async def _send(self, records: list[Record], requested: set[str]) -> dict[str, int]:
        requested.update(record.requested.decode() for record in records if record.requested is not None)
        return await produce(self.bootstrap, PREFIX, records)


async def end_to_end(exchange: Exchange, results: Results, races: bool = True) -> tuple[Worker, Worker]:
    """Warm the core, then, if `races`, run every repeat; intake and core go on running and are returned."""
    size = exchange.size
    run_command(exchange.configuration, "topics", "apply")
    core = exchange.worker("core")
    await core.owner()
    intake = exchange.worker("intake")
    async with TopicReader(exchange.bootstrap) as reader:
        await _race(exchange, reader, results, "warm-up", await _ends(reader), await exchange.produce(size.accounts, every_account=True, setup=True))
        for repeat in range(size.repeats if races else 0):
            await intake.stop()
            start = await _ends(reader)
            backlog = await exchange.produce(size.records // CYCLE_RECORDS)
            intake = exchange.worker("intake")
            await intake.listens()
            before = exchange.processor_seconds()
            opened_ms, ended_ms, verdicts = await _race(exchange, reader, results, f"{END_TO_END}, repeat {repeat}", start, backlog)
            seconds = (ended_ms - opened_ms) / 1_000
            results.sample(END_TO_END, "records/s", backlog.records["withdrawals"] / seconds, ">= 50,000")
            after = exchange.processor_seconds()
            for part in ("core", "intake", "broker"):
                results.sample(
                    f"{END_TO_END}, processor time of {part}", "µs/record", 1e6 * (after[part] - before[part]) / backlog.total, detail=True
                )
            worse = 100 * len(verdicts.odd) / len(backlog.requested)
            results.sample("verdicts WATCH or worse", "%", worse, "0.2", detail=True)
    results.sample(CORE_MEMORY, "MB", core.rss_bytes / 1e6, detail=True)
    return intake, core


async def _ends(reader: TopicReader) -> Ends:
    return {name: await reader.ends(PREFIX + name) for name in ("verdicts", "journal")}


async def _race(exchange: Exchange, reader: TopicReader, results: Results, name: str, start: Ends, backlog: Backlog) -> tuple[int, int, Verdicts]:
    """Wait for the backlog's verdicts, compare outputs with inputs; when the intake opened its sources and the last verdict came, in ms."""
    verdicts = Verdicts(PREFIX + "verdicts", start["verdicts"])
    missing = await exchange.while_workers_run(verdicts.wait_for(reader, backlog.requested, SECONDS_MAX))
    too_many = len(verdicts.appended_ms.keys() - backlog.requested)
    asked = len(backlog.requested)
    detail = f"{asked - len(missing)} of {asked} withdrawals have a verdict, {too_many} verdicts for others, {verdicts.repeats} repeats dropped"
    results.check(f"{name}: verdicts", not missing and not too_many, detail)
    positions = await compare_positions(exchange, reader, results, name, start["journal"], backlog.records)
    return positions.opened_ms, max(verdicts.appended_ms.values(), default=0), verdicts


async def compare_positions(
    exchange: Exchange, reader: TopicReader, results: Results, name: str, journal: Mapping[TopicPartition, int], records: Mapping[str, int]
) -> Positions:
    """Accepted source positions since `journal` must become all records of all topics, without holes."""
    positions = Positions(PREFIX + "journal", journal, exchange.next_offsets)
    same = await positions.wait_for(reader, records, AFTERWARDS_SECONDS_MAX)
    detail = f"{positions.accepted.total()} of {sum(records.values())} records of {len(records)} topics accepted, {positions.holes} holes"
    results.check(f"{name}: source positions", same and positions.holes == 0, detail)
    return positions


async def intake_alone(exchange: Exchange, results: Results) -> None:
    """Intake without a core that reads on: from its opened sources to the last entry in the journal."""
    async with TopicReader(exchange.bootstrap) as reader:
        for repeat in range(exchange.size.repeats):
            start = await _ends(reader)
            backlog = await exchange.produce(exchange.size.records // CYCLE_RECORDS)
            intake = exchange.worker("intake")
            async with asyncio.timeout(SECONDS_MAX):
                await exchange.while_workers_run(reader.wait_for(PREFIX + "journal", sum(start["journal"].values()) + backlog.total))
                await intake.stop()
            positions = await compare_positions(exchange, reader, results, f"{INTAKE_ALONE}, repeat {repeat}", start["journal"], backlog.records)
            results.sample(INTAKE_ALONE, "records/s", backlog.total * 1_000 / (positions.last_ms - positions.opened_ms))
