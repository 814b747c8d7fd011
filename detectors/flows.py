"""Flows that a detector watches together: one window of each length per kind of entity, and what they say as scores.

Used by the detectors of first-seen addresses, outflows and providers; never knows what a mark means.
"""

from collections.abc import Sequence

import numpy as np

from detectors.contract import Arrays, Bools, Floats, Ints, Rows, Scores
from detectors.excess import Excess
from detectors.flow import Flow
from detectors.flow_kernel import FACTS, MARKS, STATISTICS, SUMS, Marks
from detectors.scope_kernel import tell_flows
from detectors.tables import check_names

PART_NAMES = ("statistic", "seen", "expected", "all", "usual")
DISPERSIONS = (1.5,) * MARKS + (1.0,) * SUMS


class Flows:
    """Flows and the p-values of all their statistics together.

    Parameters
    ----------
    windows_ms
        Length of each flow's window.
    expected_min
        Of each mark, as `Flow` has it.
    """

    def __init__(self, windows_ms: Sequence[int], expected_min: tuple[float, float, float]) -> None:
        self.flows = tuple(Flow(window_ms, expected_min) for window_ms in windows_ms)
        self._excess = Excess(DISPERSIONS * len(self.flows))

    def fold(self, times: Ints, rows: Sequence[Rows], marks: Marks, sums: Ints, scored: Bools) -> Scores:
        """Scores of a run; rows of each flow, the rest as `Flow.fold` has it."""
        n = len(times)
        nats: Floats = np.empty((n, STATISTICS * len(self.flows)))
        facts: Floats = np.empty((n, len(self.flows), FACTS))
        filled = self._excess.filled(n)
        for at, (flow, own) in enumerate(zip(self.flows, rows, strict=True)):
            first = at * STATISTICS
            flow.fold(times, own, marks, sums, scored, filled, nats[:, first : first + STATISTICS], facts[:, at])
        scores, winner = self._excess.weigh(times, nats, len(PART_NAMES))
        tell_flows(winner, facts, STATISTICS, MARKS, SUMS, scores.parts)
        return scores

    def learn(self, times: Ints, rows: Sequence[Rows], marks: Marks, teach: Bools) -> None:
        """Teach from a block what `fold` was given of it."""
        slow = self._excess.alarmed(len(times))
        for flow, own in zip(self.flows, rows, strict=True):
            flow.learn(times, own, marks, slow, teach)
        self._excess.learn(teach)

    def use(self) -> dict[str, tuple[int, int]]:
        """Of each flow: entries in use and their limit, and entries that went too early (of none)."""
        out: dict[str, tuple[int, int]] = {}
        for at, flow in enumerate(self.flows):
            used, limit, lost = flow.use()
            out |= {f"entries_{at}": (used, limit), f"evicted_{at}": (lost, 0)}
        return out

    def arrays(self) -> Arrays:
        """The whole state by name."""
        state = dict(self._excess.arrays())
        for at, flow in enumerate(self.flows):
            state |= {f"flow{at}.{name}": array for name, array in flow.arrays().items()}
        return state

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        for at, flow in enumerate(self.flows):
            flow.restore({name: arrays[f"flow{at}.{name}"] for name in flow.arrays()})
        self._excess.restore({name: arrays[name] for name in self._excess.arrays()})
