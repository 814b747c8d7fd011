"""Surprises of a run by the map from cells to tail bins. Compiled; called by `detectors.surprise` only."""

import numpy as np
import numpy.typing as npt

from detectors.compiled import kernel
from detectors.contract import Floats
from detectors.tail_kernel import cell_of, largest_five, score_cell, surprise_of_bin


@kernel
def score_run(inputs: Floats, bins: npt.NDArray[np.uint8], p_values: Floats, middle: float, value: Floats, p_value: Floats, parts: Floats) -> None:
    """Score each row: the sum of its five largest surprises, its p-value, and all its surprises as parts."""
    for i in range(inputs.shape[0]):
        for column in range(inputs.shape[1]):
            parts[i, column] = surprise_of_bin(bins[column, cell_of(inputs[i, column])])
        value[i] = largest_five(inputs, i, inputs.shape[1], bins)
        p_value[i] = p_values[score_cell(value[i], middle)]


@kernel
def score_block(inputs: Floats, bins: npt.NDArray[np.uint8], value: Floats) -> None:
    """The scores alone."""
    for i in range(inputs.shape[0]):
        value[i] = largest_five(inputs, i, inputs.shape[1], bins)
