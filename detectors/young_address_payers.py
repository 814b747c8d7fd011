"""Payers to young addresses: how many accounts paid an address in 24 h that was first seen a short while ago.

A count, not a rarity: it needs no learning, but a stream that has lived as long as an address is young: before that every address is
new to it. Many honest addresses have many payers while young
(deposit addresses of other exchanges, new merchants), so it takes the caller's threshold. Made by the registry.
"""

import numpy as np

from detectors.contract import Arrays, Bools, Family, Floats, Ints, Rows, Run, Scope, Scores
from detectors.tables import RowTable, check_names, copy_into
from detectors.words import duration
from detectors.young_address_payers_kernel import SLOTS, count_run

ACCOUNT = np.dtype([("serial", np.uint32)], align=True)
ADDRESS = np.dtype([("first_ms", np.int64), ("offset_ms", np.int32, (SLOTS,)), ("payer", np.uint32, (SLOTS,))], align=True)

YOUNG_MS_MAX = 21 * 86_400_000
"""Times of payments are kept as 32-bit distances from the first one, enough for 24 days."""


class YoungAddressPayers:
    """Distinct payers in 24 h to a young address; exact up to 8, which stands for "8 or more".

    The score is the count, 0 for an address that isn't young; the p-value is always 1, since the caller compares the score with its
    threshold. Parts: the count, and the address's age in ms (-1 if it isn't young). WARMING until the first
    observation is `young_address_ms` old.

    Parameters
    ----------
    young_address_ms
        An address first seen less than this ago is young; at most 21 days.
    """

    name = "young_address_payers"
    scope: Scope = "address"
    family: Family = "mass_takeover"
    calibrated = False
    part_names: tuple[str, ...] = ("payers_24h", "address_age_ms")

    def __init__(self, young_address_ms: int) -> None:
        self.set_young_ms(young_address_ms)
        self._tables = {"account": RowTable(ACCOUNT), "address": RowTable(ADDRESS)}
        self._stream: Ints = np.zeros(2, np.int64)  # last serial given to an account; time of the first observation in ms

    def set_young_ms(self, young_address_ms: int) -> None:
        """From now on an address is young for that long. ValueError if times can't be kept for so long."""
        if not 0 < young_address_ms <= YOUNG_MS_MAX:
            raise ValueError(f"young_address_ms: expected 1 to {YOUNG_MS_MAX}, got {young_address_ms}")
        self._young_ms = young_address_ms

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow tables so that each entity kind has at least that many rows."""
        for kind, table in self._tables.items():
            table.reserve(rows.get(kind, 0))

    def fold(self, run: Run, inputs: Floats) -> Scores:  # noqa: ARG002  counts need no inputs
        """Count each observation's payers, itself included."""
        n = len(run)
        scores = Scores(np.empty(n), np.ones(n), np.empty(n, np.bool_), np.empty((n, len(self.part_names))))
        if n and self._stream[0] == 0:
            self._stream[1] = run["time_ms"][0]
        scores.ready[:] = run["time_ms"] - self._stream[1] >= self._young_ms
        accounts, addresses = self._tables["account"].rows, self._tables["address"].rows
        count_run(run, accounts, addresses, self._stream, self._young_ms, scores.value, scores.parts)
        return scores

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Nothing to learn: all of it is facts."""

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset rows of evicted entities; an account that gets such a row is another payer, by its new serial."""
        if kind in self._tables:
            self._tables[kind].forget(rows)

    def explain(self, parts: Floats) -> str:
        """Such as "5 distinct payers in 24 h, address first seen 2 h ago"."""
        payers, age_ms = int(parts[0]), float(parts[1])
        if age_ms < 0.0:
            return "the address isn't young"
        or_more = " or more" if payers == SLOTS else ""
        return f"{payers}{or_more} distinct payer{'' if payers == 1 else 's'} in 24 h, address first seen {duration(age_ms)} ago"

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return {"stream": self._stream} | {kind: table.as_bytes() for kind, table in self._tables.items()}

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        for kind, table in self._tables.items():
            table.take(kind, arrays[kind])
        copy_into("stream", self._stream, arrays["stream"])
