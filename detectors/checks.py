"""What every detector must keep, ours and plugged-in ones: each check takes a maker of fresh detectors and a story to fold.

A check gives what is wrong as a sentence, empty if nothing is. Called by `withdrawal-monitor detectors check` and by the contract tests, which
also show each check a detector that breaks it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, Bools, Detector, Floats, Rows, Run, Scores
from detectors.registry import make as make_panel
from detectors.trial import ROWS, cut, cuts, stream

Make = Callable[[tuple[str, ...]], Detector]
"""Makes a fresh detector for inputs of these names, in this order of columns."""

STOP_EVERY = 5
FOLLOWED = 12
"""Stretches of 64 observations: a cut every 320, inside blocks and at their ends; each heir is followed for 768."""
STORY_BLOCKS = 19
"""Enough for every detector to be READY at the end: a calibration takes 2,000 scores, a river estimator's scale 2,048 taught ones before."""
GROWTH_MAX = 1.125
"""What a state that isn't arrays by nature may vary in size once it has seen the story: numbers are longer or shorter as text."""
FIELDS = ("value", "p_value", "ready", "parts")


class Story(NamedTuple):
    """Observations, their inputs, which of them may teach, and what the inputs are called."""

    run: Run
    inputs: Floats
    teach: Bools
    names: tuple[str, ...]


Check = Callable[[Make, Story], str]


def told(seed: int = 11, blocks: int = STORY_BLOCKS) -> Story:
    """A seeded stream with the inputs that a panel's observer makes of it."""
    given = stream(seed, blocks * BLOCK_OBSERVATIONS, step_ms=20_000)
    panel = make_panel(pairs_max=1024)
    panel.reserve(ROWS)
    inputs = []
    for start, end in cuts(len(given.run), BLOCK_OBSERVATIONS):
        inputs.append(panel.fold(cut(given.run, start, end))[0])
        panel.learn(given.teach[start:end])
    return Story(given.run, np.concatenate(inputs), given.teach, panel.input_names)


def outcome(check: Check, make: Make, story: Story) -> str:
    """What the check says; an exception is what is wrong too, also the panic of a compiled part, which is no Exception. Interrupts pass."""
    try:
        return check(make, story)
    except Exception as error:  # noqa: BLE001  whatever it raises, the plug-in is refused and not the process ended
        return f"{type(error).__name__}: {error}"
    except BaseException as error:
        if type(error).__module__ == "builtins":  # KeyboardInterrupt, SystemExit
            raise
        return f"{type(error).__name__}: {error}"


def fresh(make: Make, story: Story) -> Detector:
    """A new detector with rows for the story's entities."""
    detector = make(story.names)
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
    """All scores of a stretch as bytes, by what they say."""
    pieces = list(scores)
    return {name: np.concatenate([getattr(piece, name) for piece in pieces]).tobytes() for name in FIELDS}


def state_of(detector: Detector) -> dict[str, bytes]:
    """The whole state as bytes."""
    return {name: array.tobytes() for name, array in detector.arrays().items()}


def unsound(detector: Detector, scores: Scores, n: int) -> str:
    """What is wrong with the scores of a run of n."""
    if not scores.value.shape == scores.p_value.shape == scores.ready.shape == (n,):
        return "a column has another length than the run"
    if scores.parts.shape != (n, len(detector.part_names)):
        return "parts don't match part_names"
    if scores.ready.dtype != np.bool_:
        return "ready isn't bool"
    if not (np.isfinite(scores.value).all() and np.isfinite(scores.parts).all()):
        return "a value isn't finite"
    if not ((scores.p_value > 0.0) & (scores.p_value <= 1.0)).all():
        return "a p-value is outside (0, 1]"
    return "" if (scores.p_value[~scores.ready] == 1.0).all() else "a p-value below 1 while WARMING"


def scores_are_whole(make: Make, story: Story) -> str:
    """Columns have the run's length; values are finite, p-values in (0, 1], and 1 while WARMING."""
    detector = fresh(make, story)
    for (first, last), scores in zip(cuts(len(story.run), 100), folded(detector, story, 100), strict=True):
        if wrong := unsound(detector, scores, last - first):
            return wrong
    return ""


def works_before_learning(make: Make, story: Story) -> str:
    """The very first observation, alone, has a score and words."""
    detector = fresh(make, story)
    scores = detector.fold(cut(story.run, 0, 1), story.inputs[:1])
    return unsound(detector, scores, 1) or ("" if detector.explain(scores.parts[0]) else "no words")


