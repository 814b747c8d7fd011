"""Counting of distinct payers per young address, eight slots each. Compiled; called by `detectors.young_address_payers` only."""

from detectors.compiled import kernel
from detectors.contract import Floats, Ints, Run
from detectors.tables import Table

SLOTS = 8
WINDOW_MS = 86_400_000
OFFSET_MAX = 2_147_483_647


@kernel
def count_run(
    run: Run, accounts: Table, addresses: Table, stream: Ints, young_ms: int,
    value: Floats, parts: Floats,
) -> None:  # fmt: skip
    """Note each payment to a young address and count its payers of the last 24 h, the present one included.

    The slots hold the eight latest payers with the time of their last payment: more can't change what "8 or more" says. Events that
    come late (older than others in the slots) see the others as in the window.
    """
    for i in range(run.size):
        time_ms = run[i]["time_ms"]
        account = accounts[run[i]["account"]]
        address = addresses[run[i]["address"]]
        if account["serial"] == 0:
            stream[0] += 1
            account["serial"] = stream[0]
        offsets = address["offset_ms"]
        payers = address["payer"]
        if payers[0] == 0:
            address["first_ms"] = time_ms
        age_ms = max(time_ms - address["first_ms"], 0)
        if age_ms >= young_ms:
            value[i] = 0.0
            parts[i, 0] = 0.0
            parts[i, 1] = -1.0
            continue
        now = max(time_ms - address["first_ms"], -OFFSET_MAX)
        payer = account["serial"]
        place = -1
        oldest = 0
        for slot in range(SLOTS):
            if payers[slot] == payer or payers[slot] == 0:
                place = slot
                break
            if offsets[slot] < offsets[oldest]:
                oldest = slot
        if place < 0:
            place = oldest
        if payers[place] != payer:
            if payers[place] == 0 or now >= offsets[place]:
                payers[place] = payer
                offsets[place] = now
        elif now > offsets[place]:
            offsets[place] = now
        count = 0
        for slot in range(SLOTS):
            if payers[slot] != 0 and now - offsets[slot] < WINDOW_MS:
                count += 1
        value[i] = float(count)
        parts[i, 0] = float(count)
        parts[i, 1] = float(age_ms)
