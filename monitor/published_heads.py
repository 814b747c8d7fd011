"""Published heads of audit trails, gathered: whose key signed each, which of them are of a journal, and whether any contradict each other.

What is read here may be forged: a head counts for what its signature says. Pure; called by `streams.audit`.
"""

import base64
import binascii
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.signatures import is_signature
from monitor.trail import BLOCK_ENTRIES, PRINT_BYTES, message
from monitor.trail_check import PublishedHead, Standing

Hash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
RANK: dict[Standing, int] = {"signed": 2, "unsigned": 1, "unknown key": 0}


class HeadCopy(msgspec.Struct, frozen=True, kw_only=True):
    """One copy of a head as it was published: the facts of its record and of its headers."""

    journal_id: Hash
    last_offset: Annotated[int, Meta(ge=0)]
    head_sha256: Hash
    prints: str
    key: str | None = None
    signature: str | None = None


class PublishedHeads:
    """The heads of all journals, by journal and block. `keys` are the public keys that the check knows, by name."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = keys
        self._by_journal: dict[str, dict[int, PublishedHead]] = defaultdict(dict)
        self._contradicted: dict[str, set[int]] = defaultdict(set)
        self.copies: Counter[Standing] = Counter()
        """Copies by their standing, repeats too."""

    @property
    def journals(self) -> list[str]:
        """The journals that have heads."""
        return list(self._by_journal)

    @property
    def end(self) -> int:
        """The offset after the last that a head covers, of any journal."""
        return max((BLOCK_ENTRIES * (max(heads) + 1) for heads in self._by_journal.values()), default=0)

    def add(self, copy: HeadCopy) -> str | None:
        """Take a copy; why it is no head of ours, None if it is one. Of several of one block those with a known key's signature count."""
        block, place = divmod(copy.last_offset, BLOCK_ENTRIES)
        if place != BLOCK_ENTRIES - 1:
            return f"no block ends at offset {copy.last_offset}"
        try:
            prints = base64.b64decode(copy.prints, validate=True)
        except (binascii.Error, ValueError):
            return "prints isn't base64"
        if len(prints) != BLOCK_ENTRIES * PRINT_BYTES:
            return f"prints has {len(prints)} bytes, not {BLOCK_ENTRIES * PRINT_BYTES}"
        head = PublishedHead(bytes.fromhex(copy.head_sha256), prints, self._standing(copy), copy.key)
        self.copies[head.standing] += 1
        known = self._by_journal[copy.journal_id].get(block)
        if known is None or RANK[head.standing] > RANK[known.standing]:
            self._by_journal[copy.journal_id][block] = head
            self._contradicted[copy.journal_id].discard(block)
        elif head.standing == known.standing and (head.sha256, head.prints) != (known.sha256, known.prints):
            self._contradicted[copy.journal_id].add(block)
        return None

    def _standing(self, copy: HeadCopy) -> Standing:
        if copy.signature is None:
            return "unsigned"
        key = self._keys.get(copy.key or "")
        signed = message(copy.journal_id, copy.last_offset, copy.head_sha256, copy.prints)
        return "signed" if key is not None and is_signature(copy.signature, signed, key) else "unknown key"

    def of(self, journal_id: str) -> Mapping[int, PublishedHead]:
        """The heads of a journal, by block."""
        return self._by_journal.get(journal_id, {})

    def contradicted(self, journal_id: str) -> list[int]:
        """The blocks of a journal for which there are two different heads of the same standing."""
        return sorted(self._contradicted.get(journal_id, ()))

    def alike(self, start: int, prints: Sequence[bytes]) -> str | None:
        """The journal of which most of these entries, from offset `start` on, are; None if it is less than half of them.

        Whose first entry is changed or gone has another name than its heads have: it is known by the rest.
        """
        block, begun = divmod(start, BLOCK_ENTRIES)
        here = set(prints[: BLOCK_ENTRIES - begun])
        shared: dict[str, int] = {}
        for journal_id, heads in self._by_journal.items():
            if block in heads:
                published = heads[block].prints
                shared[journal_id] = len(here & {published[at : at + PRINT_BYTES] for at in range(0, len(published), PRINT_BYTES)})
        best = max(shared, key=shared.__getitem__, default=None)
        return best if best is not None and 2 * shared[best] >= len(here) else None
