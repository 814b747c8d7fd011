"""The table of pairs (account, address): open addressing in one array, found by serial numbers that are never given twice. Compiled.

Serials, not rows: a row that is given to another entity can't inherit its pairs. Called by `detectors.observer` and its kernel.
"""

import numpy as np

from detectors.compiled import inlined, kernel
from detectors.tables import Table

MIX = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: multiplication by it spreads neighbouring keys (Knuth, volume 3, section 6.4)."""
HALF = np.uint64(32)


@inlined
def pair_slot(pairs: Table, account: int, address: int) -> int:
    """Slot that holds the pair, or the empty one where it belongs; the table always has an empty one."""
    key = (np.uint64(account) << HALF) | np.uint64(address)
    key = (key ^ (key >> HALF)) * MIX
    key = (key ^ (key >> HALF)) * MIX
    slot = int(np.int64(((key >> HALF) * np.uint64(pairs.size)) >> HALF))
    while pairs[slot]["account"] != 0 and not (pairs[slot]["account"] == account and pairs[slot]["address"] == address):
        slot += 1
        if slot == pairs.size:
            slot = 0
    return slot


@kernel
def copy_pairs(old: Table, new: Table, oldest_block: int) -> int:
    """Put the pairs seen in that block or later into the empty table `new`; how many there are."""
    copied = 0
    for i in range(old.size):
        pair = old[i]
        if pair["account"] != 0 and pair["seen_block"] >= oldest_block:
            new[pair_slot(new, pair["account"], pair["address"])] = pair
            copied += 1
    return copied
