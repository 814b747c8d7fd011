"""The audit trail: a chain of hashes over every journal entry, in order, whose heads are published at fixed offsets.

A head after every BLOCK_ENTRIES entries: SHA-256 of the head before it and of the entries' own SHA-256s. Pure; kept by `monitor.engine`,
signed by `streams.audit`, checked by `monitor.trail_check`.
"""

import base64
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec

from monitor.contracts.outputs import Audit

BLOCK_ENTRIES = 256
"""A head's record is a seventieth of such a block's bytes, and at one entry a second (Ticks alone) it comes every four minutes."""
DIGEST_BYTES = 32
PRINT_BYTES = 4
"""Of each entry's SHA-256 the head shows so many, so that a check can name the entry that differs; that one differs, the whole hash proves."""
START = bytes(DIGEST_BYTES)
"""The head before the first."""


class Head(NamedTuple):
    """The chain after the block that ends with `last_offset`; `prints` are the beginnings of the entries' SHA-256s, one after the other."""

    first_offset: int
    last_offset: int
    sha256: bytes
    prints: bytes

    def record(self, decided_at_ms: int) -> Audit:
        """The head as it is published."""
        return Audit(
            decided_at_ms=decided_at_ms, what="head", first_offset=self.first_offset, last_offset=self.last_offset,
            head_sha256=self.sha256.hex(), prints=base64.b64encode(self.prints).decode(),
        )  # fmt: skip


def chained(previous: bytes, digests: Sequence[bytes]) -> bytes:
    """The head that follows `previous` over one block's entries, given their SHA-256s."""
    return sha256(previous + b"".join(digests)).digest()


def digests_of(entries: Sequence[bytes]) -> list[bytes]:
    """The SHA-256 of each entry."""
    return [sha256(entry).digest() for entry in entries]


def runs(start: int, entries: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The entries from offset `start` on, cut where blocks end."""
    at = 0
    while at < len(entries):
        run = entries[at : at + BLOCK_ENTRIES - (start + at) % BLOCK_ENTRIES]
        yield run
        at += len(run)


def prints_of(digests: Sequence[bytes]) -> bytes:
    """What a head shows of its entries."""
    return b"".join([digest[:PRINT_BYTES] for digest in digests])


def message(journal_id: str, last_offset: int, head_sha256: str, prints: str) -> bytes:
    """What is signed: a JSON array, without spaces, of the facts of a published head; its order is part of the contract."""
    return msgspec.json.encode([journal_id, last_offset, head_sha256, prints])


class Trail:
    """The newest head, and the SHA-256s of the entries after it: at most BLOCK_ENTRIES - 1 of them."""

    def __init__(self) -> None:
        self.head = START
        self.open: list[bytes] = []
        self._newest: bytes | None = None

    @property
    def newest_sha256(self) -> str | None:
        """SHA-256 of the newest entry, hexadecimal; None before the first."""
        return None if self._newest is None else self._newest.hex()

    def take(self, start: int, entries: Sequence[bytes]) -> Head | None:
        """Take entries from offset `start` on, at most to the end of their block; the head if they end it."""
        self.open += digests_of(entries)
        self._newest = self.open[-1]
        if len(self.open) < BLOCK_ENTRIES:
            return None
        digests, self.open = self.open, []
        self.head = chained(self.head, digests)
        last_offset = start + len(entries) - 1
        return Head(last_offset - BLOCK_ENTRIES + 1, last_offset, self.head, prints_of(digests))

    def hashes(self) -> bytes:
        """All of its state but the newest entry's SHA-256: the newest head, then the SHA-256s of the open block's entries."""
        return self.head + b"".join(self.open)

    def restore(self, hashes: bytes, newest_sha256: str | None) -> None:
        """Go on from what `hashes` and `newest_sha256` gave."""
        self.head, *self.open = (hashes[at : at + DIGEST_BYTES] for at in range(0, len(hashes), DIGEST_BYTES))
        self._newest = None if newest_sha256 is None else bytes.fromhex(newest_sha256)
