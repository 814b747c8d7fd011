"""Writes the simulated exchange's records: to a file of JSON lines in the replay's format, or to Kafka, at their own pace or at once.

Decides nothing about the traffic (`streams.simulation` does). Called by the command line and the demo.
"""

import asyncio
import collections
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import orjson

from monitor.contracts.topics import INPUTS
from streams.kafka import Kafka
from streams.replay_lines import line_writer
from streams.simulation.exchange import Exchange, ExchangeParameters, Record
from streams.simulation.phases import Scenario
from streams.simulation.play import Play
from streams.simulation.stage import Stage

Progress = Callable[[int, float], None]
"""Called now and then with the records written so far and the share of simulated time that is done, 0 to 1."""

PROGRESS_RECORDS = 1_000
WAITING_MAX = 5_000
"""Records on their way to Kafka at most."""
PACE_SECONDS = 0.02
"""At real pace, records are sent in groups that are due within this: fine enough for latency, few wake-ups."""


class Simulated(NamedTuple):
    """What was written: records by topic, and the truth about what was taken (withdrawal_id, asset, amount)."""

    records: dict[str, int]
    losses: list[tuple[str, str, str]]


class Traffic:
    """One simulated stream: honest traffic, with an incident from `incident_after_seconds` on if there is one."""

    def __init__(self, parameters: ExchangeParameters, scenario: Scenario | None = None, incident_after_seconds: float = 0.0) -> None:
        self.parameters = parameters
        self._scenario = scenario
        self._begin_ms = parameters.start_ms + round(incident_after_seconds * 1_000)
        self._play = self._new_play()

    def _new_play(self) -> Play | None:
        return None if self._scenario is None else Play(self._scenario, self._begin_ms, self.parameters.seed)

    def records(self) -> Iterator[Record]:
        """The records in order of time; a stream that isn't to finish ends with its last second, the incident too.

        Raises ScenarioRefusedError, also while they are drawn, if the exchange lacks the accounts that the incident uses.
        """
        parameters, self._play = self.parameters, self._new_play()
        if self._play is not None:
            episodes = self._play.episodes(parameters.start_ms)
            parameters = msgspec.structs.replace(parameters, episodes=parameters.episodes + episodes)
        honest = Exchange(parameters).records()
        if self._play is None:
            return honest
        stage = Stage(honest)
        stage.begin(self._play)
        end_ms = self.parameters.start_ms + round(self.parameters.seconds * 1_000)
        return (record for record in stage.records() if self.parameters.finish or record.timestamp_ms < end_ms)

    def losses(self) -> list[tuple[str, str, str]]:
        """The truth: withdrawal_id, asset and amount of what is taken."""
        return [] if self._play is None else self._play.losses()

    def done(self, record: Record) -> float:
        """Share of simulated time at a record, 0 to 1."""
        return min(1.0, max(0.0, (record.timestamp_ms - self.parameters.start_ms) / (self.parameters.seconds * 1_000)))


def line(record: Record) -> bytes:
    """One record as a line of the replay's format, with its line end."""
    return orjson.dumps(
        {"topic": record.topic, "key": record.key, "value": record.value, "timestamp": record.timestamp_ms}, option=orjson.OPT_APPEND_NEWLINE
    )


def write_file(traffic: Traffic, out: Path, progress: Progress | None = None) -> Simulated:
    """Write all records as JSON lines, gzipped if the name ends in .gz (same records, same bytes). Raises OSError."""
    counts: collections.Counter[str] = collections.Counter()
    with line_writer(out) as file:
        for record in _told(traffic, progress):
            file.write(line(record))
            counts[record.topic] += 1
    return Simulated(dict(counts), traffic.losses())


async def write_kafka(kafka: Kafka, traffic: Traffic, *, real_pace: bool, progress: Progress | None = None) -> Simulated:
    """Produce all records with their own timestamps, as `produce_records` does."""
    counts: collections.Counter[str] = collections.Counter()

    def counted() -> Iterator[Record]:
        for record in _told(traffic, progress):
            counts[record.topic] += 1
            yield record

    await produce_records(kafka, counted(), real_pace=real_pace)
    return Simulated(dict(counts), traffic.losses())


async def produce_records(kafka: Kafka, records: Iterable[Record], *, real_pace: bool) -> None:
    """Produce records to the input topics. At real pace each waits for its time; what is past goes out at once.

    Raises KafkaError. Records that aren't acknowledged when it is cancelled are still sent, or given up with an error, by the producer's stop.
    """
    names = {topic.name: kafka.names.full(topic.name) for topic in INPUTS}
    waiting: list[asyncio.Future[Any]] = []
    producer = kafka.producer()
    try:
        await producer.start()
        async for record in _paced(records) if real_pace else _unpaced(records):
            key, value = record.key.encode(), orjson.dumps(record.value)
            waiting.append(await producer.send(names[record.topic], key=key, value=value, timestamp_ms=record.timestamp_ms))
            if len(waiting) >= WAITING_MAX:
                await asyncio.gather(*waiting)
                waiting.clear()
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


def _told(traffic: Traffic, progress: Progress | None) -> Iterable[Record]:
    if progress is None:
        return traffic.records()
    return _with_progress(traffic, progress)


def _with_progress(traffic: Traffic, progress: Progress) -> Iterator[Record]:
    count, share = 0, 0.0
    for record in traffic.records():
        count += 1
        if count % PROGRESS_RECORDS == 0:
            share = traffic.done(record)
            progress(count, share)
        yield record
    progress(count, 1.0)


async def _unpaced(records: Iterable[Record]) -> AsyncIterator[Record]:
    for record in records:
        yield record


async def _paced(records: Iterable[Record]) -> AsyncIterator[Record]:
    for record in records:
        ahead_seconds = record.timestamp_ms / 1_000 - time.time()
        if ahead_seconds > PACE_SECONDS:
            await asyncio.sleep(ahead_seconds)
        yield record