def gets_ready(make: Make, story: Story) -> str:
    """The story is long enough for every detector to be READY at its end, without a failure on the way."""
    detector = fresh(make, story)
    last = list(folded(detector, story, BLOCK_OBSERVATIONS))[-1]
    failure: str = getattr(detector, "failure", "")
    return failure or ("" if last.ready.any() else "still WARMING at the end")


def explains(make: Make, story: Story) -> str:
    """Every observation's parts have words, the same each time."""
    detector = fresh(make, story)
    for scores in folded(detector, story, BLOCK_OBSERVATIONS):
        for parts in scores.parts[::16]:
            words = detector.explain(parts)
            if not words:
                return "no words"
            if words != detector.explain(parts):
                return "other words the second time"
    return ""


def leaves_its_arguments(make: Make, story: Story) -> str:
    """Neither fold nor learn changes the run, the inputs or what may teach."""

    def given() -> list[bytes]:
        return [story.run.tobytes(), story.inputs.tobytes(), story.teach.tobytes()]

    before = given()
    together(folded(fresh(make, story), story, 100))
    return "" if given() == before else "an argument was changed"


def refuses_odd_numbers(make: Make, story: Story) -> str:
    """Inputs that aren't finite are refused with a ValueError that changes nothing, or come out as whole scores all the same."""
    for odd in (np.nan, np.inf, -np.inf):
        detector = fresh(make, story)
        together(folded(detector, story, BLOCK_OBSERVATIONS))
        before = state_of(detector)
        inputs = np.full((1, story.inputs.shape[1]), odd)
        try:
            scores = detector.fold(cut(story.run, 0, 1), inputs)
        except ValueError:
            if state_of(detector) != before:
                return f"an input of {odd} is refused, but has changed the state"
            continue
        if wrong := unsound(detector, scores, 1):
            return f"an input of {odd}: {wrong}"
    return ""


def ignores_order_of_inputs(make: Make, story: Story) -> str:
    """With its inputs in another order, and the names with them, it gives the same scores and p-values."""
    order = np.arange(len(story.names))[::-1]
    turned = Story(story.run, np.ascontiguousarray(story.inputs[:, order]), story.teach, tuple(story.names[place] for place in order))
    one, other = (together(folded(fresh(make, each), each, BLOCK_OBSERVATIONS)) for each in (story, turned))
    return "" if all(one[name] == other[name] for name in FIELDS[:3]) else "other scores when the inputs come in another order"


def shares_nothing(make: Make, story: Story) -> str:
    """What one detector sees, another of the same maker doesn't know."""
    one, other = fresh(make, story), fresh(make, story)
    before = state_of(other)
    together(folded(one, story, BLOCK_OBSERVATIONS))
    return "" if state_of(other) == before else "two detectors share state"


def repeats_itself(make: Make, story: Story) -> str:
    """Two detectors that saw the same gave the same bytes, and have the same state."""
    one, other = fresh(make, story), fresh(make, story)
    if together(folded(one, story, 50)) != together(folded(other, story, 50)):
        return "other scores the second time"
    return "" if state_of(one) == state_of(other) else "another state the second time"


def does_not_show_cuts(make: Make, story: Story) -> str:
    """Runs of 1, of 37 and whole blocks give the same bytes."""
    detectors = [fresh(make, story) for _ in range(3)]
    outcomes = [together(folded(detector, story, longest)) for detector, longest in zip(detectors, (1, 37, BLOCK_OBSERVATIONS), strict=True)]
    if not outcomes[0] == outcomes[1] == outcomes[2]:
        return "the cut into runs shows in the scores"
    states = [state_of(detector) for detector in detectors]
    return "" if states[0] == states[1] == states[2] else "the cut into runs shows in the state"


def scoring_teaches_nothing(make: Make, story: Story) -> str:
    """What it calls its baselines is after a fold as it was before: only learn, which is told what may teach, changes it."""
    detector = fresh(make, story)
    names: tuple[str, ...] = getattr(detector, "baselines", ())
    if not names:
        return ""
    for first, last in cuts(len(story.run), BLOCK_OBSERVATIONS):
        before = [detector.arrays()[name].tobytes() for name in names]
        detector.fold(cut(story.run, first, last), story.inputs[first:last])
        if [detector.arrays()[name].tobytes() for name in names] != before:
            return "scoring changes a baseline, so what is held would teach it"
        detector.learn(cut(story.run, first, last), story.inputs[first:last], story.teach[first:last])
    return ""


