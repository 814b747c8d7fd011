"""The surprise detector asks whether a withdrawal is, in a few respects at once, rare among the recent past of withdrawals.

Its score is the sum of its five largest surprises, in decades: a surprise of 3 is "1 in 1,000". Made by the registry.
"""

import numpy as np

from detectors.contract import Arrays, Bools, Family, Floats, Rows, Run, Scope, Scores
from detectors.surprise_kernel import score_block, score_run
from detectors.tables import restore_together
from detectors.tail import Calibration, TailBins
from detectors.words import one_in

MIDDLE = 8.0
"""Score in the middle of the calibration's cells: ordinary withdrawals are below, absurd ones reach 25."""
SHOWN = 3


class Surprise:
    """Sum of the five largest surprises among the inputs.

    Parameters
    ----------
    input_names
        What the inputs are called; the surprises are its parts under the same names.
    tail_bins
        One histogram per input. Taught and stored here; the observer reads them too.
    """

    name = "surprise"
    scope: Scope = "account"
    family: Family = "account_takeover"
    calibrated = True

    def __init__(self, input_names: tuple[str, ...], tail_bins: TailBins) -> None:
        self.part_names = input_names
        self._tail_bins = tail_bins
        self._calibration = Calibration(MIDDLE)

    def reserve(self, rows: dict[str, int]) -> None:
        """Nothing to grow: no state per entity."""

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Score a run; parts are the surprises in decades, float64 [n, k]."""
        n = len(run)
        calibration = self._calibration
        scores = Scores(np.empty(n), np.empty(n), np.full(n, calibration.ready), np.empty(inputs.shape))
        score_run(inputs, self._tail_bins.bins, calibration.p_values, calibration.middle, scores.value, scores.p_value, scores.parts)
        return scores

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Calibrate on the block's scores once the tail bins are ready, then teach the bins."""
        if self._tail_bins.ready:
            values = np.empty(len(block))
            score_block(inputs, self._tail_bins.bins, values)
            self._calibration.learn(values, teach)
        self._tail_bins.learn(inputs, teach)

    def forget(self, kind: str, rows: Rows) -> None:
        """Nothing to forget: no state per entity."""

    def explain(self, parts: Floats) -> str:
        """Such as "amount over mean 1 in 93,000; amount z 1 in 20,000"."""
        order = sorted(range(len(parts)), key=lambda part: (-parts[part], part))[:SHOWN]
        shown = [f"{self.part_names[part].replace('_', ' ')} {one_in(float(parts[part]))}" for part in order if parts[part] > 0.0]
        return "; ".join(shown) or "nothing unusual"

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return self._tail_bins.arrays() | self._calibration.arrays()

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        restore_together(arrays, self._tail_bins, self._calibration)
