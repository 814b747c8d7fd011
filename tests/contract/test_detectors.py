"""Every registered detector passes every check of the contract; every check catches a detector that breaks it."""

import numpy as np
import pytest

from detectors.contract import BLOCK_OBSERVATIONS, Arrays, Bools, Family, Floats, Rows, Run, Scope, Scores
from detectors.lanes import Lanes
from detectors.observer import Observer
from detectors.registry import DETECTORS, Entry, Parts, make
from tests.contract import detector_checks as checks
from tests.contract.detector_checks import CHECKS, Check, Make, Story
from tests.unit.detector_runs import ROWS, cut, cuts, stream

BLOCKS = 17


@pytest.fixture(scope="module")
def story() -> Story:
    """A stream with the inputs that a panel's observer makes of it."""
    given = stream(11, BLOCKS * BLOCK_OBSERVATIONS, step_ms=20_000)
    panel = make(pairs_max=1024)
    panel.reserve(ROWS)
    inputs = []
    for start, end in cuts(len(given.run), BLOCK_OBSERVATIONS):
        inputs.append(panel.fold(cut(given.run, start, end))[0])
        panel.learn(given.teach[start:end])
    return Story(given.run, np.concatenate(inputs), given.teach)


class Observed:
    """A lane with an observer of its own, which scores it in its pass: together they keep the contract."""

    def __init__(self, entry: Entry) -> None:
        lanes = Lanes(1024)
        self.lanes, self.observer = lanes, Observer(lanes, 1024)
        self.lane = entry.make(Parts(lanes, 3 * 86_400_000))
        self.name, self.scope, self.family, self.part_names = self.lane.name, self.lane.scope, self.lane.family, self.lane.part_names

    def reserve(self, rows: dict[str, int]) -> None:
        self.observer.reserve(rows)

    def fold(self, run: Run, inputs: Floats) -> Scores:
        self.observer.observe(run)
        return self.lane.fold(run, inputs)

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        self.observer.learn(block, inputs, teach)
        self.lane.learn(block, inputs, teach)

    def forget(self, kind: str, rows: Rows) -> None:
        self.observer.forget(kind, rows)
        self.lane.forget(kind, rows)

    def explain(self, parts: Floats) -> str:
        return self.lane.explain(parts)

    def arrays(self) -> Arrays:
        return self.lanes.arrays() | {f"observer.{name}": array for name, array in self.observer.arrays().items()}

    def restore(self, arrays: Arrays) -> None:
        own = {name: array for name, array in arrays.items() if not name.startswith("observer.")}
        self.lanes.restore(own)
        self.observer.restore({name.removeprefix("observer."): array for name, array in arrays.items() if name not in own})


def maker(entry: Entry) -> Make:
    """How a fresh detector of the registry is made."""
    if entry.name in ("account_lane", "destination_lane"):
        return lambda: Observed(entry)
    return lambda: entry.make(Parts(Lanes(1024), 3 * 86_400_000))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("entry", DETECTORS, ids=lambda entry: entry.name)
def test_detectors_keep_the_contract(entry: Entry, check: Check, story: Story) -> None:
    check(maker(entry), story)


class Good:
    """A detector small enough to be wrong in one place: how far the amount is above each account's largest taught one."""

    name = "good"
    scope: Scope = "account"
    family: Family = "account_takeover"
    part_names: tuple[str, ...] = ("excess",)

    def __init__(self) -> None:
        self.largest = np.zeros(0)
        self.seen = np.zeros(1)

    def reserve(self, rows: dict[str, int]) -> None:
        self.largest = np.concatenate([self.largest, np.zeros(max(rows["account"] - len(self.largest), 0))])

    def fold(self, run: Run, inputs: Floats) -> Scores:
        value = np.maximum(run["amount"] - self.largest[run["account"]], 0.0)
        ready = np.full(len(run), self.seen[0] > 0)
        return Scores(value, np.where(ready & (value > 0.0), 0.5, 1.0), ready, value.reshape(-1, 1).copy())

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        np.maximum.at(self.largest, block["account"][teach], block["amount"][teach])
        self.seen += 1.0

    def forget(self, kind: str, rows: Rows) -> None:
        if kind == "account":
            self.largest[rows] = 0.0

    def explain(self, parts: Floats) -> str:
        return f"{parts[0]:.2g} above the largest so far"

    def arrays(self) -> Arrays:
        return {"largest": self.largest, "seen": self.seen}

    def restore(self, arrays: Arrays) -> None:
        if arrays.keys() != {"largest", "seen"} or arrays["largest"].dtype != np.float64:
            raise ValueError("expected largest and seen")
        self.largest = arrays["largest"].astype(np.float64)
        self.seen = arrays["seen"].astype(np.float64)


