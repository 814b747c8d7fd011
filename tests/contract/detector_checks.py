"""What every detector must keep, ours and plugged-in ones: each check takes a maker of fresh detectors and a story to fold.

A check raises AssertionError with what is wrong. Used by `test_detectors`, which also shows each check a detector that breaks it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, Bools, Detector, Floats, Rows, Run, Scores
from tests.unit.detector_runs import ROWS, cut, cuts

Make = Callable[[], Detector]

STOP_EVERY = 5
FOLLOWED = 12
"""Stretches of 64 observations: a cut every 320, inside blocks and at their ends; each heir is followed for 768."""


class Story(NamedTuple):
    """Observations, their inputs, and which of them may teach."""

    run: Run
    inputs: Floats
    teach: Bools


Check = Callable[[Make, Story], None]


def fresh(make: Make) -> Detector:
    detector = make()
    detector.reserve(ROWS)
    return detector


def folded(detector: Detector, story: Story, longest: int, start: int = 0, end: int | None = None) -> Iterator[Scores]:
    """Scores of the story from start on, taught at the ends of blocks."""
    for first, last in cuts(len(story.run) if end is None else end, longest):
        if last <= start:
            continue
        yield detector.fold(cut(story.run, max(first, start), last), story.inputs[max(first, start) : last])
        if last % BLOCK_OBSERVATIONS == 0:
            block = slice(last - BLOCK_OBSERVATIONS, last)
            detector.learn(cut(story.run, block.start, last), story.inputs[block], story.teach[block])


def together(scores: Iterator[Scores]) -> dict[str, bytes]:
    pieces = list(scores)
    return {name: np.concatenate([getattr(piece, name) for piece in pieces]).tobytes() for name in ("value", "p_value", "ready", "parts")}


def state_of(detector: Detector) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in detector.arrays().items()}


def scores_are_whole(make: Make, story: Story) -> None:
    """Columns have the run's length; values are finite, p-values in (0, 1], and 1 while WARMING; also before anything was learnt."""
    detector = fresh(make)
    for (first, last), scores in zip(cuts(len(story.run), 100), folded(detector, story, 100), strict=True):
        n = last - first
        assert scores.value.shape == scores.p_value.shape == scores.ready.shape == (n,), "a column has another length than the run"
        assert scores.parts.shape == (n, len(detector.part_names)), "parts don't match part_names"
        assert scores.ready.dtype == np.bool_, "ready isn't bool"
        assert np.isfinite(scores.value).all() and np.isfinite(scores.parts).all(), "a value isn't finite"
        assert ((scores.p_value > 0.0) & (scores.p_value <= 1.0)).all(), "a p-value is outside (0, 1]"
        assert (scores.p_value[~scores.ready] == 1.0).all(), "a p-value below 1 while WARMING"


def gets_ready(make: Make, story: Story) -> None:
    """The story is long enough for every detector to be READY at its end."""
    assert list(folded(fresh(make), story, BLOCK_OBSERVATIONS))[-1].ready.any(), "still WARMING at the end"


def explains(make: Make, story: Story) -> None:
    """Every observation's parts have words, the same each time."""
    detector = fresh(make)
    for scores in folded(detector, story, BLOCK_OBSERVATIONS):
        for parts in scores.parts[::16]:
            words = detector.explain(parts)
            assert words, "no words"
            assert words == detector.explain(parts), "other words the second time"


def leaves_its_arguments(make: Make, story: Story) -> None:
    """Neither fold nor learn changes the run, the inputs or what may teach."""

    def given() -> list[bytes]:
        return [story.run.tobytes(), story.inputs.tobytes(), story.teach.tobytes()]

    before = given()
    together(folded(fresh(make), story, 100))
    assert given() == before, "an argument was changed"


def repeats_itself(make: Make, story: Story) -> None:
    """Two detectors that saw the same gave the same bytes, and have the same state."""
    one, other = fresh(make), fresh(make)
    assert together(folded(one, story, 50)) == together(folded(other, story, 50)), "other scores the second time"
    assert state_of(one) == state_of(other), "another state the second time"


