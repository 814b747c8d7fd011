"""Seeded streams of observations to try detectors on, with what streams really bring: bursts, late events, missing prices and wallets.

Made up, and like no exchange. Used by `detectors.checks`, by the command that runs them, and by the detectors' tests.
"""

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, Bools, Run, observations
from detectors.elementary import exp

ROWS = {"account": 40, "address": 60, "asset": 4, "wallet": 3, "provider": 2}
START_MS = 1_700_000_000_000


class Stream(NamedTuple):
    """Observations and, for each, whether it may teach."""

    run: Run
    teach: Bools


def stream(seed: int, n: int, *, step_ms: int = 60_000) -> Stream:
    """Observations of a few accounts, most to their usual addresses; some absurd in amount or time."""
    chance = random.Random(seed)  # noqa: S311  a seeded story holds no secrets
    now_ms = START_MS
    rows: list[tuple[float, ...]] = []
    for _ in range(n):
        now_ms += int(chance.expovariate(1.0 / step_ms))
        payer = min(int(chance.expovariate(0.1)), ROWS["account"] - 1)
        usual = chance.random() < 0.8
        to = (payer * 3 + chance.randrange(2)) % ROWS["address"] if usual else chance.randrange(ROWS["address"])
        kind = payer % ROWS["asset"]
        paid = exp(chance.gauss(payer / 10.0, 1.0)) * 10.0 ** (3 * kind)
        if chance.random() < 0.01:
            paid *= 10.0 ** chance.randint(-9, 9)
        if len(rows) % 14 == 0:
            paid = float(f"{paid:.0e}")  # people type round amounts
        price = 100.0 / 10.0 ** (2 * kind)
        late_ms = chance.choice((0, 0, 0, 0, 0, 0, 0, 1_000, 3_600_000, 40 * 86_400_000)) if chance.random() < 0.2 else 0
        source = chance.randrange(-1, ROWS["wallet"])
        rows.append((now_ms - late_ms, payer, to, kind, source, paid, paid * price if chance.random() < 0.7 else np.nan, *_used(chance, payer)))
        if chance.random() < 0.002:
            now_ms += 30 * 86_400_000
    time_ms, account, address, asset, wallet, amount, amount_base, device, network, country, api_key, security, factor, share = zip(
        *rows, strict=True
    )
    teach = np.array([chance.random() < 0.95 for _ in range(n)])
    named = {"account": account, "address": address, "asset": asset, "wallet": wallet, "device": device, "network": network, "country": country}
    named |= {"api_key": api_key, "security_age_ms": security, "second_factor": factor, "balance_share": share}
    return Stream(observations(n, time_ms=time_ms, amount=amount, amount_base=amount_base, **named), teach)


def _used(chance: random.Random, payer: int) -> tuple[float, ...]:
    """What the payer used: device, network, country, API key, age of a security change, second factor, share of the balance; some unknown."""
    own = chance.random() < 0.9
    device, network, country = (payer + 1 if own else chance.randrange(50) for _ in range(3))
    return (
        device, network, country % 5 if own else country, chance.randrange(3), chance.choice((-1, 1_000, 86_400_000, 10**12)), chance.randrange(5),
        chance.choice((np.nan, 0.0, 0.3, 1.0, 5.0)),
    )  # fmt: skip


def cut(run: Run, start: int, end: int) -> Run:
    """The observations from start to before end."""
    return run[start:end]


def cuts(n: int, longest: int, chance: random.Random | None = None) -> Iterator[tuple[int, int]]:
    """Stretches from 0 to n, none across the end of a block, of that length or of random lengths up to it."""
    start = 0
    while start < n:
        length = chance.randint(1, longest) if chance else longest
        end = min(start + length, n, (start // BLOCK_OBSERVATIONS + 1) * BLOCK_OBSERVATIONS)
        yield start, end
        start = end
