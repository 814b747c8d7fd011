"""The observer's inputs that the scope monitors read, by name. An input that the observer doesn't have is unknown.

No state. Made by the registry.
"""

from collections.abc import Sequence

import numpy as np

from detectors.contract import Floats


class ScopeInputs:
    """Columns of inputs [n, k], as contiguous copies.

    Parameters
    ----------
    names
        Names of the observer's inputs, column by column.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._places = {name: place for place, name in enumerate(names)}

    def column(self, inputs: Floats, name: str, unknown: float = 0.0) -> Floats:
        """The column of that name, or `unknown` for each observation."""
        place = self._places.get(name)
        return np.full(len(inputs), unknown) if place is None else np.ascontiguousarray(inputs[:, place])

    def amount(self, inputs: Floats) -> Floats:
        """Level of the amount against everybody's, squashed."""
        return self.column(inputs, "amount")

    def new_pair(self, inputs: Floats) -> Floats:
        """1/(1 + payments of this account to this address before)."""
        return self.column(inputs, "new_pair")

    def young_address(self, inputs: Floats) -> Floats:
        """exp(-age of the address / 7 days)."""
        return self.column(inputs, "young_address")

    def account_p_value(self, inputs: Floats) -> Floats:
        """p-value of the account's own detector, 1 while it is WARMING."""
        return self.column(inputs, "account_p_value", 1.0)
