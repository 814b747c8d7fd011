"""The gate: per lane of calibrated scores a tracked limit, so that together they let a wished number of observations a day through.

Pure numbers: what is let through and why it counts is the caller's (`monitor.scoring`). Each lane's limit falls with time by its share of the aim
and rises with each alarm that counted, so that alarms come at the aimed rate however scores drift (adaptive conformal inference, I. Gibbs,
E. Candès, Adaptive conformal inference under distribution shift, NeurIPS 2021; here in time, not in events: a rush of honest
withdrawals must not ask for more reviews than people have hours).
"""

from collections.abc import Sequence

import numpy as np

from detectors.contract import Arrays, Bools, Floats, Ints, Run
from detectors.gate_kernel import STEP, next_alarm
from detectors.tables import Table, restore_fixed

LANE = np.dtype([
    ("limit", np.float64), ("mean", np.float64), ("variance", np.float64), ("highest", np.float64), ("n", np.float64), ("open", np.int64),
])  # fmt: skip
DAY_MS = 86_400_000.0


class Gate:
    """Tracked limits of k lanes.

    A lane opens when its scores are READY, at the highest score seen until then. Over any time the number of alarms that counted differs from
    the aim by at most what the limits moved, divided by the step: a few alarms, whatever the scores do.

    Attributes
    ----------
    alarms : bool [k]
        The lanes whose limit the observation that `next` returned exceeds.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes: Table = np.zeros(lanes, LANE)
        self._newest: Ints = np.zeros(1, np.int64)
        self.alarms: Bools = np.zeros(lanes, np.bool_)

    @property
    def newest_ms(self) -> int:
        """The newest time that was seen."""
        return int(self._newest[0])

    def next(
        self, run: Run, values: Floats, p_values: Floats, ready: Bools, forced: Bools, start: int, aim_per_day: float, p_value_max: float
    ) -> int:
        """Place of the next observation of a run, from `start` on, that is above a limit or forced; the run's length if there is none.

        Parameters
        ----------
        values, p_values, ready
            Of each observation and lane, [n, k].
        forced
            Observations to stop at in any case, [n].
        aim_per_day
            Alarms a day that all lanes together are to give.
        p_value_max
            However much of the aim is left, a lane's alarm is at most this likely.
        """
        times: Ints = np.ascontiguousarray(run["time_ms"])
        return next_alarm(
            times, values, p_values, ready, forced, start, aim_per_day / DAY_MS, p_value_max, self._lanes, self._newest, self.alarms
        )  # fmt: skip

    def count(self) -> None:
        """The observation that `next` returned counts: limits rise, by one step in all; of lanes that alarmed, else of all."""
        rising = self.alarms if self.alarms.any() else self._lanes["open"] > 0
        number = int(np.count_nonzero(rising))
        for k in np.flatnonzero(rising).tolist():
            self._lanes["limit"][k] += STEP * max(float(np.sqrt(self._lanes["variance"][k])), 1e-6) / number

    def keep(self, places: Sequence[int | None]) -> None:
        """Have other lanes: for each the place that it had among the old ones, None for a new one, which opens when its scores are READY."""
        lanes: Table = np.zeros(len(places), LANE)
        for place, before in enumerate(places):
            if before is not None:
                lanes[place] = self._lanes[before]
        self._lanes = lanes
        self.alarms = np.zeros(len(places), np.bool_)

    def arrays(self) -> Arrays:
        """The whole state."""
        return {"lanes": self._lanes.view(np.uint8), "newest": self._newest}

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        restore_fixed(self.arrays(), arrays)
