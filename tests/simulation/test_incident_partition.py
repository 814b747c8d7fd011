"""Findings fall into the same incidents as by a naive recomputation that looks at every incident's keys, with merges, evictions and restores."""

import random

import msgspec
import pytest

from monitor.findings import Finding, Subject
from monitor.incident_state import IncidentState, Standing
from monitor.incidents import Incidents, Joined
from monitor.policy import Limits
from tests.simulation.journals import START_MS, policy

WINDOW_MS = 1_000_000
STEPS = 600
KINDS = ("address", "account", "wallet", "provider", "device", "batch")
RULES = ("sent_again", "sent_again", "wallet_outflow", "double_payout")
"""A notice, an opinion that pages, an invariant that starts the clock; none ties a provider by itself."""
AMPLE = Limits()
TIGHT = Limits(incidents=40, incident_keys=60, incident_names=50)
ONE_MARK = Standing(1, "JPY", 5, 5, 0)


class Box:
    """An incident of the naive kind."""

    def __init__(self, ordinal: int, at_ms: int) -> None:
        self.ordinal, self.first_ms, self.last_ms, self.marks = ordinal, at_ms, at_ms, 0
        self.keys: set[str] = set()
        self.findings: set[int] = set()
        self.is_critical = False


class Naive:
    """Every step looks at everything."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.boxes: list[Box] = []
        self.ended: list[int] = []
        self.used: list[str] = []
        self.opened = 0

    def put(self, number: int, keys: tuple[str, ...], at_ms: int, rule: str) -> Box:
        found = [box for box in self.boxes if box.keys & set(keys) and box.first_ms - WINDOW_MS <= at_ms <= box.last_ms + WINDOW_MS]
        found.sort(key=lambda box: (-box.marks, box.ordinal))
        if not found:
            found = [Box(self.opened, at_ms)]
            self.boxes += found
            self.opened += 1
        box, kept = found[0], set()
        box.is_critical |= rule != "sent_again"
        for other in found[1:]:
            box.keys |= other.keys
            box.findings |= other.findings
            box.marks += other.marks
            box.is_critical |= other.is_critical
            if other.marks:
                kept.add(other.ordinal)  # until its marks are moved
            box.first_ms, box.last_ms = min(box.first_ms, other.first_ms), max(box.last_ms, other.last_ms)
            self.boxes.remove(other)
            self.ended.append(other.ordinal)
        box.first_ms, box.last_ms = min(box.first_ms, at_ms), max(box.last_ms, at_ms)
        box.keys |= set(keys)
        box.findings.add(number)
        self.used = [key for key in self.used if key not in keys] + list(keys)
        self._evict(box, kept)
        return box

    def _evict(self, keep: Box, kept: set[int]) -> None:
        over = len(self.used) - self.limits.incident_keys
        if over > 0:
            first = over + self.limits.incident_keys // 16
            for box in self.boxes:
                box.keys -= set(self.used[:first])
            del self.used[:first]
        over = len(self.boxes) + len(self.ended) - self.limits.incidents
        if over > 0:
            number = over + self.limits.incidents // 16
            gone = sorted(set(self.ended) - kept)[:number]
            self.ended = [ordinal for ordinal in self.ended if ordinal not in gone]
            idle = [box for box in self.boxes if box.marks == 0 and box is not keep]
            for box in sorted(idle, key=lambda box: (box.is_critical, box.ordinal))[: number - len(gone)]:
                self.boxes.remove(box)
            held = set().union(*(box.keys for box in self.boxes))
            self.used = [key for key in self.used if key in held]


class Run:
    """The real one, and which findings are in which incident, as its merges tell."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.incidents = Incidents(policy())
        self.findings: dict[str, set[int]] = {}
        self.marks: dict[str, str] = {}

    def put(self, number: int, keys: tuple[str, ...], at_ms: int, *, marked: bool, rule: str) -> Joined:
        subject = Subject(f"mark-{number}", f"w{number % 7}", None, "customer", "JPY", 5)
        finding = Finding(rule, "why", at_ms, keys, None, subject)
        joined = self.incidents.join(finding, START_MS + number, WINDOW_MS, f"incident-{number}", self.limits)
        incident_id = joined.incident.incident_id
        self.findings.setdefault(incident_id, set()).add(number)
        for other in joined.merged:
            assert other.stage == "merged" and other.merged_into == incident_id
            self.findings[incident_id] |= self.findings.pop(other.incident_id)
            for mark_id in sorted(name for name, held_by in self.marks.items() if held_by == other.incident_id):
                self.incidents.changed(other.incident_id, mark_id, ONE_MARK, None, START_MS)
                self.incidents.changed(incident_id, mark_id, None, ONE_MARK, START_MS)
                self.marks[mark_id] = incident_id
            assert (other.marks, other.marked_base_minor) == (0, 0)
        if marked:
            self.incidents.changed(incident_id, f"mark-{number}", None, ONE_MARK, START_MS)
            self.marks[f"mark-{number}"] = incident_id
        self.incidents.alert_due(joined.incident, START_MS + number, lambda: number % 2 == 0)
        return joined

    def restore(self) -> None:
        """Write the state out and read it back."""
        old = self.incidents
        states = msgspec.json.decode(msgspec.json.encode(list(old.by_id.values())), type=list[IncidentState])
        new = Incidents(policy())
        new.restore(states, old.dirty, old.counts)
        new.keys.restore(new.by_id, dict(old.keys.by_key), old.keys.evicted)
        assert (new.keys.of, new.names, new.marked, new.due_ms, new.pages_wait) == (old.keys.of, old.names, old.marked, old.due_ms, old.pages_wait)
        self.incidents = new

    def live(self) -> list[IncidentState]:
        return [one for one in self.incidents.by_id.values() if one.stage != "merged"]

    def check(self) -> None:
        """What follows from the rest agrees with it, and every table is within its limit."""
        incidents, limits = self.incidents, self.limits
        for key, ids in incidents.keys.by_key.items():
            assert all(key in incidents.keys.of[incident_id] for incident_id in ids)
        assert sum(map(len, incidents.keys.of.values())) == sum(map(len, incidents.keys.by_key.values()))
        assert incidents.names == sum(len(one.withdrawals) + len(one.accounts) for one in incidents.by_id.values())
        assert incidents.marked == sum(one.marks > 0 for one in incidents.by_id.values())
        assert len(incidents.by_id) <= limits.incidents + 1 or incidents.marked >= limits.incidents
        assert len(incidents.keys.by_key) <= limits.incident_keys and incidents.names <= limits.incident_names


