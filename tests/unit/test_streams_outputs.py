"""Shipments: batches in order, one after the other in a partition, nothing after a failure."""

import asyncio
import zlib

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from streams.health import Condition, Health
from streams.outputs import ProduceFailedError, Shipment, partition_of, watched
from tests.unit.kafka_fake import Acknowledged, Batch, Cluster, FakeKafka, Producer, until


def test_partition_of_a_key_is_its_crc32() -> None:
    assert [partition_of(b"acct-%d" % number, 4) for number in range(50)] == [zlib.crc32(b"acct-%d" % number) % 4 for number in range(50)]
    assert partition_of(None, 4) == partition_of(b"", 4) == 0


async def test_records_of_a_partition_keep_their_order_over_batches() -> None:
    cluster = Cluster({"a": 2, "b": 1})
    shipment = Shipment(FakeKafka(cluster, batch_records_max=3).producer(), 1)
    for number in range(10):
        shipment.add("a", number % 2, b"%d" % number, b"k", [("h", b"v")])
    shipment.add_rows("b", 0, ((None, b"%d" % number, None) for number in range(7)))
    acknowledged = await shipment.deliver()
    assert cluster.values("a", 0) == [b"0", b"2", b"4", b"6", b"8"]
    assert cluster.values("a", 1) == [b"1", b"3", b"5", b"7", b"9"]
    assert cluster.values("b") == [b"%d" % number for number in range(7)]
    assert len(acknowledged) == 7
    record = cluster.logs[TopicPartition("a", 0)][0]
    assert (record.key, record.headers) == (b"k", (("h", b"v"),))


async def test_the_next_batch_of_a_partition_waits_for_the_acknowledgement() -> None:
    cluster = Cluster({"a": 1})
    sent: list[str] = []

    class Watched(Producer):
        async def send_batch(self, batch: Batch, topic: str, *, partition: int) -> "asyncio.Future[Acknowledged]":
            sent.append(topic)
            return await super().send_batch(batch, topic, partition=partition)

    producer = Watched(cluster, 1)
    cluster.produce_gate.clear()
    shipment = Shipment(producer, 1)
    shipment.add("a", 0, b"1")
    shipment.add("a", 0, b"2")
    delivery = asyncio.create_task(shipment.deliver())
    for _ in range(5):
        await asyncio.sleep(0)
    assert sent == ["a"]
    cluster.produce_gate.set()
    await delivery
    assert sent == ["a", "a"]


async def test_nothing_follows_a_failure() -> None:
    cluster = Cluster({"a": 1})
    shipment = Shipment(FakeKafka(cluster, batch_records_max=1).producer(), 1)
    for number in range(4):
        shipment.add("a", 0, b"%d" % number)
    cluster.fail_produce = lambda _topic: KafkaError("full") if len(cluster.batches) == 2 else None
    with pytest.raises(ProduceFailedError, match="full"):
        await shipment.deliver()
    assert cluster.values("a") == [b"0", b"1"]


async def test_an_empty_shipment_is_delivered_at_once() -> None:
    assert await Shipment(FakeKafka(Cluster({})).producer(), 1).deliver() == []


async def test_a_write_that_is_not_acknowledged_for_long_keeps_the_worker_from_being_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.outputs.SILENCE_S", 0.05)
    cluster, health = Cluster({"a": 1}), Health()
    health.clear(Condition.STARTING)
    cluster.produce_gate.clear()
    shipment = Shipment(FakeKafka(cluster).producer(), 1)
    shipment.add("a", 0, b"1")
    delivery = asyncio.create_task(watched(shipment.deliver(), health))
    await until(lambda: not health.ready())
    assert "acknowledged" in health.conditions()[Condition.BROKER_UNREACHABLE]
    cluster.produce_gate.set()
    await delivery
    assert health.ready() and cluster.values("a") == [b"1"]
