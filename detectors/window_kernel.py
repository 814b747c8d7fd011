"""Exact sliding windows: a ring of entries in the order of their times, kept event by event. Compiled.

The caller takes off what leaves at the front and writes what it puts in; its sums are integers, so that taking off gives exactly what
was before. Called by `detectors.flow_kernel` and `detectors.crowd_kernel`; the state is `detectors.window.Window`.
"""

from detectors.compiled import inlined
from detectors.contract import Ints
from detectors.tables import Table

START, COUNT, NEWEST_MS, EVICTED, BEGUN = 0, 1, 2, 3, 4
"""Places in a window's numbers: place of the oldest entry, entries, newest time of the stream, entries that went too early because the ring
was full, and whether there was an observation at all."""


@inlined
def place_of(entries: Table, numbers: Ints, at: int) -> int:
    """Place of the entry that has so many older ones."""
    place = numbers[START] + at
    return int(place - entries.size if place >= entries.size else place)


@inlined
def move_on(numbers: Ints, time_ms: int) -> int:
    """Let the stream's newest time follow; what it is now."""
    if numbers[BEGUN] == 0 or time_ms > numbers[NEWEST_MS]:
        numbers[BEGUN] = 1
        numbers[NEWEST_MS] = time_ms
    return int(numbers[NEWEST_MS])


@inlined
def leaves(entries: Table, numbers: Ints, window_ms: int) -> bool:
    """Whether the oldest entry must go: it is as old as the window is long, or the ring is full and another one comes."""
    if numbers[COUNT] == 0:
        return False
    return bool(entries[numbers[START]]["time_ms"] <= numbers[NEWEST_MS] - window_ms or numbers[COUNT] == entries.size)


@inlined
def drop_oldest(entries: Table, numbers: Ints, window_ms: int) -> None:
    """Take the oldest entry out, after the caller took it off its sums."""
    if entries[numbers[START]]["time_ms"] > numbers[NEWEST_MS] - window_ms:
        numbers[EVICTED] += 1
    numbers[START] = place_of(entries, numbers, 1)
    numbers[COUNT] -= 1


@inlined
def make_place(entries: Table, numbers: Ints, time_ms: int) -> int:
    """Place for an entry of that time, behind all that aren't newer. A late one costs a step for each newer entry."""
    at = numbers[COUNT]
    place = place_of(entries, numbers, at)
    while at > 0:
        before = place_of(entries, numbers, at - 1)
        if entries[before]["time_ms"] <= time_ms:
            break
        entries[place] = entries[before]
        place = before
        at -= 1
    numbers[COUNT] += 1
    return place
