"""From nats to p-values that the past bears out: honest crowds, bursts and sums are heavier than any formula says.

Each statistic of a detector has a limit that the highest of a block exceeds in one block of 675. Where honest traffic exceeds what
the formula allows, the limit rises, and with it the over-dispersion by which all nats are divided. Used by the scope monitors.
"""

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, Arrays, Bools, Floats, Ints, Scores
from detectors.excess_kernel import ONCE_NATS, follow, weigh
from detectors.tables import restore_fixed

BLOCKS_MIN = 8
DAY_MS = 86_400_000


class Excess:
    """Limits of k statistics; READY after 2,048 observations and a day of the stream.

    Parameters
    ----------
    dispersions
        Over-dispersion of each statistic, at least.
    """

    def __init__(self, dispersions: tuple[float, ...]) -> None:
        self.columns = len(dispersions)
        self._least: Floats = ONCE_NATS * np.array(dispersions)
        self._limits: Floats = self._least.copy()
        self._notes: Floats = np.zeros((BLOCK_OBSERVATIONS, self.columns))
        self._alarmed: Bools = np.zeros(BLOCK_OBSERVATIONS, np.bool_)
        self._numbers: Ints = np.zeros(4, np.int64)  # observations of the open block, blocks, first observation in ms, blocks since READY

    def filled(self, n: int) -> int:
        """Observations of the open block so far; ValueError if a run of n crosses its end."""
        filled = int(self._numbers[0])
        if filled + n > BLOCK_OBSERVATIONS:
            raise ValueError(f"a run of {n} observations crosses the block's end: room for {BLOCK_OBSERVATIONS - filled}")
        return filled

    def weigh(self, times_ms: Ints, nats: Floats, parts: int, warm_ms: int = DAY_MS) -> tuple[Scores, Floats]:
        """Scores of a run from its nats [n, k], with parts [n, parts] to be written, and the number of the statistic that decided each."""
        n = len(nats)
        filled = self.filled(n)
        scores = Scores(np.empty(n), np.empty(n), np.empty(n, np.bool_), np.empty((n, parts)))
        winner = np.empty(n)
        if n and filled == 0 and self._numbers[1] == 0:
            self._numbers[2] = times_ms[0]
        weigh(nats, self._limits, self._notes, self._alarmed, filled, scores.value, scores.p_value, winner)
        scores.ready[:] = (self._numbers[1] >= BLOCKS_MIN) & (times_ms - self._numbers[2] >= warm_ms)
        scores.p_value[~scores.ready] = 1.0
        if n and self._numbers[3] == 0 and scores.ready[-1]:
            self._numbers[3] = 1
        self._numbers[0] += n
        return scores, winner

    def alarmed(self, n: int) -> Bools:
        """Which of the block's n observations are odd enough to teach ten times slower: 1 in 10,000 by any statistic."""
        return self._alarmed[:n]

    def learn(self, teach: Bools) -> None:
        """End a block: its highest nats move the limits."""
        if self._numbers[3] > 0:  # what a detector finds odd before it knows anything would blunt it for weeks
            follow(self._notes, teach, float(self._numbers[3]), self._least, self._limits)
            self._numbers[3] += 1
        self._numbers[0] = 0
        self._numbers[1] += 1

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return {"limits": self._limits, "nats": self._notes, "alarmed": self._alarmed, "excess": self._numbers}

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        restore_fixed(self.arrays(), arrays)
        if not 0 <= self._numbers[0] <= BLOCK_OBSERVATIONS:
            raise ValueError(f"excess: expected 0 to {BLOCK_OBSERVATIONS} observations in the open block, got {self._numbers[0]}")