@pytest.mark.parametrize("limits", [AMPLE, TIGHT], ids=["ample", "tight"])
@pytest.mark.parametrize("seed", range(25))
def test_same_partition_as_the_naive_one(seed: int, limits: Limits) -> None:
    rng = random.Random(seed)
    naive, run = Naive(limits), Run(limits)
    names, merges = rng.choice((8, 20, 60)), 0
    for number in range(STEPS):
        at_ms = START_MS + number * (5 * WINDOW_MS // STEPS) + rng.choice((0, 0, -WINDOW_MS // 3, -2 * WINDOW_MS))
        keys = tuple(sorted({f"{rng.choice(KINDS)}:{rng.randrange(names)}" for _ in range(rng.choice((1, 1, 1, 2, 3)))}))
        marked = rng.random() < 0.4
        rule = rng.choice(RULES)
        box, joined = naive.put(number, keys, at_ms, rule), run.put(number, keys, at_ms, marked=marked, rule=rule)
        box.marks += marked
        merges += len(joined.merged)
        assert run.findings[joined.incident.incident_id] == box.findings, f"seed {seed}, step {number}"
        if rng.random() < 0.02:
            run.restore()
    run.check()
    real = {one.ordinal: (run.findings[one.incident_id], one.marks, run.incidents.keys.of[one.incident_id]) for one in run.live()}
    assert real == {box.ordinal: (box.findings, box.marks, box.keys) for box in naive.boxes}, f"seed {seed}"
    assert merges > 0
    assert (run.incidents.counts.evicted > 0 and run.incidents.keys.evicted > 0) == (limits is TIGHT) or names < 20
