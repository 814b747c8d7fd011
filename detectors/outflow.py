"""Outflow of a wallet or an asset: whether far more, or far larger payouts than usual leave at once.

Counts payouts above the entity's tracked 99 % amount, those to addresses first seen within the hour, and those that follow a small test
payment to the same address; sums the value, and the share of the wallet's balance, that goes to destinations which the paying account
doesn't know (own treasury moves go to known ones). Windows of 15 minutes and of an hour against 5 days. Poisson and binomial tails by
Chernoff's bound; sums against the tracked 99 % sum with a Pareto tail. Made by the registry, once for wallets, once for assets.
"""

import numpy as np

from detectors.contract import Arrays, Bools, Family, Floats, Ints, Rows, Run, Scope, Scores
from detectors.flow_kernel import MARKS, STATISTICS, SUMS, Marks
from detectors.flows import PART_NAMES, Flows
from detectors.scope_inputs import ScopeInputs
from detectors.scope_kernel import mark_large, read_levels, teach_limits
from detectors.tables import RowTable, check_names
from detectors.words import HOUR_MS, MINUTE_MS, times_usual

WINDOWS_MS = (15 * MINUTE_MS, HOUR_MS)
EXPECTED_MIN = (0.2, 0.05, 0.02)
WINDOW_WORDS = ("15 min", "1 h")
LIMIT = np.dtype([("n", np.float64), ("log_level", np.float64)], align=True)
FIRST = np.dtype([("first_ms", np.int64), ("log_level", np.float64), ("seen", np.int32)], align=True)
SHARE_UNIT = 1_048_576.0


class Outflow:
    """Payouts of each wallet, or of each asset; WARMING for 2,048 observations and a day, an entity until it has taught 1,000 payouts.

    p-value 1 for a payout that is neither large nor a hundredth of what left. What may not teach, and what is itself below 1 in 10,000, teaches
    ten times slower; a held payout doesn't move the 99 % amount. Parts: the statistic that decided (0 to 5 in 15 minutes, 6 to 11 in an hour: large, large to fresh addresses, large after
    a test, none, value, share of the balance), what was seen, what was expected, all payouts in the window, and the usual number.
    """

    family: Family = "wallet_drain"
    calibrated = False
    part_names: tuple[str, ...] = PART_NAMES

    def __init__(self, scope: Scope, inputs: ScopeInputs) -> None:
        self.name = f"{scope}_outflow"
        self.scope: Scope = scope
        self._inputs = inputs
        self._limits = RowTable(LIMIT)
        self._firsts = RowTable(FIRST)
        self._tests = scope == "wallet"
        self._flows = Flows(WINDOWS_MS, EXPECTED_MIN)

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow tables so that each entity kind has at least that many rows."""
        count = rows.get(self.scope, 0)
        self._limits.reserve(count)
        for flow in self._flows.flows:
            flow.reserve(count)
        if self._tests:
            self._firsts.reserve(rows.get("address", 0))

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Count a run's payouts and compare."""
        rows, _, marks, sums = self._read(run, inputs)
        return self._flows.fold(run["time_ms"], (rows, rows), marks, sums, np.ones(len(run), np.bool_))

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Teach rates and limits."""
        rows, log_levels, marks, _ = self._read(block, inputs)
        self._flows.learn(block["time_ms"], (rows, rows), marks, teach)
        teach_limits(rows, log_levels, teach, self._limits.rows)

    def _read(self, run: Run, inputs: Floats) -> tuple[Rows, Floats, Marks, Ints]:
        n, columns = len(run), self._inputs
        marks: Marks = np.empty((n, MARKS), np.uint8)
        sums: Ints = np.empty((n, SUMS), np.int64)
        log_levels, levels = np.empty(n), np.empty(n, np.int64)
        read_levels(columns.amount(inputs), log_levels, levels)
        rows = run[self.scope]
        firsts = self._firsts.rows if self._tests else self._firsts.rows[:0]
        young, new_pair = columns.young_address(inputs), columns.new_pair(inputs)
        mark_large(run, rows, log_levels, levels, young, new_pair, self._limits.rows, firsts, marks, sums)
        return rows, log_levels, marks, sums

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset rows of evicted entities."""
        if kind == self.scope:
            self._limits.forget(rows)
            for flow in self._flows.flows:
                flow.forget(rows)
        if kind == "address" and self._tests:
            self._firsts.forget(rows)

    def use(self) -> dict[str, tuple[int, int]]:
        """Entries of the windows in use, and their limits."""
        return self._flows.use()

    def explain(self, parts: Floats) -> str:
        """Such as "41 payouts above the wallet's usual 99 % in 15 min, 3.2 expected among 60 payouts"."""
        statistic, seen, expected, total = int(parts[0]), float(parts[1]), float(parts[2]), int(parts[3])
        window, own = WINDOW_WORDS[statistic // STATISTICS], statistic % STATISTICS
        if seen <= 0.0:
            return f"not among what leaves the {self.scope} in unusual amounts"
        if own < MARKS:
            what = ("", " to addresses first seen within the hour", " after a small test payment to the address")[own]
            return f"{int(seen)} payouts above the {self.scope}'s usual 99 %{what} in {window}, {expected:.2g} expected among {total} payouts"
        times = times_usual(seen / expected)
        if own == MARKS:
            return f"{self.scope}'s outflow to destinations new to their accounts {times} x its usual 99 % in {window}"
        return (
            f"{100.0 * seen / SHARE_UNIT:.2g} % of the wallet's balance to destinations new to their accounts in {window}, {times} x its usual 99 %"
        )

    def arrays(self) -> Arrays:
        """The whole state by name."""
        own: Arrays = {"amounts": self._limits.as_bytes()}
        if self._tests:
            own["firsts"] = self._firsts.as_bytes()
        return own | self._flows.arrays()

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        self._limits.take("amounts", arrays["amounts"])
        if self._tests:
            self._firsts.take("firsts", arrays["firsts"])
        self._flows.restore({name: arrays[name] for name in self._flows.arrays()})
