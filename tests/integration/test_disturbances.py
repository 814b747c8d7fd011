"""Effectively once, at length: everything that may happen to workers and to the broker while 5,000 events a second come in."""

import random
import time

import pytest

from tests.integration.deployment import Deployment
from tests.integration.kafka_broker import KafkaBroker
from tests.integration.worker_process import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(900)]
RATE = 5_000
SESSION_SECONDS = 6
INVARIANTS = {"redirect", "double_payout", "more_than_held", "outflow_without_request"}


def two_workers(deployment: Deployment) -> list[WorkerProcess]:
    workers = [deployment.worker(supervised=True) for _ in range(2)]
    wait_ready(workers)
    return workers


def wait_ready(workers: list[WorkerProcess]) -> None:
    for worker in workers:
        worker.wait_ready()


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_at_random_moments(deployment: Deployment, seed: int) -> None:
    rng = random.Random(seed)
    workers = two_workers(deployment)
    with deployment.traffic(RATE, seed) as traffic:
        traffic.wait_sent(RATE)
        for _ in range(12):
            time.sleep(rng.uniform(0.2, 8))
            rng.choice(workers).crash()
    wait_ready(workers)
    until = deployment.settle(300)
    assert deployment.stop_all() == [0, 0]
    deployment.assert_promises(until)


def test_stopped_past_the_session_then_continued(deployment: Deployment) -> None:
    workers = two_workers(deployment)
    with deployment.traffic(RATE) as traffic:
        for _ in range(3):
            traffic.wait_sent(traffic.sent + RATE)
            paused = deployment.owner()
            paused.pause()
            try:
                other = next(worker for worker in workers if worker is not paused)
                deadline = time.monotonic() + 60
                while not other.owns_core():
                    assert time.monotonic() < deadline, deployment.logs()
                    time.sleep(0.1)
                time.sleep(2)  # the new owner goes on while the old one knows nothing of it
            finally:
                paused.resume()
    wait_ready(workers)
    until = deployment.settle(300)
    deployment.stop_all()
    deployment.assert_promises(until)


def test_intake_workers_come_and_go(deployment: Deployment) -> None:
    owner = deployment.worker()
    owner.wait_ready()
    with deployment.traffic(2_000) as traffic:
        for number in range(6):
            guest = deployment.worker("intake")
            guest.wait_ready()
            traffic.wait_sent(traffic.sent + 4_000)
            if number % 2:
                assert guest.stop() == 0
            else:
                guest.kill()
    until = deployment.settle(300)
    assert owner.stop() == 0
    witness = deployment.assert_promises(until)
    assert witness.kinds["term"] == 1, "the core's owner never lost the journal"


def test_whole_workers_come_and_go(deployment: Deployment) -> None:
    owner = deployment.worker()
    owner.wait_ready()
    with deployment.traffic(2_000) as traffic:
        for _ in range(4):
            guest = deployment.worker()
            guest.wait_ready()
            traffic.wait_sent(traffic.sent + 4_000)
            assert guest.stop() == 0
            assert deployment.owner() is owner
    until = deployment.settle(300)
    assert owner.stop() == 0
    deployment.assert_promises(until)


def test_broker_restarts(own_deployment: Deployment, own_broker: KafkaBroker) -> None:
    workers = two_workers(own_deployment)
    with own_deployment.traffic(2_000) as traffic:
        traffic.wait_sent(4_000)
        own_broker.restart()
        traffic.wait_sent(traffic.sent + 4_000)
    wait_ready(workers)
    until = own_deployment.settle(300)
    own_deployment.stop_all()
    own_deployment.assert_promises(until)


def test_broker_is_away_for_30_seconds(own_deployment: Deployment, own_broker: KafkaBroker) -> None:
    workers = two_workers(own_deployment)
    with own_deployment.traffic(2_000) as traffic:
        traffic.wait_sent(4_000)
        own_broker.kill()
        time.sleep(30)
        own_broker.start()
        traffic.wait_sent(traffic.sent + 4_000)
    wait_ready(workers)
    until = own_deployment.settle(300)
    own_deployment.stop_all()
    own_deployment.assert_promises(until)


def test_broker_hangs(own_deployment: Deployment, own_broker: KafkaBroker) -> None:
    workers = two_workers(own_deployment)
    with own_deployment.traffic(1_000) as traffic:
        traffic.wait_sent(2_000)
        own_broker.pause()
        time.sleep(20)
        own_broker.resume()
        traffic.wait_sent(traffic.sent + 2_000)
    wait_ready(workers)
    until = own_deployment.settle(300)
    own_deployment.stop_all()
    own_deployment.assert_promises(until)


def test_dead_intake_accuses_nobody(deployment: Deployment) -> None:
    """While nobody reads, honest outflows and their requests stand unread in any order: that is blindness, not theft."""
    core = deployment.worker("core")
    core.wait_ready()
    readers = [deployment.worker("intake", supervised=True) for _ in range(2)]
    wait_ready(readers)
    with deployment.traffic(1_000) as traffic:
        traffic.wait_sent(3_000)
        for _ in range(3):
            random.Random(traffic.sent).choice(readers).crash()
            time.sleep(2)
        for reader in readers:
            reader.kill()
        deadline = time.monotonic() + 60
        while not any(audit["what"] == "blind" for audit in deployment.audits()):
            assert time.monotonic() < deadline, "nobody says that sources are blind"
            time.sleep(0.5)
        fresh = deployment.worker("intake")
        fresh.wait_ready()
        traffic.wait_sent(traffic.sent + 3_000)
    until = deployment.settle(300)
    deployment.stop_all()
    deployment.assert_promises(until)
    assert any(audit["what"] == "sighted" for audit in deployment.audits())
    accused = [incident["rules"] for incident in deployment.outputs("incidents") if INVARIANTS & set(incident["rules"])]
    assert accused == []
