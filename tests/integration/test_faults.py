"""Faults of our own: a poisoned fold, and writes that fail. What can't be decided is UNSCORED or stands still, never CLEAR and never lost."""

import json
import time

import pytest

from tests.integration.deployment import Deployment
from tests.integration.exchange import Exchange, Message
from tests.integration.traffic import now_ms
from tests.integration.worker_process import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(600)]
POISONED = "w-poison-1"


def faulty(deployment: Deployment, fault: str, *, supervised: bool = False) -> WorkerProcess:
    return deployment.worker(program=("-m", "tests.integration.faulty_worker", fault), supervised=supervised)


def poison() -> Message:
    """An honest request but for its id."""
    request = next(message for message in Exchange(3).some(1, now_ms()) if message.topic == "withdrawals")
    event = json.loads(request.value) | {"withdrawal_id": POISONED, "event_id": "poison-1"}
    return Message("withdrawals", request.key, json.dumps(event).encode())


def verdicts_of(deployment: Deployment, withdrawal_id: str) -> list[str]:
    return [verdict["verdict"] for verdict in deployment.outputs("verdicts") if verdict.get("withdrawal_id") == withdrawal_id]


@pytest.mark.parametrize("fault", ["detectors-exception", "detectors-panic"])
def test_poison_for_the_detectors_is_unscored_and_the_rest_goes_on(deployment: Deployment, fault: str) -> None:
    worker = faulty(deployment, fault)
    deployment.owner()
    with deployment.traffic(500) as traffic:
        traffic.wait_sent(1_000)
        deployment.produce([poison()])
        traffic.wait_sent(traffic.sent + 1_000)
    until = deployment.settle()
    worker.wait_ready()
    assert worker.stop() == 0
    deployment.assert_promises(until)
    assert verdicts_of(deployment, POISONED) == ["UNSCORED"]


@pytest.mark.parametrize("fault", ["ledger-exception", "ledger-panic"])
def test_poison_for_the_ledger_stops_the_core_until_a_person_leaves_it_out(deployment: Deployment, fault: str) -> None:
    worker = faulty(deployment, fault)
    deployment.owner()
    with deployment.traffic(500) as traffic:
        traffic.wait_sent(1_000)
        deployment.produce([poison()])
        deadline = time.monotonic() + 60
        while "entry_refused" not in (said := worker.get("/readyz")[1]):
            assert time.monotonic() < deadline, said
            time.sleep(0.2)
        assert worker.alive(), "it stays up, not ready"
        traffic.wait_sent(traffic.sent + 500)
    offset = next(word for word in said.split() if word.isdecimal())
    assert POISONED.encode() in (deployment.read("journal")[int(offset)].value or b""), said
    assert verdicts_of(deployment, POISONED) == []
    done = deployment.command("core", "quarantine", offset, "--scope", "entry", "--reason", "poison")
    assert done.returncode == 0, done.stderr
    until = deployment.settle()
    worker.wait_ready()
    assert worker.stop() == 0
    deployment.assert_promises(until)
    assert [audit["what"] for audit in deployment.audits()].count("quarantined") == 1


def test_writes_that_fail_and_writes_whose_answer_is_lost(deployment: Deployment) -> None:
    """A worker ends at its first failed write; what it or another had sent after it may land all the same."""
    workers = [faulty(deployment, "writes-fail", supervised=True) for _ in range(2)]
    with deployment.traffic(2_000) as traffic:
        deadline = time.monotonic() + 120
        while sum(len(worker.ends) for worker in workers) < 8 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert sum(len(worker.ends) for worker in workers) >= 4, deployment.logs()
        traffic.wait_sent(10_000)
    for worker in workers:
        worker.kill()
    sound = deployment.worker()
    until = deployment.settle(300)
    assert sound.stop() == 0
    deployment.assert_promises(until)
