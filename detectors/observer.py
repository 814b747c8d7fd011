"""Placeholder of the observer: its interface."""

from typing import ClassVar

import numpy as np

from detectors.contract import Arrays, Bools, Floats, Rows, Run


class Observer:
    """Turns a run into the 17 label-free inputs; state per account, address, asset and pair."""

    INPUT_NAMES: ClassVar[tuple[str, ...]] = (
        "amount_over_mean", "amount", "amount_over_maximum", "amount_z", "address_amount_z", "burst", "dormancy", "count_1h", "count_24h",
        "amount_24h", "new_pair", "young_address", "address_payers_24h", "address_inflow_24h", "rare_hour", "evidence_12h", "evidence_7d",
    )  # fmt: skip

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow."""

    def observe(self, run: Run) -> Floats:
        """Inputs [n, 17] of the run; the facts take it."""
        return np.zeros((len(run), 17))

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Baselines."""

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset rows."""

    def use(self) -> dict[str, tuple[int, int]]:
        """Use of the pair table."""
        return {"pairs": (0, 0)}

    def arrays(self) -> Arrays:
        """State."""
        return {}

    def restore(self, arrays: Arrays) -> None:
        """Restore."""
