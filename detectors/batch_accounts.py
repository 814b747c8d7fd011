"""Batch of accounts: whether one batch, paid in one transaction, is another kind of batch than those before.

A theft from many accounts can look fine withdrawal by withdrawal and be odd as one batch. Compares, as the batch fills, its number of
accounts and its value with the tracked 99 % of earlier batches, its share of fresh addresses with theirs (binomial tail), and sums the
evidence of its withdrawals (gamma tail, Chernoff's bounds). Made by the registry.
"""

import numpy as np

from detectors.contract import Arrays, Bools, Family, Floats, Rows, Run, Scope, Scores
from detectors.crowd import PART_NAMES, Crowd, words_of_evidence
from detectors.scope_inputs import ScopeInputs
from detectors.scope_kernel import FRESH_MIN, read_levels
from detectors.words import HOUR_MS

WINDOW_MS = 2 * HOUR_MS
VALUE = 3
"""Place of the statistic of value."""
ACCOUNTS = 1
"""Place of the number of accounts among the parts."""
ACCOUNTS_MIN = 3
"""A business that pays its people, or two, isn't a theft from many."""


class BatchAccounts:
    """The withdrawals of a batch, as far as it is known when they are requested; WARMING for 2,048 observations and a day.

    p-value 1 where no batch is known, or it has fewer than three accounts: a batch that forms at signing time isn't seen here but by the detectors of addresses, origins and
    first-seen rates. A batch's withdrawals count for 2 hours. Parts: the statistic that decided (0 accounts, 1 evidence, 2 fresh addresses, 3 value, 4 accounts and evidence), accounts,
    the usual 99 % of accounts, withdrawals, the summed evidence in nats, what one withdrawal has usually, withdrawals to addresses first seen within
    the hour, and how many were to be expected. What may not teach, and what is itself below 1 in 10,000, teaches ten times slower.
    """

    name = "batch_accounts"
    scope: Scope = "batch"
    family: Family = "mass_takeover"
    calibrated = False
    part_names: tuple[str, ...] = PART_NAMES

    def __init__(self, inputs: ScopeInputs) -> None:
        self._inputs = inputs
        self._crowd = Crowd(WINDOW_MS, 1.0, 1.0)

    def reserve(self, rows: dict[str, int]) -> None:
        """Nothing to reserve: an account's row is part of a key, and at worst a row that was given on within 2 h is one account less."""

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Put each observation into its batch and judge the batch."""
        n = len(run)
        log_levels, levels = np.empty(n), np.empty(n, np.int64)
        read_levels(self._inputs.amount(inputs), log_levels, levels)
        fresh: Bools = self._inputs.young_address(inputs) >= FRESH_MIN
        members = run["account"].astype(np.int64)
        p_values = self._inputs.account_p_value(inputs)
        scores = self._crowd.fold(run["time_ms"], run["batch"], members, np.ones(n, np.bool_), p_values, fresh, levels)
        few = scores.parts[:, ACCOUNTS] < ACCOUNTS_MIN
        scores.value[few], scores.p_value[few] = 0.0, 1.0
        return scores

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Teach what batches are like."""
        fresh: Bools = self._inputs.young_address(inputs) >= FRESH_MIN
        every = np.ones(len(block), np.bool_)
        self._crowd.learn(block["time_ms"], block["batch"], every, self._inputs.account_p_value(inputs), fresh, teach)

    def forget(self, kind: str, rows: Rows) -> None:
        """Nothing to forget: no state per entity."""

    def use(self) -> dict[str, tuple[int, int]]:
        """Keys and entries in use, and their limits."""
        return self._crowd.use()

    def explain(self, parts: Floats) -> str:
        """Such as "batch of 44 withdrawals of 44 accounts (usual 99 %: 21), 40 to addresses first seen within the hour (6.2 expected)"."""
        if parts[3] <= 0.0:
            return "not part of a known batch"
        value = "; its value is far above the usual 99 %" if int(parts[0]) == VALUE else ""
        return (
            f"batch of {int(parts[3])} withdrawals of {int(parts[1])} accounts (usual 99 %: {float(parts[2]):.2g}), {int(parts[6])} to addresses first seen "
            f"within the hour ({float(parts[7]):.2g} expected){value}{words_of_evidence(parts)}"
        )

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return self._crowd.arrays()

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        self._crowd.restore(arrays)
