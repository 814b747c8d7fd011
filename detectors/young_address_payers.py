"""Payers to young addresses: whether accounts that never paid it before come together at an address that nobody knew a short while ago.

Counts an address's first-time payers in an hour and in 24, and sums the evidence of their withdrawals: deposit addresses of other exchanges and of payment processors have
hundreds of honest payers while young, an attack's payers are odd in sum. Size: a Pareto tail; evidence: a gamma tail by Chernoff's
bound; both divided by an over-dispersion that follows the past. Made by the registry.
"""

import numpy as np

from detectors.contract import Arrays, Bools, Family, Floats, Ints, Rows, Run, Scope, Scores
from detectors.crowd import PART_NAMES, Crowd, words_of_evidence
from detectors.scope_inputs import ScopeInputs
from detectors.scope_kernel import NEW_PAIR_MIN, find_young
from detectors.tables import RowTable, check_names, copy_into
from detectors.words import DAY_MS, HOUR_MS, duration

ADDRESS = np.dtype([("first_ms", np.int64), ("serial", np.uint32)], align=True)

YOUNG_MS_MAX = 21 * DAY_MS
WINDOWS_MS = (HOUR_MS, DAY_MS)
WINDOW_WORDS = ("1 h", "24 h")
SIZE_INDICES = (12.0, 8.0)
"""Sizes within an hour have the lighter tail: honest payers hear of a new address one by one."""


class YoungAddressPayers:
    """First-time payers in an hour and in 24 to a young address.

    WARMING for 2,048 observations, and until the stream is `young_address_ms` old: before that every address is new to it. p-value 1 for an address that isn't young. Parts: the statistic that decided (0 size, 1 evidence, 4 both), payers in the window, payers
    expected, their withdrawals, the summed evidence in nats, what one withdrawal has usually, two that are 0 here, the address's age in ms, and whether
    that is of 24 hours (1) or of one (0). What may not teach, and what is itself below 1 in 10,000, teaches ten times slower.

    Parameters
    ----------
    inputs
        The observer's inputs by name.
    young_address_ms
        An address first seen less than this ago is young; at most 21 days.
    """

    name = "young_address_payers"
    scope: Scope = "address"
    family: Family = "mass_takeover"
    calibrated = False
    part_names: tuple[str, ...] = (*PART_NAMES, "address_age_ms", "in_day")

    def __init__(self, inputs: ScopeInputs, young_address_ms: int) -> None:
        self.set_young_ms(young_address_ms)
        self._inputs = inputs
        self._addresses = RowTable(ADDRESS)
        self._serial: Ints = np.zeros(1, np.int64)
        self._crowds = tuple(Crowd(window_ms, 1.0, size_index) for window_ms, size_index in zip(WINDOWS_MS, SIZE_INDICES, strict=True))

    def set_young_ms(self, young_address_ms: int) -> None:
        """From now on an address is young for that long. ValueError if it isn't 1 ms to 21 days."""
        if not 0 < young_address_ms <= YOUNG_MS_MAX:
            raise ValueError(f"young_address_ms: expected 1 to {YOUNG_MS_MAX}, got {young_address_ms}")
        self._young_ms = young_address_ms

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow the table so that it has at least as many addresses."""
        self._addresses.reserve(rows.get("address", 0))

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Count each observation's fellow payers, itself included."""
        n, times = len(run), run["time_ms"]
        keys, ages, adds = self._read(run, inputs)
        alone, no, nothing = np.full(n, -1, np.int64), np.zeros(n, np.bool_), np.zeros(n, np.int64)
        p_values, warm_ms = self._inputs.account_p_value(inputs), max(self._young_ms, DAY_MS)
        hour, day = (crowd.fold(times, keys, alone, adds, p_values, no, nothing, warm_ms) for crowd in self._crowds)
        longer = day.value > hour.value
        parts = np.column_stack([np.where(longer[:, None], day.parts, hour.parts), ages, longer])
        p_value = np.minimum(1.0, 2.0 * np.minimum(hour.p_value, day.p_value))
        return Scores(np.maximum(hour.value, day.value), p_value, hour.ready, parts)

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Teach what a first-time payer's withdrawal is like usually."""
        keys, _, adds = self._read(block, inputs)
        for crowd in self._crowds:
            crowd.learn(block["time_ms"], keys, adds, self._inputs.account_p_value(inputs), np.zeros(len(block), np.bool_), teach)

    def _read(self, run: Run, inputs: Floats) -> tuple[Ints, Floats, Bools]:
        n = len(run)
        keys, ages = np.empty(n, np.int64), np.empty(n)
        find_young(run["time_ms"], run["address"], self._addresses.rows, self._serial, self._young_ms, keys, ages)
        adds: Bools = self._inputs.new_pair(inputs) >= NEW_PAIR_MIN
        return keys, ages, adds

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset rows of evicted addresses; a row that is given to another one has another serial."""
        if kind == "address":
            self._addresses.forget(rows)

    def use(self) -> dict[str, tuple[int, int]]:
        """Keys and entries in use, and their limits."""
        return {
            f"{name}_{word.replace(' ', '')}": use
            for word, crowd in zip(WINDOW_WORDS, self._crowds, strict=True)
            for name, use in crowd.use().items()
        }

    def explain(self, parts: Floats) -> str:
        """Such as "14 accounts paid it in 24 h, address first seen 2 min ago; their withdrawals are together 1 in 40,000"."""
        payers = int(parts[1])
        if payers == 0:
            return "the address isn't young, or has no first-time payers in 24 h"
        who = "1 account" if payers == 1 else f"{payers} accounts"
        window, age = WINDOW_WORDS[int(parts[-1])], duration(float(parts[-2]))
        return f"{who} paid it for the first time in {window}, address first seen {age} ago{words_of_evidence(parts)}"

    def arrays(self) -> Arrays:
        """The whole state by name."""
        own: Arrays = {"addresses": self._addresses.as_bytes(), "serial": self._serial}
        for at, crowd in enumerate(self._crowds):
            own |= {f"crowd{at}.{name}": array for name, array in crowd.arrays().items()}
        return own

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        self._addresses.take("addresses", arrays["addresses"])
        copy_into("serial", self._serial, arrays["serial"])
        for at, crowd in enumerate(self._crowds):
            crowd.restore({name: arrays[f"crowd{at}.{name}"] for name in crowd.arrays()})
