"""What a detector is: it folds a run of observations in order and returns one score per observation, with its parts.

Nothing of money or exchanges: rows, times and numbers. Called by `monitor.scoring`; implemented by every file of the registry.
"""

from typing import Protocol

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


class Run:
    """n observations in order, as columns of equal length; a run never crosses the end of a block.

    Attributes
    ----------
    time_ms : int64 [n]
        Event time; not monotone (events of two sources meet in any order).
    account, address, asset, wallet : int32 [n]
        Row of the entity, assigned by `monitor.entities`; `wallet` is NO_ROW where unknown.
    amount : float64 [n]
        Amount in units of the asset; finite and positive.
    amount_base : float64 [n]
        Amount in the base currency; NaN while no price is known.
    """

    __slots__ = ("account", "address", "amount", "amount_base", "asset", "time_ms", "wallet")

    def __init__(self, time_ms: Ints, account: Rows, address: Rows, asset: Rows, wallet: Rows, amount: Floats, amount_base: Floats) -> None:
        self.time_ms = time_ms
        self.account = account
        self.address = address
        self.asset = asset
        self.wallet = wallet
        self.amount = amount
        self.amount_base = amount_base

    def __len__(self) -> int:
        return len(self.time_ms)


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

    *Facts* (counts, windows, last seen) take every observation at once, in `fold`; *baselines* (means, histograms, trees)
    learn in `learn`, which the caller calls once at the end of each block with all of the block's observations, in order.
    Deterministic: + - * / and sqrt, sums in a stated order, exp and log from `detectors.elementary`.
    """

    name: str
    part_names: tuple[str, ...]

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow tables so that each entity kind ("account", "address", "asset", "wallet") has at least that many rows."""

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Take a run into the facts and score it against the baselines. `inputs` is float64 [n, 17] from the observer."""

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
