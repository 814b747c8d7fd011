"""What the scope monitors ask of each observation before they count: marks, sums and keys. Compiled.

Called by the detectors of crowds and flows. Its plain twin is in tests/unit/scope_twins.py.
"""

import numpy as np
import numpy.typing as npt

from detectors.compiled import inlined, kernel
from detectors.contract import Bools, Floats, Ints, Rows, Run
from detectors.elementary import exp
from detectors.flow_kernel import CONTROL, MARKS, NO, UNKNOWN, YES, Marks
from detectors.observer_kernel import AMOUNT_MIDDLE, unsquash_signed
from detectors.tables import Table

NEW_PAIR_MIN = 0.75
"""Input new_pair (or of a device, network, key) above which it is this account's first use; the second one has one half."""
UNFAMILIAR_MIN = 0.4
"""The same for a destination that the account paid at most once before."""
FRESH_MIN = 0.9940653
"""Input young_address above which the address was first seen within the last hour: exp(-1/168)."""
FIRST_MIN = 0.99999
"""The same at the address's first payment; the input doesn't tell from it what follows within 6 seconds."""
ODD_P_VALUE = 0.02
LEVEL_MIN, LEVEL_MAX = -7.0, 20.0
"""Log levels that go into sums: less than a thousandth of everybody's mean doesn't matter, more than e^20 would overflow."""
LEVEL_UNIT = 1_024.0
SHARE_UNIT = 1_048_576.0
SHARE_MAX = 16.0
LARGEST_UNTIL = 100.0
"""Until so many payouts the limit of large ones is the largest one, then it is tracked."""
LARGE_SHARE = 0.01
LIMIT_STEP = 0.05
TEST_RATIO = 4.605170185988092
"""ln 100: a first payment to an address a hundred times smaller than this one was a test."""
TEST_MS = 86_400_000


@inlined
def level_sum(log_level: float) -> int:
    """A log level as a whole number of 1/1024 of everybody's mean."""
    return int(np.int64(LEVEL_UNIT * exp(min(max(log_level, LEVEL_MIN), LEVEL_MAX))))


@kernel
def read_levels(amounts: Floats, log_levels: Floats, levels: Ints) -> None:
    """Log level and level of each observation from its squashed amount."""
    for i in range(amounts.size):
        log_levels[i] = unsquash_signed(amounts[i], AMOUNT_MIDDLE)
        levels[i] = level_sum(log_levels[i])


@kernel
def mark_fresh(young: Floats, new_pair: Floats, p_values: Floats, marks: Marks) -> None:
    """Marks: to an address first seen within the last hour; that, and odd for its account; that, but another paid it first; odd, to an older one."""
    for i in range(young.size):
        fresh = young[i] >= FRESH_MIN
        marks[i, 0] = YES if fresh else NO
        marks[i, 2] = YES if fresh and young[i] < FIRST_MIN and new_pair[i] >= NEW_PAIR_MIN else NO
        if p_values[i] >= 1.0:
            marks[i, 1] = UNKNOWN
            marks[i, CONTROL] = UNKNOWN
        else:
            marks[i, CONTROL] = YES if not fresh and p_values[i] <= ODD_P_VALUE else NO
            marks[i, 1] = YES if fresh and p_values[i] <= ODD_P_VALUE else NO


@kernel
def find_young(times: Ints, addresses: Rows, table: Table, serial: Ints, young_ms: int, keys: Ints, ages: Floats) -> None:
    """The key of each observation's address while it is young, else 0, and the address's age in ms."""
    for i in range(times.size):
        row = table[addresses[i]]
        if row["serial"] == 0:
            serial[0] += 1
            row["serial"] = serial[0]
            row["first_ms"] = times[i]
        age_ms = max(times[i] - row["first_ms"], 0)
        keys[i] = row["serial"] if age_ms < young_ms else 0
        ages[i] = float(age_ms)


@kernel
def mark_large(
    run: Run, rows: Rows, log_levels: Floats, levels: Ints, young: Floats, new_pair: Floats, limits: Table, addresses: Table, marks: Marks, sums: Ints,
) -> None:  # fmt: skip
    """Marks and sums of payouts.

    Marks: above the entity's 99 % amount; that to a fresh address; that after a test payment. Sums: value, and share of the wallet's
    balance, to destinations that the account doesn't know. `addresses` remembers each address's first payment; an empty table asks for no tests.
    """
    for i in range(run.size):
        for k in range(MARKS):
            marks[i, k] = UNKNOWN
        sums[i, 0] = 0
        sums[i, 1] = 0
        time_ms = run[i]["time_ms"]
        tested = False
        if addresses.size > 0:
            first = addresses[run[i]["address"]]
            if first["seen"] == 0:
                first["seen"] = 1
                first["first_ms"] = time_ms
                first["log_level"] = log_levels[i]
            tested = 0 <= time_ms - first["first_ms"] < TEST_MS and log_levels[i] - first["log_level"] >= TEST_RATIO
        if rows[i] < 0:
            continue
        if new_pair[i] >= UNFAMILIAR_MIN:
            sums[i, 0] = levels[i]
            share = run[i]["wallet_share"]
            if share >= 0.0:
                sums[i, 1] = np.int64(SHARE_UNIT * min(share, SHARE_MAX))
        limit = limits[rows[i]]
        if limit["n"] >= LARGEST_UNTIL:
            large = log_levels[i] > limit["log_level"]
            marks[i, 0] = YES if large else NO
            marks[i, 1] = YES if large and young[i] >= FRESH_MIN else NO
            if addresses.size > 0:
                marks[i, 2] = YES if large and tested else NO


@kernel
def teach_limits(rows: Rows, log_levels: Floats, teach: Bools, limits: Table) -> None:
    """Teach each entity's 99 % amount from what may teach."""
    for i in range(rows.size):
        if rows[i] < 0 or not teach[i]:
            continue
        limit = limits[rows[i]]
        limit["n"] += 1.0
        if limit["n"] == 1.0:
            limit["log_level"] = log_levels[i]
        elif limit["n"] <= LARGEST_UNTIL:
            limit["log_level"] = max(limit["log_level"], log_levels[i])
        else:
            limit["log_level"] += LIMIT_STEP * ((1.0 if log_levels[i] > limit["log_level"] else 0.0) - LARGE_SHARE)


@kernel
def tell_crowd(winner: Floats, facts: Floats, parts: Floats) -> None:
    """Parts of a crowd's detector: the statistic that decided, then the facts."""
    for i in range(winner.size):
        parts[i, 0] = winner[i]
        for k in range(facts.shape[1]):
            parts[i, 1 + k] = facts[i, k]


@kernel
def tell_flows(winner: Floats, facts: npt.NDArray[np.float64], statistics: int, marks: int, sums: int, parts: Floats) -> None:
    """Parts of a detector of flows: the statistic that decided, what was seen of it and what was expected, all in its window, and the usual.

    facts float64 [n, flows, 14]. A statistic's number is the flow's times `statistics`, and its own.
    """
    for i in range(winner.size):
        flow = int(winner[i]) // statistics
        own = int(winner[i]) % statistics
        seen = 2 + own if own < marks else 2 + 2 * marks + own - marks
        parts[i, 0] = winner[i]
        parts[i, 1] = facts[i, flow, seen]
        parts[i, 2] = facts[i, flow, seen + (marks if own < marks else sums)]
        parts[i, 3] = facts[i, flow, 0]
        parts[i, 4] = facts[i, flow, 1]
