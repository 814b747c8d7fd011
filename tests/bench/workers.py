"""Our worker processes: started through the command line as an operator would, watched through their site, stopped or killed.

Used by the figures that need the whole way; knows nothing of traffic.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil

from tests.integration.kafka_broker import free_port

COMMAND = (sys.executable, "-c", "from streams.cli import main; main()")
START_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 60.0
OWNER_METRIC = "withdrawal_monitor_core_owner 1.0"


class Worker:
    """One worker process with a site on a port of its own; its log goes to a file in `folder`."""

    def __init__(self, configuration: Path, role: str, name: str) -> None:
        self.role = role
        self.asked_to_end = False
        self.port = free_port()
        self.log_file = configuration.parent / f"{name}.log"
        flags = ("--config", str(configuration), "--set", f"web.port={self.port}", "--set", "log.format=json")
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen([*COMMAND, *flags, "worker", "--role", role], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    async def _get(self, path: str) -> tuple[int, str]:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(2)) as session,
                session.get(f"http://127.0.0.1:{self.port}{path}") as answer,
            ):
                return answer.status, await answer.text()
        return 0, ""

    async def ready(self) -> None:
        """Return once /readyz says so. Raises RuntimeError with the end of the log if the process ends or takes too long."""
        await self._until("/readyz", "")

    async def listens(self) -> None:
        """Return once the site answers: the program is loaded, its services start."""
        await self._until("/healthz", "")

    async def owner(self) -> None:
        """Return once this process owns the core's journal."""
        await self._until("/metrics", OWNER_METRIC)

    async def _until(self, path: str, text: str) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        answer = 0, ""
        while time.monotonic() < deadline and self.process.poll() is None:
            answer = await self._get(path)
            if answer[0] == 200 and text in answer[1]:
                return
            await asyncio.sleep(0.1)
        tail = self.log_file.read_text(errors="replace")[-3_000:]
        raise RuntimeError(f"worker {self.role} isn't what it should be ({path}: {answer[0]} {answer[1][:300]}):\n{tail}")

    def check(self) -> None:
        """Raise RuntimeError with the end of the log if the process has ended though nobody asked it to."""
        if self.process.poll() is not None and not self.asked_to_end:
            tail = self.log_file.read_text(errors="replace")[-3_000:]
            raise RuntimeError(f"worker {self.role} ended by itself (code {self.process.returncode}):\n{tail}")

    @property
    def rss_bytes(self) -> int:
        """Memory that the process has now."""
        resident: int = psutil.Process(self.process.pid).memory_info().rss
        return resident

    @property
    def cpu_seconds(self) -> float:
        """Processor time that the process has used, user and system."""
        times = psutil.Process(self.process.pid).cpu_times()
        used: float = times.user + times.system
        return used

    async def stop(self) -> None:
        """End it as an operator would, and wait; a process that doesn't end is killed and said."""
        self.check()
        self.asked_to_end = True
        self.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                return
            await asyncio.sleep(0.05)
        self.kill()
        print(f"    worker {self.role} did not stop within {STOP_SECONDS_MAX:.0f} s and was killed", flush=True)

    def kill(self) -> None:
        """End it at once: kill -9."""
        self.asked_to_end = True
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)


def run_command(configuration: Path, *arguments: str) -> None:
    """One command of ours that ends by itself. Raises RuntimeError with what it printed if it fails."""
    done = subprocess.run([*COMMAND, "--config", str(configuration), *arguments], check=False, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed ({done.returncode}): {done.stdout}{done.stderr}")


def broker_cpu_seconds() -> float:
    """Processor time that the broker, a child of this process, has used; 0 if there is none."""
    brokers = [child.cpu_times() for child in psutil.Process().children() if child.name() == "java"]
    used: float = sum(times.user + times.system for times in brokers)
    return used
