"""What labels need: a ring of recent observations' bins and entities, and the log of labels that can still be revoked.

No learning here, but the order in which the kernels of `detectors.lanes_kernel` do it. Called by `detectors.lanes`.
"""

from typing import Any, TypeVar, cast

import numpy as np
import numpy.typing as npt

from detectors.contract import Arrays, Bools, Floats, Ints
from detectors.lanes_kernel import LABEL, REFS, STATES, STORED, Bytes, rewind_filters, settle_labels, take_labels
from detectors.tables import Table, check_names, copy_into

FIRST_REMEMBERED = 1_024
LOG_MAX = 65_536
"""Labels that can be revoked; when there are more, the oldest quarter is settled."""
SETTLED = LOG_MAX // 4

Array = TypeVar("Array", bound=npt.NDArray[Any])


class LabelMemory:
    """Observations that a label may still come for, and labels that may still be revoked.

    Attributes
    ----------
    bins : uint8 [capacity, 31]
        Ring of stored bins; an observation stands at its ordinal modulo the capacity. The last column is its label.
    refs : int32 [capacity, 5]
        Rows and serials of its account and address, and its minute.
    """

    def __init__(self, remembered_max: int, model: Floats, run_cell_max: int) -> None:
        self._run_cell_max = run_cell_max
        self.remembered_max = remembered_max
        first = min(FIRST_REMEMBERED, remembered_max)
        self.bins: Bytes = np.zeros((first, STORED), np.uint8)
        self.refs = np.zeros((first, REFS), np.int32)
        self._numbers: Ints = np.zeros(2, np.int64)
        self._checkpoint = model.copy()
        self._log_bins: Bytes = np.zeros((0, STORED), np.uint8)
        self._log_refs = np.zeros((0, REFS), np.int32)
        self._log_ordinals: Ints = np.zeros(0, np.int64)
        self._befores: Floats = np.zeros((0, STATES))

    @property
    def next_ordinal(self) -> int:
        """Ordinal of the next observation: how many there were."""
        return int(self._numbers[0])

    @property
    def remembered(self) -> int:
        """Observations in the ring."""
        return min(self.next_ordinal, len(self.bins))

    @property
    def logged(self) -> int:
        """Labels that can be revoked."""
        return int(self._numbers[1])

    def reserve(self, observations: int) -> int:
        """Make room for that many more observations; the ordinal of their first. The ring grows by half up to its limit, then wraps."""
        first = self.next_ordinal
        wanted = min(first + observations, self.remembered_max)
        capacity = len(self.bins)
        while capacity < wanted:
            capacity = min(capacity + capacity // 2, self.remembered_max)
        if capacity > len(self.bins):
            self.bins = grown(self.bins, self.remembered, capacity)
            self.refs = grown(self.refs, self.remembered, capacity)
        self._numbers[0] += observations
        return first

    def label(self, ordinals: Ints, fraud: Bools, model: Floats, accounts: Table, addresses: Table) -> int:
        """Take labels in the order given; how many observations were still remembered.

        The same label again changes nothing; another one for the same observation revokes the first.
        """
        known = (ordinals >= self.next_ordinal - self.remembered) & (ordinals < self.next_ordinal)
        ordinals, marks = ordinals[known], fraud[known].astype(np.uint8) + 1
        if len(np.unique(ordinals)) < len(ordinals):
            for k in range(len(ordinals)):
                self.label(ordinals[k : k + 1], marks[k : k + 1] == 2, model, accounts, addresses)
            return len(ordinals)
        places = ordinals % len(self.bins)
        before = self.bins[places, LABEL]
        if np.any((before > 0) & (before != marks)):
            self.unlabel(ordinals[(before > 0) & (before != marks)], model, accounts, addresses)
        fresh = before != marks
        self.bins[places[fresh], LABEL] = marks[fresh]
        for start in range(0, int(np.count_nonzero(fresh)), SETTLED):
            piece = slice(start, start + SETTLED)
            self._take(ordinals[fresh][piece], places[fresh][piece], model, accounts, addresses)
        return len(ordinals)

    def unlabel(self, ordinals: Ints, model: Floats, accounts: Table, addresses: Table) -> int:
        """Revoke labels: model and filters become what they would be without them; how many could still be revoked."""
        count = self.logged
        revoked = np.isin(self._log_ordinals[:count], ordinals)
        if not revoked.any():
            return 0
        rewind_filters(self._log_refs, self._befores, accounts, addresses, count)
        model[...] = self._checkpoint
        places = self._log_ordinals[:count][revoked]
        places = places[places >= self.next_ordinal - self.remembered] % len(self.bins)
        self.bins[places, LABEL] = 0
        kept = int(np.count_nonzero(~revoked))
        for log in (self._log_bins, self._log_refs, self._log_ordinals, self._befores):
            log[:kept] = log[:count][~revoked]
        self._numbers[1] = kept
        take_labels(model, self._log_bins, self._log_refs, self._befores, accounts, addresses, 0, kept, self._run_cell_max)
        return count - kept

    def use(self) -> dict[str, tuple[int, int]]:
        """Observations and labels in memory, and their limits."""
        return {"remembered": (self.remembered, self.remembered_max), "labels": (self.logged, LOG_MAX)}

    def arrays(self) -> Arrays:
        """The whole state: the used parts of the ring and the log."""
        used, count = self.remembered, self.logged
        return {
            "memory_numbers": self._numbers, "checkpoint": self._checkpoint, "remembered_bins": self.bins[:used], "remembered_refs": self.refs[:used],
            "log_bins": self._log_bins[:count], "log_refs": self._log_refs[:count], "log_ordinals": self._log_ordinals[:count],
            "log_befores": self._befores[:count],
        }  # fmt: skip

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        copy_into("memory_numbers", self._numbers, arrays["memory_numbers"])
        copy_into("checkpoint", self._checkpoint, arrays["checkpoint"])
        used = min(self.next_ordinal, self.remembered_max)
        capacity = min(FIRST_REMEMBERED, self.remembered_max)
        while capacity < used:
            capacity = min(capacity + capacity // 2, self.remembered_max)
        count = self.logged
        self.bins, self.refs = np.zeros((capacity, STORED), np.uint8), np.zeros((capacity, REFS), np.int32)
        copy_into("remembered_bins", self.bins[:used], arrays["remembered_bins"])
        copy_into("remembered_refs", self.refs[:used], arrays["remembered_refs"])
        self._log_bins, self._log_refs = np.zeros((count, STORED), np.uint8), np.zeros((count, REFS), np.int32)
        self._log_ordinals, self._befores = np.zeros(count, np.int64), np.zeros((count, STATES))
        copy_into("log_bins", self._log_bins, arrays["log_bins"])
        copy_into("log_refs", self._log_refs, arrays["log_refs"])
        copy_into("log_ordinals", self._log_ordinals, arrays["log_ordinals"])
        copy_into("log_befores", self._befores, arrays["log_befores"])

    def _take(self, ordinals: Ints, places: Ints, model: Floats, accounts: Table, addresses: Table) -> None:
        """Log labels, the oldest settled where there is no room, and learn from them."""
        count, more = self.logged, len(ordinals)
        if count + more > LOG_MAX:
            count = self._settle()
        capacity = len(self._log_ordinals)
        if count + more > capacity:
            capacity = min(max(count + more, capacity + capacity // 2), LOG_MAX)
            self._log_bins, self._log_refs = grown(self._log_bins, count, capacity), grown(self._log_refs, count, capacity)
            self._log_ordinals, self._befores = grown(self._log_ordinals, count, capacity), grown(self._befores, count, capacity)
        new = slice(count, count + more)
        self._log_bins[new], self._log_refs[new], self._log_ordinals[new] = self.bins[places], self.refs[places], ordinals
        self._befores[new] = 0.0
        self._numbers[1] = count + more
        take_labels(model, self._log_bins, self._log_refs, self._befores, accounts, addresses, count, count + more, self._run_cell_max)

    def _settle(self) -> int:
        """Take the oldest quarter of the log into the checkpoint for good; how many labels are left."""
        count = self.logged
        settle_labels(self._checkpoint, self._log_bins, self._log_refs, self._befores, SETTLED, self._run_cell_max)
        for log in (self._log_bins, self._log_refs, self._log_ordinals, self._befores):
            log[: count - SETTLED] = log[SETTLED:count].copy()
        self._numbers[1] = count - SETTLED
        return count - SETTLED


def grown(array: Array, used: int, capacity: int) -> Array:
    """A larger array with the used rows of this one."""
    larger = np.zeros((capacity, *array.shape[1:]), array.dtype)
    larger[:used] = array[:used]
    return cast("Array", larger)
