"""Decayed histograms over 512 cells and what is read from them: tail bins of inputs, p-values of scores. Compiled.

Called by `detectors.tail`, `detectors.observer_kernel` and the detectors' kernels.
"""

import numpy as np
import numpy.typing as npt

from detectors.compiled import inlined, kernel
from detectors.contract import Bools, Floats
from detectors.elementary import log10

CELLS = 512
GROWTH = 1.0000069314958282
"""2 to the power of 1/100,000: each event weighs that much more than the one before, so weights halve in 100,000 events."""
INCREMENT_MAX = 1099511627776.0
"""2^40: when the weight of an event reaches it, all weights are divided by it, which is exact."""
SEEN_MIN = 1_024
"""Observations below which tails say nothing: every bin is FIRST_BIN."""
SCORES_MIN = 2_000
"""Scores below which a p-value would be too coarse to decide anything: it is 1."""
FIRST_BIN = 16
"""Bin of an unremarkable value: upper tails are above it, lower tails below."""
BINS_PER_DECADE = 6.0

INCREMENT, TOTAL, SEEN = 0, 1, 2
"""Places in `numbers`: weight of the next event, weight of all, count of events."""


@inlined
def cell_of(value: float) -> int:
    """Cell of a value in [0, 1)."""
    cell = int(value * CELLS)
    return min(max(cell, 0), CELLS - 1)


@inlined
def surprise_of_bin(tail_bin: int) -> float:
    """Decades: a value in this bin is 1 in 10 to the power of that."""
    return max(0.0, (tail_bin - FIRST_BIN) / BINS_PER_DECADE)


@kernel
def add_inputs(inputs: Floats, teach: Bools, known: int, cells: Floats, seen: Floats, numbers: Floats) -> None:
    """Add the taught rows to the histograms: inputs [n, k or more] in [0, 1), cells float64 [k, 512], seen float64 [k].

    From column `known` on, 0 is unknown and isn't counted.
    """
    for i in range(teach.size):
        if teach[i]:
            weight = numbers[INCREMENT]
            for column in range(cells.shape[0]):
                if column < known or inputs[i, column] > 0.0:
                    cells[column, cell_of(inputs[i, column])] += weight
                    seen[column] += 1.0
            numbers[TOTAL] += weight
            numbers[SEEN] += 1.0
            numbers[INCREMENT] = weight * GROWTH
    if numbers[INCREMENT] > INCREMENT_MAX:
        for column in range(cells.shape[0]):
            for cell in range(CELLS):
                cells[column, cell] /= INCREMENT_MAX
        numbers[TOTAL] /= INCREMENT_MAX
        numbers[INCREMENT] /= INCREMENT_MAX


@kernel
def map_bins(cells: Floats, seen: Floats, bins: npt.NDArray[np.uint8]) -> None:
    """Tail bin of each cell, 0 to 63.

    With u and l the shares of the past at or above and at or below the cell, never smaller than 1 in the events seen + 1:
    16 + floor(6 (-log10 2u)) if u <= l, else 15 - floor(3 (-log10 2l)).
    """
    for column in range(cells.shape[0]):
        if seen[column] < SEEN_MIN:
            continue
        least = 1.0 / (seen[column] + 1.0)
        total = 0.0
        for cell in range(CELLS):
            total += cells[column, cell]
        below = 0.0
        for cell in range(CELLS):
            upper = max((total - below) / total, least)
            below += cells[column, cell]
            lower = max(below / total, least)
            if upper <= lower:
                tail_bin = FIRST_BIN + np.floor(-BINS_PER_DECADE * log10(2.0 * upper))
            else:
                tail_bin = FIRST_BIN - 1 - np.floor(-0.5 * BINS_PER_DECADE * log10(2.0 * lower))
            bins[column, cell] = np.uint8(min(max(tail_bin, 0.0), 63.0))


@inlined
def score_cell(score: float, middle: float) -> int:
    """Cell of a score >= 0; `middle` is the score that falls into the middle cell."""
    return cell_of(score / (score + middle))


@kernel
def add_scores(scores: Floats, teach: Bools, middle: float, cells: Floats, numbers: Floats, p_values: Floats) -> None:
    """Add a block's scores to a detector's past and map each cell to its p-value.

    What may not teach weighs together at most as much as one observation: left out, every score above the highest allowed one would
    soon look extreme; counted whole, an attack would make itself ordinary.
    """
    kept_out = 0
    for i in range(teach.size):
        if not teach[i]:
            kept_out += 1
    for i in range(teach.size):
        weight = numbers[INCREMENT]
        if not teach[i]:
            weight /= kept_out
        cells[score_cell(scores[i], middle)] += weight
        numbers[TOTAL] += weight
        numbers[SEEN] += 1.0
        numbers[INCREMENT] *= GROWTH
    if numbers[INCREMENT] > INCREMENT_MAX:
        for cell in range(CELLS):
            cells[cell] /= INCREMENT_MAX
        numbers[TOTAL] /= INCREMENT_MAX
        numbers[INCREMENT] /= INCREMENT_MAX
    if numbers[SEEN] < SCORES_MIN:
        return
    total = 0.0
    for cell in range(CELLS):
        total += cells[cell]
    least = 1.0 / (numbers[SEEN] + 1.0)
    above = 0.0
    for k in range(CELLS):
        cell = CELLS - 1 - k
        above += cells[cell]
        p_values[cell] = min(max(above / total, least), 1.0)
