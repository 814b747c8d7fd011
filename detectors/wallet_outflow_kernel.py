"""Counting of large payouts per wallet, in buckets of 10 s, against a 5-day rate. Compiled; called by `detectors.wallet_outflow` only."""

import numpy as np

from detectors.compiled import inlined, kernel
from detectors.contract import Bools, Floats, Run
from detectors.elementary import exp, log
from detectors.observer_kernel import AMOUNT_MIDDLE, unsquash_signed
from detectors.tables import Table

BUCKETS = 90
BUCKET_MS = 10_000
BASELINE_DAYS = 5.0
DAY_MS = 86_400_000.0
WINDOWS_A_DAY = 96.0
TAUGHT_MIN = 1_000.0
"""Payouts below which a 99 % amount and its rate aren't known: about ten large ones."""
LARGEST_UNTIL = 100.0
"""Until so many payouts the limit is the largest one, then it is tracked."""
LARGE_SHARE = 0.01
LIMIT_STEP = 0.05
OVER_DISPERSION = 1.5
EXPECTED_MIN = 0.2
"""Large payouts expected in 15 minutes, at least: from about eight at once an otherwise quiet wallet alarms at 1e-6."""
HELD_PACE = 0.1
"""Pace at which the rate learns from what may not teach: never at all, and a lasting change would alarm for ever."""
LN10 = 2.302585092994046


@inlined
def expected_now(wallet: np.void, time_ms: int) -> float:
    """Large payouts to expect in 15 minutes."""
    kept = exp(-float(max(time_ms - wallet["taught_ms"], 0)) / (BASELINE_DAYS * DAY_MS))
    age_ms = float(max(time_ms - wallet["first_ms"], 0))
    windows = max(WINDOWS_A_DAY * BASELINE_DAYS * (1.0 - exp(-age_ms / (BASELINE_DAYS * DAY_MS))), 1.0)
    return max(float(wallet["exceeded_5d"]) * kept / windows, EXPECTED_MIN)


@kernel
def score_run(run: Run, amounts: Floats, wallets: Table, value: Floats, p_value: Floats, ready: Bools, parts: Floats) -> None:
    """Count each large payout at once and bound the chance of so many."""
    for i in range(run.size):
        value[i] = 0.0
        p_value[i] = 1.0
        ready[i] = False
        parts[i, 0] = 0.0
        parts[i, 1] = 0.0
        if run[i]["wallet"] < 0:
            continue
        time_ms = run[i]["time_ms"]
        wallet = wallets[run[i]["wallet"]]
        ready[i] = wallet["n"] >= TAUGHT_MIN
        if wallet["n"] < LARGEST_UNTIL or unsquash_signed(amounts[i], AMOUNT_MIDDLE) <= wallet["limit"]:
            continue
        buckets = wallet["bucket"]
        counts = wallet["count"]
        now = time_ms // BUCKET_MS
        place = now % BUCKETS
        if buckets[place] != now:
            if buckets[place] < now or counts[place] == 0:
                buckets[place] = now
                counts[place] = 1
        else:
            counts[place] += 1
        large = 0
        for k in range(BUCKETS):
            if buckets[k] > now - BUCKETS:
                large += counts[k]
        expected = expected_now(wallet, time_ms)
        parts[i, 0] = float(large)
        parts[i, 1] = expected
        if ready[i] and large > expected:
            nats = (large * log(large / expected) - large + expected) / OVER_DISPERSION
            value[i] = nats / LN10
            p_value[i] = max(exp(-nats), 1e-300)


@kernel
def learn_block(block: Run, amounts: Floats, teach: Bools, wallets: Table) -> None:
    """Teach each wallet's limit and the rate above it."""
    for i in range(block.size):
        if block[i]["wallet"] < 0:
            continue
        time_ms = block[i]["time_ms"]
        wallet = wallets[block[i]["wallet"]]
        amount = unsquash_signed(amounts[i], AMOUNT_MIDDLE)
        if wallet["n"] == 0.0:
            if not teach[i]:
                continue
            wallet["first_ms"] = time_ms
            wallet["taught_ms"] = time_ms
            wallet["limit"] = amount
        large = amount > wallet["limit"]
        pace = 1.0 if teach[i] else HELD_PACE
        wallet["exceeded_5d"] *= exp(-pace * float(max(time_ms - wallet["taught_ms"], 0)) / (BASELINE_DAYS * DAY_MS))
        wallet["taught_ms"] = max(wallet["taught_ms"], time_ms)
        if large and wallet["n"] >= LARGEST_UNTIL:
            wallet["exceeded_5d"] += pace
        if not teach[i]:
            continue
        wallet["n"] += 1.0
        if wallet["n"] <= LARGEST_UNTIL:
            wallet["limit"] = max(wallet["limit"], amount)
        else:
            wallet["limit"] += LIMIT_STEP * ((1.0 if large else 0.0) - LARGE_SHARE)
