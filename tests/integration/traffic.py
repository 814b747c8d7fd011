"""Traffic at a given rate, from a thread of its own, into the input topics of one deployment. Knows Kafka and `exchange`, not the monitor."""

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.integration.exchange import Exchange, Message

CHUNK_SECONDS = 0.02
UNACKNOWLEDGED_MAX = 20_000


def now_ms() -> int:
    """Wall time in milliseconds."""
    return time.time_ns() // 1_000_000


async def produce(bootstrap_servers: str, prefix: str, partitions: Mapping[str, int], messages: Sequence[Message]) -> None:
    """Write messages and wait until all are acknowledged."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", max_request_size=16 * 1024 * 1024)
    await producer.start()
    try:
        sent = [
            await producer.send(prefix + message.topic, message.value, key=message.key, partition=message.partition(partitions[message.topic]))
            for message in messages
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


class Traffic:
    """Honest traffic while the `with` block runs. What the broker refuses during an outage was never sent: the topics are the truth."""

    def __init__(self, bootstrap_servers: str, prefix: str, partitions: Mapping[str, int], *, rate_per_second: int, seed: int = 1) -> None:
        self._servers = bootstrap_servers
        self._prefix = prefix
        self._partitions = partitions
        self._rate = rate_per_second
        self._exchange = Exchange(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self._error: BaseException | None = None
        self.sent = 0
        self.counts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stopping.set()
        self._thread.join(120)
        if self._error is not None and error is None:
            raise self._error

    def wait_sent(self, count: int, seconds: float = 120) -> None:
        """Return when at least `count` messages were sent."""
        deadline = time.monotonic() + seconds
        while self.sent < count and self._thread.is_alive():
            assert time.monotonic() < deadline, f"only {self.sent} messages were sent in {seconds} s"
            time.sleep(CHUNK_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._produce())
        except BaseException as error:  # noqa: BLE001  # shown by the test that owns this thread
            self._error = error

    async def _produce(self) -> None:
        producer = AIOKafkaProducer(bootstrap_servers=self._servers, acks="all", linger_ms=5, request_timeout_ms=60_000, max_batch_size=262_144)
        await producer.start()
        try:
            await self._send(producer, self._exchange.opening(now_ms()))
            began = time.monotonic()
            while not self._stopping.is_set():
                due = int((time.monotonic() - began) * self._rate) - self.sent
                if due > 0:
                    await self._send(producer, self._exchange.some(min(due, 2_000), now_ms()))
                await asyncio.sleep(CHUNK_SECONDS)
        finally:
            with contextlib.suppress(KafkaError):
                await producer.flush()
            await producer.stop()

    async def _send(self, producer: Any, messages: Sequence[Message]) -> None:
        waiting = []
        for message in messages:
            partition = message.partition(self._partitions[message.topic])
            waiting.append(await producer.send(self._prefix + message.topic, message.value, key=message.key, partition=partition))
        self.sent += len(messages)
        self.counts.update(message.topic for message in messages)
        if self.sent % UNACKNOWLEDGED_MAX < len(messages):
            await asyncio.wait(waiting)
        for future in waiting:
            future.add_done_callback(_look_at)


def _look_at(future: "asyncio.Future[Any]") -> None:
    """An outage may fail a send; unlooked-at errors would be warnings."""
    if not future.cancelled():
        future.exception()
