"""The core's loop: take the journal over, fold rounds of entries, have their outputs acknowledged, sometimes keep a snapshot.

Decides nothing: `monitor.engine` does. The next round is folded while the outputs of the one before are being acknowledged. What the
fold can't take is folded again, then kept from the detectors, then left to a person. Run by `streams.frame`.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from monitor import entries
from monitor.contracts.topics import INPUTS, JOURNAL, OUTPUTS
from monitor.engine import GapInJournalError, JournalRefusedError
from monitor.outbox import OutputRecord
from monitor.version import ENGINE_VERSION
from streams.control import ControlReader
from streams.fold_failures import FoldFailures
from streams.head_signer import HeadSigner
from streams.health import Condition, Health, tell_sources, tell_tables
from streams.kafka import CORE_GROUP, Kafka
from streams.metrics import Metrics
from streams.openings import RETRIABLE
from streams.outputs import ProduceFailedError, Shipment, watched
from streams.ownership import Ownership
from streams.rounds import OutputWriter
from streams.settings import Settings
from streams.snapshots import SnapshotStore
from streams.snapshotting import Snapshotter
from streams.stopping import STOP_TIMEOUT_S, StoppedError, Stopping, close
from streams.takeover import FoldEngine, JournalUnusableError, Loader, Machine
from streams.topics import partition_counts

log = structlog.stdlib.get_logger(__name__)

INPUT_NAMES = [topic.name for topic in INPUTS]
OUTPUT_NAMES = [topic.name for topic in OUTPUTS]
POLL_WAIT_MS = 200  # how long a quiet round waits for entries: also how soon snapshots and commits come due
SLICE_ENTRIES = 500  # folded without a turn of the loop: about 5 ms, so that requests and heartbeats go out while a round is folded
HOUSEKEEPING_INTERVAL_S = 1.0
RETRY_S = 0.5
REFUSED_RETRY_S = 10.0
NOT_OURS = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


class Folded(NamedTuple):
    """What one fold put out, until it is sent."""

    engine: FoldEngine
    outputs: Sequence[OutputRecord]
    entries: int
    began_s: float
    next_offset: int


class CoreWorker:
    """Owns the journal whenever the group gives it to this worker, until `stop`. `run` raises what must end the process."""

    def __init__(
        self, kafka: Kafka, settings: Settings, metrics: Metrics, health: Health, machine: Machine, signer: HeadSigner | None = None
    ) -> None:
        self._kafka = kafka
        self._settings = settings.core
        self._policy = settings.policy
        self._metrics = metrics
        self._health = health
        self._signer = signer
        store = SnapshotStore(settings.core.snapshot_url, settings.core.snapshots_kept)
        self._loader = Loader(kafka, store, machine, metrics, health)
        self._snapshotter = Snapshotter(store, machine.pieces, settings.core.snapshot_interval_ms / 1_000, metrics, health)
        self._journal = TopicPartition(kafka.names.full(JOURNAL), 0)
        self._stopping = Stopping()
        self._installed_generation = -1
        self._engine: FoldEngine | None = None
        self._last_value: bytes | None = None
        self._in_flight: asyncio.Task[None] | None = None
        self._unsent: Folded | None = None
        self._clean = asyncio.Event()
        self._clean.set()
        self._term: str | None = None
        self._term_offset = -1
        self._ticking: asyncio.Task[None] | None = None
        self._control = ControlReader(kafka)
        self._failures = FoldFailures(self._control, health)
        self._acknowledged = 0
        self._committed = 0
        self._housekeeping_due_s = 0.0

    async def run(self) -> None:
        """Fold until stopped. Raises ProduceFailedError, GapInJournalError or KafkaError when this worker must not go on."""
        self._stopping.begun()
        self._consumer = self._kafka.group_consumer(CORE_GROUP, self._settings.fetch_wait_ms)
        self._producer = self._kafka.producer()
        self._ownership = Ownership(CORE_GROUP, self._consumer, self._release, self._kafka.settings.rebalance_timeout_ms / 1_000)
        self._health.set(Condition.CORE_STOPPED, "The core hasn't joined its group yet.")
        following: asyncio.Task[None] | None = None
        try:
            await self._producer.start()
            await self._control.start()
            following = asyncio.create_task(self._control.follow())
            self._consumer.subscribe([self._journal.topic], listener=self._ownership)
            await self._stopping.unless(self._consumer.start())
            while True:
                await self._step(following)
        except StoppedError:
            log.info("core stops", owner=self._engine is not None)
        finally:
            await self._finish(following)

    async def stop(self) -> None:
        """Ask the loop to end; waits until outputs are acknowledged and, if that went well, a snapshot is stored."""
        await self._stopping.ask()

    async def _step(self, following: "asyncio.Task[None]") -> None:
        for task in (following, self._ticking):
            if task is not None and task.done():
                task.result()
        if self._ownership.error is not None:
            raise self._ownership.error
        if self._in_flight is not None and self._in_flight.done():
            await self._settle()  # a failed write is noticed now, not when the next entry comes
        generation = self._ownership.generation
        if generation != self._installed_generation:
            await self._take_over(generation)
        elif self._failures.refused is not None:
            await self._wait_for_person()
        elif self._engine is None or not self._ownership.partitions:
            await self._fetch()  # nothing comes; it shows the group that this worker lives
        else:
            await self._round(generation, self._engine)

    # ---- ownership

    async def _take_over(self, generation: int) -> None:
        self._stop_ticking()
        self._metrics.core_owner(owner=False)
        tell_sources(self._health, {})
        tell_tables(self._health, {})
        if self._ownership.rebalancing:
            await self._fetch()  # the state is kept: the journal usually comes back
            return
        if not self._ownership.partitions:
            self._engine = None
            self._installed_generation = generation
            self._health.clear(Condition.CORE_STOPPED)
            return
        try:
            partitions = await self._stopping.unless(partition_counts(self._kafka, [*INPUT_NAMES, *OUTPUT_NAMES]))
            inputs = {name: partitions[name] for name in INPUT_NAMES}
            engine = await self._stopping.unless(self._state(inputs))
        except JournalUnusableError as error:
            await self._unusable(str(error))
            return
        except RETRIABLE as error:
            await self._retry_later(f"the journal can't be taken over yet ({error or type(error).__name__})")
            return
        self._engine = engine
        if generation != self._ownership.generation:
            return  # the state stays: it is right for its offset whoever owns the journal
        self._writer = OutputWriter(self._kafka, self._producer, self._control, self._metrics, partitions, self._signer)
        self._consumer.seek(self._journal, engine.next_offset)
        self._consumer.resume(self._journal)
        self._installed_generation = generation
        self._ticking = asyncio.create_task(self._tick())
        self._metrics.core_owner(owner=True)
        self._health.clear(Condition.CORE_STOPPED)
        self._failures.retried()
        log.info("journal taken over", next_offset=engine.next_offset, term=self._term)

    async def _state(self, inputs: dict[str, int]) -> FoldEngine:
        """The engine to go on with, and a term of ours in the journal."""
        await self._settle()
        engine = self._engine
        if engine is not None:
            digest = sha256(self._last_value).hexdigest() if self._last_value is not None else None
            if self._clean.is_set() and await self._loader.follows(engine.next_offset, digest):
                await self._write_term(inputs)
                return engine
            self._engine = self._last_value = None
        await self._control.caught_up()
        if (await self._loader.look()).log_end == 0:
            await self._write_term(inputs)  # a journal begins with a term
            return await self._load()
        engine = await self._load()
        await self._write_term(inputs)
        return engine

    async def _load(self) -> FoldEngine:
        engine = await self._loader.load(self._control.quarantines)
        engine.careful_until = self._failures.careful_until
        self._clean.set()
        return engine

    async def _write_term(self, inputs: dict[str, int]) -> None:
        self._inputs = inputs
        term = uuid.uuid4().hex
        shipment = Shipment(self._producer, _clock_ms())
        shipment.add(self._journal.topic, 0, entries.term(term, ENGINE_VERSION, self._policy, inputs, _clock_ms()))
        acknowledged = await shipment.deliver()
        self._term, self._term_offset = term, acknowledged[0].offset

    async def _tick(self) -> None:
        interval_s = self._settings.tick_interval_ms / 1_000
        due_s = time.monotonic()
        while self._term is not None:
            shipment = Shipment(self._producer, _clock_ms())
            shipment.add(self._journal.topic, 0, entries.tick(self._term, _clock_ms()))
            await watched(shipment.deliver(), self._health)
            due_s = max(due_s + interval_s, time.monotonic())
            await asyncio.sleep(due_s - time.monotonic())

    def _stop_ticking(self) -> None:
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    async def _release(self) -> None:
        """Called while the group rebalances: what was folded is acknowledged before another owner reads on. The state is kept."""
        self._stop_ticking()
        await self._clean.wait()

    # ---- rounds

    async def _round(self, generation: int, engine: FoldEngine) -> None:
        records = await self._fetch()
        if generation != self._ownership.generation:
            return
        if records:
            began_s = time.monotonic()
            start = records[0].offset
            if start != engine.next_offset or records[-1].offset - start + 1 != len(records):
                raise GapInJournalError(f"the fold stands at offset {engine.next_offset}, the journal gave {start} to {records[-1].offset}")
            values = [record.value or b"" for record in records]
            self._clean.clear()
            outputs: list[OutputRecord] = []
            try:
                for at in range(0, len(values), SLICE_ENTRIES):
                    outputs += engine.fold(start + at, values[at : at + SLICE_ENTRIES])
                    await asyncio.sleep(0)
            except NOT_OURS:
                raise
            except BaseException as error:  # noqa: BLE001  # the Rust parts of libraries raise it; whatever it is, the state is thrown away
                await self._fold_failed(engine, start + len(values), error)
                return
            self._last_value = values[-1]
            self._unsent = Folded(engine, outputs, len(values), began_s, engine.next_offset)
            await self._settle()
            self._ship(self._unsent)
        if time.monotonic() >= self._housekeeping_due_s or self._snapshotter.due(engine.next_offset):
            await self._keep_house(engine)

    async def _fetch(self) -> Sequence[Any]:
        try:
            fetched = await self._stopping.unless(self._consumer.getmany(timeout_ms=POLL_WAIT_MS, max_records=self._settings.entries_per_round_max))
        except NoOffsetForPartitionError:
            return ()  # raised for what the consumer tried before the journal was opened at an offset of ours
        except OffsetOutOfRangeError as error:
            if self._engine is not None and error.args[0].get(self._journal) == self._engine.next_offset:
                log.warning("the journal doesn't have the offset that the fold stands at: it is taken over again", offset=self._engine.next_offset)
                self._installed_generation = -1
            return ()
        records: Sequence[Any] = fetched.get(self._journal, ())
        return records

    def _ship(self, folded: Folded) -> "asyncio.Task[None]":
        self._unsent = None
        self._in_flight = asyncio.create_task(watched(self._deliver(folded), self._health))
        return self._in_flight

    async def _deliver(self, folded: Folded) -> None:
        await self._writer.write(folded.engine.journal_id, folded.outputs, folded.entries, folded.began_s)
        self._acknowledged = folded.next_offset
        if folded.engine.next_offset == folded.next_offset:
            self._clean.set()

    async def _settle(self) -> None:
        """Wait until the outputs in flight are acknowledged. Raises ProduceFailedError if they can't be."""
        if self._in_flight is None:
            return
        try:
            await self._stopping.unless(asyncio.shield(self._in_flight))
        except ProduceFailedError as error:
            self._metrics.produce_failed("core")
            self._health.set(Condition.PRODUCE_FAILED, f"The core stopped: {error}.")
            raise
        self._in_flight = None

    async def _keep_house(self, engine: FoldEngine) -> None:
        self._housekeeping_due_s = time.monotonic() + HOUSEKEEPING_INTERVAL_S
        if engine.next_offset == 0:
            return
        if self._snapshotter.due(engine.next_offset):
            await self._settle()
            self._snapshotter.start(engine.freeze())
        gauges = engine.gauges()
        self._metrics.core_gauges(gauges)
        tell_sources(self._health, gauges.sources)
        tell_tables(self._health, gauges.tables)
        self._metrics.journal_lag(max(0, (self._consumer.highwater(self._journal) or 0) - engine.next_offset))
        if engine.next_offset > self._term_offset and engine.term != self._term:
            log.warning("another worker wrote a term after ours: writing a new one", term=engine.term)
            await self._stopping.unless(self._write_term(self._inputs))
        if self._acknowledged > self._committed:
            with contextlib.suppress(KafkaError, IllegalStateError):  # a hint for people who look at lag; the state says where to go on
                await self._stopping.unless(self._consumer.commit({self._journal: self._acknowledged}))
                self._committed = self._acknowledged

    # ---- what the fold can't take

    async def _fold_failed(self, engine: FoldEngine, batch_end: int, error: BaseException) -> None:
        """Throw the state away and say what is tried next."""
        self._engine = self._last_value = None
        self._metrics.core_restarted()
        await self._settle()
        self._clean.set()
        if isinstance(error, GapInJournalError):
            raise error
        if isinstance(error, JournalRefusedError):
            await self._unusable(f"The journal can't be folded: {error}.")
            return
        offset = engine.next_offset if engine.failing_offset is None else engine.failing_offset
        following = self._failures.failed(engine.journal_id, offset, batch_end, error)
        if following == "refuse":
            self._stop_ticking()
            self._metrics.core_owner(owner=False)
            tell_sources(self._health, {})
            tell_tables(self._health, {})
            self._consumer.pause(self._journal)
            return
        if following == "quarantine":
            reason = f"the fold failed twice at this entry: {type(error).__name__}: {error}"
            await self._stopping.unless(self._writer.quarantine(engine.journal_id, offset, reason))
        self._installed_generation = -1

    async def _wait_for_person(self) -> None:
        await self._fetch()  # nothing comes; it shows the group that this worker lives
        if self._failures.decided():
            self._installed_generation = -1

    async def _unusable(self, sentence: str) -> None:
        if self._health.conditions().get(Condition.CORE_STOPPED) != sentence:
            log.error("the journal can't be used", why=sentence)
        self._health.set(Condition.CORE_STOPPED, sentence)
        self._installed_generation = -1
        await self._stopping.unless(self._pause(REFUSED_RETRY_S))

    async def _retry_later(self, why: str) -> None:
        log.warning("core waits", why=why)
        self._health.set(Condition.CORE_STOPPED, f"The core waits: {why}.")
        await self._stopping.unless(asyncio.sleep(RETRY_S))

    async def _pause(self, seconds: float) -> None:
        """Sleep, but go on as soon as the group gives or takes something."""
        self._ownership.changed.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ownership.changed.wait(), seconds)

    # ---- the end

    async def _finish(self, following: "asyncio.Task[None] | None") -> None:
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._last_snapshot()
        except TimeoutError:
            log.warning("core stopped before its last round was acknowledged or kept: it will be folded again")
        self._stop_ticking()
        self._clean.set()
        self._metrics.core_owner(owner=False)
        tell_sources(self._health, {})
        tell_tables(self._health, {})
        if following is not None:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await following
        await close(self._consumer, self._control, self._producer)
        self._stopping.ended()

    async def _last_snapshot(self) -> None:
        """Have what was folded acknowledged, then keep the state: the next owner goes on from here."""
        with contextlib.suppress(ProduceFailedError):
            if self._in_flight is not None:
                await self._in_flight
            if self._unsent is not None:
                await self._ship(self._unsent)
        await self._snapshotter.finish()
        engine = self._engine
        if engine is not None and self._clean.is_set() and self._last_value is not None:
            self._snapshotter.start(engine.freeze())
            await self._snapshotter.finish()


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
