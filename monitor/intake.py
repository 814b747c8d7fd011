"""Intake: a run of one source's records becomes journal entries and dead letters, in the order of the records.

Pure and stateless: what was read before comes in as `start`. Called by the intake's shell, by `replay` and by the simulation.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from monitor.contracts.dead_letters import DeadLetter
from monitor.decode import IntakeLimits
from monitor.policy import Asset
from monitor.reasons import Reason


class SourceRecord(Protocol):
    """A record as aiokafka gives it."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


class Taken(NamedTuple):
    """What a run of records became."""

    entries: list[bytes]
    dead_letters: list[DeadLetter]
    withdrawals: int
    rejected: dict[Reason, int]
    next_offset: int


class Intake:
    """Turns records into entries; construct once per configuration. Raises ValueError if the base currency is not among the assets."""

    def __init__(self, assets: Mapping[str, Asset], limits: IntakeLimits, base_currency: str) -> None:
        raise NotImplementedError

    def take(self, topic: str, partition: int, start: int, records: Sequence[SourceRecord], clock_ms: int) -> Taken:
        """Entries of the records of "topic/partition" (name without the prefix), read from offset `start` on.

        `next_offset` is where reading goes on; `withdrawals` counts accepted withdrawal events; one entry per record, in order.
        Raises ValueError for a topic that is neither an input topic nor `retries`.
        """
        raise NotImplementedError


def digest(value: bytes | None) -> str | None:
    """SHA-256 of a record's value, hexadecimal, as in `previous_sha256` and `value_sha256`; none for a null value."""
    raise NotImplementedError


def embedded_value(entry: bytes) -> bytes:
    """The record's value as it came, out of the bytes of an event's entry; raises ValueError if the entry has none."""
    raise NotImplementedError
