"""Half-space trees ask whether a withdrawal is, in all respects together, where few recent withdrawals were.

Random trees over the inputs' space count recent withdrawals per cell (S. C. Tan, K. M. Ting, T. F. Liu, Fast anomaly detection for
streaming data, IJCAI 2011). Other than there, the score is the mean over the trees of the cell's rarity in decades, so that it is a
sum of what each split adds, which explains it. Made by the registry.
"""

import numpy as np
import numpy.typing as npt

from detectors.contract import Arrays, Bools, Family, Floats, Rows, Run, Scope, Scores
from detectors.half_space_trees_kernel import NODES, grow_tree, learn_block, score_run
from detectors.tables import restore_fixed, restore_together
from detectors.tail import Calibration, TailBins
from detectors.words import one_in

TREES = 24
"""As many as a microsecond allows; every second one splits the tail bins."""
WINDOW = 1_024
"""Taught observations after which, at the end of a block, the counts become the reference."""
SEED = 20_240_531
MIDDLE = 0.7
"""Score in the middle of the calibration's cells."""
SHOWN = 3
SHOWN_MIN = 0.05


class HalfSpaceTrees:
    """24 trees of depth eight; the same splits on every machine, from a seed.

    Half of them split the inputs themselves, half their tail bins: the one finds what is far out, the other what is rare.

    Parameters
    ----------
    input_names
        What the inputs are called that are split, as the tail bins have them; the parts have the same names: what splits on the input add
        to the score, in decades.
    tail_bins
        Of those inputs, taught and stored by the lanes; read here.
    seed
        Of the splits.
    given
        What the inputs are called that it gets, column by column, if they aren't `input_names` first: then they are put in that order.
    """

    name = "half_space_trees"
    scope: Scope = "everything"
    family: Family = "multivariate"
    calibrated = True

    def __init__(self, input_names: tuple[str, ...], tail_bins: TailBins, seed: int = SEED, given: tuple[str, ...] = ()) -> None:
        self.part_names = input_names
        in_place = not given or given[: len(input_names)] == input_names
        self._columns = None if in_place else [given.index(name) for name in input_names]
        self._tail_bins = tail_bins
        self._split_input: npt.NDArray[np.uint8] = np.zeros((TREES, NODES // 2), np.uint8)
        self._split_at: Floats = np.zeros((TREES, NODES // 2))
        by_name = np.array(sorted(range(len(input_names)), key=input_names.__getitem__), np.uint8)
        for tree in range(TREES):
            grow_tree(np.uint64(seed + tree), self._split_input[tree], self._split_at[tree], np.empty((2, len(input_names))))
            self._split_input[tree] = by_name[self._split_input[tree]]  # grown over the names in order, whatever the order of columns
        self._counts: Floats = np.zeros((TREES, NODES))
        self._decades: Floats = np.zeros((TREES, NODES))
        self._windows = np.zeros(1, np.int64)
        self._calibration = Calibration(MIDDLE)

    def reserve(self, rows: dict[str, int]) -> None:
        """Nothing to grow: no state per entity."""

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Score a run; parts are what splits on each input add, in decades, float64 [n, k]."""
        n = len(run)
        calibration = self._calibration
        scores = Scores(np.empty(n), np.empty(n), np.full(n, calibration.ready), np.zeros((n, len(self.part_names))))
        score_run(
            self._ordered(inputs), self._tail_bins.bins, self._split_input, self._split_at, self._decades, calibration.p_values, calibration.middle,
            scores.value, scores.p_value, scores.parts,
        )  # fmt: skip
        return scores

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Count the block's taught observations; calibrate on all its scores once there is a reference."""
        values = np.empty(len(block))
        swapped = learn_block(
            self._ordered(inputs), self._tail_bins.bins, teach, self._split_input, self._split_at, self._counts, self._decades, WINDOW, values
        )
        if self._windows[0] > 0:
            self._calibration.learn(values, teach)
        self._windows[0] += int(swapped)

    def forget(self, kind: str, rows: Rows) -> None:
        """Nothing to forget: no state per entity."""

    def explain(self, parts: Floats) -> str:
        """Such as "1 in 120 of recent withdrawals is like this: amount z 1 in 10, new pair 1 in 4"."""
        score = 0.0
        for part in parts:
            score += float(part)
        order = sorted(range(len(parts)), key=lambda part: (-parts[part], part))[:SHOWN]
        shown = [f"{self.part_names[part].replace('_', ' ')} {one_in(float(parts[part]))}" for part in order if parts[part] > SHOWN_MIN]
        return f"{one_in(max(score, 0.0))} of recent withdrawals is like this" + (": " + ", ".join(shown) if shown else "")

    def arrays(self) -> Arrays:
        """The whole state by name; the splits follow from the seed."""
        return self._own() | self._calibration.arrays()

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        restore_together(arrays, _Trees(self._own()), self._calibration)

    def _ordered(self, inputs: Floats) -> Floats:
        return inputs if self._columns is None else np.ascontiguousarray(inputs[:, self._columns])

    def _own(self) -> Arrays:
        return {"counts": self._counts, "decades": self._decades, "windows": self._windows}


class _Trees:
    """The trees' own arrays, as a part beside the calibration."""

    def __init__(self, state: Arrays) -> None:
        self._state = state

    def arrays(self) -> Arrays:
        return self._state

    def restore(self, arrays: Arrays) -> None:
        restore_fixed(self._state, arrays)
