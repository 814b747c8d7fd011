"""A worker as an operator runs it: a process of its own, configured by the environment, its output in a file.

Started, watched, killed, paused and stopped by tests. Knows only the command line and the site. Called by `deployment`.
"""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

TOP = Path(__file__).parents[2]
READY_SECONDS_MAX = 90
STOP_SECONDS_MAX = 30
LOG_SHOWN_BYTES = 6_000
POLL_SECONDS = 0.05


class WorkerFailedError(AssertionError):
    """The worker did not do in time what it must; the message has the end of its log."""


class WorkerProcess:
    """One worker. As a supervisor would, `supervised` starts it again whenever it ends by itself."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log_file: Path, port: int, *, supervised: bool = False) -> None:
        self.log_file = log_file
        self.port = port
        self.ends: list[int] = []
        self._command = [sys.executable, *command]
        self._environment = {**os.environ, **environment, "PYTHONPATH": str(TOP), "PYTHONUNBUFFERED": "1"}
        self._supervised = supervised
        self._asked_to_end = False
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Start the process; it need not be ready when this returns."""
        self._asked_to_end = False
        with self._lock, self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=self.log_file.parent, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if self._supervised:
            threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def _watch(self, process: "subprocess.Popen[bytes]") -> None:
        code = process.wait()
        self.ends.append(code)
        if not self._asked_to_end:
            self.start()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process that was started last."""
        if self._process is None:
            raise WorkerFailedError("the worker was never started")
        return self._process

    def alive(self) -> bool:
        """Whether the process runs (or is paused)."""
        return self.process.poll() is None

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page of its site; status 0 while nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def wait_ready(self, *, ready: bool = True, seconds: float = READY_SECONDS_MAX) -> str:
        """Poll /readyz until it says so; gives its text."""
        deadline = time.monotonic() + seconds
        while True:
            status, text = self.get("/readyz")
            if status == (200 if ready else 503):
                return text
            if not self._supervised and not self.alive():
                raise WorkerFailedError(f"the worker ended with exit code {self.process.returncode}:\n{self.log()}")
            if time.monotonic() > deadline:
                raise WorkerFailedError(f"the worker is still not {'ready' if ready else 'unready'} ({status} {text!r}):\n{self.log()}")
            time.sleep(POLL_SECONDS)

    def metric(self, name: str) -> float:
        """The value of one metric without labels, or the sum over its labels; NaN if it isn't shown."""
        rows = [line for line in self.get("/metrics")[1].splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(row.rsplit(" ", 1)[1]) for row in rows) if rows else float("nan")

    def owns_core(self) -> bool:
        """Whether it folds the journal now."""
        return self.metric("withdrawal_monitor_core_owner") == 1

    def wait_exit(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """The exit code, once it ends by itself."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise WorkerFailedError(f"the worker did not end in {seconds} s:\n{self.log()}") from None

    def stop(self) -> int:
        """SIGTERM, and its exit code."""
        self._asked_to_end = True
        if self.alive():
            self.process.send_signal(signal.SIGTERM)
        return self.wait_exit()

    def kill(self) -> None:
        """End it at once, as kill -9 does, for good."""
        self._asked_to_end = True
        self.crash()

    def crash(self) -> None:
        """The same; a supervised worker comes back."""
        if self._process is not None and self.alive():
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(STOP_SECONDS_MAX)

    def pause(self) -> None:
        """SIGSTOP: to everybody else it looks dead, and it knows nothing of it."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """The end of what it wrote."""
        return self.log_file.read_text(errors="replace")[-LOG_SHOWN_BYTES:] if self.log_file.exists() else ""
