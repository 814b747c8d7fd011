"""The command line with a fault put in from outside: the monitor itself has no switch for any of this.

Run as `python -m tests.integration.faulty_worker FAULT ARGUMENTS…` by the tests; a fault is a function that patches before the start.
"""

import asyncio
import random
import sys
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError

from monitor.events import Events
from monitor.scoring import Scoring
from streams.cli import main

POISON = "poison"
FAILING_SHARE = 0.02


class Panic(BaseException):
    """What the Rust parts of libraries raise: no Exception."""


def poison_detectors(error: type[BaseException]) -> None:
    """The detectors can't take a withdrawal whose id says so."""
    gather = Scoring.gather

    def poisoned(self: Scoring, event: Any, facts: Any) -> None:
        if POISON in event.withdrawal_id:
            raise error(f"can't take {event.withdrawal_id}")
        gather(self, event, facts)

    Scoring.gather = poisoned  # type: ignore[method-assign]


def poison_ledger(error: type[BaseException]) -> None:
    """Nothing can take it, with or without the detectors."""
    requested = Events.requested

    def poisoned(self: Events, event: Any, *rest: Any) -> bool:
        if POISON in event.withdrawal_id:
            raise error(f"can't take {event.withdrawal_id}")
        return requested(self, event, *rest)

    Events.requested = poisoned  # type: ignore[method-assign, assignment]


def fail_writes() -> None:
    """Some batches fail: half of them never went out, half were written and only their acknowledgement is lost."""
    rng = random.Random()
    send_batch = AIOKafkaProducer.send_batch

    async def failing(self: Any, batch: Any, topic: str, *, partition: int) -> Any:
        if rng.random() >= FAILING_SHARE:
            return await send_batch(self, batch, topic, partition=partition)
        if rng.random() < 0.5:
            await send_batch(self, batch, topic, partition=partition)
        failed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        failed.set_exception(KafkaTimeoutError())
        return failed

    AIOKafkaProducer.send_batch = failing


FAULTS: dict[str, Callable[[], None]] = {
    "detectors-exception": lambda: poison_detectors(ValueError),
    "detectors-panic": lambda: poison_detectors(Panic),
    "ledger-exception": lambda: poison_ledger(ValueError),
    "ledger-panic": lambda: poison_ledger(Panic),
    "writes-fail": fail_writes,
}

if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    main()
