"""One pass that looks for the next observation above a lane's tracked limit. Compiled; called by `detectors.gate` only."""

import numpy as np

from detectors.compiled import inlined, kernel
from detectors.contract import Bools, Floats, Ints
from detectors.tables import Table

STEP = 0.4
"""A limit moves by this many standard deviations of its lane's scores per alarm: adaptive conformal inference (Gibbs, Candès, NeurIPS 2021)."""
DRIFT_MS_MAX = 3_600_000
"""Of a longer silence only an hour lowers the limits: what nobody scored can't be what the budget was saved for."""
MOMENT_STEP_MIN = 0.00002
"""A scale of days: where it follows a rush of hours, what the limits rose in it is not what they fall by after it."""
DEVIATIONS_MAX = 4.0
"""An observation moves a lane's moments as if it were at most so many deviations away: an attack must not widen the scale that judges it."""
DEVIATION_MIN = 1e-6
OPEN, AT_CAP = 1, 2
"""A lane that is 0 isn't open yet; one at the cap met a score above its limit that was too likely, and stands there until one is unlikely enough."""


@inlined
def deviation(lane: np.void) -> float:
    """Standard deviation of a lane's scores."""
    return float(max(np.sqrt(lane["variance"]), DEVIATION_MIN))


@inlined
def learn_moments(lane: np.void, value: float) -> None:
    """Move a lane's moments by one score, clipped."""
    lane["n"] += 1.0
    delta = value - lane["mean"]
    if lane["n"] > 100.0:
        reach = DEVIATIONS_MAX * deviation(lane)
        delta = min(max(delta, -reach), reach)
    step = max(1.0 / lane["n"], MOMENT_STEP_MIN)
    lane["variance"] = (1.0 - step) * (lane["variance"] + step * delta * delta)
    lane["mean"] += step * delta


@kernel
def next_alarm(
    time_ms: Ints, values: Floats, p_values: Floats, ready: Bools, forced: Bools, start: int, aim_per_ms: float, p_value_max: float,
    lanes: Table, newest: Ints, alarms: Bools,
) -> int:  # fmt: skip
    """Index of the first observation from `start` on that is above a limit or forced, or n; `alarms` [k] says which lanes it is above.

    values, p_values: float64 [n, k]; ready: bool [n, k]; forced: bool [n]. Every observation passed lowers the limits by its share of the aim and
    moves the moments, the returned one included.
    """
    for i in range(start, time_ms.size):
        passed_ms = float(min(max(time_ms[i] - newest[0], 0), DRIFT_MS_MAX)) if newest[0] > 0 else 0.0
        newest[0] = max(newest[0], time_ms[i])
        # A lane whose limit can't fall any more can't use its share of the aim: what it scores there is likelier than may be let through. The others
        # get it.
        asked = falling = 0
        for k in range(lanes.size):
            asked += 1 if ready[i, k] else 0
            falling += 1 if ready[i, k] and lanes[k]["open"] != AT_CAP and (lanes[k]["open"] == 0 or lanes[k]["limit"] > lanes[k]["mean"]) else 0
        sharing = falling if falling > 0 else asked
        found = forced[i]
        for k in range(lanes.size):
            lane = lanes[k]
            alarms[k] = False
            if not ready[i, k]:
                lane["highest"] = max(lane["highest"], values[i, k]) if lane["n"] > 0.0 else values[i, k]
            else:
                if lane["open"] == 0:
                    lane["open"] = OPEN
                    lane["limit"] = max(lane["highest"], lane["mean"]) if lane["n"] > 0.0 else values[i, k]
                if lane["open"] == OPEN:
                    lane["limit"] = max(lane["limit"] - STEP * deviation(lane) * aim_per_ms * passed_ms / sharing, lane["mean"])
                if values[i, k] > lane["limit"]:
                    alarms[k] = p_values[i, k] <= p_value_max
                    lane["open"] = OPEN if alarms[k] else AT_CAP
                    if not alarms[k]:
                        lane["limit"] = values[i, k]
                found = found or alarms[k]
            learn_moments(lane, values[i, k])
        if found:
            return i
    return time_ms.size
