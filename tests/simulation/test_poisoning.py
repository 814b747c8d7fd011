"""Learning under attack: an attacker who repeats small steps for weeks moves an account's baselines only slowly.

The bound: with steps of 3 % or more, an account among 300 others of about one withdrawal a day falls below a p-value of 1e-3 in the account
lane, without any label, before a withdrawal exceeds 25 times its usual amount, and before 700 usual amounts are gone in all. Slower ramps aren't
held to it, since customers grow like that too: steps of 2 %, once a day, were found at 42 times, after half a year.
"""

from typing import NamedTuple

import numpy as np
import pytest

from detectors.contract import BLOCK_OBSERVATIONS, observations
from detectors.registry import make
from detectors.words import DAY_MS

MULTIPLE_MAX = 25.0
LOSS_MAX = 700.0
FOUND_P_VALUE = 1e-3
START_MS = 1_700_000_000_000
ACCOUNTS = 300
WARM_DAYS = 30
USUAL = 400.0


class Found(NamedTuple):
    """The first withdrawal below the p-value, and all that left until then, both in usual amounts; share of honest ones below it."""

    multiple: float
    loss: float
    false_share: float


def ramp(step: float, a_day: int, days: int, seed: int) -> Found | None:
    """An account that is honest for 30 days, then raises each withdrawal by the same share; everything teaches."""
    rng = np.random.default_rng(seed)
    usual = np.exp(rng.normal(np.log(USUAL), 1.0, ACCOUNTS))
    rows = []
    for day in range(WARM_DAYS + days):
        for account, count in enumerate(rng.poisson(1.0, ACCOUNTS).tolist()):
            for _ in range(count):
                at_ms = START_MS + day * DAY_MS + int(rng.integers(DAY_MS))
                rows.append((at_ms, account, 4 * account + int(rng.integers(4)), usual[account] * np.exp(rng.normal(0.0, 0.5)), 0))
        for k in range(a_day):
            steps = max(day - WARM_DAYS, 0) * a_day + k
            amount = USUAL * ((1.0 + step) ** steps if day >= WARM_DAYS else np.exp(rng.normal(0.0, 0.5)))
            rows.append((START_MS + day * DAY_MS + int(rng.integers(DAY_MS)), ACCOUNTS, 4 * ACCOUNTS, amount, steps))
    time_ms, account_rows, address_rows, amounts, step_numbers = map(np.array, zip(*sorted(rows), strict=True))
    run = observations(len(rows), time_ms=time_ms, account=account_rows, address=address_rows, amount=amounts, amount_base=amounts)
    panel = make(pairs_max=100_000)
    panel.reserve({"account": ACCOUNTS + 1, "address": 4 * ACCOUNTS + 4, "asset": 1, "wallet": 1, "provider": 1})
    p_values = np.ones(len(rows))
    for start in range(0, len(rows) // BLOCK_OBSERVATIONS * BLOCK_OBSERVATIONS, BLOCK_OBSERVATIONS):
        block = slice(start, start + BLOCK_OBSERVATIONS)
        p_values[block] = panel.fold(run[block])[1]["account_lane"].p_value
        panel.learn(np.ones(BLOCK_OBSERVATIONS, np.bool_))
    stolen = (account_rows == ACCOUNTS) & (step_numbers > 0)
    hits = np.flatnonzero(stolen & (p_values < FOUND_P_VALUE))
    if not len(hits):
        return None
    lost = amounts[: hits[0] + 1][stolen[: hits[0] + 1]].sum()
    return Found(amounts[hits[0]] / USUAL, lost / USUAL, float((p_values[account_rows < ACCOUNTS] < FOUND_P_VALUE).mean()))


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("step", "a_day", "days"), [(0.03, 1, 120), (0.05, 1, 80), (0.05, 4, 40), (0.1, 1, 45), (0.1, 4, 20), (0.2, 1, 25), (1.0, 1, 10)]
)
def test_a_ramp_of_small_steps_is_found_before_it_is_far(step: float, a_day: int, days: int, seed: int) -> None:
    found = ramp(step, a_day, days, seed)
    assert found is not None
    assert found.multiple <= MULTIPLE_MAX and found.loss <= LOSS_MAX and found.false_share < 3.0 * FOUND_P_VALUE
