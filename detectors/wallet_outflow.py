"""Wallet outflow: whether unusually many unusually large payouts leave one wallet at once.

Counts a wallet's payouts above its tracked 99 % amount in the last 15 minutes against its rate over 5 days; the p-value is a bound of
the Poisson tail (Chernoff), its exponent divided by an over-dispersion, since honest payouts come in bursts too. Made by the registry.
"""

import numpy as np

from detectors.contract import Arrays, Bools, Family, Floats, Rows, Run, Scope, Scores
from detectors.tables import RowTable, check_names
from detectors.wallet_outflow_kernel import BUCKETS, learn_block, score_run

WALLET = np.dtype([
    ("first_ms", np.int64), ("taught_ms", np.int64), ("n", np.float64), ("limit", np.float64), ("exceeded_5d", np.float64),
    ("bucket", np.int64, (BUCKETS,)), ("count", np.int64, (BUCKETS,)),
], align=True)  # fmt: skip


class WalletOutflow:
    """Rate of a wallet's large payouts, WARMING until the wallet has taught 1,000 payouts.

    The score is minus the p-value's decimal logarithm. It is 0, with p-value 1, for a payout that isn't large and where the wallet is
    unknown. The window of 15 minutes moves in steps of 10 s. Parts: large payouts in the window, and how many were to be expected.

    Parameters
    ----------
    amount_input
        Column of the input that tells the amount's level against everybody's.
    """

    name = "wallet_outflow"
    scope: Scope = "wallet"
    family: Family = "wallet_drain"
    calibrated = False
    part_names: tuple[str, ...] = ("large_payouts_15min", "expected_15min")

    def __init__(self, amount_input: int) -> None:
        self._amount_input = amount_input
        self._wallets = RowTable(WALLET)

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow the table so that it has at least as many wallets."""
        self._wallets.reserve(rows.get("wallet", 0))

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Count a run's large payouts and compare."""
        n = len(run)
        scores = Scores(np.empty(n), np.empty(n), np.empty(n, np.bool_), np.empty((n, len(self.part_names))))
        amounts = inputs[:, self._amount_input]
        score_run(run, amounts, self._wallets.rows, scores.value, scores.p_value, scores.ready, scores.parts)
        return scores

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Teach limit and rate; from what may not teach, the rate alone learns, ten times slower."""
        learn_block(block, inputs[:, self._amount_input], teach, self._wallets.rows)

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset rows of evicted wallets."""
        if kind == "wallet":
            self._wallets.forget(rows)

    def explain(self, parts: Floats) -> str:
        """Such as "41 payouts above the wallet's usual 99 % in 15 min, 3.2 expected"."""
        if parts[0] <= 0.0:
            return "not among the wallet's large payouts"
        return f"{int(parts[0])} payouts above the wallet's usual 99 % in 15 min, {float(parts[1]):.2g} expected"

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return {"wallets": self._wallets.as_bytes()}

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        self._wallets.take("wallets", arrays["wallets"])
