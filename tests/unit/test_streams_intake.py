"""The intake's loop against a Kafka in memory: what is written when, what is committed, and what ends it."""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata
from prometheus_client import CollectorRegistry

from monitor.contracts.control import Rewind
from monitor.contracts.topics import INPUTS, RETRIES
from monitor.policy import Asset, Policy
from streams.alignment import IDLE_WAIT_S
from streams.health import Condition, Health
from streams.intake import IntakeWorker
from streams.metrics import Metrics
from streams.outputs import ProduceFailedError
from streams.settings import IntakeSettings, KafkaSettings, Settings
from tests.unit.kafka_fake import Cluster, Consumer, FakeKafka, until

TOPICS = {**{topic.name: 2 for topic in INPUTS}, RETRIES: 1, "journal": 1, "dead-letter": 1, "control": 1}
FIRST = TopicPartition("withdrawals", 0)
SECOND = TopicPartition("withdrawals", 1)
COMMITTED = ("intake", FIRST)


def withdrawal(number: int, amount: str = "1") -> bytes:
    return json.dumps(
        {
            "event_id": f"e{number}", "occurred_at_ms": 1_700_000_000_000, "status": "requested", "withdrawal_id": f"w{number}", "account_id": "a",
            "asset": "BTC", "network": "bitcoin", "amount": amount, "address": "x",
        }
    ).encode()  # fmt: skip


class Stage:
    """One intake worker on a cluster of its own, which gives it partitions when told."""

    def __init__(self, cluster: Cluster, **settings: Any) -> None:
        self.cluster = cluster
        self.health = Health()
        self.kafka = FakeKafka(cluster)
        intake = IntakeSettings(**{"commit_interval_ms": 100, "time_past_max_ms": 10**14} | settings)
        policy = Policy(assets={"BTC": Asset(8), "JPY": Asset(0)})
        whole = Settings(policy=policy, kafka=KafkaSettings(), intake=intake)
        self.worker = IntakeWorker(self.kafka, whole, Metrics(CollectorRegistry()), self.health)  # type: ignore[arg-type]
        self.task = asyncio.create_task(self.worker.run())

    async def consumer(self) -> Consumer:
        await until(lambda: any(consumer.group == "intake" and consumer.listener for consumer in self.cluster.consumers) or self.task.done())
        return self.cluster.member("intake")

    async def give(self, *partitions: TopicPartition) -> Consumer:
        consumer = await self.consumer()
        await consumer.give(partitions)
        return consumer

    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(value) for value in self.cluster.values("journal")[1:]]

    def kinds(self) -> list[str]:
        return [entry["kind"] for entry in self.entries()]

    def offsets(self) -> list[tuple[int, int]]:
        return [(entry["start"], entry["offset"]) for entry in self.entries() if "start" in entry]

    async def end(self) -> None:
        await self.worker.stop()
        await self.task


@pytest.fixture
async def cluster() -> Cluster:
    cluster = Cluster(TOPICS)
    cluster.append("journal", b'{"kind":"term"}')
    return cluster


@pytest.fixture
async def stage(cluster: Cluster) -> AsyncIterator[Stage]:
    stage = Stage(cluster)
    yield stage
    cluster.produce_gate.set()
    await stage.worker.stop()
    with contextlib.suppress(Exception):
        await stage.task


async def test_a_source_is_opened_before_its_first_event_and_positions_follow(stage: Stage, cluster: Cluster) -> None:
    for number in range(3):
        cluster.append("withdrawals", withdrawal(number), b"a")
    await stage.give(FIRST)
    await until(lambda: cluster.commits.get(COMMITTED) is not None)
    opened, *events = [entry for entry in stage.entries() if entry["kind"] != "progress"]
    assert opened["kind"] == "source-opened" and opened["source"] == "withdrawals/0"
    assert (opened["position"], opened["log_start"], opened["log_end"], opened["why"]) == (0, 0, 3, "first")
    assert opened["previous_sha256"] is None
    assert [(event["start"], event["offset"]) for event in events] == [(0, 0), (1, 1), (2, 2)]
    assert cluster.commits[COMMITTED].offset == 3


async def test_gaps_of_compaction_stand_between_start_and_offset(stage: Stage, cluster: Cluster) -> None:
    for offset in (4, 9):
        cluster.append("withdrawals", withdrawal(offset), b"a", offset=offset)
    await stage.give(FIRST)
    await until(lambda: stage.offsets() == [(0, 4), (5, 9)])


