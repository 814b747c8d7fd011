"""Effectively once, in short: workers die and stop under load, and afterwards both witnesses find nothing lost and nothing twice."""

import pytest

from tests.integration.deployment import Deployment

pytestmark = pytest.mark.kafka


def test_honest_traffic_with_one_worker(deployment: Deployment) -> None:
    worker = deployment.worker()
    worker.wait_ready()
    with deployment.traffic(1_000) as traffic:
        traffic.wait_sent(5_000)
    until = deployment.settle()
    assert worker.stop() == 0
    witness = deployment.assert_promises(until)
    assert witness.rejected == []
