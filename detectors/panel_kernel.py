"""The gate: the first observation of a run that no kernel may see. Compiled; called by `detectors.panel` only."""

from detectors.compiled import kernel
from detectors.contract import Floats, Ints, Rows

TIME_MS_MAX = 1 << 52
"""About 140,000 years: differences of times stay exact in float64."""


@kernel
def first_refused(time_ms: Ints, account: Rows, address: Rows, asset: Rows, wallet: Rows, amount: Floats, amount_base: Floats, rows: Ints) -> int:
    """Index of the first bad observation, or -1. `rows` int64 [4]: reserved rows of account, address, asset and wallet.

    Bad is: a time out of range, a row not reserved (only the wallet may be missing, -1), an amount that isn't finite and positive,
    a base amount that is infinite, zero or negative (nan is an unknown price).
    """
    infinity = float("inf")
    for i in range(time_ms.size):
        in_time = -TIME_MS_MAX < time_ms[i] < TIME_MS_MAX
        in_rows = 0 <= account[i] < rows[0] and 0 <= address[i] < rows[1] and 0 <= asset[i] < rows[2] and -1 <= wallet[i] < rows[3]
        known = amount_base[i] == amount_base[i]
        amounts = 0.0 < amount[i] < infinity and (not known or 0.0 < amount_base[i] < infinity)
        if not (in_time and in_rows and amounts):
            return i
    return -1
