"""The chain that the fold publishes is the one that its contract describes, whatever the cut, and holds every entry of the journal."""

import base64
import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import pytest

from monitor.engine import Engine
from monitor.snapshot_file import decode, encode
from tests.simulation.journals import altered, honest, journal
from tests.unit.trail_stage import BLOCK, heads


def published(lines: Sequence[bytes], cut: int, restore_every: int = 0) -> list[tuple[int, int, dict[str, Any]]]:
    """(offset, index, head) of every head that the fold publishes."""
    engine, found = Engine(sha256(lines[0]).hexdigest(), {300: "entry", 301: "detectors"}), []
    for number, at in enumerate(range(0, len(lines), cut), 1):
        outputs = engine.fold(at, lines[at : at + cut])
        audits = [(output.offset, output.index, json.loads(output.value)) for output in outputs if output.topic == "audit"]
        found += [each for each in audits if each[2]["what"] == "head"]
        if restore_every and number % restore_every == 0:
            engine = Engine.thaw(decode(encode(engine.freeze())), {300: "entry", 301: "detectors"})
    return found


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    """With what is no entry, what is left out and what repeats among it: all of it is in the chain."""
    made = journal(altered(honest(seconds=40, rate=8, seed=9, accounts=20), seed=2, share=0.2))
    return [*made[:400], b"\xff no entry", b"", *made[400:], *made[300:420]]


@pytest.mark.parametrize(("cut", "restore_every"), [(5_000, 0), (1, 0), (255, 1), (256, 1), (97, 2)])
def test_heads_are_those_of_the_contract(lines: list[bytes], cut: int, restore_every: int) -> None:
    found = published(lines, cut, restore_every)
    expected = heads(lines, None)
    assert len(expected) == len(lines) // BLOCK > 3
    told = [(head["first_offset"], head["last_offset"], head["head_sha256"], head["prints"]) for _, _, head in found]
    assert told == [(copy.last_offset - BLOCK + 1, copy.last_offset, copy.head_sha256, copy.prints) for copy in expected]


def test_a_head_is_the_last_output_of_its_blocks_last_entry(lines: list[bytes]) -> None:
    engine = Engine(sha256(lines[0]).hexdigest())
    outputs = engine.fold(0, lines)
    last = {output.offset: output for output in outputs}
    for end in range(BLOCK - 1, len(lines), BLOCK):
        assert json.loads(last[end].value)["what"] == "head"
    indexes = [(output.offset, output.index) for output in outputs]
    assert indexes == sorted(set(indexes))


def test_prints_are_the_beginnings_of_the_entries_hashes(lines: list[bytes]) -> None:
    prints = base64.b64decode(published(lines, 5_000)[1][2]["prints"])
    assert [prints[at : at + 4] for at in range(0, len(prints), 4)] == [sha256(line).digest()[:4] for line in lines[BLOCK : 2 * BLOCK]]


def test_the_open_block_is_bounded(lines: list[bytes]) -> None:
    engine = Engine(sha256(lines[0]).hexdigest())
    for at in range(0, len(lines), 100):
        engine.fold(at, lines[at : at + 100])
        assert len(engine.state.trail.open) == engine.next_offset % BLOCK


@pytest.mark.parametrize("kind", [b"withdrawal", b"tick"])
def test_a_head_has_its_place_whether_its_last_entry_causes_anything_or_nothing(kind: bytes) -> None:
    """A block that ends with repeats, which cause nothing, and one that ends with Ticks, which always do."""
    made = journal(honest(seconds=40, rate=8, seed=9, accounts=20))
    again = [line for line in made[:200] if b'"kind":"%b"' % kind in line][:5]
    lines = [*made[:200], *(again * 20)[:56], *made[200:]]
    outputs = Engine(sha256(lines[0]).hexdigest()).fold(0, lines)
    places = [(output.offset, output.index) for output in outputs]
    assert places == sorted(set(places))
    (head,) = [output for output in outputs if output.topic == "audit" and b'"last_offset":255' in output.value]
    assert head.offset == 255
    assert (head.index == 0) == (kind == b"withdrawal")