def restored_is_never_stopped(make: Make, story: Story) -> str:
    """At any cut, a fresh detector that takes over the state goes on like the one that was never stopped, and shares nothing with it."""
    went = list(folded(fresh(make, story), story, 64))
    borders = [first for first, _ in cuts(len(story.run), 64)] + [len(story.run)]
    stopped = fresh(make, story)
    for k in range(0, len(went), STOP_EVERY):
        if k:
            together(folded(stopped, story, 64, start=borders[k - STOP_EVERY], end=borders[k]))
        heir = make(story.names)
        heir.restore(stopped.arrays())
        before = state_of(stopped)
        last = min(k + FOLLOWED, len(went))
        followed = together(folded(heir, story, 64, start=borders[k], end=borders[last]))
        if followed != together(iter(went[k:last])):
            return f"restored at {borders[k]}, it goes on otherwise"
        if state_of(stopped) != before:
            return "the restored detector writes into the arrays it was restored from"
    return ""


def refuses_foreign_states(make: Make, story: Story) -> str:
    """A state with an array missing, added, or of another type raises ValueError."""
    detector = fresh(make, story)
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
            fresh(make, story).restore(state)
        except ValueError:
            continue
        return "took over a state that doesn't fit"
    return ""


def is_bounded(make: Make, story: Story) -> str:
    """The state is arrays of numbers, and repeating the story doesn't make it larger; what says its limit in bytes may vary below it."""
    detector = fresh(make, story)
    together(folded(detector, story, BLOCK_OBSERVATIONS))
    if any(array.dtype.hasobject for array in detector.arrays().values()):
        return "state that isn't numbers"
    limits: dict[str, int] = getattr(detector, "bytes_max", {})
    first = {name: array.nbytes for name, array in detector.arrays().items()}
    for _ in range(2):
        together(folded(detector, story, BLOCK_OBSERVATIONS))
    for name, array in detector.arrays().items():
        allowed = min(limits[name], first[name] * GROWTH_MAX) if name in limits else first[name]
        if array.nbytes > allowed or (name not in limits and array.nbytes != first[name]):
            return f"the state grows with the stream: {name} from {first[name]} to {array.nbytes} bytes"
    return ""


def forgets(make: Make, story: Story) -> str:
    """A forgotten row is as in a table that just grew by it, the others are as they were, and forgetting again changes nothing."""
    for kind, count in ROWS.items():
        detector, other = fresh(make, story), fresh(make, story)
        for each in (detector, other):
            together(folded(each, story, BLOCK_OBSERVATIONS))
        gone: Rows = np.array([1, count - 1], np.int32)
        detector.forget(kind, gone)
        once = state_of(detector)
        detector.forget(kind, gone)
        if state_of(detector) != once:
            return "forgetting twice is not forgetting once"
        grown = make(story.names)
        grown.reserve(ROWS)
        grown.restore(other.arrays())
        grown.reserve(ROWS | {kind: count + 1})
        if wrong := _forgotten(detector, other, grown, gone, count):
            return wrong
    return ""


def _forgotten(detector: Detector, other: Detector, grown: Detector, gone: Rows, count: int) -> str:
    befores, afters = other.arrays(), detector.arrays()
    for name, array in grown.arrays().items():
        before, after = befores[name], afters[name]
        if len(array) == len(before):  # no row per entity of this kind
            if after.tobytes() != before.tobytes():
                return f"forgetting changes {name}"
            continue
        kept = np.setdiff1d(np.arange(count), gone)
        if after[kept].tobytes() != before[kept].tobytes():
            return "forgetting changes other rows"
        if any(after[row].tobytes() != array[count].tobytes() for row in gone):
            return "a forgotten row isn't as new"
    return ""


CHECKS: tuple[Check, ...] = (
    scores_are_whole,
    works_before_learning,
    gets_ready,
    explains,
    leaves_its_arguments,
    refuses_odd_numbers,
    ignores_order_of_inputs,
    shares_nothing,
    repeats_itself,
    does_not_show_cuts,
    scoring_teaches_nothing,
    restored_is_never_stopped,
    refuses_foreign_states,
    is_bounded,
    forgets,
)
