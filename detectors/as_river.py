"""One of our detectors as river sees detectors: `score_one` and `learn_one` on dicts of numbers, so that river's own checks and tools run on it.

For studies, never in the core. Only detectors that look at inputs alone can be shown: river's observations have no accounts or wallets.
Importing this imports river, which takes seconds.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
from river import base

from detectors.contract import BLOCK_OBSERVATIONS, Bools, Detector, Floats, Run, observations
from detectors.half_space_trees import HalfSpaceTrees
from detectors.tail import TailBins


class AsRiver(base.AnomalyDetector):
    """A detector of ours over named numbers.

    The names are those of the first observation that is learnt; later ones that aren't among them are left out, missing ones count as 0. A
    number x becomes x/(1 + |x|), moved into (0, 1), as our detectors' inputs are. It learns in blocks of 256, as always.

    Parameters
    ----------
    detector
        Which: half_space_trees.

    Examples
    --------
    >>> shown = AsRiver()
    >>> shown.score_one({"amount": 3.0})
    0.0
    >>> shown.learn_one({"amount": 3.0})
    """

    KINDS: ClassVar[dict[str, Callable[[tuple[str, ...], TailBins], Detector]]] = {"half_space_trees": HalfSpaceTrees}

    def __init__(self, detector: str = "half_space_trees") -> None:
        if detector not in self.KINDS:
            raise ValueError(f"{detector} can't be shown to river; {', '.join(self.KINDS)} can")
        self.detector = detector
        self._detector: Detector | None = None
        self._names: tuple[str, ...] = ()
        self._tail_bins = TailBins(0, 0)
        self._block: Run = observations(BLOCK_OBSERVATIONS, amount=1.0, amount_base=1.0)
        self._inputs: Floats = np.zeros((BLOCK_OBSERVATIONS, 0))
        self._filled = 0

    def score_one(self, x: dict[base.typing.FeatureName, Any]) -> float:
        """The detector's score; 0 before anything was learnt."""
        if self._detector is None:
            return 0.0
        return float(self._detector.fold(self._block[:1], self._row(x).reshape(1, -1)).value[0])

    def learn_one(self, x: dict[base.typing.FeatureName, Any]) -> None:
        """Take one observation; the detector learns at the end of the block. Raises ValueError for a number that isn't finite."""
        if self._detector is None:
            self._names = tuple(sorted(str(name) for name in x))
            self._tail_bins = TailBins(len(self._names), len(self._names))
            self._detector = self.KINDS[self.detector](self._names, self._tail_bins)
            self._detector.reserve({"account": 1, "address": 1, "asset": 1})
            self._inputs = np.zeros((BLOCK_OBSERVATIONS, len(self._names)))
        self._inputs[self._filled] = self._row(x)
        self._filled += 1
        if self._filled == BLOCK_OBSERVATIONS:
            teach: Bools = np.ones(BLOCK_OBSERVATIONS, np.bool_)
            self._tail_bins.learn(self._inputs, teach)
            self._detector.learn(self._block, self._inputs, teach)
            self._filled = 0

    @classmethod
    def _unit_test_params(cls) -> Iterator[dict[str, Any]]:
        for detector in cls.KINDS:
            yield {"detector": detector}

    def _row(self, x: dict[base.typing.FeatureName, Any]) -> Floats:
        given = {str(name): float(number) for name, number in x.items()}
        row = np.array([given.get(name, 0.0) for name in self._names])
        if not np.isfinite(row).all():
            raise ValueError("a number isn't finite")
        squashed: Floats = 0.5 + 0.5 * row / (1.0 + np.abs(row))
        return squashed
