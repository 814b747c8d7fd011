"""A crowd: the accounts behind one thing (an address, a device, a network, an API key, a batch) in a window that slides event by event.

Statistics: its size against its own past or against other crowds'; the evidence of its withdrawals together, that is the sum of
-ln p over the p-values of the accounts' own detector, as the bound of a gamma tail; both together; how many go to fresh addresses; its value. Many
honest crowds are large and ordinary, an attack's is odd in sum. Used by the scope monitors; the loops are in `detectors.crowd_kernel`.
"""

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, Arrays, Bools, Floats, Ints, Scores
from detectors.crowd_kernel import BLOCKS, FACTS, KEYS, STATISTICS, copy_keys, crowd_learn, crowd_run
from detectors.excess import DAY_MS, Excess
from detectors.excess_kernel import LN10, gamma_nats
from detectors.flow_kernel import SUMS
from detectors.scope_kernel import tell_crowd
from detectors.tables import Table, check_names, copy_into
from detectors.window import Window
from detectors.words import one_in

KEY = np.dtype([
    ("key", np.int64), ("entries", np.int32), ("accounts", np.int32), ("evidence", np.int64), ("fresh", np.int64), ("level", np.int64),
    ("first_ms", np.int64), ("taught_ms", np.int64), ("accounts_28d", np.float64), ("taught", np.int32), ("seen_block", np.int64),
    ("sampled_block", np.int64),
], align=True)  # fmt: skip
ENTRY = np.dtype([
    ("time_ms", np.int64), ("key", np.int64), ("member", np.int64), ("evidence", np.int64), ("level", np.int64), ("fresh", np.int64),
], align=True)  # fmt: skip
COMMON = np.dtype([
    ("seen", np.float64), ("known", np.float64), ("evidence", np.float64), ("fellows", np.float64), ("fellow_evidence", np.float64),
    ("fresh", np.float64), ("entries", np.float64), ("samples", np.float64), ("log_limits", np.float64, (SUMS,)),
], align=True)  # fmt: skip

FIRST_KEYS = 4_096
KEYS_MAX = 262_144
"""Slots of the table; the longest unseen eighth goes when three quarters are in use."""
LOAD_MAX = 0.75
EVICTED_SHARE = 8
PART_NAMES = ("statistic", "accounts", "expected", "withdrawals", "evidence", "usual_evidence", "fresh", "expected_fresh")
DISPERSIONS = (1.5, 1.5, 1.5, 1.0, 1.5)
KEYS_A_BLOCK = 2 * BLOCK_OBSERVATIONS
"""A block brings a key for each observation, and one for its account in the crowd."""


class Crowd:
    """Crowds of one kind.

    Parameters
    ----------
    window_ms
        Length of the window.
    expected_min
        Accounts that are expected in a crowd without a past.
    size_index
        The tail of honest crowds' sizes is taken to fall with this power, until the past says otherwise.
    """

    def __init__(self, window_ms: int, expected_min: float, size_index: float) -> None:
        self._size_index = size_index
        self._expected_min = expected_min
        self._keys: Table = np.zeros(FIRST_KEYS, KEY)
        self._common: Table = np.zeros(1, COMMON)
        self._numbers: Ints = np.zeros(3, np.int64)
        self._notes: Ints = np.zeros((BLOCK_OBSERVATIONS, 3), np.int64)
        self._window = Window(ENTRY, window_ms)
        self._excess = Excess(DISPERSIONS)

    def fold(
        self, times: Ints, crowd: Ints, members: Ints, adds: Bools, p_values: Floats, fresh: Bools, levels: Ints, warm_ms: int = DAY_MS,
    ) -> Scores:  # fmt: skip
        """Scores of a run, its parts as PART_NAMES has them; arguments as `crowd_run` has them."""
        nats: Floats = np.empty((len(times), STATISTICS))
        facts: Floats = np.empty((len(times), FACTS))
        window, filled = self._window, self._excess.filled(len(times))
        crowd_run(
            times, crowd, members, adds, p_values, fresh, levels, self._keys, self._common, window.entries, window.numbers, window.window_ms,
            self._numbers, self._expected_min, self._size_index, nats, facts, self._notes, filled,
        )  # fmt: skip
        scores, winner = self._excess.weigh(times, nats, len(PART_NAMES), warm_ms)
        tell_crowd(winner, facts, scores.parts)
        return scores

    def learn(self, times: Ints, crowd: Ints, adds: Bools, p_values: Floats, fresh: Bools, teach: Bools) -> None:
        """Teach from a block what `fold` was given of it, and make room for the next one."""
        slow = self._excess.alarmed(len(times))
        crowd_learn(times, crowd, adds, p_values, fresh, slow, teach, self._keys, self._common, self._window.numbers, self._notes, self._numbers)
        self._excess.learn(teach)
        self._numbers[BLOCKS] += 1
        self._window.make_room()
        self._make_room()

    def use(self) -> dict[str, tuple[int, int]]:
        """Keys and entries in use with their limits, and entries that went too early (of none)."""
        used, limit, lost = self._window.use()
        return {"keys": (int(self._numbers[KEYS]), int(LOAD_MAX * KEYS_MAX)), "entries": (used, limit), "evicted": (lost, 0)}

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return (
            self._window.arrays()
            | self._excess.arrays()
            | {
                "keys": self._keys.view(np.uint8).reshape(len(self._keys), KEY.itemsize),
                "common": self._common.view(np.uint8),
                "numbers": self._numbers,
                "crowds": self._notes,
            }
        )

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        for name, target in (("common", self._common.view(np.uint8)), ("numbers", self._numbers), ("crowds", self._notes)):
            copy_into(name, target, arrays[name])
        keys = arrays["keys"]
        if keys.dtype != np.uint8 or keys.ndim != 2 or keys.shape[1] != KEY.itemsize or len(keys) <= self._numbers[KEYS]:
            raise ValueError(f"keys: expected uint8 [n, {KEY.itemsize}], got {keys.dtype} {list(keys.shape)}")
        self._keys = np.zeros(len(keys), KEY)
        self._keys.view(np.uint8).reshape(len(keys), KEY.itemsize)[:] = keys
        self._window.restore({name: arrays[name] for name in self._window.arrays()})
        self._excess.restore({name: arrays[name] for name in self._excess.arrays()})

    def _make_room(self) -> None:
        """Grow so that a whole block of new keys finds room; at the limit forget the longest unseen ones."""
        used, capacity, oldest_block = int(self._numbers[KEYS]), len(self._keys), 0
        while used + KEYS_A_BLOCK > LOAD_MAX * capacity and capacity < KEYS_MAX:
            capacity *= 2
        if used + KEYS_A_BLOCK > LOAD_MAX * capacity:
            seen = self._keys["seen_block"][self._keys["key"] != 0]
            drop = used // EVICTED_SHARE
            oldest_block = int(np.partition(seen, drop - 1)[drop - 1]) + 1
        if capacity > len(self._keys) or oldest_block > 0:
            kept: Table = np.zeros(capacity, KEY)
            self._numbers[KEYS] = copy_keys(self._keys, kept, oldest_block)
            self._keys = kept


def words_of_evidence(parts: Floats) -> str:
    """What the crowd's withdrawals are together, such as "; their withdrawals are together 1 in 40,000"; empty where it says nothing."""
    withdrawals, evidence, usual = float(parts[3]), float(parts[4]), float(parts[5])
    nats = gamma_nats(evidence / usual, withdrawals) if withdrawals > 1.0 else 0.0
    return f"; their withdrawals are together {one_in(nats / LN10)}" if nats > LN10 else ""
