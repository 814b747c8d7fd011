"""A flow: what went through each entity (wallet, asset, provider, or everything) in a window that slides event by event, against its past.

Statistics: of three marks (a fourth is the control), how many observations have them, as the bound of a Poisson tail against the entity's 5-day rate or of a binomial
tail against its share, whichever is odder; of two sums, how far they are above the entity's tracked 99 % sum. Both give way to a rise of the traffic that isn't marked: a busy hour, or a run on
the exchange, in which also the marked share may rise. Used by the scope monitors; the loops are in `detectors.flow_kernel`.
"""

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, Arrays, Bools, Floats, Ints, Rows
from detectors.flow_kernel import MARKS, SUMS, Marks, flow_learn, flow_run
from detectors.tables import RowTable, check_names, copy_into
from detectors.window import Window

ROW = np.dtype([
    ("serial", np.uint32), ("count", np.int32), ("marked", np.int32, (MARKS,)), ("sums", np.int64, (SUMS,)),
    ("first_ms", np.int64), ("taught_ms", np.int64), ("sampled_ms", np.int64), ("told_ms", np.int64, (MARKS,)),
    ("taught", np.float64), ("count_5d", np.float64), ("told", np.float64, (MARKS,)), ("marked_5d", np.float64, (MARKS,)),
    ("peak", np.float64), ("peak_ms", np.int64), ("samples", np.float64), ("log_limits", np.float64, (SUMS,)),
], align=True)  # fmt: skip
ENTRY = np.dtype([
    ("time_ms", np.int64), ("row", np.int32), ("serial", np.uint32), ("marks", np.uint8, (MARKS,)), ("sums", np.int64, (SUMS,)),
], align=True)  # fmt: skip
FIXED = 1024.0
"""Sums are kept in units of 1/1024, as integers: they end exactly where they began."""


class Flow:
    """Windows of one length over the rows of one kind.

    Parameters
    ----------
    window_ms
        Length of the window.
    expected_min
        Marked observations to expect in a window, at least, of each mark: with 0.2 an otherwise quiet entity is at 1e-6 from about eight at once on.
    """

    def __init__(self, window_ms: int, expected_min: tuple[float, float, float]) -> None:
        self._expected_min: Floats = np.array(expected_min)
        self._table = RowTable(ROW)
        self._window = Window(ENTRY, window_ms)
        self._serial: Ints = np.zeros(1, np.int64)
        self._note_sums: Ints = np.zeros((BLOCK_OBSERVATIONS, SUMS), np.int64)

    def reserve(self, count: int) -> None:
        """Have at least so many rows."""
        self._table.reserve(count)

    def fold(
        self, times: Ints, rows: Rows, marks: Marks, sums: Ints, scored: Bools, filled: int, nats: Floats, facts: Floats,
    ) -> None:  # fmt: skip
        """Take a run in; write nats float64 [n, 6] and facts float64 [n, 14] of what is `scored`. `filled`: observations of the block before it."""
        window = self._window
        flow_run(
            times, rows, marks, sums, scored, self._table.rows, window.entries, window.numbers, self._serial, window.window_ms, self._expected_min,
            self._note_sums, filled, nats, facts,
        )  # fmt: skip

    def learn(self, times: Ints, rows: Rows, marks: Marks, slow: Bools, teach: Bools) -> None:
        """Teach from a block; what is `slow` or may not teach counts a tenth."""
        flow_learn(times, rows, marks, slow, teach, self._table.rows, self._window.window_ms, self._note_sums)
        self._window.make_room()

    def forget(self, rows: Rows) -> None:
        """Reset rows; entries of theirs count for nobody."""
        self._table.forget(rows)

    def use(self) -> tuple[int, int, int]:
        """Entries in use, their limit, and how many went too early."""
        return self._window.use()

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return self._window.arrays() | {"rows": self._table.as_bytes(), "serial": self._serial, "note_sums": self._note_sums}

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        self._table.take("rows", arrays["rows"])
        copy_into("serial", self._serial, arrays["serial"])
        copy_into("note_sums", self._note_sums, arrays["note_sums"])
        self._window.restore({name: arrays[name] for name in ("entries", "window")})
        rows = self._window.entries["row"]
        if rows.min() < 0 or rows.max() >= max(self._table.count, 1):
            raise ValueError(f"entries: expected rows from 0 to below {self._table.count}")
