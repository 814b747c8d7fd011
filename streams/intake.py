"""The intake's loop: sources opened, rounds of records taken by `monitor.intake`, journalled, acknowledged, then committed.

No state but positions and what was fetched; decides nothing about a record, nor about their order (`streams.alignment` does). The next round is decoded while the one before is being acknowledged.
A write that fails ends the worker: whoever restarts it goes on from the committed positions. Run by `streams.frame`.
"""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Mapping, Sequence

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from monitor import entries
from monitor.contracts.topics import DEAD_LETTER, INPUTS, JOURNAL, RETRIES
from monitor.decode import IntakeLimits
from monitor.intake import Intake
from streams.alignment import Run, value_bytes
from streams.control import ControlReader
from streams.feed import Feed
from streams.health import Condition, Health
from streams.intake_round import Round, Source
from streams.kafka import INTAKE_GROUP, Kafka
from streams.metrics import Metrics
from streams.openings import RETRIABLE, Opener, Resume, commit_metadata
from streams.outputs import SILENCE_S, ProduceFailedError, Shipment, partition_of, watched
from streams.ownership import Ownership
from streams.settings import Settings
from streams.stopping import STOP_TIMEOUT_S, StoppedError, Stopping, close

log = structlog.stdlib.get_logger(__name__)

PROGRESS_INTERVAL_S = 1.0
OPEN_RETRY_S = 0.5
TURN_RECORDS = 1_000  # after so many decodes the next fetch and the last round's acknowledgement may move on: some milliseconds


