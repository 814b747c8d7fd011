"""What a consumer group gives and takes: partitions, and a generation number that tells a round whether it still may count.

The group's callbacks only pause, count and wait for what is in flight; the service's own loop does the work, since heartbeats
stand still during a callback of assignment. Called by aiokafka; read by intake and core.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition

log = structlog.stdlib.get_logger(__name__)


class Ownership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Partitions that are ours now; `rebalancing` while the group has taken them back and not yet given any. `release` is awaited on each revocation, at most `release_timeout_s`: rounds in flight, last commit.

    aiokafka only logs what a listener raises, so errors are kept in `error` and `changed` is set: the service must look and stop.
    """

    def __init__(self, group: str, consumer: Any, release: Callable[[], Awaitable[None]], release_timeout_s: float) -> None:
        self.generation = 0
        self.partitions: frozenset[TopicPartition] = frozenset()
        self.rebalancing = True
        self.error: Exception | None = None
        self.changed = asyncio.Event()
        self._group = group
        self._consumer = consumer
        self._release = release
        self._release_timeout_s = release_timeout_s

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """The group takes all back (aiokafka rebalances eagerly)."""
        log.info("partitions revoked", group=self._group, partitions=len(frozenset(revoked)))
        had = self.partitions
        self.generation += 1
        self.rebalancing = True
        self.partitions = frozenset()
        self.changed.set()
        if not had:
            return
        try:
            async with asyncio.timeout(self._release_timeout_s):
                await self._release()
        except TimeoutError:
            log.warning("partitions were given back before the round in flight was acknowledged", group=self._group)
        except Exception as error:  # noqa: BLE001  # aiokafka would swallow it: whatever it is, the service must stop
            self.error = error

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """The group gives these. They stay paused, at a position of our own, until the service has opened them."""
        partitions = frozenset(assigned)
        try:
            for partition in partitions:
                self._consumer.pause(partition)
                self._consumer.seek(partition, 0)
        except Exception as error:  # noqa: BLE001  # as above
            self.error = error
        self.generation += 1
        self.partitions = partitions
        self.rebalancing = False
        self.changed.set()
        log.info("partitions assigned", group=self._group, partitions=len(partitions))
