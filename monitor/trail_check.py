"""Checks a journal against the published heads of its audit trail: whether it is what was published, and where it isn't.

Computes from entries and heads alone; knows nothing of the fold. Pure; called by `streams.audit`.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import msgspec

from monitor.trail import BLOCK_ENTRIES, PRINT_BYTES, START, chained, digests_of, prints_of
from monitor.trail_differences import Extra, Kind, Missing, compared, explained

AHEAD_ENTRIES = 2 * BLOCK_ENTRIES
"""So many entries beyond a block are looked at to see what has shifted."""
DIFFERENCES_MAX = 10_000
"""Entries that differ and are told apart; with more the check ends."""

Standing = Literal["signed", "unsigned", "unknown key"]
State = Literal["as signed", "as published, unsigned", "as published, unknown key", "DIFFERENT", "NO HEAD", "no head yet"]
STATES: dict[Standing, State] = {
    "signed": "as signed", "unsigned": "as published, unsigned", "unknown key": "as published, unknown key",
}  # fmt: skip


class PublishedHead(NamedTuple):
    """One head as it was published. `standing` says whether a key that the check knows has signed it."""

    sha256: bytes
    prints: bytes
    standing: Standing
    key: str | None


class Found(msgspec.Struct, frozen=True):
    """Something that isn't as it was published. Offsets are those of the published entries."""

    kind: Kind
    first_offset: int
    last_offset: int
    detail: str


