"""What the detectors' tests do with the seeded streams of `detectors.trial`.

No product code. Used by the tests named test_detector*.
"""

import random

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS
from detectors.panel import Panel
from detectors.trial import ROWS, START_MS, Stream, cut, cuts, stream

__all__ = ["ROWS", "START_MS", "Stream", "cut", "cuts", "fold_all", "state_of", "stream"]


def fold_all(panel: Panel, given: Stream, longest: int = BLOCK_OBSERVATIONS, start: int = 0, chance: random.Random | None = None) -> list[bytes]:
    """Fold a stream from a block's beginning, teaching at the ends of blocks; what came out, stretches put together."""
    out: dict[str, list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]] = {}
    for first, last in cuts(len(given.run) - start, longest, chance):
        inputs, scores = panel.fold(cut(given.run, start + first, start + last))
        out.setdefault("inputs", []).append(inputs)
        for name, one in scores.items():
            for what in ("value", "p_value", "ready", "parts"):
                out.setdefault(f"{name}.{what}", []).append(getattr(one, what))
        if panel.room == 0:
            panel.learn(given.teach[start + last - BLOCK_OBSERVATIONS : start + last])
    return [np.concatenate(pieces).tobytes() for pieces in out.values()]


def state_of(panel: Panel) -> dict[str, bytes]:
    """The panel's whole state."""
    return {name: array.tobytes() for name, array in panel.arrays().items()}
