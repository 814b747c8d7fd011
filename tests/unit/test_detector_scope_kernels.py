"""The scope monitors' windows and statistics equal their plain twins bit for bit: exact event by event, late events included."""

import random
from typing import Any

import numpy as np
import pytest

from detectors import window
from detectors.crowd import Crowd
from detectors.excess import Excess
from detectors.flow import Flow
from tests.unit.scope_twins import Came, CrowdTwin, ExcessTwin, FlowTwin, Passed

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
START_MS = 1_700_000_000_000
BLOCK = 256


def times(chance: random.Random, n: int, mean_ms: int) -> list[int]:
    """Times with bursts, pauses, ties and late events, some later than any window."""
    now_ms, out = START_MS, []
    for _ in range(n):
        now_ms += chance.choice((0, int(chance.expovariate(1.0 / mean_ms))))
        now_ms += DAY_MS if chance.random() < 0.001 else 0
        out.append(now_ms - chance.choice((0, 0, 0, 0, 5_000, MINUTE_MS, HOUR_MS // 2, 2 * HOUR_MS, 3 * DAY_MS)))
    return out


def flow_story(seed: int, n: int) -> list[Passed]:
    chance = random.Random(seed)
    out = []
    for k, time_ms in enumerate(times(chance, n, 20_000)):
        burst = k > n // 2 and k % 400 < 100
        marks = tuple(2 if chance.random() < (0.7 if burst else 0.03) else chance.choice((0, 1, 1, 1)) for _ in range(4))
        size = int(1_024 * np.exp(chance.gauss(8.0 if burst else 0.0, 1.5)))
        out.append(Passed(time_ms, chance.choice((-1, 0, 0, 0, 1)), marks, (size, chance.choice((0, size)))))
    return out


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("window_ms", [15 * MINUTE_MS, HOUR_MS])
def test_flows_equal_their_twin(seed: int, window_ms: int) -> None:
    story, chance = flow_story(seed, 12 * BLOCK), random.Random(seed)
    flow, twin = Flow(window_ms, (0.2, 0.1, 0.05)), FlowTwin(window_ms, (0.2, 0.1, 0.05))
    flow.reserve(2)
    judged = 0
    for start in range(0, len(story), BLOCK):
        block = story[start : start + BLOCK]
        columns: list[Any] = list(zip(*block, strict=True))
        arrays = (np.array(columns[0]), np.array(columns[1], np.int32), np.array(columns[2], np.uint8), np.array(columns[3]))
        scored = np.array([chance.random() < 0.9 for _ in block])
        nats, facts = np.empty((BLOCK, 6)), np.empty((BLOCK, 14))
        flow.fold(*arrays, scored, 0, nats, facts)
        sums = []
        for i, one in enumerate(block):
            own_nats, own_facts, own_sums = twin.fold(one, scored=bool(scored[i]))
            assert (nats[i].tolist(), facts[i].tolist()) == (own_nats, own_facts)
            judged += sum(own_nats) > 0.0
            sums.append(own_sums)
        assert flow.arrays()["note_sums"].tolist() == [[-1, -1] if own is None else list(own) for own in sums]
        slow, teach = np.array([chance.random() < 0.1 for _ in block]), np.array([chance.random() < 0.9 for _ in block])
        flow.learn(*arrays[:3], slow, teach)
        for i, one in enumerate(block):
            twin.learn(one, sums[i], slow=bool(slow[i]), teach=bool(teach[i]))
        if chance.random() < 0.2:  # the other row is given to another entity: its entries count for nobody
            flow.forget(np.array([1], np.int32))
            twin.rows.pop(1, None)
            twin.passed = [other for other in twin.passed if other.row != 1]
    assert judged > 15


def crowd_story(seed: int, n: int, *, counted_once: bool) -> list[Came]:
    chance = random.Random(seed)
    out = []
    for k, time_ms in enumerate(times(chance, n, 30_000)):
        key = chance.choice((0, 7, 7 + k // 40, 2**62 - 1 - k // 300))
        account = chance.randrange(30) if counted_once else -1
        p_value = chance.choice((1.0, chance.random(), chance.random() ** 4 + 1e-12))
        out.append(Came(time_ms, key, account, chance.random() < 0.8, p_value, chance.random() < 0.3, chance.randrange(1, 10**6)))
    return out


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("counted_once", [True, False])
def test_crowds_equal_their_twin(seed: int, counted_once: bool) -> None:
    story, chance = crowd_story(seed, 8 * BLOCK, counted_once=counted_once), random.Random(seed)
    crowd, twin = Crowd(2 * HOUR_MS, 0.5, 7.0), CrowdTwin(2 * HOUR_MS, 0.5, 7.0)
    limits = ExcessTwin((1.5, 1.5, 1.5, 1.0, 1.5))
    odd = 0
    for start in range(0, len(story), BLOCK):
        block = story[start : start + BLOCK]
        columns: list[Any] = list(zip(*block, strict=True))
        times_ms, keys, members, adds, p_values, fresh, levels = (np.array(column) for column in columns)
        scores = crowd.fold(times_ms, keys, members, adds, p_values, fresh, levels)
        notes, slow = [], []
        for i, one in enumerate(block):
            nats, facts, note = twin.fold(one)
            value, p_value, winner = limits.weigh(nats)
            assert scores.parts[i].tolist() == [float(winner), *facts]
            assert scores.value[i] == value
            assert scores.p_value[i] == (p_value if scores.ready[i] else 1.0)
            odd += value > 0.0
            notes.append(note)
            slow.append(value * 2.302585092994046 >= 9.21)
        teach = [chance.random() < 0.9 for _ in block]
        crowd.learn(times_ms, keys, adds, p_values, fresh, np.array(teach))
        twin.learn(block, notes, slow, teach)
    assert odd > 200


def test_limits_follow_their_twin() -> None:
    chance = random.Random(3)
    excess, twin = Excess((1.5, 1.0)), ExcessTwin((1.5, 1.0))
    ready = moved = 0
    for block in range(400):
        at_ms = START_MS + block * HOUR_MS
        nats = [[chance.choice((0.0, chance.expovariate(0.3))), chance.expovariate(0.1) if chance.random() < 0.001 else 0.0] for _ in range(BLOCK)]
        teach = [chance.random() < 0.5 for _ in nats]
        scores, winner = excess.weigh(np.full(BLOCK, at_ms), np.array(nats), 1)
        assert scores.ready.all() == scores.ready.any() == (block >= 24)
        for i, one in enumerate(nats):
            value, p_value, own = twin.weigh(one)
            assert (scores.value[i], winner[i]) == (value, own)
            assert scores.p_value[i] == (p_value if scores.ready[i] else 1.0)
        excess.learn(np.array(teach))
        if block >= 24:
            before = list(twin.limits)
            twin.learn(nats, teach)
            moved += before != twin.limits
            ready += 1
        assert excess.arrays()["limits"].tolist() == twin.limits
    assert ready > 300 and moved > 50
    with pytest.raises(ValueError, match="crosses the block's end"):
        excess.weigh(np.full(BLOCK + 1, START_MS), np.zeros((BLOCK + 1, 2)), 1)


def test_a_full_window_drops_its_oldest_and_counts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window, "FIRST_ENTRIES", 256)
    monkeypatch.setattr(window, "ENTRIES_MAX", 512)
    flow = Flow(DAY_MS, (0.2, 0.1, 0.05))
    flow.reserve(1)
    n = 1_024
    for start in range(0, n, BLOCK):
        at_ms = np.arange(start, start + BLOCK) + START_MS
        rows, marks = np.zeros(BLOCK, np.int32), np.ones((BLOCK, 4), np.uint8)
        flow.fold(at_ms, rows, marks, np.ones((BLOCK, 2), np.int64), np.ones(BLOCK, np.bool_), 0, np.empty((BLOCK, 6)), np.empty((BLOCK, 14)))
        flow.learn(at_ms, rows, marks, np.zeros(BLOCK, np.bool_), np.ones(BLOCK, np.bool_))
    assert flow.use() == (512, 512, n - 512)
    assert flow.arrays()["note_sums"][-1].tolist() == [512, 512]


def test_a_full_table_of_keys_forgets_the_longest_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors.crowd.FIRST_KEYS", 1_024)
    monkeypatch.setattr("detectors.crowd.KEYS_MAX", 2_048)
    crowd = Crowd(DAY_MS, 0.5, 7.0)
    always = np.ones(BLOCK, np.bool_)
    for block in range(40):
        at_ms = START_MS + np.arange(BLOCK) + block * BLOCK
        keys = np.where(np.arange(BLOCK) == 0, 1, np.arange(BLOCK) + 2 + block * BLOCK)
        alone, nothing = np.full(BLOCK, -1), np.zeros(BLOCK, np.int64)
        scores = crowd.fold(at_ms, keys, alone, always, np.ones(BLOCK), ~always, nothing)
        assert scores.parts[0, 1] == block + 1  # the key that was always seen keeps all its accounts
        crowd.learn(at_ms, keys, always, np.ones(BLOCK), ~always, always)
        used, limit = crowd.use()["keys"]
        assert used <= limit == 1_536 or block < 10
    assert len(crowd.arrays()["keys"]) == 2_048
    assert crowd.use()["entries"] == (40 * BLOCK, window.ENTRIES_MAX)
    later = crowd.fold(np.array([START_MS + 3 * DAY_MS]), np.array([1]), np.array([-1]), always[:1], np.ones(1), ~always[:1], np.zeros(1, np.int64))
    assert later.parts[0, 1] == 1.0
