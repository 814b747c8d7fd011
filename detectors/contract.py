"""What a detector is: it folds a run of observations in order and returns one score per observation, with its parts.

Nothing of money or exchanges: rows, times and numbers. Called by `monitor.scoring`; implemented by every file of the registry.
"""

from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Arrays = dict[str, npt.NDArray[np.generic]]

BLOCK_OBSERVATIONS = 256
"""Baselines learn in blocks that end at multiples of this many observations: the cut into batches never shows."""

NO_ROW = -1
"""Row of an entity that the observation does not have."""

KINDS = ("account", "address", "asset", "wallet", "provider")
"""Kinds of entities with a row each; a table of another kind of detector has none of its own."""

Scope = Literal["account", "address", "device", "network", "api_key", "batch", "wallet", "asset", "provider", "everything"]
"""What a detector observes: whose past it compares an observation with."""
Family = Literal["account_takeover", "mass_takeover", "wallet_drain", "provider_compromise", "multivariate"]
"""Which kind of attack or failure a detector looks for."""


OBSERVATION = np.dtype([
    ("time_ms", np.int64), ("amount", np.float64), ("amount_base", np.float64), ("balance_share", np.float64), ("wallet_share", np.float64),
    ("security_age_ms", np.int64), ("device", np.int64), ("network", np.int64), ("country", np.int64), ("api_key", np.int64),
    ("batch", np.int64), ("account", np.int32), ("address", np.int32), ("asset", np.int32), ("wallet", np.int32), ("provider", np.int32),
    ("second_factor", np.int32),
])  # fmt: skip
"""One observation: numbers about a requested withdrawal.

time_ms: event time; not monotone (events of two sources meet in any order). amount: in units of the asset, finite and positive;
amount_base: in the base currency, NaN while no price is known. balance_share, wallet_share: amount over what the account, or the wallet,
held of the asset before, NaN where unknown. security_age_ms: since the newest security change of the account (password, second factor,
device, API key, email), -1 where none is known. device, network, country, api_key, batch: 64-bit digests of names, 0 where unknown: they are
compared, never listed, so they need no row. account, address, asset, wallet, provider: rows of entities, assigned by
`monitor.entities`; wallet and provider are NO_ROW where unknown. second_factor: a place in SECOND_FACTORS.
"""

SECOND_FACTORS = ("unknown", "none", "sms", "totp", "passkey")
"""How the second factor was given, the weaker first; 0 is unknown."""

Run = npt.NDArray[np.void]
"""n observations in order, structured [n] of OBSERVATION; a run never crosses the end of a block."""


def observations(n: int, **columns: npt.ArrayLike) -> Run:
    """A run of n observations from columns; those not given are unknown: NaN, -1 or 0."""
    run: Run = np.zeros(n, OBSERVATION)
    for name in ("amount_base", "balance_share", "wallet_share"):
        run[name] = np.nan
    run["security_age_ms"] = -1
    run["wallet"] = run["provider"] = NO_ROW
    for name, column in columns.items():
        run[name] = column
    return run


class Scores:
    """One detector's opinion on each observation of a run.

    Attributes
    ----------
    value : float64 [n]
        Higher is odder; finite. Comparable only with the same detector's past.
    p_value : float64 [n]
        Share of the detector's own recent past that looked at least as odd, in (0, 1]; 1.0 while WARMING.
    ready : bool [n]
        False while the detector is WARMING: its score is shown and decides nothing.
    parts : float64 [n, k]
        What drove each score; column j belongs to `Detector.part_names[j]`.
    """

    __slots__ = ("p_value", "parts", "ready", "value")

    def __init__(self, value: Floats, p_value: Floats, ready: Bools, parts: Floats) -> None:
        self.value = value
        self.p_value = p_value
        self.ready = ready
        self.parts = parts


class Detector(Protocol):
    """The one contract. State is numpy arrays only, so that a snapshot is a copy of arrays.

    `calibrated`: its p-value is against its own recent past, so that its score takes part in fusion and gate; else its p-value is a bound of a
    chance, and it alarms below a threshold of the policy.

    *Facts* (counts, windows, last seen) take every observation at once, in `fold`; *baselines* (means, histograms, trees)
    learn in `learn`, which the caller calls once at the end of each block with all of the block's observations, in order.
    A detector may name the arrays of its baselines in an attribute `baselines`: then the checks see that `fold` leaves them alone.
    A baseline may also learn at once where the kernel itself weighs the observation by how unsuspicious it is.
    Deterministic: + - * / and sqrt, sums in a stated order, exp and log from `detectors.elementary`.
    """

    name: str
    scope: Scope
    family: Family
    calibrated: bool
    part_names: tuple[str, ...]

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow tables so that each entity kind of KINDS has at least that many rows."""

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Take a run into the facts and score it against the baselines. `inputs` is float64 [n, k] from the observer, a column per name of its INPUT_NAMES."""

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Update the baselines at the end of a block from the observations whose `teach` is set."""

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset the rows of evicted entities, so that the rows can be given to others."""

    def explain(self, parts: Floats) -> str:
        """One observation's parts [k] as numbers that a person can check, the strongest first."""

    def arrays(self) -> Arrays:
        """The whole state by name: the live arrays, not copies."""

    def restore(self, arrays: Arrays) -> None:
        """Take over a state that `arrays` of an equal detector gave; raises ValueError if names, types or shapes don't fit."""


@runtime_checkable
class Windowed(Protocol):
    """A detector with windows of its own, which are bounded."""

    def use(self) -> dict[str, tuple[int, int]]:
        """Own tables by name: rows in use and the limit; names that begin with "evicted" count what went too early."""


@runtime_checkable
class Fallible(Protocol):
    """What a detector has beside the contract if it can fail, or if its state varies in size, so that people see both."""

    @property
    def restarts(self) -> int:
        """How often it failed and began afresh."""

    @property
    def state_bytes(self) -> int:
        """Bytes of its state when last measured."""
