"""Starting on a backlog: topics that were written one after the other are taken in the order of their times, and nobody is accused."""

import json
import time
import zlib
from collections import defaultdict

import pytest
from aiokafka import AIOKafkaProducer

from streams.alignment import SLICE_MS
from streams.simulation.exchange import Exchange, ExchangeParameters
from tests.integration.deployment import INPUTS, PARTITIONS, Deployment

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

SECONDS = 200
EXPLAINED_LAST = ("postings", "holdings", "wallet-events", "prices")


async def write(deployment: Deployment) -> dict[str, list[int]]:
    """An honest history, topic after topic; what explains a withdrawal comes after all withdrawals. Gives the records' times by "topic/partition"."""
    parameters = ExchangeParameters(
        start_ms=round(time.time() * 1_000) - 2 * SECONDS * 1_000, seconds=SECONDS, requests_per_second=20, accounts=1_500, seed=3
    )
    records = list(Exchange(parameters).records())
    written = defaultdict(list)
    producer = AIOKafkaProducer(bootstrap_servers=deployment.broker.bootstrap_servers)
    await producer.start()
    try:
        for topic in sorted(INPUTS, key=lambda topic: topic in EXPLAINED_LAST):
            for record in records:
                if record.topic == topic:
                    key, value = record.key.encode(), json.dumps(record.value).encode()
                    partition = zlib.crc32(key) % PARTITIONS[topic]
                    written[f"{topic}/{partition}"].append(record.timestamp_ms)
                    await producer.send(deployment.prefix + topic, value, key, partition, timestamp_ms=record.timestamp_ms)
            await producer.flush()
    finally:
        await producer.stop()
    return dict(written)


def times_in_journal(deployment: Deployment, written: dict[str, list[int]]) -> list[int]:
    """The time of each record in the order in which the journal has them: `written` by "topic/partition" and offset."""
    entries = [json.loads(record.value or b"null") for record in deployment.read("journal")]
    return [written[entry["source"]][entry["offset"]] for entry in entries if "start" in entry]


def test_a_backlog_written_topic_by_topic_is_taken_in_order_and_accuses_nobody(deployment: Deployment) -> None:
    written = deployment.run(write(deployment))
    worker = deployment.worker()
    until = deployment.settle()
    assert worker.stop() == 0
    deployment.assert_promises(until)
    times = times_in_journal(deployment, written)
    assert len(times) == sum(len(log) for log in written.values()) > 10_000
    slices = [time_ms // SLICE_MS for time_ms in times]
    assert slices == sorted(slices)
    rules = {rule for incident in deployment.outputs("incidents") for rule in incident["rules"]}
    assert rules <= {"unit_confusion", "send_errors"}, "what an honest exchange does that looks odd in any order"
    assert [alert for alert in deployment.outputs("alerts") if alert["kind"] == "page"] == []
