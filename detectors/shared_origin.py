"""Shared origin: whether many accounts withdraw from one device, one network or with one API key that is new to them.

Counts the accounts for which it is new within 24 h against its own 28 days, and sums the evidence of their withdrawals and those that go
to fresh addresses. Families share a device, offices and mobile carriers a network: a Pareto tail of the size beyond what is expected of
this very network, a gamma tail of the evidence and a binomial tail by Chernoff's bound, divided by an over-dispersion that follows the
past. Made by the registry, once for each kind.
"""

from typing import Literal

import numpy as np

from detectors.contract import Arrays, Bools, Family, Floats, Ints, Rows, Run, Scope, Scores
from detectors.crowd import PART_NAMES, Crowd, words_of_evidence
from detectors.scope_inputs import ScopeInputs
from detectors.scope_kernel import FRESH_MIN, NEW_PAIR_MIN
from detectors.words import DAY_MS

Kind = Literal["device", "network", "api_key"]
EXPECTED: dict[Kind, float] = {"device": 0.5, "network": 2.0, "api_key": 0.5}
"""Accounts to expect in 24 h of one without a past: most devices and keys belong to one account for good."""
SIZE_INDEX = 7.0
WORDS: dict[Kind, str] = {"device": "device", "network": "network", "api_key": "API key"}


class SharedOrigin:
    """Accounts that are new to a device, a network or a key; WARMING for 2,048 observations and a day.

    p-value 1 where it is unknown; on a network also for an account that used it before, since what others do there says little of it. Parts: the
    statistic that decided (0 size, 1 evidence, 2 fresh addresses, 4 size and evidence), accounts, accounts expected, their withdrawals, the summed evidence in
    nats, what one withdrawal has usually, withdrawals to addresses first seen within the hour, and how many were to be expected.
    What may not teach, and what is itself below 1 in 10,000, teaches ten times slower.
    """

    family: Family = "mass_takeover"
    calibrated = False
    part_names: tuple[str, ...] = PART_NAMES

    def __init__(self, kind: Kind, inputs: ScopeInputs) -> None:
        self.name = f"shared_{kind}"
        self.scope: Scope = kind
        self._kind: Kind = kind
        self._inputs = inputs
        self._crowd = Crowd(DAY_MS, EXPECTED[kind], SIZE_INDEX)

    def reserve(self, rows: dict[str, int]) -> None:
        """Nothing to reserve: no rows, digests only."""

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Count each observation's fellow newcomers, itself included."""
        n = len(run)
        keys, adds, fresh = self._read(run, inputs)
        alone, nothing = np.full(n, -1, np.int64), np.zeros(n, np.int64)
        return self._crowd.fold(run["time_ms"], keys, alone, adds, self._inputs.account_p_value(inputs), fresh, nothing)

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Teach how many newcomers each had, and what their withdrawals are like usually."""
        keys, adds, fresh = self._read(block, inputs)
        self._crowd.learn(block["time_ms"], keys, adds, self._inputs.account_p_value(inputs), fresh, teach)

    def _read(self, run: Run, inputs: Floats) -> tuple[Ints, Bools, Bools]:
        adds: Bools = self._inputs.column(inputs, f"new_{self._kind}") >= NEW_PAIR_MIN
        keys = run[self._kind]
        fresh: Bools = self._inputs.young_address(inputs) >= FRESH_MIN
        return np.where(adds, keys, 0) if self._kind == "network" else keys, adds, fresh

    def forget(self, kind: str, rows: Rows) -> None:
        """Nothing to forget: no state per entity."""

    def use(self) -> dict[str, tuple[int, int]]:
        """Keys and entries in use, and their limits."""
        return self._crowd.use()

    def explain(self, parts: Floats) -> str:
        """Such as "12 accounts are new to this device in 24 h, 0.5 expected, 11 pay addresses first seen within the hour"."""
        accounts, expected, fresh = int(parts[1]), float(parts[2]), int(parts[6])
        if accounts == 0:
            return f"no account is new to this {WORDS[self._kind]}"
        who = "1 account is" if accounts == 1 else f"{accounts} accounts are"
        paid = f", {fresh} of {int(parts[3])} withdrawals go to addresses first seen within the hour" if fresh else ""
        return f"{who} new to this {WORDS[self._kind]} in 24 h, {expected:.2g} expected{paid}{words_of_evidence(parts)}"

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return self._crowd.arrays()

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        self._crowd.restore(arrays)
