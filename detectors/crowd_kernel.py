"""Crowds: many accounts behind one thing (an address, a device, a network, a key, a batch) in a window. Compiled.

The meaning of the fields is in `detectors.crowd`, which alone calls this. Its plain twin is in tests/unit/scope_twins.py.
"""

import numpy as np

from detectors.compiled import inlined, kernel
from detectors.contract import Bools, Floats, Ints
from detectors.elementary import exp, log
from detectors.excess_kernel import UNTAUGHT_PACE, binomial_nats, evidence_of, gamma_nats
from detectors.flow_kernel import LIMIT_NATS, TAIL_INDEX, freely, learn_limit, rise_of
from detectors.tables import Table
from detectors.window_kernel import COUNT, drop_oldest, leaves, make_place, move_on

STATISTICS = 5
"""Size, evidence, share of fresh addresses, value, size and evidence together."""
FACTS = 7
"""Accounts, accounts expected, entries, summed evidence, usual evidence of one, fresh ones, fresh ones expected."""
FIXED = 1_048_576.0
"""Evidence is summed in units of 2^-20, as integers: sums end exactly where they began."""

PAST_MS = 28.0 * 86_400_000.0
DAY_MS = 86_400_000.0
FELLOWS_MIN = 3
"""Withdrawals that make a crowd whose usual evidence is known apart: who pays where many pay isn't as who pays alone."""
KNOWN_MIN = 200.0
"""Withdrawals with a p-value of the account's own detector below which their usual evidence isn't known."""
COMMON_STEP_MIN = 0.001
SAMPLES_MIN = 20.0
"""Crowds below which a limit of value or size isn't known."""

MIX = np.uint64(0x9E3779B97F4A7C15)
HALF = np.uint64(32)

OTHERS_PRIOR = 100.0
"""Withdrawals that the usual evidence counts for, beside those of other crowds in the window: on an odd day everybody is odd."""
CALM = 7.0
"""Withdrawals more in the window that are nothing, beside the prior of `rise_of`: an attack on two addresses isn't a run on the exchange."""
KEYS, BLOCKS, EVIDENCE = 0, 1, 2
"""Places in a crowd's numbers: keys in use, blocks, evidence of all in the window."""


@inlined
def key_slot(keys: Table, key: int) -> int:
    """Slot of a key other than 0, or the empty one where it belongs; the table always has an empty one (open addressing)."""
    mixed = np.uint64(key) * MIX
    mixed = (mixed ^ (mixed >> HALF)) * MIX
    slot = int(np.int64(((mixed >> HALF) * np.uint64(keys.size)) >> HALF))
    while keys[slot]["key"] != 0 and keys[slot]["key"] != key:
        slot += 1
        if slot == keys.size:
            slot = 0
    return slot


@inlined
def member_key(key: int, account: int) -> int:
    """A key of its own for an account in a crowd, negative; keys of crowds are positive."""
    mixed = (np.uint64(key) ^ (np.uint64(account + 1) * MIX)) * MIX
    return int(np.int64((mixed ^ (mixed >> HALF)) >> np.uint64(1)) ^ np.int64(-1))


@inlined
def used_slot(keys: Table, numbers: Ints, key: int) -> int:
    """The key's slot, taken for it if it was empty."""
    slot = key_slot(keys, key)
    if keys[slot]["key"] == 0:
        keys[slot]["key"] = key
        numbers[KEYS] += 1
    keys[slot]["seen_block"] = numbers[BLOCKS]
    return slot


