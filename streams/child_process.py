"""A child process that ends with its parent, even when the parent is killed (on Linux, by the kernel; elsewhere only on a clean end).

Knows nothing of what the child does. Called by `streams.embedded_broker` and the demo, in the main thread.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
STOP_TIMEOUT_SECONDS = 10.0
TAIL_BYTES = 4_000


class ChildProcess:
    """One running child; its output goes to a file. Must be stopped by whoever started it."""

    def __init__(self, arguments: Sequence[str], log_file: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log_file = log_file
        with log_file.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own arguments, no shell
                list(arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                # A terminal's Ctrl-C goes to the whole group: the parent must decide in which order its children end.
                start_new_session=True,
                preexec_fn=_end_with(os.getpid()),  # noqa: PLW1509  # one system call between fork and exec, from the main thread
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def ended(self) -> int | None:
        """Exit code if it has ended, else None."""
        return self._process.poll()

    def stop(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> None:
        """Ask it to end (SIGTERM), then kill it; returns when it is gone. No error if it has ended before."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def kill(self) -> None:
        """End it at once; returns when it is gone."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def tail(self) -> str:
        """The end of what it has written, for a message about its failure."""
        with contextlib.suppress(OSError):
            return self.log_file.read_bytes()[-TAIL_BYTES:].decode(errors="replace").strip()
        return ""


def _end_with(parent_pid: int) -> "_EndWith | None":
    return _EndWith(parent_pid) if sys.platform == "linux" else None


class _EndWith:
    """Runs in the child before exec: lets the kernel kill it when the parent's thread ends."""

    def __init__(self, parent_pid: int) -> None:
        self._parent_pid = parent_pid
        self._prctl = ctypes.CDLL(None).prctl

    def __call__(self) -> None:
        self._prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != self._parent_pid:
            os._exit(1)
