"""The observer: what a withdrawal looks like beside its account's, its address's and everybody's past, as 25 numbers in [0, 1).

A 26th is the p-value that the account lane gives the same withdrawal. Decides nothing. Scores both lanes in its pass, since each withdrawal's evidence is an input of the next. The loops are in `detectors.observer_kernel`; called by `detectors.panel`, made by the registry.

Facts (serials, last seen, decayed counts and sums of hours and a day, evidence, pair counts) take every observation at once; baselines
(moments, 28-day rates, maxima, gaps, hours, the limit of evidence) learn at the end of a block. Counts and sums are decayed, not
windowed, by definition: one of age t weighs exp(-t/1 h) or exp(-t/24 h). The first 17 inputs are always known; of the later ones 0 means unknown, and
at least 1e-6 known and nothing at all. What an account uses (devices, networks, countries, API keys) is counted in the pair table by 31-bit
digests: two of one account's things are taken for one with a chance of 5e-10. A withdrawal moves the baselines with weight 1 - p, p the
account lane's chance of fraud, so that a suspicious one teaches little.

Evidence of an account (12 hours, 7 days) and of an address (24 hours) is the excess of the account lane's logits over the limit that 3 % exceed,
summed with decay.
"""

from typing import ClassVar

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, Arrays, Bools, Floats, Ints, Rows, Run
from detectors.lanes import Lanes
from detectors.observer_kernel import BLOCKS, FILLED, NOTE_ACCOUNT, NOTE_DESTINATION, PAIRS, observe, teach_baselines
from detectors.pair_kernel import copy_pairs
from detectors.tables import RowTable, Table, check_names, copy_into

ACCOUNT = np.dtype([
    ("last_ms", np.int64), ("taught_ms", np.int64), ("serial", np.uint32),
    ("count_1h", np.float32), ("count_24h", np.float32), ("level_24h", np.float32), ("evidence_12h", np.float32), ("evidence_7d", np.float32),
    ("n", np.float32), ("mean_log", np.float32), ("variance_log", np.float32), ("mean_level", np.float32), ("maximum_level", np.float32),
    ("mean_gap_s", np.float32), ("count_28d", np.float32), ("level_28d", np.float32), ("days_28d", np.float32),
    ("filter_p", np.float32), ("filter_minute", np.int32), ("filter_run", np.int32), ("country", np.uint32), ("factor", np.float32),
    ("hours", np.uint8, (24,)),
], align=True)  # fmt: skip
ADDRESS = np.dtype([
    ("first_ms", np.int64), ("last_ms", np.int64), ("taught_ms", np.int64), ("serial", np.uint32),
    ("payers_24h", np.float32), ("inflow_24h", np.float32), ("payers_28d", np.float32), ("inflow_28d", np.float32),
    ("n", np.float32), ("mean_log", np.float32), ("variance_log", np.float32), ("evidence_24h", np.float32),
    ("filter_p", np.float32), ("filter_minute", np.int32), ("filter_run", np.int32),
], align=True)  # fmt: skip
ASSET = np.dtype([("n", np.float64), ("mean_log", np.float64), ("log_price", np.float64), ("priced", np.int64)], align=True)
EVERYONE = np.dtype([
    ("n", np.float64), ("mean_log", np.float64), ("variance_log", np.float64), ("mean_level", np.float64), ("gaps", np.float64),
    ("mean_gap_s", np.float64), ("evidence_limit", np.float64), ("hours_seen", np.float64), ("hours", np.float64, (24,)),
], align=True)  # fmt: skip
PAIR = np.dtype([("account", np.uint32), ("address", np.uint32), ("count", np.uint32), ("seen_block", np.uint32)], align=True)

FIRST_PAIRS = 2048
PAIRS_AN_OBSERVATION = 5
"""With its address, device, network, country and API key."""
LOAD_MAX = 0.75
"""Share of slots in use above which the table grows by half."""
EVICTED_SHARE = 8
"""One in so many pairs goes when the limit is reached, so that the work is rare."""
NOTES = 9


