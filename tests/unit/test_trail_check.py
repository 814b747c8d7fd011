"""What was done to a journal is found and named, wherever and however often, against heads that were published before."""

import random
from collections.abc import Callable, Iterable, Sequence

import msgspec
import pytest

from monitor.published_heads import HeadCopy, PublishedHeads
from monitor.trail_check import Checked
from streams.audit import Verification
from streams.refusals import RefusedError
from tests.unit.trail_stage import BLOCK, KEY, OTHER_KEY, entries, heads, public

KEYS = {"core": public(KEY)}
WHOLE = entries(5 * BLOCK + 40)
SIGNED = heads(WHOLE)
Told = list[tuple[str, int, int]]


def checked(journal: Sequence[bytes], copies: Iterable[HeadCopy] = SIGNED, cut: int = 5_000, start: int = 0, offsets: Sequence[int] = ()) -> Checked:
    published = PublishedHeads(KEYS)
    for copy in copies:
        assert published.add(copy) is None
    verification = Verification(published)
    offsets = offsets or range(start, start + len(journal))
    for at in range(0, len(journal), cut):
        verification.take(offsets[at : at + cut], journal[at : at + cut])
    return verification.result()


def told(result: Checked) -> Told:
    return [(found.kind, found.first_offset, found.last_offset) for found in result.found]


def states(result: Checked) -> list[tuple[int, int, str]]:
    return [(part.first_offset, part.last_offset, part.state) for part in result.ranges]


def flipped(entry: bytes, bit: int = 0) -> bytes:
    return bytes([entry[0] ^ (1 << bit), *entry[1:]])


@pytest.mark.parametrize("cut", [1_024, 1_500, 5_000])
def test_what_was_signed_is_proven_up_to_the_last_whole_block(cut: int) -> None:
    result = checked(WHOLE, cut=cut)
    assert result.intact and result.proven and result.found == []
    assert states(result) == [(0, 5 * BLOCK - 1, "as signed"), (5 * BLOCK, 5 * BLOCK + 39, "no head yet")]
    assert result.ranges[0].key == "core"


def with_changed(journal: list[bytes], at: int) -> Told:
    journal[at] = flipped(journal[at])
    return [("changed", at, at)]


def with_removed(journal: list[bytes], at: int) -> Told:
    del journal[at]
    # Behind the last entry that a head covers anything may have stood: whether that entry was changed or removed, nothing says.
    return [("changed" if at == 5 * BLOCK - 1 else "removed", at, at)]


def with_inserted(journal: list[bytes], at: int) -> Told:
    journal.insert(at, b"never published")
    return [("inserted", at, at)]


def with_swapped(journal: list[bytes], at: int) -> Told:
    other = (at + 700) % (5 * BLOCK)
    journal[at], journal[other] = journal[other], journal[at]
    return [("swapped", min(at, other), max(at, other))]


def with_neighbours_swapped(journal: list[bytes], at: int) -> Told:
    at = max(at, 1)
    journal[at - 1], journal[at] = journal[at], journal[at - 1]
    return [("swapped", at - 1, at)]


def with_moved(journal: list[bytes], at: int) -> Told:
    to = (at + 100) % (5 * BLOCK)
    journal.insert(to, journal.pop(at))
    return [("moved", at, at), ("inserted", at, at)] if at == 5 * BLOCK - 1 else [("moved", at, at)]


def with_many_removed(journal: list[bytes], at: int) -> Told:
    at = min(at, 5 * BLOCK - 100)
    del journal[at : at + 90]
    return [("removed", at, at + 89)]


PLACES = [0, 1, 2, BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK - 1, 3 * BLOCK, 5 * BLOCK - 2, 5 * BLOCK - 1]
ONE = [with_changed, with_removed, with_inserted, with_swapped, with_neighbours_swapped, with_moved, with_many_removed]


@pytest.mark.parametrize("at", PLACES)
@pytest.mark.parametrize("tamper", ONE, ids=lambda tamper: tamper.__name__)
def test_one_thing_done_is_named_with_its_place(tamper: Callable[[list[bytes], int], Told], at: int) -> None:
    journal = list(WHOLE)
    expected = tamper(journal, at)
    result = checked(journal)
    assert told(result) == expected
    assert not result.intact and not result.proven
    different = [part for part in result.ranges if part.state == "DIFFERENT"]
    assert different and all(part.first_offset % BLOCK == 0 for part in different)