def does_not_show_cuts(make: Make, story: Story) -> None:
    """Runs of 1, of 37 and whole blocks give the same bytes."""
    detectors = [fresh(make) for _ in range(3)]
    outcomes = [together(folded(detector, story, longest)) for detector, longest in zip(detectors, (1, 37, BLOCK_OBSERVATIONS), strict=True)]
    assert outcomes[0] == outcomes[1] == outcomes[2], "the cut into runs shows in the scores"
    assert state_of(detectors[0]) == state_of(detectors[1]) == state_of(detectors[2]), "the cut into runs shows in the state"


def restored_is_never_stopped(make: Make, story: Story) -> None:
    """At any cut, a fresh detector that takes over the state goes on like the one that was never stopped, and shares nothing with it."""
    outcome = list(folded(fresh(make), story, 64))
    borders = [first for first, _ in cuts(len(story.run), 64)] + [len(story.run)]
    stopped = fresh(make)
    for k in range(0, len(outcome), STOP_EVERY):
        if k:
            together(folded(stopped, story, 64, start=borders[k - STOP_EVERY], end=borders[k]))
        heir = make()
        heir.restore(stopped.arrays())
        before = state_of(stopped)
        last = min(k + FOLLOWED, len(outcome))
        followed = together(folded(heir, story, 64, start=borders[k], end=borders[last]))
        assert followed == together(iter(outcome[k:last])), f"restored at {borders[k]}, it goes on otherwise"
        assert state_of(stopped) == before, "the restored detector writes into the arrays it was restored from"


def refuses_foreign_states(make: Make, story: Story) -> None:
    """A state with an array missing, added, or of another type raises ValueError."""
    detector = fresh(make)
    together(folded(detector, story, BLOCK_OBSERVATIONS))
    arrays = detector.arrays()
    name = next(iter(arrays))
    foreign = [
        {k: v for k, v in arrays.items() if k != name},
        arrays | {"stranger": np.zeros(1)},
        arrays | {name: arrays[name].astype(np.complex128)},
    ]
    for state in foreign:
        try:
            fresh(make).restore(state)
        except ValueError:
            continue
        raise AssertionError("took over a state that doesn't fit")


def keeps_arrays_only(make: Make, story: Story) -> None:
    """The state is arrays of numbers, and repeating the story doesn't make it larger."""
    detector = fresh(make)
    together(folded(detector, story, BLOCK_OBSERVATIONS))
    first = {name: array.nbytes for name, array in detector.arrays().items()}
    assert not any(array.dtype.hasobject for array in detector.arrays().values()), "state that isn't numbers"
    together(folded(detector, story, BLOCK_OBSERVATIONS))
    assert {name: array.nbytes for name, array in detector.arrays().items()} == first, "the state grows with the stream"


def forgets(make: Make, story: Story) -> None:
    """A forgotten row is as in a table that just grew by it, the others are as they were, and forgetting again changes nothing."""
    for kind, count in ROWS.items():
        detector, other = fresh(make), fresh(make)
        for each in (detector, other):
            together(folded(each, story, BLOCK_OBSERVATIONS))
        gone: Rows = np.array([1, count - 1], np.int32)
        detector.forget(kind, gone)
        once = state_of(detector)
        detector.forget(kind, gone)
        assert state_of(detector) == once, "forgetting twice is not forgetting once"
        grown = fresh(make)
        grown.restore(other.arrays())
        grown.reserve(ROWS | {kind: count + 1})
        for name, array in grown.arrays().items():
            before, after = other.arrays()[name], detector.arrays()[name]
            if len(array) == len(before):  # no row per entity of this kind
                assert after.tobytes() == before.tobytes(), f"forgetting changes {name}"
                continue
            kept = np.setdiff1d(np.arange(count), gone)
            assert after[kept].tobytes() == before[kept].tobytes(), "forgetting changes other rows"
            assert all(after[row].tobytes() == array[count].tobytes() for row in gone), "a forgotten row isn't as new"


CHECKS: tuple[Check, ...] = (
    scores_are_whole,
    gets_ready,
    explains,
    leaves_its_arguments,
    repeats_itself,
    does_not_show_cuts,
    restored_is_never_stopped,
    refuses_foreign_states,
    keeps_arrays_only,
    forgets,
)
