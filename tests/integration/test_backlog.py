"""Starting on a backlog: topics that were written one after the other are taken in the order of their times, and nobody is accused."""

import json
import time

import pytest
from aiokafka import AIOKafkaProducer

from streams.simulation.exchange import Exchange, ExchangeParameters
from tests.integration.deployment import INPUTS, Deployment

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]

SECONDS = 200
EXPLAINED_LAST = ("postings", "holdings", "wallet-events", "prices")


async def write(deployment: Deployment) -> int:
    """An honest history, topic after topic, each record with its own time; what explains a withdrawal comes after all withdrawals."""
    parameters = ExchangeParameters(
        start_ms=round(time.time() * 1_000) - 2 * SECONDS * 1_000, seconds=SECONDS, requests_per_second=20, accounts=1_500, seed=3
    )
    records = list(Exchange(parameters).records())
    producer = AIOKafkaProducer(bootstrap_servers=deployment.broker.bootstrap_servers)
    await producer.start()
    try:
        for topic in sorted(INPUTS, key=lambda topic: topic in EXPLAINED_LAST):
            for record in records:
                if record.topic == topic:
                    await producer.send(
                        deployment.prefix + topic, json.dumps(record.value).encode(), record.key.encode(), timestamp_ms=record.timestamp_ms
                    )
            await producer.flush()
    finally:
        await producer.stop()
    return len(records)


def test_a_backlog_written_topic_by_topic_accuses_nobody(deployment: Deployment) -> None:
    count = deployment.run(write(deployment))
    worker = deployment.worker()
    until = deployment.settle()
    assert worker.stop() == 0
    deployment.assert_promises(until)
    assert count > 10_000
    rules = {rule for incident in deployment.outputs("incidents") for rule in incident["rules"]}
    assert rules <= {"unit_confusion", "send_errors"}, "what an honest exchange does that looks odd in any order"
    assert [alert for alert in deployment.outputs("alerts") if alert["kind"] == "page"] == []
