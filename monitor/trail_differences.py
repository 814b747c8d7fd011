"""What differs between two sequences of entries, in words: changed, removed, inserted, swapped, moved.

Entries are compared by the beginnings of their SHA-256s, as heads of the audit trail show them. Pure; called by `monitor.trail_check`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Literal, NamedTuple

Kind = Literal["changed", "removed", "inserted", "swapped", "moved", "cut", "unlike", "contradiction"]


class Missing(NamedTuple):
    """An entry that was published and isn't where it was."""

    offset: int
    print: bytes


class Extra(NamedTuple):
    """An entry that isn't one of those that were published. It stands in the place of, or before, the one that was published at `place`."""

    place: int
    offset: int
    print: bytes


class Difference(NamedTuple):
    """One thing that was done; offsets are those of the published entries."""

    kind: Kind
    first_offset: int
    last_offset: int
    detail: str


class Compared(NamedTuple):
    """What differs in a block, and how many of the journal's entries stand for it."""

    missing: list[Missing]
    extra: list[Extra]
    taken: int


def compared(place: int, want: Sequence[bytes], beyond: Sequence[bytes], got: Sequence[bytes], offsets: Sequence[int]) -> Compared | None:
    """Compare a block that begins at `place` with what the journal has; None if nothing of it is found.

    Parameters
    ----------
    want, beyond
        The published entries of the block, and those of the next one: they show what has shifted.
    got, offsets
        The journal's entries from there on, and where they stand.
    """
    both = [*want, *beyond]
    aligned = list(_aligned(both, got))
    if not any(tag == "equal" for tag, *_ in aligned):
        return None
    # Of two that changed places alignment makes more than it is; entry for entry, it is what it is.
    in_place = list(_in_place(both, got))
    chosen = min(aligned, in_place, key=_differing)
    clipped = list(_clipped(chosen, len(want)))
    return Compared(*_sides(place, clipped, both, got, offsets), clipped[-1][4])


Step = tuple[str, int, int, int, int]
"""As difflib has it: what both[i1:i2] is against got[j1:j2]."""


def _aligned(both: Sequence[bytes], got: Sequence[bytes]) -> Iterator[Step]:
    """What comes after the last published entry is none of ours: `got` is longer. Nor does it stand for what is found elsewhere."""
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, both, got, autojunk=False).get_opcodes():
        if i2 < len(both):
            yield tag, i1, i2, j1, j2
        elif tag == "replace" and not set(got[:j1]).isdisjoint(both[i1:i2]):
            yield "delete", i1, i2, j1, j1
        elif i1 < i2:
            yield tag, i1, i2, j1, min(j2, j1 + i2 - i1)


def _differing(steps: Sequence[Step]) -> int:
    """How many entries are missing or extra; one in another's place counts once."""
    return sum(max(i2 - i1, j2 - j1) for tag, i1, i2, j1, j2 in steps if tag != "equal")


def _in_place(both: Sequence[bytes], got: Sequence[bytes]) -> Iterator[Step]:
    common = min(len(both), len(got))
    for at in range(common):
        yield ("equal" if both[at] == got[at] else "replace", at, at + 1, at, at + 1)
    if common < len(both):
        yield "delete", common, len(both), common, common


def _clipped(steps: Sequence[Step], end: int) -> Iterator[Step]:
    """The steps up to, but without, the published entry `end`."""
    for tag, i1, i2, j1, j2 in steps:
        if i1 >= end:
            return
        yield (tag, i1, i2, j1, j2) if i2 <= end else (tag, i1, end, j1, min(j2, j1 + end - i1))


def _sides(
    place: int, steps: Sequence[Step], both: Sequence[bytes], got: Sequence[bytes], offsets: Sequence[int]
) -> tuple[list[Missing], list[Extra]]:
    missing, extra = [], []
    for tag, i1, i2, j1, j2 in steps:
        if tag != "equal":
            missing += [Missing(place + at, both[at]) for at in range(i1, i2)]
            extra += [Extra(place + min(i1 + at - j1, i2), offsets[at], got[at]) for at in range(j1, j2)]
    return missing, extra


def explained(missing: Sequence[Missing], extra: Sequence[Extra]) -> list[Difference]:
    """What was done, in order of the offsets."""
    moves, lost, foreign = _moves(missing, extra)
    places = {there.place: there for there in foreign}
    changed = {gone.offset for gone in lost if gone.offset in places}
    found = [*_moved(moves)]
    for offset in sorted(changed):
        now = places[offset].offset
        where = "" if now == offset else f"; what is there instead stands at offset {now} now"
        found.append(Difference("changed", offset, offset, f"it isn't the entry that was published{where}"))
    for first, last in _runs([gone.offset for gone in lost if gone.offset not in changed]):
        found.append(Difference("removed", first, last, _entries(first, last, "is gone", "are gone")))
    found += [
        Difference("inserted", there.place, there.place, f"before it stands an entry that wasn't published, at offset {there.offset} now")
        for there in foreign
        if there.place not in changed or places[there.place] is not there
    ]
    return sorted(found, key=lambda each: each.first_offset)


def _moves(missing: Sequence[Missing], extra: Sequence[Extra]) -> tuple[dict[int, Extra], list[Missing], list[Extra]]:
    """Entries that are elsewhere than they were, by their published offset; and what is missing and extra beside."""
    elsewhere: dict[bytes, list[Extra]] = defaultdict(list)
    for there in reversed(extra):
        elsewhere[there.print].append(there)
    moves, lost = {}, []
    for gone in missing:
        if elsewhere.get(gone.print):
            moves[gone.offset] = elsewhere[gone.print].pop()
        else:
            lost.append(gone)
    taken = set(moves.values())
    return moves, lost, [there for there in extra if there not in taken]


def _moved(moves: dict[int, Extra]) -> Iterator[Difference]:
    told = set()
    for offset, there in moves.items():
        place = there.place
        if offset in told:
            continue
        back = moves.get(place)
        if back is not None and back.place == offset:
            told.add(place)
        elif place == offset + 2:
            place = offset + 1  # before the second next: it has changed places with the next
        elif place != offset - 1:
            yield Difference("moved", offset, offset, f"it stands before the entry of offset {place}, at offset {there.offset} now")
            continue
        first, last = sorted((offset, place))
        yield Difference("swapped", first, last, f"the entries at offsets {first} and {last} have changed places")


def _runs(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Offsets, ascending, as runs without a gap."""
    first = last = -1
    for offset in offsets:
        if first >= 0 and offset == last + 1:
            last = offset
            continue
        if first >= 0:
            yield first, last
        first = last = offset
    if first >= 0:
        yield first, last


def _entries(first: int, last: int, one: str, many: str) -> str:
    return f"the entry {one}" if first == last else f"{last - first + 1:,} entries {many}"
