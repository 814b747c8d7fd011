"""One pass over a run that turns withdrawals into the 26 inputs and both lanes' scores, and one over a block that teaches the baselines. Compiled.

The meaning of the fields is in `detectors.observer`, which alone calls this. Its plain twin is in tests/unit/test_detector_observer.py.
"""

import numpy as np
import numpy.typing as npt

from detectors.compiled import inlined, kernel
from detectors.contract import Bools, Floats, Ints, Run
from detectors.elementary import exp, log
from detectors.lanes_kernel import (
    ACCOUNT,
    ACCOUNT_FILTER,
    ACCOUNT_PRIOR,
    ACCOUNT_RATE,
    BASES,
    BINS,
    DESTINATION,
    DESTINATION_EVIDENCE,
    DESTINATION_FILTER,
    DESTINATION_PRIOR,
    DESTINATION_RATE,
    FIRST_BASE,
    HOUR,
    MODEL_INPUTS,
    RUN_AGE,
    UNKNOWN,
    WEIGHTS,
    Bytes,
    filter_cell,
    logit_p_value,
    minute_of,
    predicted,
    remember,
    run_cell,
    sigmoid,
)  # fmt: skip
from detectors.pair_kernel import pair_slot
from detectors.tables import Table
from detectors.tail_kernel import cell_of, surprise_of_bin

HOUR_MS = 3_600_000.0
DAY_MS = 86_400_000.0
NEARLY_ONE = 0.99999
"""Largest input: all are below 1."""
LOG_LIMIT = 60.0
"""Levels are clamped to e^-60 to e^60, so that no sum of theirs leaves float32."""
AMOUNT_MIDDLE = 4.0
"""Distance of the log level from everybody's mean that is squashed to 3/4 (or 1/4)."""
RATE_DAYS = 28.0
KNOWN_INPUTS = 17
"""Inputs that are always known; of the later ones 0 means unknown."""
KNOWN = 1e-6
"""Least value of an input that is known but nothing at all."""
TRAVEL_MS = 12.0 * HOUR_MS
"""In this time a change of country loses a factor e of its weight."""
FACTOR_STEP = 0.1
TRUST_MIN = 1e-6
"""Least weight of an event that teaches: it keeps a mean of one value defined."""
DEVICE, NETWORK, COUNTRY, API_KEY = 1, 2, 3, 4
"""Kinds of what an account uses: mixed into the digests, so that one name of two kinds is two things."""
KIND_MIX = np.uint64(0xD6E8FEB86659FD93)
HIGH_BIT = np.uint64(0x80000000)
HOUR_PRIOR = 4.0
HOURS_MAX = 255
EVERYONE_HOURS_MAX = 200_000.0
STEP_MIN = 0.01
"""Means of an entity move by 1/n to n = 100, then by this: a ramp of small steps leaves them behind (tests/simulation/test_poisoning.py)."""
EVERYONE_STEP_MIN = 0.001
VARIANCE_MIN = 0.04
EVIDENCE_SHARE = 0.03
"""Evidence is what exceeds the score that this share of withdrawals exceeds."""
EVIDENCE_STEP = 0.02

# Places in `numbers`.
ACCOUNT_SERIAL, ADDRESS_SERIAL, PAIRS, BLOCKS, FILLED = 0, 1, 2, 3, 4
# Columns of `notes`: what the observation found, for the end of its block.
NOTE_LOG_LEVEL, NOTE_LOG_AMOUNT, NOTE_LEVEL, NOTE_GAP_MS, NOTE_NEW_PAIR, NOTE_ACCOUNT, NOTE_DESTINATION, NOTE_TRUST = 0, 1, 2, 3, 4, 5, 6, 7
NOTE_FACTOR = 8


@inlined
def squash(ratio: float, middle: float) -> float:
    """A ratio >= 0 to [0, 1); `middle` goes to one half."""
    return min(ratio / (ratio + middle), NEARLY_ONE)


