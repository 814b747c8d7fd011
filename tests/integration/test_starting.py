"""Starting where something is missing: one sentence and exit code 2, or waiting and saying so; and the embedded broker, in short."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from streams.embedded_broker import EmbeddedBroker
from tests.integration.deployment import PARTITIONS, Deployment
from tests.integration.kafka_broker import KafkaBroker
from tests.integration.worker_process import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


@pytest.fixture
def bare(broker: KafkaBroker, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """A deployment whose topics the test makes."""
    made = Deployment(broker, f"{request.node.name}.", tmp_path)
    yield made
    made.close()


def refused(deployment: Deployment) -> str:
    """What the worker says when it ends with exit code 2."""
    worker = deployment.worker()
    assert worker.wait_exit(60) == 2, worker.log()
    said = [line for line in worker.log().splitlines() if not line.startswith("{")]
    assert len(said) == 1, said
    return said[0]


def test_missing_topic_is_one_sentence(bare: Deployment) -> None:
    bare.make_topics(without=["outflows"])
    sentence = refused(bare)
    assert f"{bare.prefix}outflows" in sentence
    assert "topics apply" in sentence


def test_wrong_partition_count_is_one_sentence(bare: Deployment) -> None:
    bare.make_topics(PARTITIONS | {"journal": 2})
    sentence = refused(bare)
    assert f"{bare.prefix}journal has 2 partitions" in sentence


def test_topics_apply_makes_what_a_worker_needs(bare: Deployment) -> None:
    made = bare.command("topics", "apply")
    assert made.returncode == 0, made.stderr
    checked = bare.command("topics", "check")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    worker = bare.worker()
    worker.wait_ready()
    bare.owner()
    assert worker.stop() == 0


def test_waits_for_an_absent_broker(own_deployment: Deployment, own_broker: KafkaBroker) -> None:
    own_broker.kill()
    worker = own_deployment.worker()
    while "broker_unreachable" not in worker.wait_ready(ready=False):
        pass
    own_broker.start()
    worker.wait_ready()
    with own_deployment.traffic(200) as traffic:
        traffic.wait_sent(200)
    until = own_deployment.settle()
    assert worker.stop() == 0
    own_deployment.assert_promises(until)


def test_on_the_embedded_broker(tmp_path: Path) -> None:
    """The demo's broker, which has no idempotent producer: the same way through, in short. Its log ends are not to be trusted."""
    with EmbeddedBroker() as embedded, closing(Deployment(embedded, "e.", tmp_path)) as deployment:
        deployment.environment |= {"KAFKA__IDEMPOTENT_PRODUCER": "false", "KAFKA__REBALANCE_TIMEOUT_MS": "3000"}
        deployment.make_topics()
        worker = deployment.worker()
        worker.wait_ready()
        with deployment.traffic(200) as traffic:
            traffic.wait_sent(600)
        deadline = time.monotonic() + 60
        while (took := entries(worker)) < (sent := traffic.counts["withdrawals"]):
            assert time.monotonic() < deadline, f"{took} of {sent} withdrawals\n{worker.log()}"
            time.sleep(0.2)
        assert took == sent
        compared = deployment.command("replay", "--from-kafka", "--compare")
        assert compared.returncode == 0, compared.stdout + compared.stderr
        assert worker.stop() == 0


def entries(worker: WorkerProcess) -> int:
    """Withdrawal events that had their effect, as the core's owner tells."""
    status, text = worker.get("/sources")
    count: int = json.loads(text)["entries"].get("withdrawal", 0) if status == 200 else 0
    return count
