"""What flows through an entity in a window, against its own past: marked observations, and sums. Compiled.

The meaning of the fields is in `detectors.flow`, which alone calls this. Its plain twin is in tests/unit/scope_twins.py.
"""

import numpy as np
import numpy.typing as npt

from detectors.compiled import inlined, kernel
from detectors.contract import Bools, Floats, Ints, Rows
from detectors.elementary import exp, log
from detectors.excess_kernel import UNTAUGHT_PACE, binomial_nats, poisson_nats
from detectors.tables import Table
from detectors.window_kernel import drop_oldest, leaves, make_place, move_on

Marks = npt.NDArray[np.uint8]

MARKS, SUMS = 4, 2
CONTROL = 3
"""The mark that an attack doesn't bring: where it is more frequent than usual, mark 1 may be so too. It is never odd itself."""
STATISTICS = MARKS + SUMS
UNKNOWN, NO, YES = 0, 1, 2
"""Values of a mark. Unknown is what can't be told of this observation yet; a mark's past begins with the first that could be told."""
FACTS = 2 + 2 * MARKS + 2 * SUMS
"""All in the window, usual number, then marked and expected of each mark, then sum and limit of each sum."""

BASELINE_MS = 5.0 * 86_400_000.0
RISE_PRIOR = 3.0
RISE_FREE = 2.0
"""Up to so many times the usual traffic the marked share may not rise (a busy hour); beyond it may rise in proportion (a run on the exchange)."""
TAUGHT_MIN = 1_000.0
"""Observations below which an entity's past says nothing."""
LARGEST_UNTIL = 100.0
"""Until so many samples a sum's limit is the largest one, then it is tracked."""
LIMIT_SHARE = 0.01
LIMIT_STEP = 0.15
SAMPLES_A_WINDOW = 8
"""A sum is sampled so often in a window's length, or one hour's peak would be taken for thousands of samples."""
LIMIT_NATS = 4.605170185988092
"""ln 100: what a sum at its 99 % limit counts."""
TAIL_INDEX = 3.0
"""Beyond the limit the tail falls with this power of the sum; where honest sums fall more slowly, the over-dispersion grows."""


@inlined
def rise_of(usual: float, now: float) -> float:
    """How far traffic is above the usual, at least 1."""
    return max((now + RISE_PRIOR) / (usual + RISE_PRIOR), 1.0)


@inlined
def freely(rise: float) -> float:
    """Factor by which the marked share may rise while traffic has risen so far."""
    return max(rise / RISE_FREE, 1.0)


@inlined
def peak_rise(row: np.void, rise: float, time_ms: int, window_ms: float) -> float:
    """The highest rise that the window still remembers: after a run, what is left of it in the window is still the run's."""
    if rise >= row["peak"] or float(time_ms - row["peak_ms"]) > window_ms:
        row["peak"] = rise
        row["peak_ms"] = time_ms
    return max(rise, float(row["peak"]))


@inlined
def windows_in(age_ms: float, window_ms: float) -> float:
    """How many windows a 5-day decayed count of that age stands for, at least one."""
    return max(BASELINE_MS * (1.0 - exp(-age_ms / BASELINE_MS)) / window_ms, 1.0)


@kernel
def flow_run(
    times: Ints, rows: Rows, marks: Marks, sums: Ints, scored: Bools, table: Table, entries: Table, numbers: Ints, serial: Ints, window_ms: int, expected_min: Floats,
    note_sums: Ints, filled: int, nats: Floats, facts: Floats,
) -> None:  # fmt: skip
    """Count each observation at once, and compare its entity's window with its past.

    expected_min float64 [3]: marked observations to expect at least. rows int32 [n], below 0 where there is no entity; marks uint8 [n, 4]; sums int64 [n, 2], at least 0; nats float64 [n, 6]; facts float64 [n, 14];
    note_sums int64 [256, 2] keeps the sums for the end of the block.
    """
    for i in range(times.size):
        for k in range(STATISTICS):
            nats[i, k] = 0.0
        for k in range(FACTS):
            facts[i, k] = 0.0
        for k in range(SUMS):
            note_sums[filled + i, k] = -1
        time_ms = times[i]
        newest = move_on(numbers, time_ms)
        while leaves(entries, numbers, window_ms):
            old = entries[numbers[0]]
            left = table[old["row"]]
            if left["serial"] == old["serial"]:
                left["count"] -= 1
                for k in range(MARKS):
                    left["marked"][k] -= 1 if old["marks"][k] == YES else 0
                for k in range(SUMS):
                    left["sums"][k] -= old["sums"][k]
            drop_oldest(entries, numbers, window_ms)
        if rows[i] < 0 or time_ms <= newest - window_ms:
            continue
        row = table[rows[i]]
        if row["serial"] == 0:
            serial[0] += 1
            row["serial"] = serial[0]
        entry = entries[make_place(entries, numbers, time_ms)]
        entry["time_ms"] = time_ms
        entry["row"] = rows[i]
        entry["serial"] = row["serial"]
        row["count"] += 1
        for k in range(MARKS):
            entry["marks"][k] = marks[i, k]
            row["marked"][k] += 1 if marks[i, k] == YES else 0
        for k in range(SUMS):
            entry["sums"][k] = sums[i, k]
            row["sums"][k] += sums[i, k]
            note_sums[filled + i, k] = row["sums"][k]
        if scored[i] and row["taught"] >= TAUGHT_MIN and concerns(row, i, marks, sums):
            judge(row, i, time_ms, float(window_ms), expected_min, marks, sums, nats, facts)