class Observer:
    """Turns runs into inputs; state per account, address, asset and pair of account and address.

    Parameters
    ----------
    tail_bins
        Of the surprise detector, which teaches and stores them; read here.
    pairs_max
        Limit of the pair table, passed by at most one block's new pairs. At the end of a block that passed it, the longest unseen
        eighth is forgotten.
    """

    INPUT_NAMES: ClassVar[tuple[str, ...]] = (
        "amount_over_mean", "amount", "amount_over_maximum", "amount_z", "address_amount_z", "burst", "dormancy", "count_1h", "count_24h",
        "amount_24h", "new_pair", "young_address", "address_payers_24h", "address_inflow_24h", "rare_hour", "evidence_12h", "evidence_7d",
        "new_device", "new_network", "new_country", "new_api_key", "security_change", "travel", "balance_share", "weak_second_factor",
        "account_p_value",
    )  # fmt: skip

    def __init__(self, lanes: Lanes, pairs_max: int) -> None:
        self._lanes = lanes
        self.pairs_max = pairs_max
        self._tables = {"account": RowTable(ACCOUNT), "address": RowTable(ADDRESS), "asset": RowTable(ASSET)}
        self._everyone: Table = np.zeros(1, EVERYONE)
        self._pairs: Table = np.zeros(FIRST_PAIRS, PAIR)
        self._numbers: Ints = np.zeros(5, np.int64)
        self._notes: Floats = np.zeros((BLOCK_OBSERVATIONS, NOTES))

    def reserve(self, rows: dict[str, int]) -> None:
        """Grow tables so that each entity kind has at least that many rows."""
        for kind, table in self._tables.items():
            table.reserve(rows.get(kind, 0))

    def observe(self, run: Run) -> Floats:
        """Take a run into the facts; its inputs, float64 [n, k], each in [0, 1)."""
        inputs: Floats = np.empty((len(run), len(self.INPUT_NAMES)))
        tables, lanes = self._tables, self._lanes
        p_values, account_parts, destination_parts = lanes.begin(len(run))
        memory = lanes.memory
        observe(
            run, tables["account"].rows, tables["address"].rows, tables["asset"].rows, self._everyone, self._pairs, self._numbers,
            lanes.tail_bins.bins, lanes.model, lanes.uppers, lanes.leasts, lanes.run_cell_max, memory.next_ordinal - len(run), memory.bins, memory.refs,
            inputs, self._notes, p_values, account_parts, destination_parts,
        )  # fmt: skip
        lanes.scored(self._notes[self._numbers[FILLED] - len(run) : self._numbers[FILLED], NOTE_ACCOUNT : NOTE_DESTINATION + 1])
        return inputs

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Teach the baselines at the end of a block, and make room in the pair table for the next one."""
        self._lanes.learn(self._notes[:, NOTE_ACCOUNT : NOTE_DESTINATION + 1], inputs, teach)
        tables = self._tables
        teach_baselines(
            block, teach, tables["account"].rows, tables["address"].rows, tables["asset"].rows, self._everyone, self._notes,
        )  # fmt: skip
        self._numbers[FILLED] = 0
        self._numbers[BLOCKS] += 1
        self._make_room()

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset rows of evicted entities; their pairs can't be found again and are evicted as the longest unseen."""
        if kind in self._tables:
            self._tables[kind].forget(rows)

    def filter_rows(self) -> tuple[Table, Table]:
        """Rows of accounts and of addresses, in which the lanes' filters stand."""
        return self._tables["account"].rows, self._tables["address"].rows

    def use(self) -> dict[str, tuple[int, int]]:
        """Pairs in use, and their limit."""
        return {"pairs": (int(self._numbers[PAIRS]), self.pairs_max)}

    def arrays(self) -> Arrays:
        """The whole state by name."""
        return self._fixed() | {kind: table.as_bytes() for kind, table in self._tables.items()} | {"pairs": self._pairs_as_bytes()}

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""
        check_names(arrays, self.arrays())
        for kind, table in self._tables.items():
            table.take(kind, arrays[kind])
        for name, target in self._fixed().items():
            copy_into(name, target, arrays[name])
        pairs = arrays["pairs"]
        if pairs.dtype != np.uint8 or pairs.ndim != 2 or pairs.shape[1] != PAIR.itemsize or len(pairs) <= self._numbers[PAIRS]:
            raise ValueError(f"pairs: expected uint8 [n, {PAIR.itemsize}], got {pairs.dtype} {list(pairs.shape)}")
        self._pairs = np.zeros(len(pairs), PAIR)
        self._pairs_as_bytes()[:] = pairs

    def _fixed(self) -> Arrays:
        everyone = self._everyone.view(np.uint8)
        return {"everyone": everyone, "numbers": self._numbers, "notes": self._notes}

    def _pairs_as_bytes(self) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
        return self._pairs.view(np.uint8).reshape(len(self._pairs), PAIR.itemsize)

    def _make_room(self) -> None:
        """Forget the longest unseen pairs above the limit, and grow so that a whole block of new pairs finds room."""
        used = int(self._numbers[PAIRS])
        oldest_block = 0
        if used > self.pairs_max:
            seen = self._pairs["seen_block"][self._pairs["account"] != 0]
            drop = used - (self.pairs_max - self.pairs_max // EVICTED_SHARE)
            oldest_block = int(np.partition(seen, drop - 1)[drop - 1]) + 1
            used = int(np.count_nonzero(seen >= oldest_block))
        capacity = len(self._pairs)
        while used + PAIRS_AN_OBSERVATION * BLOCK_OBSERVATIONS > LOAD_MAX * capacity:
            capacity += capacity // 2
        if capacity > len(self._pairs) or oldest_block > 0:
            kept: Table = np.zeros(capacity, PAIR)
            self._numbers[PAIRS] = copy_pairs(self._pairs, kept, oldest_block)
            self._pairs = kept