async def test_a_resumed_source_tells_the_digest_of_the_record_before(stage: Stage, cluster: Cluster) -> None:
    for number in range(5):
        cluster.append("withdrawals", withdrawal(number), b"a")
    cluster.commits[COMMITTED] = OffsetAndMetadata(3, "")
    await stage.give(FIRST)
    await until(lambda: stage.offsets() == [(3, 3), (4, 4)])
    opened = stage.entries()[0]
    assert (opened["position"], opened["why"]) == (3, "resumed")
    assert opened["previous_sha256"] == hashlib.sha256(withdrawal(2)).hexdigest()


@pytest.mark.parametrize(
    ("committed", "log_start", "log_end", "position"),
    [(3, 7, 9, 7), (50, 0, 4, 4)],
    ids=["trimmed past the resume point", "log ends before it"],
)
async def test_a_lost_position_is_reported_with_what_is_there(cluster: Cluster, committed: int, log_start: int, log_end: int, position: int) -> None:
    for number in range(log_end):
        cluster.append("withdrawals", withdrawal(number), b"a")
    cluster.trim("withdrawals", 0, log_start)
    stage = Stage(cluster)
    cluster.commits[COMMITTED] = OffsetAndMetadata(committed, "")
    await stage.give(FIRST)
    await until(lambda: "source-opened" in stage.kinds())
    opened = stage.entries()[0]
    assert (opened["position"], opened["log_start"], opened["log_end"], opened["why"]) == (position, log_start, log_end, "resumed")
    await stage.end()


async def test_a_position_lost_while_reading_is_reported_too(stage: Stage, cluster: Cluster) -> None:
    cluster.append("withdrawals", withdrawal(0), b"a")
    await stage.give(FIRST)
    await until(lambda: stage.offsets() == [(0, 0)])
    cluster.trim("withdrawals", 0, 9)
    await until(lambda: stage.kinds().count("source-opened") == 2)
    opened = [entry for entry in stage.entries() if entry["kind"] == "source-opened"][1]
    assert (opened["position"], opened["log_start"]) == (9, 9)


def sources_of(stage: Stage) -> list[tuple[str, int]]:
    return [(entry["source"], entry["offset"]) for entry in stage.entries() if "start" in entry]


def append(cluster: Cluster, topic: str, *times_ms: int) -> None:
    """Records of a backlog; whether they can be read as events is all the same to their order."""
    for time_ms in times_ms:
        cluster.append(topic, b"{}", b"a", timestamp_ms=time_ms)


POSTINGS = TopicPartition("postings", 0)


@pytest.mark.parametrize("round_records", [1, 7, 1_000])
async def test_a_backlog_is_taken_in_the_order_of_its_times(cluster: Cluster, round_records: int) -> None:
    for partition, first_ms in ((FIRST, 1_000), (SECOND, 1_300), (POSTINGS, 1_500)):
        for number in range(50):
            cluster.append(partition.topic, b"{}", b"a", partition.partition, timestamp_ms=first_ms + 1_000 * number)
    stage = Stage(cluster, records_per_round_max=round_records)
    await stage.give(FIRST, SECOND, POSTINGS)
    await until(lambda: len(sources_of(stage)) == 150)
    assert sources_of(stage) == [(source, number) for number in range(50) for source in ("withdrawals/0", "withdrawals/1", "postings/0")]
    await until(lambda: cluster.commits.get(("intake", POSTINGS)) is not None and cluster.commits["intake", POSTINGS].offset == 50)
    assert stage.worker._feed.buffered == 0
    assert cluster.member("intake").paused_set == set()
    await stage.end()


