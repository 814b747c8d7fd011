"""Effectively once, in short: workers die and stop under load, and afterwards both witnesses find nothing lost and nothing twice."""

import random
import time

import pytest

from tests.integration.deployment import Deployment

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(240)]


def test_kill_9_under_load(deployment: Deployment) -> None:
    workers = [deployment.worker(supervised=True) for _ in range(2)]
    for worker in workers:
        worker.wait_ready()
    rng = random.Random(7)
    with deployment.traffic(5_000) as traffic:
        traffic.wait_sent(5_000)
        deployment.owner().crash()
        for _ in range(2):
            time.sleep(rng.uniform(1, 4))  # a random moment, not a wait for something
            rng.choice(workers).crash()
    for worker in workers:
        worker.wait_ready()
    until = deployment.settle()
    assert deployment.stop_all() == [0, 0]
    witness = deployment.assert_promises(until)
    assert sum(len(worker.ends) for worker in workers) >= 3
    assert witness.rejected == []


def test_sigterm_hands_over_without_the_session(deployment: Deployment) -> None:
    first = deployment.worker()
    first.wait_ready()
    assert deployment.owner() is first
    second = deployment.worker()
    second.wait_ready()
    with deployment.traffic(1_000) as traffic:
        traffic.wait_sent(2_000)
        assert first.stop() == 0
        assert deployment.owner() is second
        traffic.wait_sent(traffic.sent + 2_000)
    until = deployment.settle()
    assert second.stop() == 0
    witness = deployment.assert_promises(until)
    assert witness.repeats == 0, "a clean stop commits what it wrote: nothing is read twice"
