"""Rows for names: each account, address, asset and wallet that the detectors follow has a row in their arrays.

Bounded: when a table is over its limit at the end of a block, the longest unseen sixteenth of it is evicted. Called by `monitor.scoring`.
"""

import numpy as np

from detectors.contract import Ints, Rows

EVICTED_SHARE = 16


class Table:
    """Names of one kind to rows. Rows of evicted names are given out again, lowest first."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.rows: dict[str, int] = {}
        self.names: list[str | None] = []
        self.free: list[int] = []
        self.last_seen: Ints = np.zeros(0, dtype=np.int64)
        self.evicted = 0

    def row(self, name: str) -> int:
        """The row of a name, a new one if it has none."""
        row = self.rows.get(name)
        if row is None:
            if self.free:
                row = self.free.pop()
                self.names[row] = name
            else:
                row = len(self.names)
                self.names.append(name)
            self.rows[name] = row
        return row

    def touch(self, rows: Rows, ordinal: int) -> None:
        """These rows were seen in the block with that ordinal."""
        if len(self.last_seen) < len(self.names):
            grown = np.zeros(len(self.names) + len(self.names) // 4 + 64, dtype=np.int64)
            grown[: len(self.last_seen)] = self.last_seen
            self.last_seen = grown
        self.last_seen[rows[rows >= 0]] = ordinal

    def evict(self) -> Rows:
        """Give up the longest unseen rows if the table is over its limit; returns them, ascending."""
        if len(self.rows) <= self.limit:
            return np.zeros(0, dtype=np.int32)
        used = np.fromiter(self.rows.values(), dtype=np.int32, count=len(self.rows))
        used.sort()
        number = len(used) - self.limit + self.limit // EVICTED_SHARE
        order = np.argsort(self.last_seen[used], kind="stable")
        gone: Rows = np.sort(used[order[:number]])
        for row in gone.tolist():
            name = self.names[row]
            if name is not None:
                del self.rows[name]
            self.names[row] = None
        self.free.extend(reversed(gone.tolist()))
        self.free.sort(reverse=True)
        self.evicted += len(gone)
        return gone

    def restore(self, names: list[str | None], last_seen: Ints, evicted: int) -> None:
        """Take over names by row (None where free) and when they were seen."""
        self.names = names
        self.rows = {name: row for row, name in enumerate(names) if name is not None}
        self.free = [row for row, name in enumerate(names) if name is None]
        self.free.sort(reverse=True)
        self.last_seen = last_seen
        self.evicted = evicted
