"""Being asked to stop: whatever a service waits for, it waits for that or the end, whichever comes first.

Called by intake and core.
"""

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, TypeVar

Result = TypeVar("Result")
STOP_TIMEOUT_S = 8.0  # for the last round; below what supervisors usually grant between SIGTERM and SIGKILL (10 s and more)
CLOSE_TIMEOUT_S = 4.0  # for each client of Kafka: a producer whose broker is away would flush for ever


class StoppedError(Exception):
    """The service was asked to stop while it waited."""


class Stopping:
    """One per service, which says when it has begun and ended."""

    def __init__(self) -> None:
        self._asked = asyncio.Event()
        self._over = asyncio.Event()
        self._over.set()

    def begun(self) -> None:
        """The service runs: from now on `ask` waits for its end."""
        self._over.clear()

    def ended(self) -> None:
        """The service has closed everything."""
        self._over.set()

    async def ask(self) -> None:
        """Have every wait end, and return when the service has ended."""
        self._asked.set()
        await self._over.wait()

    async def unless(self, awaitable: Awaitable[Result]) -> Result:
        """The awaitable's result. Raises StoppedError, after cancelling it, if the service is asked to stop first."""
        task = asyncio.ensure_future(awaitable)
        asked = asyncio.create_task(self._asked.wait())
        try:
            await asyncio.wait({task, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            if not task.done():
                task.cancel()
        if task.cancelled() or not task.done():
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
            raise StoppedError
        return task.result()


async def close(*clients: Any) -> None:
    """Stop clients of Kafka, each within its time; what they raise while they go is of no use to anyone."""
    for client in clients:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await client.stop()
