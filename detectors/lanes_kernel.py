"""The two lanes over stored bins: how they score, how a label moves weights, tables and filters. Compiled.

The meaning of the numbers is in `detectors.lanes`. Called by `detectors.lanes`, `detectors.label_memory` and the observer's kernel; its plain
twin is in tests/unit/lane_twins.py.
"""

import numpy as np
import numpy.typing as npt

from detectors.compiled import inlined, kernel
from detectors.contract import Floats
from detectors.elementary import exp, log
from detectors.tables import Table
from detectors.tail_kernel import GROWTH, INCREMENT, INCREMENT_MAX, SCORES_MIN, SEEN, TOTAL, surprise_of_bin

Bytes = npt.NDArray[np.uint8]

MODEL_INPUTS = 25
"""Inputs that the lanes read: the observer's but the last."""
BINS = 64
UNKNOWN = 255
"""Bin of an input that isn't known: it adds nothing and learns nothing."""

# Columns of the stored bins: the inputs', then these.
ACCOUNT_FILTER, HOUR, DESTINATION_EVIDENCE, DESTINATION_FILTER, RUN_AGE = 25, 26, 27, 28, 29
FEATURES = 30
LABEL = 30
"""Column that says what the observation's label is: 0 none yet, 1 no fraud, 2 fraud."""
STORED = 31
FRAUD = 2

# Places in `model`, whose first row is the values and second the sums of squared gradients.
WEIGHTS = FEATURES * BINS
BASES = WEIGHTS + MODEL_INPUTS
FIRED, QUIET = BASES + 2, BASES + 4
MODEL = BASES + 6

ACCOUNT, DESTINATION = 0, 1

FIRST_BASE = -6.0
FIRST_WEIGHT = 0.1
TABLE_RATE = 0.3
WEIGHT_RATE = 0.1

MINUTES_A_DAY = 1440.0
MINUTE_MAX = 2_147_483_647
ACCOUNT_RATE = 1e-3 + 1.0 / 14.0
"""A day: an account is taken over once in 1,000 days and for 14; a destination turns bad once in 5,000 days and for 28."""
DESTINATION_RATE = 2e-4 + 1.0 / 28.0
ACCOUNT_PRIOR = 1e-3 / ACCOUNT_RATE
DESTINATION_PRIOR = 2e-4 / DESTINATION_RATE
ACCOUNT_STRAY = 2e-3
"""Chance of a fraud that neither lane explains, by lane."""
DESTINATION_STRAY = 1e-4
FIRED_FIRST, QUIET_FIRST = 9.0, 1.0
FIRED_STEP = 0.1
RUN_FROM, RUN_UNTIL = 0.1, 0.02
"""A run begins with the fraud that lifts a filter above the one and ends when it falls below the other."""
LOGIT_MIN = -10.0
CELLS_PER_LOGIT = 4.0
P_MIN = 1e-9

# Columns of `refs`: whom an observation was of.
ACCOUNT_ROW, ADDRESS_ROW, ACCOUNT_SERIAL, ADDRESS_SERIAL, MINUTE = 0, 1, 2, 3, 4
REFS = 5
# Columns of a filter pair's state.
A_P, A_MINUTE, A_RUN, D_P, D_MINUTE, D_RUN = 0, 1, 2, 3, 4, 5
STATES = 6

# The past of logits: cells of 1/16 from -16 to 48.
LOGIT_CELLS = 1024
LOGIT_LOW = -16.0
CELLS_A_LOGIT = 16.0


@inlined
def sigmoid(z: float) -> float:
    """1 / (1 + e^-z)."""
    return 1.0 / (1.0 + exp(-z))


@inlined
def logit(p: float) -> float:
    """log(p / (1 - p)), p kept away from 0 and 1."""
    q = min(max(p, P_MIN), 1.0 - P_MIN)
    return log(q / (1.0 - q))


