"""How rare a number is against the recent past: tail bins of the inputs, and p-values of a detector's scores.

Holds the state; the loops are in `detectors.tail_kernel`. Used by the observer and by the detectors.
"""

import numpy as np
import numpy.typing as npt

from detectors.contract import BLOCK_OBSERVATIONS, Arrays, Bools, Floats
from detectors.tables import restore_fixed
from detectors.tail_kernel import CELLS, FIRST_BIN, INCREMENT, SCORES_MIN, SEEN, SEEN_MIN, add_inputs, add_scores, map_bins

MAP_EVERY_BLOCKS = 8
"""The map from cells to bins is rebuilt every 2,048 observations, at first every block."""


class TailBins:
    """One decayed histogram per input, and the tail bin of each cell.

    Parameters
    ----------
    columns
        Inputs, the first of those that are given.
    known
        Inputs before this one are always known; from it on, 0 is unknown and isn't counted.

    Attributes
    ----------
    bins : uint8 [columns, 512]
        Tail bin of each cell, rebuilt at the ends of blocks.
    """

    def __init__(self, columns: int, known: int) -> None:
        self._known = known
        self.bins: npt.NDArray[np.uint8] = np.full((columns, CELLS), FIRST_BIN, np.uint8)
        self._cells: Floats = np.zeros((columns, CELLS))
        self._seen: Floats = np.zeros(columns)
        self._numbers: Floats = np.zeros(3)
        self._numbers[INCREMENT] = 1.0
        self._blocks = np.zeros(1, np.int64)

    @property
    def ready(self) -> bool:
        """Whether enough was seen for the bins to mean something."""
        return bool(self._numbers[SEEN] >= SEEN_MIN)

    def learn(self, inputs: Floats, teach: Bools) -> None:
        """Take a block's taught inputs, float64 [256, columns or more] in [0, 1)."""
        add_inputs(inputs, teach, self._known, self._cells, self._seen, self._numbers)
        self._blocks[0] += 1
        if self._blocks[0] % MAP_EVERY_BLOCKS == 0 or self._numbers[SEEN] < 2 * MAP_EVERY_BLOCKS * BLOCK_OBSERVATIONS:
            map_bins(self._cells, self._seen, self.bins)

    def arrays(self) -> Arrays:
        """The whole state."""
        return {"bins": self.bins, "cells": self._cells, "seen": self._seen, "numbers": self._numbers, "blocks": self._blocks}

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        restore_fixed(self.arrays(), arrays)


class Calibration:
    """The recent past of one detector's scores, as a p-value for each cell.

    1 while fewer than 2,000 scores were seen (the detector is WARMING). Then a p-value is the share of the past (half-life 100,000 observations) in the score's cell or above, never smaller than 1 in the
    scores seen + 1.

    Attributes
    ----------
    middle : float
        The score that falls into the middle of the 512 cells.
    p_values : float64 [512]
    """

    def __init__(self, middle: float) -> None:
        self.middle = middle
        self.p_values: Floats = np.ones(CELLS)
        self._cells: Floats = np.zeros(CELLS)
        self._numbers: Floats = np.zeros(3)
        self._numbers[INCREMENT] = 1.0

    @property
    def ready(self) -> bool:
        """Whether enough scores were seen for a p-value."""
        return bool(self._numbers[SEEN] >= SCORES_MIN)

    def learn(self, scores: Floats, teach: Bools) -> None:
        """Take a block's scores, float64 [256], all >= 0."""
        add_scores(scores, teach, self.middle, self._cells, self._numbers, self.p_values)

    def arrays(self) -> Arrays:
        """The whole state."""
        return {"p_values": self.p_values, "past_cells": self._cells, "past_numbers": self._numbers}

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        restore_fixed(self.arrays(), arrays)