@inlined
def concerns(row: np.void, i: int, marks: Marks, sums: Ints) -> bool:
    """Whether an observation has a mark, or a hundredth of a sum."""
    concerned = False
    for k in range(MARKS):
        concerned = concerned or marks[i, k] == YES
    for k in range(SUMS):
        concerned = concerned or (sums[i, k] > 0 and 100 * sums[i, k] >= row["sums"][k])
    return concerned


@inlined
def judge(row: np.void, i: int, time_ms: int, window_ms: float, expected_min: Floats, marks: Marks, sums: Ints, nats: Floats, facts: Floats) -> None:
    """Nats and facts of one observation: of the marks that it has and of the sums that it added to."""
    kept = exp(-float(max(time_ms - row["taught_ms"], 0)) / BASELINE_MS)
    count = float(row["count"])
    usual = row["count_5d"] * kept / windows_in(float(max(time_ms - row["first_ms"], 0)), window_ms)
    facts[i, 0] = count
    facts[i, 1] = usual
    for k in range(CONTROL):
        if marks[i, k] == YES and row["told"][k] >= TAUGHT_MIN:
            marked = float(row["marked"][k])
            expected = usual_marked(row, k, time_ms, kept, window_ms)
            rise = peak_rise(row, rise_of(max(usual - expected, 0.0), count - marked), time_ms, window_ms)
            free = freely(rise)
            if k == 1 and row["told"][CONTROL] > 0.0:
                free *= rise_of(usual_marked(row, CONTROL, time_ms, kept, window_ms) * rise, float(row["marked"][CONTROL]))
            share = min(max(expected, expected_min[k]) / max(usual, expected_min[k]), 0.999)
            odds = share / (1.0 - share) * free
            expected = max(expected, expected_min[k]) * rise * free
            facts[i, 2 + k] = marked
            facts[i, 2 + MARKS + k] = expected
            nats[i, k] = max(poisson_nats(marked, expected), binomial_nats(marked, count, odds / (1.0 + odds)))
    for k in range(SUMS):
        if 100 * sums[i, k] >= row["sums"][k] and sums[i, k] > 0 and row["samples"] >= LARGEST_UNTIL:
            log_sum = log(float(row["sums"][k]))
            facts[i, 2 + 2 * MARKS + k] = float(row["sums"][k])
            facts[i, 2 + 2 * MARKS + SUMS + k] = exp(row["log_limits"][k])
            rise = peak_rise(row, rise_of(usual, count - 1.0), time_ms, window_ms)
            over = log_sum - row["log_limits"][k] - log(rise * freely(rise))
            nats[i, MARKS + k] = LIMIT_NATS + TAIL_INDEX * over if over > 0.0 else 0.0


@inlined
def usual_marked(row: np.void, k: int, time_ms: int, kept: float, window_ms: float) -> float:
    """Observations with the mark that a window has by the 5-day rate."""
    return float(row["marked_5d"][k] * kept / windows_in(float(max(time_ms - row["told_ms"][k], 0)), window_ms))


@kernel
def flow_learn(
    times: Ints, rows: Rows, marks: Marks, slow: Bools, teach: Bools, table: Table, window_ms: int, note_sums: Ints,
) -> None:  # fmt: skip
    """Teach rates and limits from a block in order; what is `slow` (alarmed) or may not teach counts a tenth."""
    for i in range(times.size):
        if rows[i] < 0:
            continue
        row = table[rows[i]]
        time_ms = times[i]
        pace = 1.0 if teach[i] and not slow[i] else UNTAUGHT_PACE
        if row["taught"] == 0.0:
            if not teach[i]:
                continue
            row["first_ms"] = time_ms
            row["taught_ms"] = time_ms
            row["sampled_ms"] = time_ms
        if time_ms > row["taught_ms"]:
            kept = exp(-pace * float(time_ms - row["taught_ms"]) / BASELINE_MS)
            row["taught_ms"] = time_ms
            row["count_5d"] *= kept
            for k in range(MARKS):
                row["marked_5d"][k] *= kept
        row["taught"] += 1.0 if teach[i] else 0.0
        row["count_5d"] += pace
        for k in range(MARKS):
            if marks[i, k] != UNKNOWN:
                if row["told"][k] == 0.0:
                    row["told_ms"][k] = time_ms
                row["told"][k] += 1.0
                row["marked_5d"][k] += pace if marks[i, k] == YES else 0.0
        if note_sums[i, 0] >= 0 and time_ms - row["sampled_ms"] >= window_ms // SAMPLES_A_WINDOW:
            row["sampled_ms"] = time_ms
            row["samples"] += pace
            for k in range(SUMS):
                learn_limit(row, k, log(float(max(note_sums[i, k], 1))), pace)


@inlined
def learn_limit(row: np.void, k: int, log_sum: float, pace: float) -> None:
    """Move the 99 % limit of a sum by one sample."""
    if row["samples"] <= LARGEST_UNTIL:
        row["log_limits"][k] = max(row["log_limits"][k], log_sum)
    else:
        row["log_limits"][k] += pace * LIMIT_STEP * ((1.0 if log_sum > row["log_limits"][k] else 0.0) - LIMIT_SHARE)