class Range(msgspec.Struct):
    """Offsets, how they stand, and the key that signed their heads."""

    first_offset: int
    last_offset: int
    state: State
    key: str | None


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What a check gives. `intact`: nothing that has a head differs. `proven`: every whole block has a head of a known key, too."""

    journal_id: str
    entries: int
    ranges: list[Range]
    found: list[Found]
    intact: bool
    proven: bool


class TrailCheck:
    """Takes the entries of a journal in order, from offset `start` on, and compares them with `heads`, by block.

    Memory: the heads, the hashes of a few blocks, DIFFERENCES_MAX differences.
    """

    def __init__(self, journal_id: str, heads: Mapping[int, PublishedHead], start: int = 0) -> None:
        self._journal_id = journal_id
        self._heads = heads
        self._end = (max(heads) + 1) * BLOCK_ENTRIES if heads else 0
        self._start = self._place = start
        self._head = START if start == 0 else None
        self._unheaded: int | None = None
        self._digests: list[bytes] = []
        self._offsets: list[int] = []
        self._entries = 0
        self._ranges: list[Range] = []
        self._missing: list[Missing] = []
        self._extra: list[Extra] = []
        self._found: list[Found] = []
        self._unlike = False

    def take(self, offsets: Sequence[int], entries: Sequence[bytes]) -> None:
        """The next entries, and the offsets that they stand at in the journal."""
        self._entries += len(entries)
        if self._unlike:
            return
        self._digests += digests_of(entries)
        self._offsets += offsets
        while len(self._digests) >= BLOCK_ENTRIES + AHEAD_ENTRIES and not self._unlike:
            self._step()

    def result(self) -> Checked:
        """What came of it. Nothing may be taken afterwards."""
        while self._digests and not self._unlike:
            self._step()
        if self._unheaded is not None:
            self._range(self._unheaded, self._place - 1, "NO HEAD")
        if self._start > 0:
            self._tell("removed", 0, self._start - 1, "the journal's beginning is gone")
        self._found += [Found(*difference) for difference in explained(self._missing, self._extra)]
        if self._place <= self._end and not self._unlike:
            self._cut()
        intact = not self._found
        states = {part.state for part in self._ranges}
        return Checked(
            journal_id=self._journal_id, entries=self._entries, ranges=self._ranges, found=sorted(self._found, key=lambda each: each.first_offset),
            intact=intact, proven=intact and "as signed" in states and states <= {"as signed", "no head yet"},
        )  # fmt: skip

    def _cut(self) -> None:
        """If the journal ends before the newest head does: what is missing up to there in the last block went with it."""
        first = self._place
        while self._found and self._found[-1].kind == "removed" and self._found[-1].last_offset == first - 1:
            first = self._found.pop().first_offset
        last = self._end - 1
        if first > last:
            return
        if self._place <= last:
            self._range(self._place, last, "DIFFERENT")
        self._tell("cut", first, last, f"the journal ends before offset {first}; a head was published for what came up to {last}")

    def _step(self) -> None:
        """Compare the next block, whose entries are all there unless the journal ends in it."""
        block, begun = divmod(self._place, BLOCK_ENTRIES)
        if self._place >= self._end:
            self._beyond()
            return
        head = self._heads.get(block)
        if head is None:
            self._pass_over(BLOCK_ENTRIES - begun)
            return
        want = head.prints[begun * PRINT_BYTES :]
        digests = self._digests[: BLOCK_ENTRIES - begun]
        if prints_of(digests) != want:
            self._differs(head, want)
        elif begun == 0 and not self._follows(block, digests, head):
            first = self._place if self._unheaded is None else self._unheaded
            last = self._place + len(digests) - 1
            self._tell("changed", first, last, "they aren't what the head was made of, though no single entry shows it")
            self._done(head, first, last, "DIFFERENT", len(digests))
        else:
            first = self._place if self._unheaded is None else self._unheaded
            self._done(head, first, self._place + len(digests) - 1, STATES[head.standing], len(digests))

    def _follows(self, block: int, digests: Sequence[bytes], head: PublishedHead) -> bool:
        """Whether the head is what the chain gives. Of a journal whose beginning is gone it can't be said before two heads have come."""
        before = self._heads.get(block - 1)
        previous = self._head if self._head is not None or before is None else before.sha256
        return previous is None or chained(previous, digests) == head.sha256

    def _pass_over(self, count: int) -> None:
        """A block without a head, before others that have one: the next head's hash says whether it is right."""
        digests = self._digests[:count]
        if self._unheaded is None:
            self._unheaded = self._place
        self._head = None if self._head is None or count < BLOCK_ENTRIES else chained(self._head, digests)
        self._drop(len(digests))
        self._place += len(digests)

    def _differs(self, head: PublishedHead, want: bytes) -> None:
        after = self._heads.get(self._place // BLOCK_ENTRIES + 1)
        wanted, beyond = _split(want), [] if after is None else _split(after.prints)
        got = [digest[:PRINT_BYTES] for digest in self._digests[: BLOCK_ENTRIES + AHEAD_ENTRIES]]
        found = compared(self._place, wanted, beyond, got, self._offsets)
        if found is None or len(self._missing) + len(self._extra) > DIFFERENCES_MAX:
            self._unlike = True
            why = "nothing is found" if found is None else f"more than {DIFFERENCES_MAX:,} entries before it differ"
            last = self._end - 1
            self._tell("unlike", self._place, last, f"of what was published {why}; the rest isn't compared")
            self._range(self._place, last, "DIFFERENT")
            return
        self._missing += found.missing
        self._extra += found.extra
        last = self._place + len(wanted) - 1
        self._done(head, self._place if self._unheaded is None else self._unheaded, last, "DIFFERENT", found.taken)

    def _done(self, head: PublishedHead, first: int, last: int, state: State, taken: int) -> None:
        """The block is compared. What follows is compared with its published head, so that one difference isn't told again at every later head."""
        self._range(first, last, state, head.key if state == "as signed" else None)
        self._place, self._unheaded, self._head = last + 1, None, head.sha256
        self._drop(taken)

    def _beyond(self) -> None:
        """Entries after the newest head: fewer than a block wait for theirs; more should have one."""
        offsets = self._offsets
        waiting = len(offsets)
        for before, offset in pairwise(offsets):
            if offset != before + 1:
                self._tell("removed", before + 1, offset - 1, f"the journal's own numbering jumps from {before} to {offset}")
        first = self._ranges.pop().first_offset if self._ranges and self._ranges[-1].state in {"NO HEAD", "no head yet"} else self._place
        last = self._place + waiting - 1
        self._range(first, last, "NO HEAD" if last - first + 1 >= BLOCK_ENTRIES else "no head yet")
        self._place = last + 1
        self._drop(waiting)

    def _drop(self, count: int) -> None:
        del self._digests[:count], self._offsets[:count]

    def _range(self, first: int, last: int, state: State, key: str | None = None) -> None:
        newest = self._ranges[-1] if self._ranges else None
        if newest is not None and (newest.last_offset, newest.state, newest.key) == (first - 1, state, key):
            newest.last_offset = last
        else:
            self._ranges.append(Range(first, last, state, key))

    def _tell(self, kind: Kind, first: int, last: int, detail: str) -> None:
        self._found.append(Found(kind, first, last, detail))


def _split(prints: bytes) -> list[bytes]:
    return [prints[at : at + PRINT_BYTES] for at in range(0, len(prints), PRINT_BYTES)]
