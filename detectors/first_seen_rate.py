"""First-seen addresses: whether unusually many withdrawals go to addresses that nobody paid an hour ago, over everything or in one asset.

Counts them in 30 minutes and in an hour, those of them that are odd for their accounts (1 in 50), and those that
another account had paid before, against 5 days: Poisson and binomial tails by Chernoff's bound.
Expected is what the payments to older addresses let expect: growth, pay days and runs on the exchange lift both. Made by the registry.
"""

import numpy as np

from detectors.contract import Arrays, Bools, Family, Floats, Ints, Rows, Run, Scope, Scores
from detectors.flow_kernel import MARKS, STATISTICS, SUMS, YES, Marks
from detectors.flows import PART_NAMES, Flows
from detectors.scope_inputs import ScopeInputs
from detectors.scope_kernel import mark_fresh
from detectors.words import HOUR_MS, MINUTE_MS

WINDOWS_MS = (30 * MINUTE_MS, HOUR_MS, 30 * MINUTE_MS)
WINDOW_WORDS = ("30 min", "1 h", "30 min")
ASSET = 2
"""The flow of the asset; those before are of everything."""
EXPECTED_MIN = (0.2, 0.1, 0.1)


class FirstSeenRate:
    """Withdrawals to fresh addresses; WARMING for 2,048 observations and a day, an asset until it has taught 1,000 withdrawals.

    p-value 1 for a withdrawal to an older address. What may not teach, and what is itself below 1 in 10,000, teaches ten times slower. Parts: the
    statistic that decided (0 to 2 over everything in 30 minutes, 6 to 8 in an hour, 12 to 14 in the asset in 30 minutes: to fresh addresses, those odd
    for their accounts, and those that another account paid first), what was seen, what was expected, all withdrawals in the window, and the usual number.
    """

    name = "first_seen_rate"
    scope: Scope = "everything"
    family: Family = "mass_takeover"
    calibrated = False
    part_names: tuple[str, ...] = PART_NAMES

    def __init__(self, inputs: ScopeInputs) -> None:
        self._inputs = inputs
        self._flows = Flows(WINDOWS_MS, EXPECTED_MIN)
        for flow in self._flows.flows[:ASSET]:
            flow.reserve(1)

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow tables so that each entity kind has at least that many rows."""
        self._flows.flows[ASSET].reserve(rows.get("asset", 0))

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Count a run's withdrawals and compare."""
        rows, marks, sums = self._read(run, inputs)
        return self._flows.fold(run["time_ms"], rows, marks, sums, marks[:, 0] == YES)

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Teach rates and shares."""
        rows, marks, _ = self._read(block, inputs)
        self._flows.learn(block["time_ms"], rows, marks, teach)

    def _read(self, run: Run, inputs: Floats) -> tuple[tuple[Rows, ...], Marks, Ints]:
        marks: Marks = np.zeros((len(run), MARKS), np.uint8)
        columns = self._inputs
        mark_fresh(columns.young_address(inputs), columns.new_pair(inputs), columns.account_p_value(inputs), marks)
        everything = np.zeros(len(run), np.int32)
        return (everything, everything, run["asset"]), marks, np.zeros((len(run), SUMS), np.int64)

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset rows of evicted assets."""
        if kind == "asset":
            self._flows.flows[ASSET].forget(rows)

    def use(self) -> dict[str, tuple[int, int]]:
        """Entries of the windows in use, and their limits."""
        return self._flows.use()

    def explain(self, parts: Floats) -> str:
        """Such as "28 of 60 withdrawals in 30 min go to addresses first seen within the hour, 6.1 expected"."""
        statistic, seen, expected, total = int(parts[0]), float(parts[1]), float(parts[2]), int(parts[3])
        if seen <= 0.0:
            return "not among unusually many first-seen addresses"
        flow = statistic // STATISTICS
        where = " of this asset" if flow == ASSET else ""
        odd = ("", " and are odd for their accounts", " that another account paid first")[statistic % STATISTICS]
        return f"{int(seen)} of {total} withdrawals{where} in {WINDOW_WORDS[flow]} go to addresses first seen within the hour{odd}, {expected:.2g} expected"

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return self._flows.arrays()

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        self._flows.restore(arrays)