@kernel
def crowd_run(
    times: Ints, crowd: Ints, members: Ints, adds: Bools, p_values: Floats, fresh: Bools, levels: Ints, keys: Table, common_rows: Table,
    entries: Table, window: Ints, window_ms: int, numbers: Ints, expected_min: float, size_index: float, nats: Floats, facts: Floats, notes: Ints, filled: int,
) -> None:  # fmt: skip
    """Count each observation that adds to its crowd, and compare the crowd with its own past and with others.

    crowd int64 [n], 0 for none; members int64 [n]: rows of accounts that must be counted once in a crowd, -1 where each observation is
    another account; nats float64 [n, 5]; facts float64 [n, 7]; notes int64 [256, 2]: accounts and value of the crowd, for the end of the block.
    """
    common = common_rows[0]
    for i in range(times.size):
        for k in range(STATISTICS):
            nats[i, k] = 0.0
        for k in range(FACTS):
            facts[i, k] = 0.0
        notes[filled + i, 0] = 0
        notes[filled + i, 1] = 0
        notes[filled + i, 2] = 0
        newest = move_on(window, times[i])
        while leaves(entries, window, window_ms):
            numbers[EVIDENCE] -= entries[window[0]]["evidence"]
            take_off(entries[window[0]], keys)
            drop_oldest(entries, window, window_ms)
        if crowd[i] == 0 or times[i] <= newest - window_ms:
            continue
        if adds[i]:
            slot = used_slot(keys, numbers, crowd[i])
            entry = entries[make_place(entries, window, times[i])]
            entry["time_ms"] = times[i]
            entry["key"] = crowd[i]
            entry["member"] = 0
            entry["evidence"] = np.int64(FIXED * evidence_of(p_values[i]))
            entry["fresh"] = 1 if fresh[i] else 0
            entry["level"] = levels[i]
            numbers[EVIDENCE] += entry["evidence"]
            row = keys[slot]
            row["entries"] += 1
            row["evidence"] += entry["evidence"]
            row["fresh"] += entry["fresh"]
            row["level"] += entry["level"]
            if members[i] < 0:
                row["accounts"] += 1
            else:
                key = member_key(crowd[i], members[i])
                entry["member"] = key
                member = keys[used_slot(keys, numbers, key)]
                member["entries"] += 1
                row["accounts"] += 1 if member["entries"] == 1 else 0
        else:
            slot = key_slot(keys, crowd[i])
        if keys[slot]["entries"] > 0:
            rise = rise_of(common["entries"] + CALM, float(window[COUNT] - keys[slot]["entries"]) + CALM)
            notes[filled + i, 0] = keys[slot]["accounts"]
            notes[filled + i, 1] = keys[slot]["level"]
            notes[filled + i, 2] = keys[slot]["entries"]
            others = usual_now(keys[slot], common, float(window[COUNT]), float(numbers[EVIDENCE]) / FIXED)
            judge(keys[slot], common, others, i, times[i], float(window_ms), expected_min, size_index, rise, members[i], nats, facts)


@inlined
def take_off(old: np.void, keys: Table) -> None:
    """Take an entry off its crowd; a key that was evicted meanwhile is gone with all it had."""
    row = keys[key_slot(keys, old["key"])]
    if row["key"] == 0:
        return
    row["entries"] -= 1
    row["evidence"] -= old["evidence"]
    row["fresh"] -= old["fresh"]
    row["level"] -= old["level"]
    if old["member"] == 0:
        row["accounts"] -= 1
        return
    member = keys[key_slot(keys, old["member"])]
    if member["key"] != 0:
        member["entries"] -= 1
        row["accounts"] -= 1 if member["entries"] == 0 else 0


@inlined
def usual_now(row: np.void, common: np.void, entries: float, evidence: float) -> float:
    """Nats that a withdrawal has usually, or has in the other crowds of the window if that is more."""
    usual = max(float(common["evidence"]), 1.0)
    if common["fellows"] >= KNOWN_MIN:
        usual = max(usual, float(common["fellow_evidence"]))
    others = entries - float(row["entries"])
    return max(usual, (evidence - float(row["evidence"]) / FIXED + OTHERS_PRIOR * usual) / (others + OTHERS_PRIOR))


