"""A detector by itself, as the checks of the contract take it: the lanes with an observer of their own, every other one as it is.

The lanes are scored in the observer's pass and stored with it, so that neither can be folded alone. Made for `detectors.checks`.
"""

from detectors.account_lane import AccountLane
from detectors.contract import Arrays, Bools, Detector, Floats, Rows, Run, Scores
from detectors.destination_lane import DestinationLane
from detectors.lanes import Lanes
from detectors.observer import Observer
from detectors.panel import Panel
from detectors.registry import Entry, Parts

REMEMBERED_MAX = 1_024
PAIRS_MAX = 1_024


def alone(entry: Entry, young_address_ms: int, input_names: tuple[str, ...]) -> Detector:
    """A fresh detector that can be folded without a panel."""
    lanes = Lanes(REMEMBERED_MAX)
    detector = entry.make(Parts(lanes, young_address_ms, input_names))
    return Observed(detector, lanes) if isinstance(detector, AccountLane | DestinationLane) else detector


class Observed:
    """A lane with an observer of its own: together they keep the contract.

    It takes no inputs from outside, because its observer makes them from the run: those that it is given change nothing, in whatever order.
    """

    def __init__(self, lane: AccountLane | DestinationLane, lanes: Lanes) -> None:
        self._panel = Panel(Observer(lanes, PAIRS_MAX), lanes, [lane])
        self.name, self.scope, self.family, self.calibrated, self.part_names = lane.name, lane.scope, lane.family, lane.calibrated, lane.part_names

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow the observer's tables."""
        self._panel.reserve(rows)

    def fold(self, run: Run, inputs: Floats) -> Scores:  # noqa: ARG002  its own observer makes them
        """Observe a run and score it."""
        return self._panel.fold(run)[1][self.name]

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:  # noqa: ARG002  the panel has kept both
        """Teach observer and lanes."""
        self._panel.learn(teach)

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset the observer's rows."""
        self._panel.forget(kind, rows)

    def explain(self, parts: Floats) -> str:
        """The lane's words."""
        return self._panel.explain(self.name, parts)

    def arrays(self) -> Arrays:
        """The state of observer, lanes and open block."""
        return self._panel.arrays()

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        self._panel.restore(arrays)
