"""Growing, walking and counting of half-space trees, kept as flat arrays: the children of node i are 2i + 1 and 2i + 2. Compiled.

Called by `detectors.half_space_trees` only; its plain twin is in tests/unit/test_detector_half_space_trees.py.
"""

import numpy as np
import numpy.typing as npt

from detectors.compiled import inlined, kernel
from detectors.contract import Bools, Floats
from detectors.elementary import log10
from detectors.tail_kernel import cell_of, score_cell

DEPTH = 8
NODES = 511
TAIL_BINS = 64.0
PADDING = 0.15
"""A split keeps this share of its cell's width away from the borders, so that no half is empty."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
FIRST_MIX = np.uint64(0xBF58476D1CE4E5B9)
SECOND_MIX = np.uint64(0x94D049BB133111EB)


@inlined
def mixed(z: np.uint64) -> np.uint64:
    """The output function of splitmix64 (Steele, Lea, Flood, OOPSLA 2014)."""
    z = (z ^ (z >> np.uint64(30))) * FIRST_MIX
    z = (z ^ (z >> np.uint64(27))) * SECOND_MIX
    return z ^ (z >> np.uint64(31))


@inlined
def uniform(seed: np.uint64, draw: int) -> float:
    """The draw-th number in [0, 1) of the stream of a seed, 53 bits."""
    z = mixed(mixed(seed) + np.uint64(draw + 1) * GOLDEN)
    return float(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@kernel
def grow_tree(seed: np.uint64, split_input: npt.NDArray[np.uint8], split_at: Floats, borders: Floats) -> None:
    """Draw the splits of one tree: an input with a chance like its cell's width, and a place in it.

    `borders` [2, k] is room to work in: the node's cell.
    """
    low, high = borders
    columns = low.size
    for node in range(NODES // 2):
        low[:] = 0.0
        high[:] = 1.0
        # The way from the root: the binary digits of node + 1 after the first.
        depth = 0
        while (node + 1) >> (depth + 1):
            depth += 1
        at = 0
        for level in range(depth):
            right = ((node + 1) >> (depth - 1 - level)) & 1
            if right:
                low[split_input[at]] = split_at[at]
            else:
                high[split_input[at]] = split_at[at]
            at = 2 * at + 1 + right
        width = 0.0
        for column in range(columns):
            width += high[column] - low[column]
        drawn = uniform(seed, 2 * node) * width
        column = 0
        while column < columns - 1 and drawn >= high[column] - low[column]:
            drawn -= high[column] - low[column]
            column += 1
        share = PADDING + (1.0 - 2.0 * PADDING) * uniform(seed, 2 * node + 1)
        split_input[node] = column
        split_at[node] = low[column] + share * (high[column] - low[column])


@inlined
def place_row(inputs: Floats, bins: npt.NDArray[np.uint8], places: Floats) -> None:
    """A row's place in both spaces, [2, k]: the inputs themselves, and their tail bins over 64."""
    for column in range(places.shape[1]):
        places[0, column] = inputs[column]
        places[1, column] = bins[column, cell_of(inputs[column])] / TAIL_BINS


@kernel
def score_run(
    inputs: Floats, bins: npt.NDArray[np.uint8], split_input: npt.NDArray[np.uint8], split_at: Floats, decades: Floats, p_values: Floats,
    middle: float, value: Floats, p_value: Floats, parts: Floats,
) -> None:  # fmt: skip
    """Score each row: minus the mean of its leaves' decades, its p-value, and what each input's splits add."""
    trees = split_input.shape[0]
    places = np.empty((2, parts.shape[1]))
    for i in range(inputs.shape[0]):
        place_row(inputs[i], bins, places)
        total = 0.0
        for tree in range(trees):
            node = 0
            place = places[tree % 2]
            for _ in range(DEPTH):
                column = split_input[tree, node]
                child = 2 * node + 1 + (1 if place[column] >= split_at[tree, node] else 0)
                parts[i, column] += (decades[tree, node] - decades[tree, child]) / trees
                node = child
            total -= decades[tree, node]
        value[i] = max(total / trees, 0.0)
        p_value[i] = p_values[score_cell(value[i], middle)]


@kernel
def learn_block(
    inputs: Floats,
    bins: npt.NDArray[np.uint8],
    teach: Bools,
    split_input: npt.NDArray[np.uint8],
    split_at: Floats,
    counts: Floats,
    decades: Floats,
    window: int,
    value: Floats,
) -> bool:
    """Score a block again (by the same reference) and count its taught rows; whether the counts became the reference."""
    trees = split_input.shape[0]
    places = np.empty((2, bins.shape[0]))
    for i in range(inputs.shape[0]):
        place_row(inputs[i], bins, places)
        total = 0.0
        for tree in range(trees):
            node = 0
            place = places[tree % 2]
            add = 1.0 if teach[i] else 0.0
            counts[tree, 0] += add
            for _ in range(DEPTH):
                node = 2 * node + 1 + (1 if place[split_input[tree, node]] >= split_at[tree, node] else 0)
                counts[tree, node] += add
            total -= decades[tree, node]
        value[i] = max(total / trees, 0.0)
    if counts[0, 0] < window:
        return False
    all_taught = counts[0, 0] + 1.0
    for tree in range(trees):
        for node in range(NODES):
            decades[tree, node] = log10((counts[tree, node] + 1.0) / all_taught)
            counts[tree, node] = 0.0
    return True
