"""The gate: the first observation of a run that no kernel may see. Compiled; called by `detectors.panel` only."""

import numpy as np

from detectors.compiled import kernel
from detectors.contract import Ints, Run

TIME_MS_MAX = 1 << 52
"""About 140,000 years: differences of times stay exact in float64."""


@kernel
def first_refused(run: Run, rows: Ints, second_factors: int) -> int:
    """Index of the first bad observation, or -1. `rows` int64 [5]: reserved rows of account, address, asset, wallet and provider.

    Bad is: a time out of range, a row not reserved (only wallet and provider may be missing, -1), an amount that isn't finite and positive, a
    base amount that is infinite, zero or negative (nan is an unknown price), a share that is infinite or negative, a second factor out of range.
    """
    infinity = float("inf")
    for i in range(run.size):
        seen = run[i]
        in_time = -TIME_MS_MAX < seen["time_ms"] < TIME_MS_MAX and -1 <= seen["security_age_ms"] < TIME_MS_MAX
        in_rows = 0 <= seen["account"] < rows[0] and 0 <= seen["address"] < rows[1] and 0 <= seen["asset"] < rows[2]
        in_rows = in_rows and -1 <= seen["wallet"] < rows[3] and -1 <= seen["provider"] < rows[4]
        base = seen["amount_base"]
        amounts = 0.0 < seen["amount"] < infinity and (np.isnan(base) or 0.0 < base < infinity)
        for share in (seen["balance_share"], seen["wallet_share"]):
            amounts = amounts and (np.isnan(share) or 0.0 <= share < infinity)
        if not (in_time and in_rows and amounts and 0 <= seen["second_factor"] < second_factors):
            return i
    return -1
