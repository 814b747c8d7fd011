"""Worlds in which people decide: whatever they send, in whatever order, stopped and restored anywhere, two auditors find nothing to object to.

A seed that fails is named by its test; `python -m tests.simulation.test_people SEED` plays it again.
"""

import gc
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from hashlib import sha256
from unittest.mock import patch

import pytest

from monitor import signatures
from monitor.engine import Engine, OutputRecord
from monitor.snapshot_file import decode, encode
from tests.simulation.decision_world import Drawn, PeopleWorld

ENTRIES = 1_000
A_TEST = 100
"""Seeds of one test: a test of its own for each would cost more than the seed."""


class Played:
    """A world as it was folded: the journal, and what came of it."""

    def __init__(self, seed: int) -> None:
        self.world = PeopleWorld(seed)
        self.chance = random.Random(~seed)
        self.journal: list[bytes] = []
        self.published: list[bytes] = []
        opening = self.world.opening()
        self.engine = Engine(sha256(opening[0]).hexdigest())
        for entry in opening:
            self.fold(entry)
        self.kept = encode(self.engine.freeze())
        self.kept_at = len(self.journal), len(self.published)
        self.crash_at = 0

    def fold(self, entry: bytes) -> list[OutputRecord]:
        """One entry."""
        records = self.engine.fold(len(self.journal), [entry])
        self.journal.append(entry)
        self.published += [record.value for record in records]
        return records

    def step(self, drawn: Drawn) -> None:
        """One entry, folded and audited."""
        world = self.world
        records = [{"topic": record.topic, **json.loads(record.value)} for record in self.fold(drawn.entry)]
        world.heard(drawn.told, records)
        for record in records:
            if record["topic"] == "marks":
                world.auditor.mark(record, world.at_ms)
            elif record["topic"] == "coverage":
                world.auditor.coverage(record)
            elif record["topic"] == "incidents":
                world.auditor.incident(record)
        world.auditor.alerts(records, world.at_ms)
        world.people.entry(drawn.told, records, world.at_ms)

    def look(self) -> None:
        """No mark is lost, and none could be covered better."""
        state, world = self.engine.state, self.world
        assert {name: mark.version for name, mark in state.marks.by_id.items()} == {
            name: mark["version"] for name, mark in world.people.marks.items()
        }
        assert world.auditor.improvable() == []
        snoozed = {key: snooze.until_ms for key, snooze in state.snoozes.by_key.items() if snooze.until_ms > world.at_ms}
        assert snoozed == {key: until_ms for key, until_ms in world.people.snoozed.items() if until_ms > world.at_ms}
        assert set(state.approvals.by_event) == set(world.people.waiting)

    def crash(self) -> None:
        """All since the last snapshot is lost, and folded again from the journal: with the same outcome, however it is cut."""
        journalled, told = self.kept_at
        self.engine = Engine.thaw(decode(self.kept))
        records = self.engine.fold(journalled, self.journal[journalled:])
        assert [record.value for record in records] == self.published[told:], "what was folded again is other than what was published"

    def snapshot(self) -> None:
        """Stop, go on from what was kept, and crash soon."""
        self.kept = encode(self.engine.freeze())
        self.kept_at = len(self.journal), len(self.published)
        self.engine = Engine.thaw(decode(self.kept))
        self.crash_at = len(self.journal) + self.chance.randrange(1, 40)


def played(seed: int) -> Counter[str]:
    """Play one seed, stop and restore it now and then, and compare it with one that was never stopped; what the auditors saw."""
    run = Played(seed)
    for _ in range(ENTRIES):
        run.step(run.world.next())
        draw = run.chance.random()
        if draw < 0.002:
            run.look()
            run.snapshot()
        elif draw < 0.003 or len(run.journal) == run.crash_at:
            run.crash()
    run.look()
    whole = Engine(run.engine.journal_id)
    records = whole.fold(0, run.journal)
    assert [record.value for record in records] == run.published, "restored is other than never stopped"
    if seed % 10 == 0:
        assert encode(whole.freeze()) == encode(run.engine.freeze())
    return run.world.people.told + run.world.auditor.told


@contextmanager
def hastened() -> Iterator[None]:
    """A signature is verified once for all folds of a seed, and garbage is collected between seeds: a quarter of the time, and nothing that is proven here."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with patch.object(signatures, "is_signature", lru_cache(2_000)(signatures.is_signature)):
            yield
    finally:
        gc.enable()
        gc.unfreeze()


def many(first: int, number: int) -> Counter[str]:
    """Play seeds in a row; a failure names its seed."""
    seen: Counter[str] = Counter()
    with hastened():
        for seed in range(first, first + number):
            try:
                seen += played(seed)
            except BaseException:
                print(f"seed {seed} fails: python -m tests.simulation.test_people {seed}")
                raise
            gc.collect()
    return seen


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", [*range(0, 300, A_TEST), *(pytest.param(first, marks=pytest.mark.long) for first in range(300, 10_000, A_TEST))])
def test_people_cannot_break_it(first: int) -> None:
    began = time.process_time()
    seen = many(first, A_TEST)
    print(f"{A_TEST} seeds of {ENTRIES:,} entries, {(time.process_time() - began) / A_TEST:.3f} s of processor time each")
    for command in (
        "confirm",
        "clear",
        "release",
        "change_cause",
        "change_owner",
        "recovered",
        "revise",
        "move",
        "compensated",
        "reopen",
        "acknowledge",
        "assign",
        "close",
    ):
        assert seen[f"decided {command}"] > A_TEST // 10, f"{command} was hardly ever decided: it has proven little"
        assert seen[f"refused {command}"] > 0
    assert sum(seen[f"left {command}"] for command in ("confirm", "clear", "change_cause", "change_owner", "compensated")) > 0
    assert min(seen["void"], seen["void with its person"], seen["grew: stays open"]) > 0
    assert min(seen["contradicted"], *(seen[f"{what}: stays open"] for what in ("closure_withdrawn", "assigned", "clock_set"))) > 0
    assert min(seen["lowest level: page"], seen["lowest level: notice"]) > 0
    assert min(seen["expired"], seen["released"], seen["decided change_policy"], seen["decided snooze"], seen["moved"]) > 0


@pytest.mark.parametrize("seed", range(4))
def test_a_world_by_itself(seed: int) -> None:
    assert played(seed)["new"] > 10  # what mutation testing asks, beside the many above


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(name, dict(sorted(played(int(name)).items())))
