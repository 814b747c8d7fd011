"""The demo as people start it: the real program in a process of its own, to its end and through a Ctrl-C; no child stays behind."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.integration.kafka_broker import KafkaBroker

ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 150.0


def start(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", "from streams.cli import main; main()", "demo", "--seed", "7", *options],
        cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def lines_of(process: subprocess.Popen[str]) -> Iterator[str]:
    assert process.stdout is not None
    yield from process.stdout


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found: list[psutil.Process] = psutil.Process(process.pid).children(recursive=True)
    return found


def all_gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=20)
    return not alive


@pytest.fixture
def short_tmp() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.timeout(240)
def test_the_demo_ends_by_itself_with_the_incident_held_marked_and_covered(short_tmp: Path) -> None:
    family: list[psutil.Process] = []
    said = []
    with start(short_tmp) as process:
        for line in lines_of(process):
            said.append(line)
            if "honest traffic" in line and not family:
                family = children(process)
        assert process.wait(WAIT_SECONDS) == 0, "".join(said)
    text = "".join(said)
    assert "PAGE (critical): Paid to another destination than requested" in text
    assert "HOLD, too late" in text
    summary = text[text.index("Was anything taken?") :]
    assert summary.startswith("Was anything taken?  YES, as it looks: 4,502.9 BTC.\n")
    assert "How much is marked?  48,200,000,000 JPY" in summary
    assert "Is it covered?       Yes, in full" in summary
    assert "1 page(s)" in summary
    assert "more_than_holding" not in summary, "the history is taken in order, though it is written while it is read"
    decided = re.search(r"Decided +([\d,]+) of ([\d,]+) withdrawals", summary)
    assert decided is not None
    assert decided[1] == decided[2]
    assert "byte for byte" in summary
    assert len(family) >= 2
    assert all_gone(family)
    assert list(short_tmp.iterdir()) == []


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_demo_can_be_stopped_and_leaves_nothing(short_tmp: Path, number: signal.Signals, code: int) -> None:
    family: list[psutil.Process] = []
    with start(short_tmp) as process:
        for line in lines_of(process):
            if "s  " in line and not family:
                deadline = time.monotonic() + WAIT_SECONDS
                while len(family := children(process)) < 2 and time.monotonic() < deadline:
                    time.sleep(0.05)
                process.send_signal(number)
        assert process.wait(WAIT_SECONDS) == code
    assert len(family) >= 2
    assert all_gone(family)
    assert list(short_tmp.iterdir()) == []


@pytest.mark.kafka
@pytest.mark.timeout(300)
async def test_the_demo_on_somebodys_own_kafka_leaves_no_topic(broker: KafkaBroker, short_tmp: Path) -> None:
    with start(short_tmp, "--broker", broker.bootstrap_servers) as process:
        said = "".join(lines_of(process))
        assert process.wait(WAIT_SECONDS) == 0, said
    assert "1 page(s)" in said
    assert "byte for byte" in said
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    await admin.start()
    try:
        left = [topic for topic in await admin.list_topics() if topic.startswith("demo-")]
    finally:
        await admin.close()
    assert left == []