class Held:
    """A stage on which the withdrawals of a backlog wait for postings that don't come: their end is known, the fetches don't give them."""

    def __init__(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        monkeypatch.setattr("streams.alignment.IDLE_WAIT_S", 3_600.0)
        append(cluster, "withdrawals", *range(1_000, 1_100, 10))
        append(cluster, "postings", 5_000)
        self.stage = Stage(cluster, **settings)

    async def begin(self) -> Consumer:
        consumer = await self.stage.consumer()
        ready = consumer._ready

        def without_postings(wanted: Any, max_records: int) -> Any:
            return ready(wanted if self.given else [FIRST], max_records)

        self.given = False
        consumer._ready = without_postings  # type: ignore[method-assign]
        await consumer.give([FIRST, POSTINGS])
        await until(lambda: self.stage.worker._feed.buffered > 0)
        return consumer


async def test_records_wait_for_the_partition_that_may_have_earlier_ones(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(cluster, monkeypatch)
    consumer = await held.begin()
    source = held.stage.worker._sources[FIRST]
    polled_ms = source.polled_ms
    await until(lambda: source.polled_ms > polled_ms > 0 or bool(held.stage.worker._sources[FIRST].polled_ms), 5)
    assert sources_of(held.stage) == []
    assert "withdrawals/0" not in {entry["source"] for entry in held.stage.entries() if entry["kind"] == "progress"}
    assert consumer.positions[FIRST] == 10 and source.next == 0
    held.given = True
    await until(lambda: len(sources_of(held.stage)) == 11)
    assert sources_of(held.stage)[-1] == ("postings/0", 0)
    await held.stage.end()


async def test_a_full_partition_is_paused_and_read_on_later(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(cluster, monkeypatch, records_per_round_max=4)
    consumer = await held.begin()
    await until(lambda: consumer.paused_set == {FIRST})
    assert consumer.positions[FIRST] == 4
    held.given = True
    await until(lambda: len(sources_of(held.stage)) == 11)
    assert consumer.paused_set == set()
    await held.stage.end()


async def test_what_is_buffered_is_not_committed_and_read_again_by_the_next_owner(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(cluster, monkeypatch)
    consumer = await held.begin()
    held.given = True
    await consumer.give([FIRST])
    await until(lambda: len(sources_of(held.stage)) == 10)
    assert held.stage.offsets() == [(number, number) for number in range(10)]
    await held.stage.end()


async def test_what_was_fetched_before_a_position_was_lost_is_taken_first(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(cluster, monkeypatch)
    await held.begin()
    cluster.trim("withdrawals", 0, 15)
    await until(lambda: [entry["why"] for entry in held.stage.entries() if entry["kind"] == "source-opened"] == ["first", "first", "resumed"])
    assert held.stage.offsets() == [(number, number) for number in range(10)]
    opened = [entry for entry in held.stage.entries() if entry["kind"] == "source-opened"][-1]
    assert (opened["position"], opened["log_start"]) == (15, 15)
    await held.stage.end()


async def test_a_rewound_source_delays_nobody(stage: Stage, cluster: Cluster) -> None:
    append(cluster, "withdrawals", *range(1_000, 2_000, 100))
    append(cluster, "postings", 5_000)
    consumer = await stage.give(FIRST, POSTINGS)
    await until(lambda: len(sources_of(stage)) == 11)
    ready = consumer._ready
    consumer._ready = lambda wanted, max_records: ready(wanted or [POSTINGS], max_records)  # type: ignore[method-assign]
    cluster.append("control", rewind("withdrawals/0", 2))
    await until(lambda: stage.kinds().count("source-opened") == 3)
    append(cluster, "postings", 6_000)
    await until(lambda: ("postings/0", 1) in sources_of(stage), 0.9 * IDLE_WAIT_S)
    consumer._ready = ready  # type: ignore[method-assign]
    await until(lambda: len(sources_of(stage)) == 20)


async def test_nothing_is_committed_before_it_is_acknowledged(stage: Stage, cluster: Cluster) -> None:
    await stage.give(FIRST)
    cluster.append("withdrawals", withdrawal(0), b"a")
    await until(lambda: cluster.commits.get(COMMITTED) is not None)
    cluster.produce_gate.clear()
    cluster.append("withdrawals", withdrawal(1), b"a")
    await until(lambda: stage.worker._sources[FIRST].next == 2)
    await stage.worker._commit(stage.worker._sources)
    assert cluster.commits[COMMITTED].offset == 1
    cluster.produce_gate.set()
    await until(lambda: cluster.commits[COMMITTED].offset == 2)


async def test_what_is_in_flight_is_acknowledged_and_committed_before_partitions_go(stage: Stage, cluster: Cluster) -> None:
    consumer = await stage.give(FIRST)
    await until(lambda: "source-opened" in stage.kinds())
    cluster.produce_gate.clear()
    cluster.append("withdrawals", withdrawal(0), b"a")
    await until(lambda: stage.worker._sources[FIRST].next == 1)
    going = asyncio.create_task(consumer.give([SECOND]))
    await asyncio.sleep(0.05)
    assert not going.done()
    cluster.produce_gate.set()
    await going
    assert cluster.commits[COMMITTED].offset == 1


async def test_a_failed_write_ends_the_worker_and_commits_nothing(stage: Stage, cluster: Cluster) -> None:
    await stage.give(FIRST)
    await until(lambda: "source-opened" in stage.kinds())
    cluster.fail_produce = lambda topic: KafkaError("refused") if topic == "journal" else None
    cluster.append("withdrawals", withdrawal(0), b"a")
    with pytest.raises(ProduceFailedError):
        await stage.task
    assert cluster.commits.get(COMMITTED) is None
    assert Condition.PRODUCE_FAILED in stage.health.conditions()


async def test_dead_letters_are_acknowledged_before_the_journal_says_rejected(stage: Stage, cluster: Cluster) -> None:
    await stage.give(FIRST)
    await until(lambda: "source-opened" in stage.kinds())
    cluster.batches.clear()
    cluster.append("withdrawals", b"{", b"a")
    cluster.append("withdrawals", withdrawal(1), b"a")
    await until(lambda: len(stage.offsets()) == 2)
    assert [topic for topic, _, _ in cluster.batches][:2] == ["dead-letter", "journal"]
    letter = cluster.logs[TopicPartition("dead-letter", 0)][0]
    assert letter.value == b"{" and dict(letter.headers)["x-offset"] == b"0"
    assert [entry["kind"] for entry in stage.entries() if "start" in entry] == ["rejected", "withdrawal"]


async def test_a_source_at_its_end_says_so_and_not_again_without_a_new_look(stage: Stage, cluster: Cluster) -> None:
    cluster.append("withdrawals", withdrawal(0), b"a")
    await stage.give(FIRST)
    await until(lambda: stage.kinds().count("progress") >= 1, 5)
    progress = next(entry for entry in stage.entries() if entry["kind"] == "progress")
    assert (progress["source"], progress["position"], progress["log_end"]) == ("withdrawals/0", 1, 1)


def rewind(source: str, offset: int) -> bytes:
    return msgspec.json.encode(Rewind(source=source, offset=offset, asked_by="t", asked_at_ms=0, reason="hole"))


async def test_a_rewind_is_obeyed_once_by_whoever_reads_the_source(stage: Stage, cluster: Cluster) -> None:
    for number in range(4):
        cluster.append("withdrawals", withdrawal(number), b"a")
    consumer = await stage.give(FIRST)
    await until(lambda: len(stage.offsets()) == 4)
    cluster.append("control", rewind("withdrawals/0", 2))
    await until(lambda: stage.offsets()[4:] == [(2, 2), (3, 3)])
    assert [entry["why"] for entry in stage.entries() if entry["kind"] == "source-opened"] == ["first", "rewound"]
    await until(lambda: cluster.commits.get(COMMITTED) is not None and cluster.commits[COMMITTED].metadata == "rewound=0")
    await consumer.give([FIRST])
    await until(lambda: stage.kinds().count("source-opened") == 3)
    assert stage.entries()[-1]["why"] != "rewound"
    assert len(stage.offsets()) == 6


async def test_a_rewind_asked_while_nobody_read_is_obeyed_at_the_next_opening(cluster: Cluster) -> None:
    for number in range(4):
        cluster.append("withdrawals", withdrawal(number), b"a")
    cluster.append("control", b"not json")
    cluster.append("control", rewind("withdrawals/0", 1))
    stage = Stage(cluster)
    cluster.commits[COMMITTED] = OffsetAndMetadata(4, "")
    await stage.give(FIRST)
    await until(lambda: stage.offsets() == [(1, 1), (2, 2), (3, 3)])
    assert stage.entries()[0]["why"] == "rewound"
    await stage.end()


async def test_a_rewind_forwards_is_left_out(stage: Stage, cluster: Cluster) -> None:
    cluster.append("withdrawals", withdrawal(0), b"a")
    await stage.give(FIRST)
    await until(lambda: len(stage.offsets()) == 1)
    cluster.append("control", rewind("withdrawals/0", 100))
    cluster.append("withdrawals", withdrawal(1), b"a")
    await until(lambda: stage.offsets() == [(0, 0), (1, 1)])
    assert stage.kinds().count("source-opened") == 1


async def test_intake_waits_for_the_journals_first_term(cluster: Cluster) -> None:
    cluster.logs.clear()
    cluster.append("withdrawals", withdrawal(0), b"a")
    stage = Stage(cluster)
    await stage.give(FIRST)
    await until(lambda: "no term" in "".join(stage.health.sentences()))
    assert cluster.values("journal") == []
    cluster.append("journal", b'{"kind":"term"}')
    await until(lambda: stage.offsets() == [(0, 0)])
    assert Condition.INTAKE_STOPPED not in stage.health.conditions()
    await stage.end()


async def test_an_error_in_a_callback_of_the_group_ends_the_worker(stage: Stage) -> None:
    consumer = await stage.consumer()

    def broken(*_partitions: TopicPartition) -> None:
        raise LookupError("of aiokafka")

    consumer.pause = broken  # type: ignore[method-assign]
    await consumer.listener.on_partitions_assigned(frozenset([FIRST]))
    with pytest.raises(LookupError):
        await stage.task


async def test_stopping_commits_what_was_acknowledged(stage: Stage, cluster: Cluster) -> None:
    await stage.give(FIRST)
    await until(lambda: "source-opened" in stage.kinds())
    cluster.append("withdrawals", withdrawal(0), b"a")
    await until(lambda: len(stage.offsets()) == 1)
    await stage.end()
    assert cluster.commits[COMMITTED].offset == 1
