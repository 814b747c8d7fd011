"""Sources and journals that aren't what they were: trimmed, reset, truncated, made anew. Nothing is dropped without a word."""

import time

import pytest

from tests.integration.deployment import PARTITIONS, Deployment
from tests.integration.exchange import Exchange, Message
from tests.integration.traffic import now_ms
from tests.integration.worker_process import WorkerProcess

pytestmark = [pytest.mark.kafka, pytest.mark.long, pytest.mark.timeout(600)]
SOURCE = "withdrawals/0"


def run_and_stop(deployment: Deployment, count: int = 3_000) -> int:
    """Some traffic, taken in whole; the worker is stopped afterwards. Gives the end of SOURCE."""
    worker = deployment.worker()
    worker.wait_ready()
    with deployment.traffic(2_000) as traffic:
        traffic.wait_sent(count)
    deployment.settle()
    assert worker.stop() == 0
    return deployment.ends(["withdrawals"])[SOURCE]


def add_unread(deployment: Deployment, count: int = 2_000) -> None:
    """Traffic that nobody reads yet."""
    with deployment.traffic(5_000, seed=2) as traffic:
        traffic.wait_sent(count)


def started(deployment: Deployment) -> WorkerProcess:
    worker = deployment.worker()
    deployment.owner()
    return worker


def test_trimmed_past_the_resume_point_is_a_declared_gap(deployment: Deployment) -> None:
    first = run_and_stop(deployment)
    add_unread(deployment)
    last = first + 99
    deployment.delete_records("withdrawals", {0: last + 1})
    worker = started(deployment)
    until = deployment.settle()
    worker.stop()
    witness = deployment.assert_promises(until)
    assert witness.gaps == {SOURCE: [range(first, last + 1)]}
    gaps = [audit for audit in deployment.audits() if audit["what"] == "gap"]
    assert [(gap["source"], gap["first_offset"], gap["last_offset"]) for gap in gaps] == [(SOURCE, first, last)]
    assert [alert["kind"] for alert in deployment.outputs("alerts")].count("page") >= 1


def test_trimmed_while_it_is_read(deployment: Deployment) -> None:
    """The position goes out of range under a running worker."""
    reader = deployment.worker("intake")
    core = deployment.worker("core")
    core.wait_ready()
    reader.wait_ready()
    with deployment.traffic(2_000) as traffic:
        traffic.wait_sent(2_000)
        reader.pause()
        traffic.wait_sent(traffic.sent + 2_000)
    ends = deployment.ends(["withdrawals"])
    deployment.delete_records("withdrawals", {0: ends[SOURCE] - 1})
    reader.resume()
    until = deployment.settle()
    deployment.stop_all()
    witness = deployment.assert_promises(until)
    assert set(witness.gaps) == {SOURCE}


def test_offsets_reset_forward_are_a_hole_that_is_read_again(deployment: Deployment) -> None:
    expected = run_and_stop(deployment)
    add_unread(deployment)
    skipped_to = deployment.ends(["withdrawals"])[SOURCE] - 50
    deployment.commit("intake", {("withdrawals", 0): skipped_to})
    worker = started(deployment)
    until = deployment.settle()
    worker.stop()
    deployment.assert_promises(until, holes=deployment_holes(deployment))
    holes = [audit for audit in deployment.audits() if audit["what"] == "hole"]
    assert [(hole["source"], hole["expected_offset"]) for hole in holes] == [(SOURCE, expected)]


def deployment_holes(deployment: Deployment) -> set[tuple[str, int]]:
    """Holes that the core told of: each must have been there for the witness too."""
    told = {(audit["source"], audit["expected_offset"]) for audit in deployment.audits() if audit["what"] == "hole"}
    assert told
    return told


def test_journal_restored_from_an_older_copy_is_filled_again(deployment: Deployment) -> None:
    """The journal ends before what was committed: a restored backup. Every source that has a hole is read again by itself."""
    run_and_stop(deployment, 6_000)
    copy = [Message("journal", b"", record.value or b"") for record in deployment.read("journal")]
    deployment.delete_topic("journal")
    deployment.make_topics({"journal": 1})
    for path in deployment.snapshots.iterdir():
        path.unlink()
    for topic in ("verdicts", "marks", "coverage", "incidents", "alerts", "audit"):
        deployment.delete_topic(topic)  # outputs of the lost part, decided from other entries, would contradict the new ones
        deployment.make_topics({topic: PARTITIONS[topic]})
    deployment.produce(copy[: len(copy) // 2])
    add_unread(deployment)
    worker = started(deployment)
    until = deployment.settle()
    worker.stop()
    deployment.assert_promises(until, holes=deployment_holes(deployment))


def test_recreated_source_stops_until_a_person_accepts_it(deployment: Deployment) -> None:
    run_and_stop(deployment)
    deployment.delete_topic("withdrawals")
    deployment.make_topics({"withdrawals": 2})
    exchange = Exchange(9)
    deployment.produce([message for message in exchange.some(300, now_ms()) if message.topic == "withdrawals"])
    worker = started(deployment)
    sources = {"withdrawals/0", "withdrawals/1"}
    deadline = time.monotonic() + 60
    while {audit["source"] for audit in deployment.audits() if audit["what"] == "replaced"} != sources:
        assert time.monotonic() < deadline, deployment.logs()
        time.sleep(0.5)
    deployment.settle(ignoring=sorted(sources))
    assert not [verdict for verdict in deployment.outputs("verdicts") if str(verdict.get("withdrawal_id")).startswith("w-9-")]
    for source in sorted(sources):
        done = deployment.command("sources", "accept", source, "--position", "start", "--actor", "op", "--reason", "made anew")
        assert done.returncode == 0, done.stderr
    until = deployment.settle()
    worker.stop()
    deployment.assert_promises(until)
    assert [verdict for verdict in deployment.outputs("verdicts") if str(verdict.get("withdrawal_id")).startswith("w-9-")]


def test_recreated_journal_is_another_journal(deployment: Deployment) -> None:
    run_and_stop(deployment)
    deployment.delete_topic("journal")
    deployment.make_topics({"journal": 1})
    worker = started(deployment)
    add_unread(deployment)
    until = deployment.settle()
    refused = worker.metric("withdrawal_monitor_snapshots_refused_total")
    worker.stop()
    assert refused >= 1
    assert "of another journal" in worker.log_file.read_text()
    witness = deployment.assert_outputs(until)
    assert all(entry["why"] == "resumed" for entry in witness.opened if entry["position"] > 0)
