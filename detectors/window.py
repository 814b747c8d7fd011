"""The state of an exact sliding window: a ring of entries that grows at the ends of blocks, up to its limit.

Nothing of what the entries mean; the loops are in `detectors.window_kernel`. Used by `detectors.flow` and `detectors.crowd`.
"""

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, Arrays, Ints
from detectors.tables import Table, check_names, copy_into
from detectors.window_kernel import COUNT, EVICTED, START

FIRST_ENTRIES = 4_096
ENTRIES_MAX = 262_144
"""Entries of one window: 145 observations a second for half an hour, 3 for a day. A full ring drops its oldest entry for each new one."""


class Window:
    """Entries in the order of time.

    Attributes
    ----------
    entries : structured [capacity], with a field time_ms
        For kernels; replaced when the ring grows, so never keep a reference.
    numbers : int64 [5]
    """

    def __init__(self, entry: np.dtype[np.void], window_ms: int) -> None:
        self.window_ms = window_ms
        self.entries: Table = np.zeros(FIRST_ENTRIES, entry)
        self.numbers: Ints = np.zeros(5, np.int64)

    def make_room(self) -> None:
        """At the end of a block: room for the next one, as far as the limit allows."""
        capacity = len(self.entries)
        if self.numbers[COUNT] + BLOCK_OBSERVATIONS <= capacity or capacity == ENTRIES_MAX:
            return
        grown: Table = np.zeros(min(2 * capacity, ENTRIES_MAX), self.entries.dtype)
        grown[:capacity] = np.roll(self.entries, -int(self.numbers[START]))
        self.entries = grown
        self.numbers[START] = 0

    def use(self) -> tuple[int, int, int]:
        """Entries in use, their limit, and how many went too early."""
        return int(self.numbers[COUNT]), ENTRIES_MAX, int(self.numbers[EVICTED])

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return {"entries": self.entries.view(np.uint8).reshape(len(self.entries), self.entries.dtype.itemsize), "window": self.numbers}

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        copy_into("window", self.numbers, arrays["window"])
        entries, width = arrays["entries"], self.entries.dtype.itemsize
        if entries.dtype != np.uint8 or entries.ndim != 2 or entries.shape[1] != width or not FIRST_ENTRIES <= len(entries) <= ENTRIES_MAX:
            raise ValueError(f"entries: expected uint8 [{FIRST_ENTRIES} to {ENTRIES_MAX}, {width}], got {entries.dtype} {list(entries.shape)}")
        if not (0 <= self.numbers[START] < len(entries) and 0 <= self.numbers[COUNT] <= len(entries)):
            raise ValueError(f"window: expected places below {len(entries)}, got {self.numbers.tolist()}")
        self.entries = np.zeros(len(entries), self.entries.dtype)
        self.arrays()["entries"][:] = entries
