"""Half-space trees equal a plain twin bit for bit; what lies where nothing was scores high, and the parts add up to the score."""

import numpy as np
import pytest

from detectors.contract import BLOCK_OBSERVATIONS, observations
from detectors.half_space_trees import SEED, TREES, HalfSpaceTrees
from detectors.tail import TailBins
from tests.unit.detector_twins import TailTwin, cell, log10

NAMES = ("a", "b", "new_pair")
WHOLE = 1 << 64
RUN = observations(BLOCK_OBSERVATIONS, amount=1.0, amount_base=1.0)


def mixed(z: int) -> int:
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % WHOLE
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB % WHOLE
    return z ^ (z >> 31)


class TreeTwin:
    """One node and, below it, its halves."""

    def __init__(self, seed: int, cell: list[tuple[float, float]], node: int = 0, depth: int = 8) -> None:
        self.count, self.decades = 0.0, 0.0
        self.halves: tuple[TreeTwin, TreeTwin] | None = None
        if depth == 0:
            return
        draws = [(mixed((mixed(seed) + (2 * node + k + 1) * 0x9E3779B97F4A7C15) % WHOLE) >> 11) / 2.0**53 for k in (0, 1)]
        width = 0.0
        for low, high in cell:
            width += high - low
        left = draws[0] * width
        self.column = 0
        while self.column < len(cell) - 1 and left >= cell[self.column][1] - cell[self.column][0]:
            left -= cell[self.column][1] - cell[self.column][0]
            self.column += 1
        low, high = cell[self.column]
        self.at = low + (0.15 + (1.0 - 2.0 * 0.15) * draws[1]) * (high - low)
        below = [side if k != self.column else (low, self.at) for k, side in enumerate(cell)]
        above = [side if k != self.column else (self.at, high) for k, side in enumerate(cell)]
        self.halves = (TreeTwin(seed, below, 2 * node + 1, depth - 1), TreeTwin(seed, above, 2 * node + 2, depth - 1))

    def way(self, row: list[float]) -> "list[TreeTwin]":
        if self.halves is None:
            return [self]
        return [self, *self.halves[row[self.column] >= self.at].way(row)]

    def settle(self, total: float) -> None:
        self.decades, self.count = log10((self.count + 1.0) / total), 0.0
        for half in self.halves or ():
            half.settle(total)


def places(row: list[float], tail: TailTwin) -> list[list[float]]:
    """What each tree splits: the row itself, or its tail bins."""
    return [row, [bins[cell(value)] / 64.0 for value, bins in zip(row, tail.bins, strict=True)]] * (TREES // 2)


def sum_of(decades: list[float]) -> float:
    total = 0.0
    for decade in decades:
        total -= decade
    return total


def test_scores_equal_the_twin() -> None:
    tail_bins, tail = TailBins(len(NAMES), len(NAMES)), TailTwin(len(NAMES), len(NAMES))
    detector = HalfSpaceTrees(NAMES, tail_bins)
    trees = [TreeTwin(SEED + k, [(0.0, 1.0)] * len(NAMES)) for k in range(TREES)]
    rng = np.random.default_rng(6)
    for _ in range(12):
        inputs = rng.beta(2.0, 5.0, (BLOCK_OBSERVATIONS, len(NAMES)))
        teach = rng.random(BLOCK_OBSERVATIONS) < 0.9
        scores = detector.fold(RUN, inputs)
        for i, row in enumerate(inputs.tolist()):
            assert scores.value[i] == max(
                sum_of([tree.way(place)[-1].decades for tree, place in zip(trees, places(row, tail), strict=True)]) / TREES, 0.0
            )
        tail_bins.learn(inputs, teach)
        tail.learn(inputs.tolist(), teach.tolist())
        detector.learn(RUN, inputs, teach)
        for row, may in zip(inputs.tolist(), teach.tolist(), strict=True):
            for tree, place in zip(trees, places(row, tail), strict=True):
                for node in tree.way(place):
                    node.count += float(may)
        if trees[0].count >= 1024:
            for tree in trees:
                tree.settle(tree.count + 1.0)
    assert scores.value.std() > 0.05


def taught() -> HalfSpaceTrees:
    tail_bins = TailBins(len(NAMES), len(NAMES))
    detector = HalfSpaceTrees(NAMES, tail_bins)
    rng = np.random.default_rng(7)
    for _ in range(14):
        inputs, everything = rng.uniform(0.2, 0.4, (BLOCK_OBSERVATIONS, len(NAMES))), np.ones(BLOCK_OBSERVATIONS, np.bool_)
        tail_bins.learn(inputs, everything)
        detector.learn(RUN, inputs, everything)
    return detector


def test_what_lies_where_nothing_was_scores_high() -> None:
    detector = taught()
    inputs = np.full((BLOCK_OBSERVATIONS, len(NAMES)), 0.3)
    inputs[0] = (0.3, 0.3, 0.99)
    scores = detector.fold(RUN, inputs)
    assert scores.ready.all() and scores.value[0] > scores.value[1] + 0.5
    assert scores.p_value[0] < 1e-3
    assert scores.p_value[1] > 0.1
    assert scores.parts[0].argmax() == 2
    assert scores.parts.sum(axis=1) == pytest.approx(scores.value)
    assert detector.explain(scores.parts[0]).startswith("1 in ") and "new pair 1 in" in detector.explain(scores.parts[0])


def test_what_may_not_teach_is_not_learnt() -> None:
    detector = taught()
    inputs = np.full((BLOCK_OBSERVATIONS, len(NAMES)), 0.99)
    before = detector.fold(RUN, inputs).value[0]
    for _ in range(8):
        detector.learn(RUN, inputs, np.zeros(BLOCK_OBSERVATIONS, np.bool_))
    assert detector.fold(RUN, inputs).value[0] == before
    for _ in range(8):
        detector.learn(RUN, inputs, np.ones(BLOCK_OBSERVATIONS, np.bool_))
    assert detector.fold(RUN, inputs).value[0] < before / 10
