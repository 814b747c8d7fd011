"""Provider shift: whether what one provider signs is suddenly another kind of payout than before.

Counts, per provider, payouts to addresses first seen within the hour, those that are odd for their accounts, and those above the
provider's tracked 99 % amount, in 10 minutes and in an hour, against its own 5 days: Poisson and binomial tails by Chernoff's bound; and the value to
destinations that are new to their accounts against its tracked 99 %. Made by the registry.
"""

import numpy as np

from detectors.contract import Arrays, Bools, Family, Floats, Ints, Rows, Run, Scope, Scores
from detectors.flow_kernel import MARKS, STATISTICS, SUMS, Marks
from detectors.flows import PART_NAMES, Flows
from detectors.outflow import FIRST, LIMIT
from detectors.scope_inputs import ScopeInputs
from detectors.scope_kernel import mark_fresh, mark_large, read_levels, teach_limits
from detectors.tables import RowTable, check_names
from detectors.words import HOUR_MS, MINUTE_MS, times_usual

WINDOWS_MS = (10 * MINUTE_MS, HOUR_MS)
EXPECTED_MIN = (0.2, 0.1, 0.2)
WINDOW_WORDS = ("10 min", "1 h")
LARGE = 2
"""Place of the mark of large payouts, after fresh and odd fresh ones."""


class ProviderShift:
    """What each provider signs; WARMING for 2,048 observations and a day, a provider until it has taught 1,000 payouts.

    p-value 1 for a payout without a mark that adds less than a hundredth of the value. What may not teach, and what is itself below 1 in 10,000, teaches ten times slower. Parts: the statistic that
    decided (0 to 5 in 10 minutes, 6 to 11 in an hour: fresh, fresh and odd, large, none, value, none), what was seen, what was expected, all payouts in the
    window, and the usual number.
    """

    name = "provider_shift"
    scope: Scope = "provider"
    family: Family = "provider_compromise"
    calibrated = False
    part_names: tuple[str, ...] = PART_NAMES

    def __init__(self, inputs: ScopeInputs) -> None:
        self._inputs = inputs
        self._limits = RowTable(LIMIT)
        self._no_addresses = RowTable(FIRST).rows[:0]
        self._flows = Flows(WINDOWS_MS, EXPECTED_MIN)

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow tables so that each entity kind has at least that many rows."""
        count = rows.get("provider", 0)
        self._limits.reserve(count)
        for flow in self._flows.flows:
            flow.reserve(count)

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Count a run's payouts and compare."""
        rows, _, marks, sums = self._read(run, inputs)
        return self._flows.fold(run["time_ms"], (rows, rows), marks, sums, np.ones(len(run), np.bool_))

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Teach rates, shares and limits."""
        rows, log_levels, marks, _ = self._read(block, inputs)
        self._flows.learn(block["time_ms"], (rows, rows), marks, teach)
        teach_limits(rows, log_levels, teach, self._limits.rows)

    def _read(self, run: Run, inputs: Floats) -> tuple[Rows, Floats, Marks, Ints]:
        n, columns = len(run), self._inputs
        large: Marks = np.empty((n, MARKS), np.uint8)
        marks: Marks = np.empty((n, MARKS), np.uint8)
        sums: Ints = np.empty((n, SUMS), np.int64)
        log_levels, levels = np.empty(n), np.empty(n, np.int64)
        read_levels(columns.amount(inputs), log_levels, levels)
        young = columns.young_address(inputs)
        mark_large(run, run["provider"], log_levels, levels, young, columns.new_pair(inputs), self._limits.rows, self._no_addresses, large, sums)
        new_pair = columns.new_pair(inputs)
        mark_fresh(young, new_pair, columns.account_p_value(inputs), marks)
        marks[:, LARGE] = large[:, 0]
        sums[:, 1] = 0  # shares of wallets say nothing of a provider
        return run["provider"], log_levels, marks, sums

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset rows of evicted providers."""
        if kind == "provider":
            self._limits.forget(rows)
            for flow in self._flows.flows:
                flow.forget(rows)

    def use(self) -> dict[str, tuple[int, int]]:
        """Entries of the windows in use, and their limits."""
        return self._flows.use()

    def explain(self, parts: Floats) -> str:
        """Such as "19 of 20 payouts of this provider in 10 min go to addresses first seen within the hour, 2.1 expected"."""
        statistic, seen, expected, total = int(parts[0]), float(parts[1]), float(parts[2]), int(parts[3])
        window, own = WINDOW_WORDS[statistic // STATISTICS], statistic % STATISTICS
        if seen <= 0.0:
            return "not among what this provider signs otherwise than before"
        if own == MARKS:
            return f"provider's outflow to destinations new to their accounts {times_usual(seen / expected)} x its usual 99 % in {window}"
        to_fresh = "go to addresses first seen within the hour"
        what = (to_fresh, f"{to_fresh} and are odd for their accounts", "are above its usual 99 % amount")[own]
        return f"{int(seen)} of {total} payouts of this provider in {window} {what}, {expected:.2g} expected"

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return {"amounts": self._limits.as_bytes()} | self._flows.arrays()

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        self._limits.take("amounts", arrays["amounts"])
        self._flows.restore({name: arrays[name] for name in self._flows.arrays()})
