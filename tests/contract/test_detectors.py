"""Every registered detector passes every check of the contract; every check catches a detector that breaks it."""

import numpy as np
import pytest

from detectors import checks
from detectors.checks import CHECKS, Check, Make, Story, outcome, told
from detectors.contract import Arrays, Bools, Family, Floats, Rows, Run, Scope, Scores
from detectors.observed import alone
from detectors.registry import DETECTORS, Entry, make
from detectors.trial import ROWS
from monitor.findings import RULES


@pytest.fixture(scope="module")
def story() -> Story:
    return told()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("entry", DETECTORS, ids=lambda entry: entry.name)
def test_detectors_keep_the_contract(entry: Entry, check: Check, story: Story) -> None:
    assert not outcome(check, lambda names: alone(entry, 3 * 86_400_000, names), story)


def test_every_detector_has_a_rule_of_its_own() -> None:
    """Without one it would be taken for somebody's plug-in, with a general title."""
    assert {entry.name for entry in DETECTORS} - RULES.keys() == set()
    for detector in make().detectors:
        assert RULES[detector.name].statistical
        assert detector.calibrated == (RULES[detector.name].verdict is None), (
            "gate and hold_p_value decide about what is calibrated, a verdict about the rest"
        )


class Good:
    """A detector small enough to be wrong in one place: how far the amount is above each account's largest taught one."""

    name = "good"
    scope: Scope = "account"
    family: Family = "account_takeover"
    calibrated = True
    part_names: tuple[str, ...] = ("excess",)

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
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

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
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
    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
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


class NeedsAPast(Good):
    def fold(self, run: Run, inputs: Floats) -> Scores:
        scores = super().fold(run, inputs)
        return scores if self.seen[0] > 0 else Scores(scores.value / self.seen[0], scores.p_value, scores.ready, scores.parts)


class PassesItOn(Good):
    def fold(self, run: Run, inputs: Floats) -> Scores:
        scores = super().fold(run, inputs)
        scores.value += np.abs(inputs[:, 0])
        return scores


class CountsBeforeItRefuses(Good):
    def fold(self, run: Run, inputs: Floats) -> Scores:
        self.seen += 0.0 if np.isfinite(inputs).all() else 1.0
        if not np.isfinite(inputs).all():
            raise ValueError("an input isn't finite")
        return super().fold(run, inputs)


class TakesTheFirstColumn(Good):
    def fold(self, run: Run, inputs: Floats) -> Scores:
        scores = super().fold(run, inputs)
        scores.value += np.nan_to_num(inputs[:, 0], posinf=0.0, neginf=0.0)
        return scores


class HasOnePastForAll(Good):
    past = np.zeros(1)

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(names)
        self.seen = HasOnePastForAll.past


class LearnsWhenItScores(Good):
    baselines = ("largest",)

    def fold(self, run: Run, inputs: Floats) -> Scores:
        scores = super().fold(run, inputs)
        np.maximum.at(self.largest, run["account"], run["amount"])
        return scores


class GrowsPastItsLimit(Good):
    bytes_max = {"seen": 64}  # noqa: RUF012  never changed

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        super().learn(block, inputs, teach)
        self.seen = np.concatenate([self.seen, np.zeros(1)])


class Panics(Good):
    def fold(self, run: Run, inputs: Floats) -> Scores:
        raise BasePanicError


class BasePanicError(BaseException):
    """As the panics of river's compiled part: no Exception."""


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
    (Panics, checks.scores_are_whole),
    (NeedsAPast, checks.works_before_learning),
    (NeverReady, checks.gets_ready),
    (Speechless, checks.explains),
    (ChangesInputs, checks.leaves_its_arguments),
    (PassesItOn, checks.refuses_odd_numbers),
    (CountsBeforeItRefuses, checks.refuses_odd_numbers),
    (TakesTheFirstColumn, checks.ignores_order_of_inputs),
    (HasOnePastForAll, checks.shares_nothing),
    (Moody, checks.repeats_itself),
    (LearnsAtOnce, checks.does_not_show_cuts),
    (LearnsWhenItScores, checks.scoring_teaches_nothing),
    (ForgetsToStore, checks.restored_is_never_stopped),
    (SharesItsArrays, checks.restored_is_never_stopped),
    (TakesAnything, checks.refuses_foreign_states),
    (Hoards, checks.is_bounded),
    (GrowsPastItsLimit, checks.is_bounded),
    (NeverForgets, checks.forgets),
    (ForgetsTooMuch, checks.forgets),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_checks_pass_a_good_detector(check: Check, story: Story) -> None:
    assert not outcome(check, Good, story)


@pytest.mark.parametrize(("bad", "check"), BAD, ids=lambda one: one.__name__)
def test_checks_catch_a_bad_detector(bad: Make, check: Check, story: Story) -> None:
    with np.errstate(all="ignore"):
        assert outcome(check, bad, story._replace(inputs=story.inputs.copy()))


def test_every_check_is_shown_to_bite() -> None:
    assert {check for _, check in BAD} == set(CHECKS)


def test_an_interrupt_ends_the_checks(story: Story) -> None:
    def interrupted(make: Make, story: Story) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outcome(interrupted, Good, story)
