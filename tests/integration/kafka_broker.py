"""Apache Kafka as a child process: one KRaft node on loopback, started, stopped, killed, paused and restarted by tests and the benchmark.

Knows nothing of the monitor. The jars come from Maven once, into .kafka/, named by the digest of pom.xml.
"""

import asyncio
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

HERE = Path(__file__).parent
JARS = HERE.parents[1] / ".kafka"
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 30
RECORD_BYTES_MAX = 16 * 1024 * 1024  # above the 10 MB of the bad-input tests
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"  # any; the same for every directory

PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
log.dirs={directory}/data
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
message.max.bytes={record_bytes_max}
replica.fetch.max.bytes={record_bytes_max}
log.segment.delete.delay.ms=1000
controlled.shutdown.enable=false
"""
LOGGING = """
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss.SSS} %p %c{1} %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


class BrokerUnavailableError(RuntimeError):
    """The broker did not start or stop in time; the message has the end of its log."""


def missing_tools() -> list[str]:
    """What this machine lacks to run Apache Kafka."""
    needed = ("java",) if _jars_directory().is_dir() else ("java", "mvn")
    return [tool for tool in needed if shutil.which(tool) is None]


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _jars_directory() -> Path:
    return JARS / hashlib.sha256((HERE / "pom.xml").read_bytes()).hexdigest()[:16]


def fetch_jars() -> Path:
    """The directory with Kafka's jars, fetched by Maven when they aren't there yet."""
    target = _jars_directory()
    if target.is_dir():
        return target
    partial = JARS / f"partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    command = ["mvn", "--quiet", "--batch-mode", "--file", str(HERE / "pom.xml"), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=600)
    try:
        partial.rename(target)
    except OSError:  # another process was faster
        shutil.rmtree(partial, ignore_errors=True)
    return target


class KafkaBroker:
    """One broker with its data in `directory`. Its address stays the same over restarts."""

    def __init__(self, directory: Path, heap_mb: int = 1024) -> None:
        self.directory = directory
        self.port = free_port()
        self.log_file = directory / "broker.log"
        self._classpath = str(fetch_jars() / "*")
        self._heap_mb = heap_mb
        self._process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self._properties = directory / "server.properties"
        controller_port = free_port()
        self._properties.write_text(
            PROPERTIES.format(port=self.port, controller_port=controller_port, directory=directory, record_bytes_max=RECORD_BYTES_MAX)
        )
        (directory / "log4j2.properties").write_text(LOGGING)

    @property
    def bootstrap_servers(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.format()
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    def _java(self, *arguments: str, heap_mb: int) -> list[str]:
        return [
            "java", f"-Xmx{heap_mb}m", "-XX:+UseG1GC", f"-Dlog4j2.configurationFile={self.directory}/log4j2.properties",
            "-cp", self._classpath, *arguments,
        ]  # fmt: skip

    def format(self) -> None:
        """Make the empty storage."""
        command = self._java("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties), heap_mb=256)
        formatted = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        if formatted.returncode:
            raise BrokerUnavailableError(formatted.stdout + formatted.stderr)

    def start(self) -> None:
        """Start the process and wait until it answers."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", str(self._properties), heap_mb=self._heap_mb),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS_MAX
        while not (self._listens() and asyncio.run(self._answers())):
            if self._process.poll() is not None or time.monotonic() > deadline:
                tail = self.log_file.read_text(errors="replace")[-4000:]
                self.kill()
                raise BrokerUnavailableError(f"Kafka did not start:\n{tail}")
            time.sleep(0.2)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    async def _answers(self) -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap_servers, request_timeout_ms=2_000)
        try:
            await admin.start()
            return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError):
            return False
        finally:
            await admin.close()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def stop(self) -> None:
        """End it as an operator would."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once, as kill -9 does."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(STOP_SECONDS_MAX)

    def restart(self, pause_seconds: float = 0.0) -> None:
        """Stop, stay away for a while, start again with the same data."""
        self.stop()
        time.sleep(pause_seconds)
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)