class NotFinite(Good):
    def fold(self, run: Run, inputs: Floats) -> Scores:
        scores = super().fold(run, inputs)
        scores.value[0] = np.nan
        return scores


class DecidesWhileWarming(Good):
    def fold(self, run: Run, inputs: Floats) -> Scores:
        scores = super().fold(run, inputs)
        scores.p_value[:] = 0.5
        return scores


class NeverReady(Good):
    def fold(self, run: Run, inputs: Floats) -> Scores:
        scores = super().fold(run, inputs)
        return Scores(scores.value, np.ones(len(run)), np.zeros(len(run), np.bool_), scores.parts)


class Speechless(Good):
    def explain(self, parts: Floats) -> str:
        return ""


class ChangesInputs(Good):
    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        super().learn(block, inputs, teach)
        inputs *= 0.5


class Moody(Good):
    made = 0

    def __init__(self) -> None:
        super().__init__()
        Moody.made += 1
        self.mood = Moody.made

    def fold(self, run: Run, inputs: Floats) -> Scores:
        scores = super().fold(run, inputs)
        scores.value += self.mood
        return scores


class LearnsAtOnce(Good):
    """Takes the whole run before it scores any of it."""

    def fold(self, run: Run, inputs: Floats) -> Scores:
        np.maximum.at(self.largest, run["account"], 0.5 * run["amount"])
        return super().fold(run, inputs)


class ForgetsToStore(Good):
    def __init__(self) -> None:
        super().__init__()
        self.secret = 0.0

    def fold(self, run: Run, inputs: Floats) -> Scores:
        scores = super().fold(run, inputs)
        scores.value += self.secret
        return scores

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        super().learn(block, inputs, teach)
        self.secret += 1.0


class SharesItsArrays(Good):
    def restore(self, arrays: Arrays) -> None:
        super().restore(arrays)
        self.largest = arrays["largest"]  # type: ignore[assignment]


class TakesAnything(Good):
    def restore(self, arrays: Arrays) -> None:
        self.largest = np.zeros(ROWS["account"])


class Hoards(Good):
    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        super().learn(block, inputs, teach)
        self.seen = np.concatenate([self.seen, np.zeros(1)])


class NeverForgets(Good):
    def forget(self, kind: str, rows: Rows) -> None:
        pass


class ForgetsTooMuch(Good):
    def forget(self, kind: str, rows: Rows) -> None:
        self.largest[:] = 0.0


BAD: list[tuple[Make, Check]] = [
    (NotFinite, checks.scores_are_whole),
    (DecidesWhileWarming, checks.scores_are_whole),
    (NeverReady, checks.gets_ready),
    (Speechless, checks.explains),
    (ChangesInputs, checks.leaves_its_arguments),
    (Moody, checks.repeats_itself),
    (LearnsAtOnce, checks.does_not_show_cuts),
    (ForgetsToStore, checks.restored_is_never_stopped),
    (SharesItsArrays, checks.restored_is_never_stopped),
    (TakesAnything, checks.refuses_foreign_states),
    (Hoards, checks.keeps_arrays_only),
    (NeverForgets, checks.forgets),
    (ForgetsTooMuch, checks.forgets),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_checks_pass_a_good_detector(check: Check, story: Story) -> None:
    check(Good, story)


@pytest.mark.parametrize(("bad", "check"), BAD, ids=lambda one: one.__name__)
def test_checks_catch_a_bad_detector(bad: Make, check: Check, story: Story) -> None:
    with pytest.raises(AssertionError):
        check(bad, Story(story.run, story.inputs.copy(), story.teach))


def test_every_check_is_shown_to_bite() -> None:
    assert {check for _, check in BAD} == set(CHECKS)