@inlined
def minute_of(time_ms: int) -> int:
    """Minutes since the epoch in 32 bits; 0 stands for never, so the first minute is 1."""
    minute = min(max(time_ms // 60_000, -MINUTE_MAX), MINUTE_MAX)
    return minute if minute != 0 else 1


@inlined
def predicted(p: float, then: float, now: float, prior: float, rate: float) -> float:
    """Chance that the entity is compromised now, from the filter's state; `then` 0: nothing was ever told."""
    if then == 0.0:
        return prior
    return prior + (p - prior) * exp(-rate * max(now - then, 0.0) / MINUTES_A_DAY)


@inlined
def filter_cell(p: float) -> int:
    """Bin of a filter's logit."""
    return min(max(int((logit(p) - LOGIT_MIN) * CELLS_PER_LOGIT), 0), BINS - 1)


@inlined
def run_cell(p: float, run: float, now: float, cell_max: int) -> int:
    """Bin of the run's age: 0 outside a run, else 1 + whole days, at most `cell_max`."""
    if run == 0.0 or p < RUN_UNTIL:
        return 0
    return min(1 + int(max(now - run, 0.0) / MINUTES_A_DAY), cell_max)


@inlined
def account_logit(values: Floats, bins: Bytes) -> float:
    """Logit of the account lane from stored bins."""
    z = values[BASES + ACCOUNT]
    for j in range(MODEL_INPUTS):
        tail_bin = bins[j]
        if tail_bin != UNKNOWN:
            z += values[WEIGHTS + j] * surprise_of_bin(tail_bin) + values[j * BINS + tail_bin]
    for j in range(ACCOUNT_FILTER, DESTINATION_FILTER):
        z += values[j * BINS + bins[j]]
    return float(z)


@inlined
def destination_logit(values: Floats, bins: Bytes) -> float:
    """Logit of the destination lane from stored bins."""
    z = values[BASES + DESTINATION]
    for j in range(DESTINATION_FILTER, FEATURES):
        z += values[j * BINS + bins[j]]
    return float(z)


@inlined
def descend(model: Floats, place: int, gradient: float, rate: float) -> None:
    """One step of a number against its gradient, the smaller the more it has moved (AdaGrad)."""
    model[1, place] += gradient * gradient
    model[0, place] -= rate * gradient / np.sqrt(1.0 + model[1, place])


@inlined
def learn_label(model: Floats, bins: Bytes, fraud: float) -> None:
    """Move bases, weights and tables by one label of an observation with these bins."""
    values = model[0]
    p_account = sigmoid(account_logit(values, bins))
    p_destination = sigmoid(destination_logit(values, bins))
    p = 1.0 - (1.0 - p_account) * (1.0 - p_destination)
    explained = 1.0 - 1.0 / max(p, P_MIN) if fraud > 0.0 else 1.0
    gradient = p_account * explained
    descend(model, BASES + ACCOUNT, gradient, TABLE_RATE)
    for j in range(MODEL_INPUTS):
        tail_bin = bins[j]
        if tail_bin != UNKNOWN:
            descend(model, j * BINS + tail_bin, gradient, TABLE_RATE)
            surprise = surprise_of_bin(tail_bin)
            if surprise > 0.0:
                descend(model, WEIGHTS + j, gradient * surprise, WEIGHT_RATE)
                values[WEIGHTS + j] = max(values[WEIGHTS + j], 0.0)
    for j in range(ACCOUNT_FILTER, DESTINATION_FILTER):
        descend(model, j * BINS + bins[j], gradient, TABLE_RATE)
    gradient = p_destination * explained
    descend(model, BASES + DESTINATION, gradient, TABLE_RATE)
    for j in range(DESTINATION_FILTER, FEATURES):
        descend(model, j * BINS + bins[j], gradient, TABLE_RATE)


@inlined
def told(
    model: Floats, lane: int, state: Floats, at: int, minute: float, fraud: float, other: float, prior: float, rate: float, stray: float,
) -> None:  # fmt: skip
    """Move a filter's state by one label; `other` is the chance that the other lane made this very observation a fraud.

    A label from before the filter's newest one speaks of the state then: its likelihoods are carried over the time between, in
    which the entity may have changed.
    """
    then = state[at + 1]
    late = max(then - minute, 0.0) if then != 0.0 else 0.0
    p_old = predicted(state[at], then, minute, prior, rate)
    fires = model[0, FIRED + lane] / (model[0, FIRED + lane] + model[0, QUIET + lane])
    if fraud > 0.0:
        if_bad = fires + (1.0 - fires) * other
        if_good = other + stray
    else:
        if_bad = 1.0 - fires
        if_good = 1.0
    if late > 0.0:
        kept = exp(-rate * late / MINUTES_A_DAY)
        bad_then_bad = prior + (1.0 - prior) * kept
        bad_then_good = prior * (1.0 - kept)
        bad = if_bad * bad_then_bad + if_good * (1.0 - bad_then_bad)
        if_good = if_bad * bad_then_good + if_good * (1.0 - bad_then_good)
        if_bad = bad
    p_new = p_old * if_bad / (p_old * if_bad + (1.0 - p_old) * if_good)
    model[0, (FIRED if fraud > 0.0 else QUIET) + lane] += FIRED_STEP * p_new * p_old
    if state[at + 2] != 0.0 and p_old < RUN_UNTIL:
        state[at + 2] = 0.0
    if fraud > 0.0 and state[at + 2] == 0.0 and p_new > RUN_FROM:
        state[at + 2] = minute
    state[at] = np.float64(np.float32(p_new))
    state[at + 1] = max(then, minute) if then != 0.0 else minute


@inlined
def take_label(model: Floats, bins: Bytes, fraud: float, minute: float, state: Floats, run_cell_max: int) -> None:
    """One label: the filters first, each told what the other lane explains by today's tables; then tables and weights."""
    values = model[0]
    by_account = sigmoid(account_logit(values, bins))
    p = predicted(state[D_P], state[D_MINUTE], minute, DESTINATION_PRIOR, DESTINATION_RATE)
    z = values[BASES + DESTINATION] + values[DESTINATION_FILTER * BINS + filter_cell(p)]
    by_destination = sigmoid(z + values[RUN_AGE * BINS + run_cell(p, state[D_RUN], minute, run_cell_max)])
    told(model, ACCOUNT, state, A_P, minute, fraud, by_destination, ACCOUNT_PRIOR, ACCOUNT_RATE, ACCOUNT_STRAY)
    told(model, DESTINATION, state, D_P, minute, fraud, by_account, DESTINATION_PRIOR, DESTINATION_RATE, DESTINATION_STRAY)
    learn_label(model, bins, fraud)


@inlined
def read_filters(refs: npt.NDArray[np.int32], accounts: Table, addresses: Table, state: Floats) -> None:
    """The filters of an observation's entities; where a row was given to another, `state` stays as it is."""
    account = accounts[refs[ACCOUNT_ROW]]
    if account["serial"] == np.uint32(refs[ACCOUNT_SERIAL]):
        state[A_P] = account["filter_p"]
        state[A_MINUTE] = account["filter_minute"]
        state[A_RUN] = account["filter_run"]
    address = addresses[refs[ADDRESS_ROW]]
    if address["serial"] == np.uint32(refs[ADDRESS_SERIAL]):
        state[D_P] = address["filter_p"]
        state[D_MINUTE] = address["filter_minute"]
        state[D_RUN] = address["filter_run"]


@inlined
def write_filters(refs: npt.NDArray[np.int32], accounts: Table, addresses: Table, state: Floats) -> None:
    """Put the filters back, each where its entity still has its row."""
    account = accounts[refs[ACCOUNT_ROW]]
    if account["serial"] == np.uint32(refs[ACCOUNT_SERIAL]):
        account["filter_p"] = state[A_P]
        account["filter_minute"] = int(state[A_MINUTE])
        account["filter_run"] = int(state[A_RUN])
    address = addresses[refs[ADDRESS_ROW]]
    if address["serial"] == np.uint32(refs[ADDRESS_SERIAL]):
        address["filter_p"] = state[D_P]
        address["filter_minute"] = int(state[D_MINUTE])
        address["filter_run"] = int(state[D_RUN])


@kernel
def take_labels(
    model: Floats, stored: Bytes, refs: npt.NDArray[np.int32], befores: Floats, accounts: Table, addresses: Table, first: int, last: int,
    run_cell_max: int,
) -> None:  # fmt: skip
    """Take the logged labels from first to before last, in order; note in `befores` the filters before each.

    An entity that was evicted since has no filter any more: what was noted of it stands (nothing, for a label taken for the first time).
    """
    state = np.zeros(STATES)
    for k in range(first, last):
        state[:] = befores[k]
        read_filters(refs[k], accounts, addresses, state)
        befores[k] = state
        take_label(model, stored[k], 1.0 if stored[k, LABEL] == FRAUD else 0.0, float(refs[k, MINUTE]), state, run_cell_max)
        write_filters(refs[k], accounts, addresses, state)


@kernel
def settle_labels(checkpoint: Floats, stored: Bytes, refs: npt.NDArray[np.int32], befores: Floats, last: int, run_cell_max: int) -> None:
    """Take the log's first labels into the checkpoint for good, with the filters as they were noted."""
    state = np.zeros(STATES)
    for k in range(last):
        state[:] = befores[k]
        take_label(checkpoint, stored[k], 1.0 if stored[k, LABEL] == FRAUD else 0.0, float(refs[k, MINUTE]), state, run_cell_max)


@kernel
def rewind_filters(refs: npt.NDArray[np.int32], befores: Floats, accounts: Table, addresses: Table, last: int) -> None:
    """Give every entity of the log's labels the filter that it had before its first of them: backwards, so that the first wins."""
    for k in range(last):
        write_filters(refs[last - 1 - k], accounts, addresses, befores[last - 1 - k])


@inlined
def logit_cell(z: float) -> int:
    """Cell of a logit."""
    return min(max(int((z - LOGIT_LOW) * CELLS_A_LOGIT), 0), LOGIT_CELLS - 1)


@inlined
def logit_p_value(z: float, upper: Floats, least: float) -> float:
    """Share of the past above a logit: within a cell the past is taken as evenly spread, so that no two logits tie."""
    cell = logit_cell(z)
    into = min(max((z - LOGIT_LOW) * CELLS_A_LOGIT - cell, 0.0), 1.0)
    return float(min(max(upper[cell + 1] + (1.0 - into) * (upper[cell] - upper[cell + 1]), least), 1.0))


@kernel
def add_logits(logits: Floats, teach: npt.NDArray[np.bool_], cells: Floats, numbers: Floats, upper: Floats) -> None:
    """Add a block's logits to the past; then upper[k] is the share of the past in cell k or above, [1025].

    What may not teach weighs together at most as much as one observation, as in `detectors.tail_kernel.add_scores`.
    """
    kept_out = 0
    for i in range(teach.size):
        if not teach[i]:
            kept_out += 1
    for i in range(teach.size):
        weight = numbers[INCREMENT]
        if not teach[i]:
            weight /= kept_out
        cells[logit_cell(logits[i])] += weight
        numbers[TOTAL] += weight
        numbers[SEEN] += 1.0
        numbers[INCREMENT] *= GROWTH
    if numbers[INCREMENT] > INCREMENT_MAX:
        for cell in range(LOGIT_CELLS):
            cells[cell] /= INCREMENT_MAX
        numbers[TOTAL] /= INCREMENT_MAX
        numbers[INCREMENT] /= INCREMENT_MAX
    if numbers[SEEN] < SCORES_MIN:
        return
    total = 0.0
    for cell in range(LOGIT_CELLS):
        total += cells[cell]
    above = 0.0
    upper[LOGIT_CELLS] = 0.0
    for k in range(LOGIT_CELLS):
        cell = LOGIT_CELLS - 1 - k
        above += cells[cell]
        upper[cell] = above / total


@inlined
def remember(
    place: int, bins: Bytes, account_row: int, address_row: int, account_serial: int, address_serial: int, minute: int,
    ring: Bytes, refs: npt.NDArray[np.int32],
) -> None:  # fmt: skip
    """Keep what a later label of this observation needs."""
    ring[place, :FEATURES] = bins[:FEATURES]
    ring[place, LABEL] = 0
    refs[place, ACCOUNT_ROW] = account_row
    refs[place, ADDRESS_ROW] = address_row
    refs[place, ACCOUNT_SERIAL] = np.int32(account_serial)
    refs[place, ADDRESS_SERIAL] = np.int32(address_serial)
    refs[place, MINUTE] = minute


@kernel
def combine(account: Floats, destination: Floats, chance: Floats) -> None:
    """Chance of a fraud by either lane, from their logits: 1 - (1 - s(a)) (1 - s(d))."""
    for i in range(account.size):
        chance[i] = 1.0 - (1.0 - sigmoid(account[i])) * (1.0 - sigmoid(destination[i]))
