"""The destination lane asks whether the destination is one that frauds were reported of.

Its value is the lane's logit, its parts add up to it. The work is done in the observer's pass (`detectors.lanes`); made by the registry.
"""

from detectors.contract import Arrays, Bools, Family, Floats, Rows, Run, Scope, Scores
from detectors.lanes import Lanes
from detectors.lanes_kernel import DESTINATION
from detectors.tables import restore_fixed

FILTER, AGE, SHARE, DAYS = 0, 1, 3, 4
SHOWN_MIN = 0.05


class DestinationLane:
    """Logit of the destination lane.

    Parameters
    ----------
    lanes
        Shared with the observer, which does the work, and stored there.
    """

    name = "destination_lane"
    scope: Scope = "address"
    family: Family = "account_takeover"
    calibrated = True
    part_names: tuple[str, ...] = ("destination_filter", "run_age", "base", "cause_share", "run_days")

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def reserve(self, rows: dict[str, int]) -> None:
        """Nothing to grow: the observer keeps the rows."""

    def fold(self, run: Run, inputs: Floats) -> Scores:  # noqa: ARG002  the observer's pass has scored the run
        """The lane's scores of the run that the observer took last."""
        return self._lanes.scores(DESTINATION)

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Nothing to learn here: the observer teaches the lanes."""

    def forget(self, kind: str, rows: Rows) -> None:
        """Nothing to forget: the observer keeps the rows."""

    def explain(self, parts: Floats) -> str:
        """Such as "destination 97 %: earlier frauds to it (+6.2), day 5 of its run (+1.4)"."""
        shown = [(float(parts[FILTER]), "earlier frauds to it"), (float(parts[AGE]), f"day {int(parts[DAYS])} of its run")]
        words = [f"{what} (+{part:.1f})" for part, what in sorted(shown, reverse=True) if part > SHOWN_MIN]
        return f"destination {100.0 * parts[SHARE]:.0f} %: " + (", ".join(words) or "nothing known against it")

    def arrays(self) -> Arrays:
        """No state of its own."""
        return {}

    def restore(self, arrays: Arrays) -> None:
        """Nothing to take over; ValueError if something is given."""
        restore_fixed({}, arrays)
