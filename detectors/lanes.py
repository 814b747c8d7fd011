"""The two lanes of account takeover: what makes this account's withdrawal odd, and what is known of its destination.

Each gives a logit; together P = 1 - (1 - s(z_account)) (1 - s(z_destination)). They work from the first event without a label and learn
from labels that come late. Holds what both lanes share; scored by the observer's kernel in its pass, shown by `detectors.account_lane`
and `detectors.destination_lane`, made by the registry.

Account lane: base + for each input its weight times its surprise in decades, and a number per tail bin, + numbers for the account's filter, the
hour and the destination's evidence. Destination lane: base + numbers for the destination's filter and the age of its run. A *filter* is the chance
that the entity is compromised now, a two-state chain that labels move (a hidden Markov model's forward pass [1]), each label weighed by
what the other lane explains of it. A *run* begins with the fraud that lifts a destination's filter above 0.1. Weights and tables move by AdaGrad [2].

References
----------
[1] L. R. Rabiner, A tutorial on hidden Markov models, Proceedings of the IEEE 77 (1989).
[2] J. Duchi, E. Hazan, Y. Singer, Adaptive subgradient methods, Journal of Machine Learning Research 12 (2011).
"""

import numpy as np

from detectors.contract import Arrays, Bools, Floats, Ints, Scores
from detectors.label_memory import LabelMemory
from detectors.lanes_kernel import (
    ACCOUNT,
    ACCOUNT_FILTER,
    ACCOUNT_PRIOR,
    BASES,
    BINS,
    CELLS_PER_LOGIT,
    DESTINATION,
    DESTINATION_FILTER,
    FIRED,
    FIRED_FIRST,
    FIRST_BASE,
    FIRST_WEIGHT,
    LOGIT_CELLS,
    LOGIT_MIN,
    MODEL,
    MODEL_INPUTS,
    QUIET,
    QUIET_FIRST,
    WEIGHTS,
    add_logits,
    combine,
    logit,
)
from detectors.tables import Table, restore_fixed, restore_together
from detectors.tail import TailBins
from detectors.tail_kernel import INCREMENT, SCORES_MIN, SEEN

KNOWN_INPUTS = 17
VALUE_OF_ZERO = 20.0
"""A lane's value is its logit plus this, so that it is positive."""
ACCOUNT_PARTS = 2 * MODEL_INPUTS + 5
DESTINATION_PARTS = 5


def first_model() -> Floats:
    """Values, and sums of squared gradients, before any label."""
    model = np.zeros((2, MODEL))
    values = model[0]
    values[WEIGHTS : WEIGHTS + MODEL_INPUTS] = FIRST_WEIGHT
    values[BASES : BASES + 2] = FIRST_BASE
    values[FIRED : FIRED + 2] = FIRED_FIRST
    values[QUIET : QUIET + 2] = QUIET_FIRST
    for cell in range(BINS):
        middle = LOGIT_MIN + (cell + 0.5) / CELLS_PER_LOGIT
        values[DESTINATION_FILTER * BINS + cell] = 0.8 * max(middle + 6.0, 0.0)
        values[ACCOUNT_FILTER * BINS + cell] = 0.4 * max(middle - logit(ACCOUNT_PRIOR), 0.0)
    return model


def chances(account_value: Floats, destination_value: Floats) -> Floats:
    """Chance of a fraud by either lane from both lanes' values, float64 [n] each."""
    chance = np.empty(len(account_value))
    combine(account_value - VALUE_OF_ZERO, destination_value - VALUE_OF_ZERO, chance)
    return chance


class Lanes:
    """What both lanes share: tail bins, weights and tables, the past of their logits, and the memory of labels.

    The filters stand in the observer's rows of accounts and addresses, beside what else an event touches.

    Parameters
    ----------
    remembered_max
        Observations that a label may still come for, at least 256.
    run_age
        Whether the age of a destination's run counts.
    """

    def __init__(self, remembered_max: int, *, run_age: bool = True) -> None:
        self.run_cell_max = BINS - 1 if run_age else 0
        self.tail_bins = TailBins(MODEL_INPUTS, KNOWN_INPUTS)
        self.model = first_model()
        self.memory = LabelMemory(remembered_max, self.model, self.run_cell_max)
        self.uppers: Floats = np.ones((2, LOGIT_CELLS + 1))
        self.leasts: Floats = np.ones(2)
        self._cells: Floats = np.zeros((2, LOGIT_CELLS))
        self._numbers: Floats = np.zeros((2, 3))
        self._numbers[:, INCREMENT] = 1.0
        self.begin(0)
        self.scored(np.zeros((0, 2)))

    @property
    def ready(self) -> bool:
        """Whether enough logits were seen for p-values."""
        return bool(self._numbers[0, SEEN] >= SCORES_MIN)

    def begin(self, n: int) -> tuple[Floats, Floats, Floats]:
        """Make room for a run's outcome: p-values [n, 2], parts of the account lane [n, 55] and of the destination lane [n, 5]."""
        self.memory.reserve(n)
        self._p_values, self._parts = np.empty((n, 2)), (np.empty((n, ACCOUNT_PARTS)), np.empty((n, DESTINATION_PARTS)))
        return self._p_values, *self._parts

    def scored(self, logits: Floats) -> None:
        """Keep a run's logits [n, 2]: the lanes' scores are ready to be shown."""
        self._values = np.maximum(logits + VALUE_OF_ZERO, 0.0)

    def scores(self, lane: int) -> Scores:
        """What one lane says of the run that the observer took last."""
        value = self._values[:, lane].copy()
        return Scores(value, self._p_values[:, lane].copy(), np.full(len(value), self.ready), self._parts[lane])

    def learn(self, logits: Floats, inputs: Floats, teach: Bools) -> None:
        """At the end of a block: its logits [256, 2] join their past once the tail bins are ready, its inputs teach the bins."""
        if self.tail_bins.ready:
            for lane in (ACCOUNT, DESTINATION):
                add_logits(logits[:, lane], teach, self._cells[lane], self._numbers[lane], self.uppers[lane])
            if self.ready:
                self.leasts[:] = 1.0 / (self._numbers[:, SEEN] + 1.0)
        self.tail_bins.learn(inputs, teach)

    def label(self, ordinals: Ints, fraud: Bools, accounts: Table, addresses: Table) -> int:
        """Learn from labels; see `detectors.panel.Panel.label`."""
        return self.memory.label(ordinals, fraud, self.model, accounts, addresses)

    def unlabel(self, ordinals: Ints, accounts: Table, addresses: Table) -> int:
        """Revoke labels; see `detectors.panel.Panel.unlabel`."""
        return self.memory.unlabel(ordinals, self.model, accounts, addresses)

    def arrays(self) -> Arrays:
        """The whole state by name, but the filters."""
        return self._own() | self.tail_bins.arrays() | self.memory.arrays()

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        restore_together(arrays, _Own(self._own()), self.tail_bins, self.memory)

    def _own(self) -> Arrays:
        return {"model": self.model, "uppers": self.uppers, "leasts": self.leasts, "past_cells": self._cells, "past_numbers": self._numbers}


class _Own:
    """The lanes' own arrays, as a part beside the others."""

    def __init__(self, state: Arrays) -> None:
        self._state = state

    def arrays(self) -> Arrays:
        return self._state

    def restore(self, arrays: Arrays) -> None:
        restore_fixed(self._state, arrays)