@inlined
def squash_signed(z: float, middle: float) -> float:
    """A number of either sign to (0, 1); 0 goes to one half."""
    return 0.5 + 0.5 * z / (middle + abs(z))


@inlined
def unsquash_signed(value: float, middle: float) -> float:
    """The number that `squash_signed` made the value from."""
    u = 2.0 * value - 1.0
    return middle * u / (1.0 - abs(u))


@inlined
def shrunk(own: float, common: float, n: float, prior: float) -> float:
    """The own mean of n values, drawn to the common one as `prior` values would."""
    weight = n / (n + prior)
    return weight * own + (1.0 - weight) * common


@inlined
def days_observed(age_ms: float) -> float:
    """Weight of a 28-day decayed rate after that age, in days, at least one."""
    return max(RATE_DAYS * (1.0 - exp(-age_ms / (RATE_DAYS * DAY_MS))), 1.0)


@inlined
def hour_of(time_ms: int) -> int:
    """Hour of the day, 0 to 23, UTC."""
    return (time_ms // 3_600_000) % 24


@inlined
def thing(digest: int, kind: int) -> int:
    """Second key of the pair of an account and something that it uses, at least 2^31: no address's serial."""
    mixed = (np.uint64(digest) ^ (np.uint64(kind) * KIND_MIX)) * KIND_MIX
    mixed = (mixed ^ (mixed >> np.uint64(29))) * KIND_MIX
    return int((mixed >> np.uint64(33)) | HIGH_BIT)


@inlined
def newness(pairs: Table, account: int, digest: int, kind: int, numbers: Ints) -> float:
    """1 / (1 + how often the account used it before), 0 if it isn't known what it used; and count this use."""
    if digest == 0:
        return 0.0
    key = thing(digest, kind)
    pair = pairs[pair_slot(pairs, account, key)]
    if pair["account"] == 0:
        pair["account"] = account
        pair["address"] = key
        numbers[PAIRS] += 1
    new = min(1.0 / (1.0 + float(pair["count"])), NEARLY_ONE)
    pair["count"] += 1
    pair["seen_block"] = numbers[BLOCKS]
    return new


@inlined
def score_account(values: Floats, features: Bytes, parts: Floats) -> float:
    """Logit of the account lane and its parts: what each input, filter, hour, evidence and base add; each input's decades."""
    z = values[BASES + ACCOUNT]
    parts[MODEL_INPUTS + 3] = z
    for j in range(MODEL_INPUTS):
        tail_bin = features[j]
        part = 0.0
        decades = 0.0
        if tail_bin != UNKNOWN:
            decades = surprise_of_bin(tail_bin)
            part = values[WEIGHTS + j] * decades + values[j * BINS + tail_bin]
        z += part
        parts[j] = part
        parts[MODEL_INPUTS + 5 + j] = decades
    for j in range(ACCOUNT_FILTER, DESTINATION_FILTER):
        part = values[j * BINS + features[j]]
        z += part
        parts[j] = part
    return float(z)


@kernel
def observe(
    run: Run, accounts: Table, addresses: Table, assets: Table, everyone_rows: Table, pairs: Table, numbers: Ints, bins: Bytes, model: Floats,
    uppers: Floats, leasts: Floats, run_cell_max: int, ordinal: int, ring: Bytes, ring_refs: npt.NDArray[np.int32], inputs: Floats, notes: Floats,
    p_values: Floats, account_parts: Floats, destination_parts: Floats,
) -> None:  # fmt: skip
    """Take a run into the facts and score it in both lanes, event by event.

    Writes its inputs [n, 26], p-values [n, 2] and parts [n, k] of both lanes, its notes into the open block's [256, 9] from
    numbers[FILLED] on, and what labels need into the ring from its ordinal on.
    """
    features = np.zeros(32, np.uint8)
    values = model[0]
    everyone = everyone_rows[0]
    filled = numbers[FILLED]
    for i in range(run.size):
        t = run[i]["time_ms"]
        account = accounts[run[i]["account"]]
        address = addresses[run[i]["address"]]
        asset = assets[run[i]["asset"]]
        amount_base = run[i]["amount_base"]

        # Level: the amount in base currency; without a price, as far above everybody's mean as above its asset's.
        log_amount = log(run[i]["amount"])
        if amount_base > 0.0:
            log_level = log(amount_base)
            asset["log_price"] = log_level - log_amount
            asset["priced"] = 1
        elif asset["priced"] == 1:
            log_level = log_amount + asset["log_price"]
        elif asset["n"] > 0.0:
            log_level = log_amount - asset["mean_log"] + everyone["mean_log"]
        elif everyone["n"] > 0.0:
            log_level = everyone["mean_log"]
        else:
            log_level = log_amount
        log_level = min(max(log_level, -LOG_LIMIT), LOG_LIMIT)
        level = exp(log_level)
        common_level = everyone["mean_level"] if everyone["n"] > 0.0 else level
        common_log = everyone["mean_log"] if everyone["n"] > 0.0 else log_level
        common_variance = max(everyone["variance_log"], VARIANCE_MIN)

        # The account's facts, decayed to now.
        if account["serial"] == 0:
            numbers[ACCOUNT_SERIAL] += 1
            account["serial"] = numbers[ACCOUNT_SERIAL]
            gap_ms = -1.0
            account["last_ms"] = t
            in_week = 1.0
        else:
            gap_ms = float(max(t - account["last_ms"], 0))
            account["last_ms"] = max(account["last_ms"], t)
            in_day = exp(-gap_ms / DAY_MS)
            in_week = exp(-gap_ms / (7.0 * DAY_MS))
            account["count_1h"] *= exp(-gap_ms / HOUR_MS)
            account["count_24h"] *= in_day
            account["level_24h"] *= in_day
            account["evidence_12h"] *= in_day * in_day
            account["evidence_7d"] *= in_week

        n = float(account["n"])
        mean_level = shrunk(account["mean_level"], common_level, n, 2.0)
        inputs[i, 0] = squash(level / mean_level, 10.0)
        inputs[i, 1] = squash_signed(log_level - common_log, AMOUNT_MIDDLE)
        maximum = float(account["maximum_level"]) if n > 0.0 else common_level
        inputs[i, 2] = min(level / (level + maximum), NEARLY_ONE)
        mean = shrunk(account["mean_log"], common_log, n, 3.0)
        variance = max(shrunk(account["variance_log"], common_variance, n, 3.0), VARIANCE_MIN)
        inputs[i, 3] = squash_signed((log_level - mean) / np.sqrt(variance), 3.0)

        m = float(address["n"])
        mean = shrunk(address["mean_log"], common_log, m, 3.0)
        variance = max(shrunk(address["variance_log"], common_variance, m, 3.0), VARIANCE_MIN)
        inputs[i, 4] = squash_signed((log_level - mean) / np.sqrt(variance), 3.0)

        usual_gap_s = max(shrunk(account["mean_gap_s"], everyone["mean_gap_s"], max(n - 1.0, 0.0), 2.0), 1.0)
        if gap_ms < 0.0:
            inputs[i, 5] = 0.0
            inputs[i, 6] = 0.0
        else:
            inputs[i, 5] = squash(usual_gap_s / (0.001 * gap_ms + 1.0), 10.0)
            inputs[i, 6] = squash(0.001 * gap_ms / usual_gap_s, 5.0)

        # Today against the 28-day rate, which is known since the account was last taught.
        if account["n"] > 0.0:
            kept = exp(-float(max(t - account["taught_ms"], 0)) / (RATE_DAYS * DAY_MS))
            days = max(account["days_28d"] * kept + RATE_DAYS * (1.0 - kept), 1.0)
            count_a_day = account["count_28d"] * kept / days
            level_a_day = account["level_28d"] * kept / days
        else:
            count_a_day = 0.0
            level_a_day = 0.0
        inputs[i, 7] = squash(account["count_1h"], 3.0)
        inputs[i, 8] = squash((account["count_24h"] + 1.0) / (count_a_day + 1.0), 3.0)
        inputs[i, 9] = squash((account["level_24h"] + level) / (level_a_day + mean_level), 3.0)

        # The address, and the pair of both.
        if address["serial"] == 0:
            numbers[ADDRESS_SERIAL] += 1
            address["serial"] = numbers[ADDRESS_SERIAL]
            address["first_ms"] = t
            address["last_ms"] = t
        else:
            in_day = exp(-float(max(t - address["last_ms"], 0)) / DAY_MS)
            address["last_ms"] = max(address["last_ms"], t)
            address["payers_24h"] *= in_day
            address["inflow_24h"] *= in_day
            address["evidence_24h"] *= in_day
        age_ms = float(max(t - address["first_ms"], 0))
        slot = pair_slot(pairs, account["serial"], address["serial"])
        pair = pairs[slot]
        new_pair = pair["account"] == 0
        if new_pair:
            pair["account"] = account["serial"]
            pair["address"] = address["serial"]
            numbers[PAIRS] += 1
            address["payers_24h"] += 1.0
        inputs[i, 10] = min(1.0 / (1.0 + pair["count"]), NEARLY_ONE)
        inputs[i, 11] = min(exp(-age_ms / (7.0 * DAY_MS)), NEARLY_ONE)
        if address["n"] > 0.0:
            kept = exp(-float(max(t - address["taught_ms"], 0)) / (RATE_DAYS * DAY_MS))
            days = days_observed(age_ms)
            payers_a_day = address["payers_28d"] * kept / days
            inflow_a_day = address["inflow_28d"] * kept / days
        else:
            payers_a_day = 0.0
            inflow_a_day = 0.0
        inputs[i, 12] = squash(address["payers_24h"] / (payers_a_day + 1.0), 3.0)
        inputs[i, 13] = squash((address["inflow_24h"] + level) / (inflow_a_day + common_level), 10.0)

        hour = hour_of(t)
        hours = account["hours"]
        hours_seen = 0.0
        for k in range(24):
            hours_seen += hours[k]
        common_share = (everyone["hours"][hour] + 1.0) / (everyone["hours_seen"] + 24.0)
        share = (hours[hour] + HOUR_PRIOR * common_share) / (hours_seen + HOUR_PRIOR)
        inputs[i, 14] = 1.0 / (1.0 + 24.0 * share)
        inputs[i, 15] = squash(account["evidence_12h"], 3.0)
        inputs[i, 16] = squash(account["evidence_7d"], 3.0)

        # What the account uses, and how.
        serial = account["serial"]
        inputs[i, 17] = newness(pairs, serial, run[i]["device"], DEVICE, numbers)
        inputs[i, 18] = newness(pairs, serial, run[i]["network"], NETWORK, numbers)
        country = run[i]["country"]
        inputs[i, 19] = newness(pairs, serial, country, COUNTRY, numbers)
        inputs[i, 20] = newness(pairs, serial, run[i]["api_key"], API_KEY, numbers)
        security_age_ms = run[i]["security_age_ms"]
        inputs[i, 21] = 0.0 if security_age_ms < 0 else min(max(exp(-float(security_age_ms) / DAY_MS), KNOWN), NEARLY_ONE)
        inputs[i, 22] = 0.0
        if country != 0:
            key = np.uint32(thing(country, COUNTRY))
            if account["country"] != 0:
                inputs[i, 22] = KNOWN
                if account["country"] != key:
                    inputs[i, 22] = min(max(exp(-max(gap_ms, 0.0) / TRAVEL_MS), KNOWN), NEARLY_ONE)
            account["country"] = key
        share = run[i]["balance_share"]
        inputs[i, 23] = max(squash(share, 1.0), KNOWN) if share >= 0.0 else 0.0
        factor = run[i]["second_factor"]
        inputs[i, 24] = 0.0
        if factor > 0 and account["factor"] > 0.0:
            inputs[i, 24] = max(0.25 * (account["factor"] - factor), KNOWN)

        # Both lanes. The bins are kept for the label that may come.
        for j in range(MODEL_INPUTS):
            features[j] = bins[j, cell_of(inputs[i, j])] if j < KNOWN_INPUTS or inputs[i, j] > 0.0 else UNKNOWN
        minute = minute_of(t)
        p_account = predicted(account["filter_p"], account["filter_minute"], minute, ACCOUNT_PRIOR, ACCOUNT_RATE)
        p_address = predicted(address["filter_p"], address["filter_minute"], minute, DESTINATION_PRIOR, DESTINATION_RATE)
        features[ACCOUNT_FILTER] = filter_cell(p_account)
        features[HOUR] = hour
        features[DESTINATION_EVIDENCE] = int(BINS * squash(address["evidence_24h"], 3.0))
        features[DESTINATION_FILTER] = filter_cell(p_address)
        features[RUN_AGE] = run_cell(p_address, address["filter_run"], minute, run_cell_max)
        z_account = score_account(values, features, account_parts[i])
        destination_parts[i, 0] = values[DESTINATION_FILTER * BINS + features[DESTINATION_FILTER]]
        destination_parts[i, 1] = values[RUN_AGE * BINS + features[RUN_AGE]]
        destination_parts[i, 2] = values[BASES + DESTINATION]
        z_destination = destination_parts[i, 2] + destination_parts[i, 0] + destination_parts[i, 1]
        destination_parts[i, 4] = features[RUN_AGE]
        chance_account = sigmoid(z_account)
        chance_destination = sigmoid(z_destination)
        chance = 1.0 - (1.0 - chance_account) * (1.0 - chance_destination)
        account_parts[i, MODEL_INPUTS + 4] = min(chance_account / chance, 1.0)
        destination_parts[i, 3] = min(chance_destination / chance, 1.0)
        p_values[i, 0] = logit_p_value(z_account, uppers[0], leasts[0])
        p_values[i, 1] = logit_p_value(z_destination, uppers[1], leasts[1])
        inputs[i, MODEL_INPUTS] = p_values[i, 0]
        remember((ordinal + i) % ring.shape[0], features, run[i]["account"], run[i]["address"], serial, address["serial"], minute, ring, ring_refs)

        # What this observation adds to the facts.
        excess = max(z_account - FIRST_BASE - everyone["evidence_limit"], 0.0)
        account["evidence_12h"] += excess
        account["evidence_7d"] += excess
        address["evidence_24h"] += excess
        account["count_1h"] += 1.0
        account["count_24h"] += 1.0
        account["level_24h"] += level
        address["inflow_24h"] += level
        pair["count"] += 1
        pair["seen_block"] = numbers[BLOCKS]

        note = filled + i
        notes[note, NOTE_LOG_LEVEL] = log_level
        notes[note, NOTE_LOG_AMOUNT] = log_amount
        notes[note, NOTE_LEVEL] = level
        notes[note, NOTE_GAP_MS] = gap_ms
        notes[note, NOTE_NEW_PAIR] = 1.0 if new_pair else 0.0
        notes[note, NOTE_ACCOUNT] = z_account
        notes[note, NOTE_DESTINATION] = z_destination
        notes[note, NOTE_TRUST] = max(1.0 - chance_account, TRUST_MIN)
        notes[note, NOTE_FACTOR] = factor
    numbers[FILLED] = filled + run.size


@inlined
def trusted_step(trust: float, n: float, least: float) -> float:
    """How far a mean of values that weigh n together, the newest of weight `trust`, moves to it: at least as if 1 / least had been seen."""
    return min(trust * max(1.0 / n, least), 1.0)


@inlined
def learn_moments(row: np.void, value: float, step: float) -> None:
    """Move a row's mean and variance of the log level by one value."""
    delta = value - row["mean_log"]
    row["variance_log"] = (1.0 - step) * (row["variance_log"] + step * delta * delta)
    row["mean_log"] += step * delta


@kernel
def teach_baselines(
    block: Run, teach: Bools, accounts: Table, addresses: Table, assets: Table, everyone_rows: Table, notes: Floats,
) -> None:  # fmt: skip
    """Teach the baselines from a block's observations that may teach, in order."""
    everyone = everyone_rows[0]
    for i in range(block.size):
        if not teach[i]:
            continue
        t = block[i]["time_ms"]
        account = accounts[block[i]["account"]]
        address = addresses[block[i]["address"]]
        asset = assets[block[i]["asset"]]
        level = notes[i, NOTE_LEVEL]
        log_level = notes[i, NOTE_LOG_LEVEL]
        gap_s = 0.001 * notes[i, NOTE_GAP_MS]
        trust = notes[i, NOTE_TRUST]

        kept = exp(-float(max(t - account["taught_ms"], 0)) / (RATE_DAYS * DAY_MS)) if account["n"] > 0.0 else 1.0
        account["taught_ms"] = max(account["taught_ms"], t) if account["n"] > 0.0 else t
        account["count_28d"] = account["count_28d"] * kept + trust
        account["level_28d"] = account["level_28d"] * kept + trust * level
        account["days_28d"] = account["days_28d"] * kept + RATE_DAYS * (1.0 - kept)
        # The maximum is forgotten four times as slowly as the rates.
        maximum = account["maximum_level"] * np.sqrt(np.sqrt(kept))
        account["maximum_level"] = maximum + trust * max(level - maximum, 0.0)
        account["n"] += trust
        step = trusted_step(trust, account["n"], STEP_MIN)
        learn_moments(account, log_level, step)
        account["mean_level"] += step * (level - account["mean_level"])
        hour = hour_of(t)
        if trust >= 0.5:
            if account["hours"][hour] == HOURS_MAX:
                for k in range(24):
                    account["hours"][k] //= 2
            account["hours"][hour] += 1
        factor = notes[i, NOTE_FACTOR]
        if factor > 0.0:
            account["factor"] += trust * FACTOR_STEP * (factor - account["factor"]) if account["factor"] > 0.0 else factor

        everyone["n"] += trust
        step = trusted_step(trust, everyone["n"], EVERYONE_STEP_MIN)
        learn_moments(everyone, log_level, step)
        everyone["mean_level"] += step * (level - everyone["mean_level"])
        if gap_s >= 0.0:
            first = account["mean_gap_s"] == 0.0
            step = 1.0 if first else trust * max(1.0 / max(account["n"] - 1.0, 1.0), STEP_MIN)
            account["mean_gap_s"] += step * (gap_s - account["mean_gap_s"])
            everyone["gaps"] += 1.0
            step = trust * max(1.0 / everyone["gaps"], EVERYONE_STEP_MIN)
            everyone["mean_gap_s"] += step * (gap_s - everyone["mean_gap_s"])
        if everyone["hours_seen"] >= EVERYONE_HOURS_MAX:
            everyone["hours_seen"] *= 0.5
            for k in range(24):
                everyone["hours"][k] *= 0.5
        everyone["hours"][hour] += 1.0
        everyone["hours_seen"] += 1.0
        over = 1.0 if notes[i, NOTE_ACCOUNT] - FIRST_BASE > everyone["evidence_limit"] else 0.0
        everyone["evidence_limit"] += EVIDENCE_STEP * (over - EVIDENCE_SHARE)

        asset["n"] += 1.0
        asset["mean_log"] += max(1.0 / asset["n"], EVERYONE_STEP_MIN) * (notes[i, NOTE_LOG_AMOUNT] - asset["mean_log"])

        kept = exp(-float(max(t - address["taught_ms"], 0)) / (RATE_DAYS * DAY_MS)) if address["n"] > 0.0 else 1.0
        address["taught_ms"] = max(address["taught_ms"], t) if address["n"] > 0.0 else t
        address["payers_28d"] = address["payers_28d"] * kept + trust * notes[i, NOTE_NEW_PAIR]
        address["inflow_28d"] = address["inflow_28d"] * kept + trust * level
        address["n"] += trust
        learn_moments(address, log_level, trusted_step(trust, address["n"], STEP_MIN))