@pytest.mark.parametrize("distance", [1, 2, 3, 4, 255, 256, 511])
def test_a_swap_is_one_thing_at_any_distance(distance: int) -> None:
    journal = list(WHOLE)
    journal[300], journal[300 + distance] = journal[300 + distance], journal[300]
    assert told(checked(journal)) == [("swapped", 300, 300 + distance)]


@pytest.mark.parametrize("bit", range(8))
def test_every_bit_counts(bit: int) -> None:
    journal = list(WHOLE)
    journal[777] = flipped(journal[777], bit)
    assert told(checked(journal)) == [("changed", 777, 777)]


@pytest.mark.parametrize("length", [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK, 4 * BLOCK + 3, 5 * BLOCK - 1])
def test_a_tail_that_was_cut_is_told_against_a_published_head(length: int) -> None:
    result = checked(WHOLE[:length])
    assert told(result) == [("cut", length, 5 * BLOCK - 1)]
    assert not result.intact


def test_a_tail_that_no_head_covers_yet_may_go_unnoticed_and_is_said_to_be_unproven() -> None:
    assert states(checked(WHOLE[: 5 * BLOCK])) == [(0, 5 * BLOCK - 1, "as signed")]


def test_a_beginning_that_is_gone_is_told_and_the_rest_is_still_compared() -> None:
    journal = list(WHOLE)
    journal[900] = flipped(journal[900])
    assert told(checked(journal[300:], start=300)) == [("removed", 0, 299), ("changed", 900, 900)]
    assert told(checked(WHOLE[2 * BLOCK :], start=2 * BLOCK)) == [("removed", 0, 2 * BLOCK - 1)]


def test_a_beginning_that_was_cut_off_and_numbered_anew_is_told() -> None:
    assert told(checked(WHOLE[10:])) == [("removed", 0, 9)]


EDITS: list[Callable[[list[bytes], int], list[bytes]]] = [
    lambda _part, _other: [],
    lambda part, _other: part + part,
    lambda part, _other: part[::-1],
    lambda part, _other: [flipped(entry) for entry in part],
    lambda _part, other: WHOLE[other : other + 7],
]


def first_difference(journal: Sequence[bytes]) -> int:
    return next(at for at in range(5 * BLOCK) if at >= len(journal) or journal[at] != WHOLE[at])


@pytest.mark.parametrize("seed", range(100))
def test_whatever_is_done_something_is_found_no_later_than_it_begins(seed: int) -> None:
    rng = random.Random(seed)
    journal = list(WHOLE)
    for _ in range(rng.randint(1, 4)):
        at, count, other = rng.randrange(5 * BLOCK), rng.choice([1, 5, 300]), rng.randrange(5 * BLOCK)
        journal[at : at + count] = rng.choice(EDITS)(journal[at : at + count], other)
    if journal[: 5 * BLOCK] == WHOLE[: 5 * BLOCK]:
        assert checked(journal).intact
        return
    result = checked(journal)
    assert not result.intact and not result.proven
    first = first_difference(journal)
    assert any(found.first_offset <= first or found.kind == "moved" for found in result.found)
    assert all(part.last_offset < first for part in result.ranges if part.state == "as signed" and part.first_offset <= first)


@pytest.mark.parametrize("seed", range(30))
def test_several_things_done_at_once_are_each_found(seed: int) -> None:
    rng = random.Random(seed)
    journal, expected = list(WHOLE), []
    for at in sorted(rng.sample(range(0, 5 * BLOCK, 40), 6), reverse=True):
        tamper = rng.choice([with_changed, with_removed, with_inserted, with_neighbours_swapped])
        expected += tamper(journal, at + 5)
    assert told(checked(journal, cut=rng.choice([1_024, 5_000]))) == sorted(expected, key=lambda each: each[1])


def test_a_change_that_no_print_shows_is_found_by_the_hash() -> None:
    published = [msgspec.structs.replace(copy, head_sha256="ab" * 32) if number == 2 else copy for number, copy in enumerate(heads(WHOLE, None))]
    result = checked(WHOLE, published)
    assert told(result) == [("changed", 2 * BLOCK, 3 * BLOCK - 1), ("changed", 3 * BLOCK, 4 * BLOCK - 1)], "and the head after it follows on another"


def test_a_missing_head_is_covered_by_the_next() -> None:
    result = checked(WHOLE, [copy for copy in SIGNED if copy.last_offset not in (BLOCK - 1, 3 * BLOCK - 1)])
    assert result.proven and states(result)[0] == (0, 5 * BLOCK - 1, "as signed")
    journal = list(WHOLE)
    journal[600] = flipped(journal[600])
    assert told(checked(journal, SIGNED[:2] + SIGNED[3:])) == [("changed", 2 * BLOCK, 4 * BLOCK - 1)]


