"""Thousands of seeded histories of one source: every record has its effect exactly once, or lies in a declared gap."""

import pytest

from monitor.contracts.journal import SourceAcceptedEntry
from streams.openings import NEVER_REWOUND, Resume
from tests.simulation.source_world import NAME, Log, World

HISTORIES = 3_000
PER_TEST = 300
STEPS = 120


def settled(seed: int, steps: int = STEPS) -> World:
    world = World(seed)
    for _ in range(steps):
        world.step()
    world.settle()
    return world


def assert_exactly_once(world: World, seed: int) -> None:
    story = f"seed {seed}: {' '.join(world.happened)}\n{[(notice.what, notice.detail) for notice in world.notices]}"
    assert world.accepted == sorted(set(world.accepted)), f"twice, or out of order; {story}"
    assert world.missing() == [], story
    assert world.sources.by_name[NAME].state == "open", story


@pytest.mark.parametrize("first", range(0, HISTORIES, PER_TEST))
def test_every_record_is_accepted_once_or_in_a_declared_gap(first: int) -> None:
    for seed in range(first, first + PER_TEST):
        world = settled(seed)
        assert_exactly_once(world, seed)
        assert "replaced" not in {notice.what for notice in world.notices}, f"seed {seed}: nobody replaced the log"


def test_the_histories_are_wild_enough() -> None:
    worlds = [settled(seed) for seed in range(PER_TEST)]
    assert sum(len(world.accepted) for world in worlds) > 20_000
    assert sum(world.sources.repeats for world in worlds) > 2_000
    assert sum(len(world.gaps) for world in worlds) > 20


@pytest.mark.parametrize("first", range(0, HISTORIES, PER_TEST))
def test_a_resume_point_reset_forward_is_a_hole_that_is_read_again(first: int) -> None:
    holes = 0
    for seed in range(first, first + PER_TEST):
        world = World(seed)
        for _ in range(STEPS // 2):
            world.step()
        reset = min(world.log.end, (world.committed.position or 0) + world.rng.randint(1, 40))
        world.committed = Resume(reset, NEVER_REWOUND)
        world._kill()
        for _ in range(STEPS // 2):
            world.step()
        world.settle()
        assert_exactly_once(world, seed)
        holes += world.sources.holes
    assert holes > 0


@pytest.mark.parametrize("first", range(0, HISTORIES, PER_TEST))
def test_a_journal_truncated_behind_the_resume_point_is_filled_again(first: int) -> None:
    for seed in range(first, first + PER_TEST):
        world = World(seed)
        for _ in range(STEPS // 2):
            world.step()
        world._stop()
        world.zombies.clear()
        del world.journal[world.rng.randint(0, len(world.journal)) :]
        asked_twice = refold(world)
        for _ in range(STEPS // 2):
            world.step()
        world.settle()
        if asked_twice:
            # The same offset was asked for before the truncation: that ask isn't repeated. The hole stays, and stays said.
            assert world.sources.by_name[NAME].state == "hole" or not world.missing()
        else:
            assert_exactly_once(world, seed)


def refold(world: World) -> bool:
    """The core starts from the journal's first entry, as after the loss of every snapshot; whether it asks for a rewind again."""
    fresh = World(0)
    world.sources, world.accepted, world.gaps, world.notices, world.folded = fresh.sources, [], [], [], 0
    rewinds, world.rewinds = world.rewinds, []
    while world.folded < len(world.journal):
        world._fold()
    world._kill()
    world._land()
    while world.folded < len(world.journal):
        world._fold()
    asked = {rewind.offset for rewind in rewinds}
    again = {rewind.offset for rewind in world.rewinds} & asked
    world.rewinds = rewinds + [rewind for rewind in world.rewinds if rewind.offset not in asked]
    return bool(again)


@pytest.mark.parametrize("first", range(0, HISTORIES, PER_TEST))
def test_a_replaced_log_stops_until_a_person_accepts_it(first: int) -> None:
    replaced = 0
    for seed in range(first, first + PER_TEST // 3):
        world = World(seed)
        while not world.accepted:
            world.step()
        world.settle()
        until = world.sources.by_name[NAME].next
        known = world.sources.by_name[NAME].last_sha256 is not None or NAME in world.sources.last_entry
        world.log = Log(incarnation=1)  # deleted and made again under the same name
        for _ in range(world.rng.randint(0, 3)):
            world.log.produce(world.rng)
        if world.log.end >= until and (not known or world.log.digest(until - 1) is None):
            continue  # nothing at the resume point to compare, or nothing to compare it with
        replaced += 1
        before = len(world.accepted)
        world.settle()
        assert [notice.what for notice in world.notices].count("replaced") == 1, f"seed {seed}"
        assert len(world.accepted) == before, f"seed {seed}: something of the other log was accepted"
        world.sources.accept(SourceAcceptedEntry(clock_ms=world.clock_ms, source=NAME, position=0, actor="a", reason="moved"))
        world.accepted.clear()
        world.gaps.clear()
        world.committed = Resume(0, NEVER_REWOUND)
        world.settle()
        assert world.missing() == [], f"seed {seed}"
    assert replaced > PER_TEST // 6