@inlined
def judge(
    row: np.void, common: np.void, usual: float, i: int, time_ms: int, window_ms: float, expected_min: float, size_index: float, rise: float, member: int, nats: Floats, facts: Floats,
) -> None:  # fmt: skip
    """Nats and facts of a crowd as it is now. Where accounts are counted once (`member`), its size is compared with other crowds', else with its past."""
    accounts = float(row["accounts"])
    n = float(row["entries"])
    expected = expected_min
    if member >= 0:
        if common["samples"] >= SAMPLES_MIN:
            expected = max(exp(common["log_limits"][0]), 1.0)
            risen = log(rise * freely(rise))
            over = log(accounts) - common["log_limits"][0] - risen
            nats[i, 0] = LIMIT_NATS + TAIL_INDEX * over if over > 0.0 else 0.0
            over = log(float(max(row["level"], 1))) - common["log_limits"][1] - risen
            nats[i, 3] = LIMIT_NATS + TAIL_INDEX * over if over > 0.0 else 0.0
    else:
        if row["taught"] == 1:
            kept = exp(-float(max(time_ms - row["taught_ms"], 0)) / PAST_MS)
            age_ms = float(max(time_ms - row["first_ms"], 0))
            windows = max(PAST_MS * (1.0 - exp(-age_ms / PAST_MS)), DAY_MS) / window_ms
            expected = max(row["accounts_28d"] * kept / windows, expected_min)
        over = log(accounts / (expected * freely(rise)))
        nats[i, 0] = size_index * over if accounts > 1.0 and over > 0.0 else 0.0
    total = float(row["evidence"]) / FIXED
    if common["known"] >= KNOWN_MIN and n > 1.0:
        nats[i, 1] = gamma_nats(total / usual, n)
    odds = common["fresh"] / max(1.0 - common["fresh"], 0.001) * freely(rise)
    expected_fresh = n * odds / (1.0 + odds)
    if common["seen"] >= KNOWN_MIN and expected_fresh > 0.0:
        nats[i, 2] = binomial_nats(float(row["fresh"]), n, odds / (1.0 + odds))
    nats[i, 4] = nats[i, 0] + nats[i, 1]
    facts[i, 0] = accounts
    facts[i, 1] = expected
    facts[i, 2] = n
    facts[i, 3] = total
    facts[i, 4] = usual
    facts[i, 5] = float(row["fresh"])
    facts[i, 6] = expected_fresh


@kernel
def crowd_learn(
    times: Ints, crowd: Ints, adds: Bools, p_values: Floats, fresh: Bools, slow: Bools, teach: Bools, keys: Table, common_rows: Table,
    window: Ints, notes: Ints, numbers: Ints,
) -> None:  # fmt: skip
    """Teach the past of each crowd, and of all. What is `slow` (alarmed) or may not teach counts a tenth."""
    common = common_rows[0]
    for i in range(times.size):
        if crowd[i] == 0 or not adds[i]:
            continue
        pace = 1.0 if teach[i] and not slow[i] else UNTAUGHT_PACE
        row = keys[key_slot(keys, crowd[i])]
        if row["key"] == 0:
            continue
        if row["taught"] == 0:
            row["taught"] = 1
            row["first_ms"] = times[i]
            row["taught_ms"] = times[i]
        if times[i] > row["taught_ms"]:
            row["accounts_28d"] *= exp(-float(times[i] - row["taught_ms"]) / PAST_MS)
            row["taught_ms"] = times[i]
        row["accounts_28d"] += pace
        common["seen"] += 1.0
        common["entries"] += max(1.0 / common["seen"], COMMON_STEP_MIN) * (float(window[COUNT]) - common["entries"])
        common["fresh"] += pace * max(1.0 / common["seen"], COMMON_STEP_MIN) * ((1.0 if fresh[i] else 0.0) - common["fresh"])
        if p_values[i] < 1.0:
            common["known"] += 1.0
            common["evidence"] += pace * max(1.0 / common["known"], COMMON_STEP_MIN) * (evidence_of(p_values[i]) - common["evidence"])
            if notes[i, 2] >= FELLOWS_MIN:
                common["fellows"] += 1.0
                step = pace * max(1.0 / common["fellows"], COMMON_STEP_MIN)
                common["fellow_evidence"] += step * (evidence_of(p_values[i]) - common["fellow_evidence"])
    # A crowd's size and value are sampled once a block, as they were at its last observation in it.
    for back in range(times.size):
        i = times.size - 1 - back
        if crowd[i] == 0 or not adds[i] or notes[i, 0] == 0:
            continue
        row = keys[key_slot(keys, crowd[i])]
        if row["key"] != 0 and row["sampled_block"] != numbers[BLOCKS] + 1:
            row["sampled_block"] = numbers[BLOCKS] + 1
            pace = 1.0 if teach[i] and not slow[i] else UNTAUGHT_PACE
            common["samples"] += pace
            learn_limit(common, 0, log(float(notes[i, 0])), pace)
            learn_limit(common, 1, log(float(max(notes[i, 1], 1))), pace)


@kernel
def copy_keys(old: Table, new: Table, oldest_block: int) -> int:
    """Put the keys seen in that block or later into the empty table `new`; how many there are."""
    copied = 0
    for i in range(old.size):
        if old[i]["key"] != 0 and old[i]["seen_block"] >= oldest_block:
            new[key_slot(new, old[i]["key"])] = old[i]
            copied += 1
    return copied