def test_whole_blocks_without_a_head_are_not_proven() -> None:
    result = checked(WHOLE, SIGNED[:3])
    assert result.intact and not result.proven
    assert states(result) == [(0, 3 * BLOCK - 1, "as signed"), (3 * BLOCK, 5 * BLOCK + 39, "NO HEAD")]


def test_a_journal_without_a_whole_block_has_no_head_yet() -> None:
    result = checked(WHOLE[:100], [])
    assert result.intact and not result.proven and states(result) == [(0, 99, "no head yet")]


def test_the_numbering_itself_is_looked_at_where_no_head_is() -> None:
    kept = [*range(10), *range(12, 40)]
    assert told(checked([WHOLE[at] for at in kept], [], offsets=kept)) == [("removed", 10, 11)]


def test_an_empty_journal_is_cut_where_there_are_heads_and_nothing_where_there_are_none() -> None:
    with pytest.raises(RefusedError, match=r"^The journal is empty: there is nothing to verify\.$"):
        checked([], [])


def test_unsigned_heads_are_told_as_such() -> None:
    result = checked(WHOLE, heads(WHOLE, None))
    assert result.intact and not result.proven
    assert states(result)[0][2] == "as published, unsigned"


@pytest.mark.parametrize(
    "foreign",
    [heads(WHOLE, OTHER_KEY), heads(WHOLE, OTHER_KEY, "mallory"), [msgspec.structs.replace(copy, signature="AAAA") for copy in SIGNED]],
    ids=["a known name", "an unknown name", "no signature"],
)
def test_a_foreign_key_is_told_as_such(foreign: list[HeadCopy]) -> None:
    result = checked(WHOLE, foreign)
    assert result.intact and not result.proven
    assert states(result)[0][2] == "as published, unknown key"


def test_heads_forged_for_a_changed_journal_do_not_stand_against_signed_ones() -> None:
    journal = list(WHOLE)
    journal[5] = flipped(journal[5])
    forged = heads(journal, OTHER_KEY)
    unsigned = [*heads(journal, None), *heads(WHOLE, None)]
    for copies in ([*forged, *SIGNED], [*SIGNED, *forged], [*unsigned, *forged, *SIGNED]):
        assert told(checked(journal, copies)) == [("changed", 5, 5)]
        assert checked(WHOLE, copies).proven


@pytest.mark.parametrize("fact", ["last_offset", "head_sha256", "prints", "journal_id"])
def test_a_signature_holds_for_nothing_else(fact: str) -> None:
    first, second = SIGNED[0], SIGNED[1]
    other = "ab" * 32 if fact == "journal_id" else getattr(second, fact)
    published = PublishedHeads(KEYS)
    published.add(msgspec.structs.replace(first, **{fact: other}))
    assert published.copies == {"unknown key": 1}


def test_signed_heads_that_contradict_each_other_are_told() -> None:
    journal = list(WHOLE)
    journal[-100] = flipped(journal[-100])
    result = checked(WHOLE, [*SIGNED, *heads(journal)])
    assert told(result) == [("contradiction", 4 * BLOCK, 5 * BLOCK - 1)]
    assert not result.proven


def test_heads_of_another_journal_are_not_compared() -> None:
    result = checked(WHOLE, heads(entries(3 * BLOCK, "other")))
    assert told(result) == [("unlike", 0, 0)]
    assert not result.intact
    both = checked(WHOLE, [*heads(entries(3 * BLOCK, "other")), *SIGNED])
    assert both.proven


def test_after_a_rewritten_part_the_comparison_ends_and_says_so() -> None:
    journal = [*WHOLE[:300], *entries(900, "other"), *WHOLE[1_200:]]
    result = checked(journal)
    assert result.found[-1].kind == "unlike" and result.found[0].first_offset == 300
    assert states(result)[0] == (0, BLOCK - 1, "as signed")


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"last_offset": 254}, "no block ends at offset 254"),
        ({"prints": "?"}, "prints isn't base64"),
        ({"prints": "AAAA"}, "prints has 3 bytes, not 1024"),
    ],
)
def test_what_is_no_head_is_refused(facts: dict[str, object], why: str) -> None:
    assert PublishedHeads(KEYS).add(msgspec.structs.replace(SIGNED[0], **facts)) == why
