"""The journal entries that are facts of our own, as bytes: sources opened and accepted, progress, terms, Ticks.

Entries of events and rejections are in `monitor.intake`. Called by the intake's and the core's shell.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from monitor.contracts.journal import ProgressEntry, SourceAcceptedEntry, SourceOpenedEntry, TermEntry, TickEntry
from monitor.policy import Policy

_encode = msgspec.json.Encoder().encode


def source_opened(
    source: str,
    position: int,
    log_start: int,
    log_end: int,
    why: Literal["first", "resumed", "rewound"],
    writer: str,
    previous_sha256: str | None,
    clock_ms: int,
) -> bytes:
    """A worker took "topic/partition" over and reads on from `position`; `previous_sha256` is `intake.digest` of the value before."""
    return _encode(
        SourceOpenedEntry(
            clock_ms=clock_ms, source=source, position=position, log_start=log_start, log_end=log_end, why=why, writer=writer,
            previous_sha256=previous_sha256,
        )
    )  # fmt: skip


def progress(source: str, position: int, log_end: int, clock_ms: int) -> bytes:
    """The source's reader stands at its end at `clock_ms`."""
    return _encode(ProgressEntry(clock_ms=clock_ms, source=source, position=position, log_end=log_end))


def source_accepted(source: str, position: int, actor: str, reason: str, clock_ms: int) -> bytes:
    """A person accepts a replaced source, or one with a hole, from `position` on."""
    return _encode(SourceAcceptedEntry(clock_ms=clock_ms, source=source, position=position, actor=actor, reason=reason))


def term(term: str, engine_version: str, policy: Policy, partitions: Mapping[str, int], clock_ms: int) -> bytes:
    """A worker became the core's owner; `partitions` counts those of each input topic, by name without the prefix."""
    return _encode(TermEntry(clock_ms=clock_ms, term=term, engine_version=engine_version, policy=policy, partitions=dict(partitions)))


def tick(term: str, clock_ms: int) -> bytes:
    """Wall time from the term's owner."""
    return _encode(TickEntry(clock_ms=clock_ms, term=term))