class IntakeWorker:
    """Reads its share of the input topics until `stop`. `run` raises what must end the process."""

    def __init__(self, kafka: Kafka, settings: Settings, metrics: Metrics, health: Health) -> None:
        self._kafka = kafka
        self._settings = settings.intake
        self._metrics = metrics
        self._health = health
        limits = IntakeLimits(**{name: getattr(settings.intake, name) for name in IntakeLimits.__struct_fields__})
        self._intake = Intake(settings.policy.assets, limits, settings.policy.base_currency)
        self._writer = f"{socket.gethostname()}:{os.getpid()}"
        self._journal = kafka.names.full(JOURNAL)
        self._dead_letter = kafka.names.full(DEAD_LETTER)
        self._opener = Opener(kafka, kafka.names.group(INTAKE_GROUP))
        self._stopping = Stopping()
        self._sources: dict[TopicPartition, Source] = {}
        self._opened_generation = -1
        self._in_flight: asyncio.Task[None] | None = None
        self._rewind_due = False
        self._silent = False
        self._progress_due_s = 0.0
        self._commit_due_s = 0.0

    async def run(self) -> None:
        """Read until stopped. Raises ProduceFailedError or KafkaError when this worker must not go on."""
        self._stopping.begun()
        self._consumer = self._kafka.group_consumer(INTAKE_GROUP, self._settings.fetch_wait_ms)
        self._feed = Feed(self._consumer, self._settings.records_per_round_max)
        self._producer = self._kafka.producer()
        self._control = ControlReader(self._kafka)
        self._ownership = Ownership(INTAKE_GROUP, self._consumer, self._release, self._kafka.settings.rebalance_timeout_ms / 1_000)
        self._health.set(Condition.INTAKE_STOPPED, "Intake hasn't joined its group yet.")
        following: asyncio.Task[None] | None = None
        try:
            await self._producer.start()
            await self._control.start()
            following = asyncio.create_task(self._control.follow(self._control_changed))
            topics = [self._kafka.names.full(name) for name in (*(topic.name for topic in INPUTS), RETRIES)]
            self._consumer.subscribe(topics, listener=self._ownership)
            await self._stopping.unless(self._consumer.start())
            while True:
                await self._step(following)
        except StoppedError:
            log.info("intake stops", sources=len(self._sources))
        finally:
            await self._finish(following)

    async def stop(self) -> None:
        """Ask the loop to end and wait until what is in flight is acknowledged and committed."""
        await self._stopping.ask()

    async def _step(self, following: "asyncio.Task[None]") -> None:
        if following.done():
            following.result()
        if self._ownership.error is not None:
            raise self._ownership.error
        generation = self._ownership.generation
        if generation != self._opened_generation:
            await self._open_assigned(generation)
        elif self._rewind_due:
            await self._rewind(generation)
        else:
            await self._round(generation)

    # ---- sources

    async def _open_assigned(self, generation: int) -> None:
        partitions = self._ownership.partitions
        self._sources = {}
        self._feed.clear()
        if partitions:
            try:
                if not await self._stopping.unless(self._opener.journal_begun()):
                    await self._retry_later("sources can't be opened yet", "the journal has no term: no core has owned it")
                    return
                resumes = await self._stopping.unless(self._opener.committed(partitions))
                opened = await self._open(generation, resumes)
            except RETRIABLE as error:
                await self._retry_later("sources can't be opened yet", error)
                return
            if not opened:
                return
        self._opened_generation = generation
        self._health.clear(Condition.INTAKE_STOPPED)

    async def _rewind(self, generation: int) -> None:
        self._rewind_due = False
        resumes = {}
        for partition, source in self._sources.items():
            asked = self._control.rewinds.get(source.name)
            if asked is None or asked.control_offset <= source.rewound:
                continue
            if asked.rewind.offset < source.next:
                resumes[partition] = Resume(source.next, source.rewound)
            else:
                source.rewound = asked.control_offset
        try:
            if resumes:
                await self._open(generation, resumes)
        except RETRIABLE as error:
            self._rewind_due = True
            await self._retry_later("sources can't be rewound yet", error)

    async def _open(self, generation: int, resumes: Mapping[TopicPartition, Resume]) -> bool:
        """Write `source-opened` for each partition and read on from there. False if the partitions were taken away meanwhile."""
        short = self._kafka.names.short
        names = {partition: f"{short(partition.topic)}/{partition.partition}" for partition in resumes}
        rewinds = {partition: self._control.rewinds[name] for partition, name in names.items() if name in self._control.rewinds}
        clock_ms = _clock_ms()  # before the look at the logs: a worker that is stopped here and wakes up later must not tell old ends as new
        openings = await self._stopping.unless(self._opener.plan(resumes, rewinds))
        await self._settle()
        if generation != self._ownership.generation:
            return False
        opening_round = Round()
        for partition, opening in openings.items():
            opening_round.entries.append(
                entries.source_opened(
                    names[partition], opening.position, opening.log_start, opening.log_end, opening.why, self._writer,
                    opening.previous_sha256, clock_ms,
                )
            )  # fmt: skip
            self._sources[partition] = Source(short(partition.topic), partition.partition, opening, resumes[partition])
            self._feed.open(partition, short(partition.topic), opening)
            if opening.why == "rewound":
                self._metrics.rewound()
                log.info("source rewound", source=names[partition], offset=opening.position)
        self._ship(opening_round)
        log.info("sources opened", sources=len(openings))
        return True

    def _control_changed(self) -> None:
        self._rewind_due = True

    # ---- rounds

    async def _round(self, generation: int) -> None:
        await self._fetch(generation)
        if generation != self._ownership.generation:
            return
        taken = await self._taken(await self._feed.due(time.monotonic()))
        await self._settle()
        if generation != self._ownership.generation:
            return
        self._advance(taken)
        if time.monotonic() >= self._progress_due_s:
            self._progress_due_s = time.monotonic() + PROGRESS_INTERVAL_S
            await self._add_progress(taken)
            if generation != self._ownership.generation:
                return
        if taken.entries:
            self._ship(taken)
        if time.monotonic() >= self._commit_due_s:
            self._commit_due_s = time.monotonic() + self._settings.commit_interval_ms / 1_000
            await self._stopping.unless(self._commit(self._sources))

    async def _fetch(self, generation: int) -> None:
        try:
            await self._stopping.unless(self._feed.fetch(_clock_ms, lambda: generation == self._ownership.generation))
        except NoOffsetForPartitionError:
            return  # raised for what the consumer tried before the source was opened at a position of ours
        except OffsetOutOfRangeError as error:
            await self._reopen_lost(generation, error.args[0])

    async def _reopen_lost(self, generation: int, lost: Mapping[TopicPartition, int]) -> None:
        resumes = {}
        for partition, offset in lost.items():
            source = self._sources.get(partition)
            if source is not None and await self._consumer.position(partition) == offset:
                if not await self._take_out_of_turn(generation, partition):
                    return
                log.warning("the log doesn't have the position that a source was read to", source=source.name, position=source.next)
                resumes[partition] = Resume(source.next, source.rewound)
        if not resumes:
            return
        try:
            await self._open(generation, resumes)
        except RETRIABLE as error:
            self._opened_generation = -1  # all are opened again, from what is committed
            await self._retry_later("sources can't be opened again yet", error)

    async def _take_out_of_turn(self, generation: int, partition: TopicPartition) -> bool:
        """Ship what was fetched of a partition that is opened again where it was fetched to. False if it was taken away meanwhile."""
        records = self._feed.drain(partition)
        if records:
            taken = await self._taken([Run(partition, records, value_bytes(records))])
            await self._settle()
            if generation != self._ownership.generation:
                return False
            self._advance(taken)
            self._ship(taken)
        return True

    async def _taken(self, runs: Sequence[Run]) -> Round:
        taken = Round()
        clock_ms = _clock_ms()
        since_turn = 0
        for run in runs:
            self._take(taken, run, clock_ms)
            since_turn += len(run.records)
            if since_turn >= TURN_RECORDS:
                since_turn = 0
                await asyncio.sleep(0)
        taken.count(self._metrics)
        return taken

    def _take(self, taken: Round, run: Run, clock_ms: int) -> None:
        source = self._sources[run.partition]
        start = taken.positions.get(run.partition, source.next)
        taken.add(source.topic, run, self._intake.take(source.topic, source.number, start, run.records, clock_ms))

    def _advance(self, taken: Round) -> None:
        for partition, position in taken.positions.items():
            self._sources[partition].next = position

    async def _add_progress(self, taken: Round) -> None:
        lag_records = newest_ms = 0
        for partition, source in self._sources.items():
            position = await self._consumer.position(partition)
            log_end = self._consumer.highwater(partition)
            if log_end is None:
                continue
            buffered = self._feed.count(partition)
            lag_records += max(0, log_end - position) + buffered
            polled_ms = self._consumer.last_poll_timestamp(partition)
            newest_ms = max(newest_ms, polled_ms)
            if polled_ms <= source.polled_ms:
                continue
            # A poll is dated when its response is handled, which may be long after the broker answered; the one before it was handled
            # before this one was asked: up to then nothing is missing.
            sound_ms, source.polled_ms = source.polled_ms, polled_ms
            if position == log_end and buffered == 0 and sound_ms > 0:
                # The entry gives the position after the last record: markers of transactions may stand between it and the log's end.
                taken.entries.append(entries.progress(source.name, source.next, log_end, sound_ms))
        self._metrics.intake_sources(len(self._sources), lag_records, self._feed.buffered)
        self._hear(newest_ms)

    def _hear(self, newest_ms: int) -> None:
        """Without writes, a broker that is away shows by the age of the last answer to a fetch."""
        silent = newest_ms > 0 and _clock_ms() - newest_ms > SILENCE_S * 1_000
        if silent and not self._silent:
            self._health.set(Condition.BROKER_UNREACHABLE, f"Kafka hasn't answered a fetch for {SILENCE_S:.0f} s; it is waited for, nothing is lost.")
        elif self._silent and not silent:
            self._health.clear(Condition.BROKER_UNREACHABLE)
        self._silent = silent

    # ---- writing and committing

    def _ship(self, what: Round) -> None:
        """Start the delivery; nothing may be awaited between the look at the generation and this."""
        self._in_flight = asyncio.create_task(watched(self._deliver(what, dict(self._sources)), self._health))

    async def _deliver(self, what: Round, sources: Mapping[TopicPartition, Source]) -> None:
        if what.dead_letters:
            partitions = len(await self._producer.partitions_for(self._dead_letter))
            letters = Shipment(self._producer, _clock_ms())
            for _, letter in what.dead_letters:
                letters.add(self._dead_letter, partition_of(letter.key, partitions), letter.value, letter.key, letter.headers())
            await letters.deliver()
            for topic, _ in what.dead_letters:
                self._metrics.dead_letters(topic, 1)
        journal = Shipment(self._producer, _clock_ms())
        if what.entries:
            journal.add_rows(self._journal, 0, ((None, entry, None) for entry in what.entries))
        await journal.deliver()
        for partition, position in what.positions.items():
            sources[partition].acknowledged = position
        self._metrics.intake_round_time(time.monotonic() - what.began_s)

    async def _settle(self) -> None:
        """Wait until the round in flight is acknowledged. Raises ProduceFailedError if it can't be."""
        if self._in_flight is None:
            return
        try:
            await self._stopping.unless(asyncio.shield(self._in_flight))
        except ProduceFailedError as error:
            self._metrics.produce_failed("intake")
            self._health.set(Condition.PRODUCE_FAILED, f"Intake stopped: {error}.")
            raise
        self._in_flight = None

    async def _release(self) -> None:
        """Called while the group rebalances: what is in flight is acknowledged and committed before others read on."""
        sources = self._sources
        if self._in_flight is not None:
            await asyncio.wait([self._in_flight])
        await self._commit(sources)

    async def _commit(self, sources: Mapping[TopicPartition, Source]) -> None:
        offsets = {
            partition: Resume(source.acknowledged, source.rewound)
            for partition, source in sources.items()
            if source.acknowledged is not None and Resume(source.acknowledged, source.rewound) != source.committed
        }
        if not offsets:
            return
        try:
            await self._consumer.commit({partition: (resume.position, commit_metadata(resume.rewound)) for partition, resume in offsets.items()})
        except (KafkaError, IllegalStateError) as error:
            log.info("positions could not be committed: they will be read again", error=str(error))
            return
        for partition, resume in offsets.items():
            sources[partition].committed = resume

    # ---- waiting and ending

    async def _retry_later(self, what: str, why: str | BaseException) -> None:
        sentence = f"Intake waits: {what} ({str(why) or type(why).__name__})."
        if self._health.conditions().get(Condition.INTAKE_STOPPED) != sentence:
            log.warning("intake waits", why=sentence)
        self._health.set(Condition.INTAKE_STOPPED, sentence)
        await self._stopping.unless(asyncio.sleep(OPEN_RETRY_S))

    async def _finish(self, following: "asyncio.Task[None] | None") -> None:
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._release()
        except TimeoutError:
            log.warning("intake stopped before its last round was acknowledged: it will be read again")
        if following is not None:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await following
        await close(self._consumer, self._control, self._producer)
        self._metrics.intake_sources(0, 0, 0)
        self._stopping.ended()


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
