"""A river estimator as a detector of our contract: scored on every observation, taught at the ends of blocks by what may teach.

Anything of river with `score_one` and `learn_one`, pipelines too. Slow beside a compiled kernel, and not promised to give the same last bits
on every machine. Made by `detectors.registry` from configuration, or by a plug-in. Importing this imports river, which takes seconds.
"""

import math
import random
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from river import base

from detectors.contract import BLOCK_OBSERVATIONS, Arrays, Bools, Family, Floats, Rows, Run, Scope, Scores
from detectors.elementary import log
from detectors.river_graph import BYTES_MAX, decode, encode, seeded
from detectors.river_names import RIVER_VERSION, GraphRefusedError, name_of
from detectors.tables import check_names, copy_into
from detectors.tail import Calibration
from detectors.tail_kernel import score_cell
from detectors.words import LN10, one_in

SCALE_SCORES = 1_024
"""Scores that fix the scale on which they are compared: the quartiles of so many are known to a few hundredths of the whole."""
SCALE_AFTER = 2_048
"""Taught observations before that: river's estimators score nothing, or nonsense, while they are young."""
SCALE_CENTRE = 4.0
"""Quartile distances above the middle score at which half of the upper cells are used up."""
EXPLAINED = 1e-3
"""A p-value at most this small is taken apart: one more score for each input."""
SIZE_EVERY_BLOCKS = 16
"""The state is measured every 4,096 observations: measuring costs what a snapshot does."""
REHEARSED = 64
SEED = 7
PANIC = "pyo3_runtime"
"""Module that panics of compiled parts say they are from."""
SHOWN = 3

TAUGHT, BLOCKS, FILLED, BROKEN, RESTARTS, BYTES = range(6)
MIDDLE, SPREAD = range(2)


class DetectorRefusedError(ValueError):
    """An estimator that can't keep the contract; the message names it and says why."""


class FromRiver:
    """One estimator of river over the observer's inputs, each observation a dict of names and numbers.

    A failure of the estimator (an exception, a panic of its compiled part, a score that isn't finite, a state above its limit) doesn't end the
    process: from there on it has no opinion (p-value 1), and at the end of the block it starts afresh, so it is WARMING again. `failure` says
    why, `restarts` counts it.

    Parameters
    ----------
    name
        Of the detector: it stands in reasons and in the state.
    estimator
        Copied; a generator of random numbers whose owner has no seed is given one.
    input_names
        What the inputs are called, column by column.
    target
        For river's supervised detectors, which judge one number: the input that they judge; the others are its features.

    Raises
    ------
    DetectorRefusedError
        It doesn't score, its state can't be kept, scoring changes it, or two copies that saw the same differ.
    """

    scope: Scope = "everything"
    family: Family = "multivariate"
    calibrated = True
    baselines = ("graph",)
    """State that `fold` leaves as it is."""
    bytes_max: ClassVar[dict[str, int]] = {"graph": BYTES_MAX}
    """State that varies in size, and its limit."""

    def __init__(self, name: str, estimator: Any, input_names: tuple[str, ...], target: str | None = None) -> None:
        self.name = name
        self._inputs = tuple(sorted(input_names))
        self._columns = [input_names.index(column) for column in self._inputs]
        self.part_names = ("score", "decades", *self._inputs)
        self.failure = ""
        self._target = _target(name, estimator, input_names, target)
        self._fresh = _rehearsed(name, estimator, self._inputs, self._target)
        self._estimator: Any = decode(self._fresh)
        self._scores: Floats = np.zeros(BLOCK_OBSERVATIONS)
        self._past: Floats = np.zeros(SCALE_SCORES)
        self._scale: Floats = np.zeros(2)
        self._typical: Floats = np.zeros(len(input_names))
        self._numbers = np.zeros(6, np.int64)
        self._numbers[BYTES] = len(self._fresh)
        self._calibration = Calibration(1.0)

    def reserve(self, rows: dict[str, int]) -> None:
        """Nothing to grow: no state per entity."""

    def fold(self, run: Run, inputs: Floats) -> Scores:
        """Score a run against the estimator as it was at the block's start."""
        n = len(run)
        if not np.isfinite(inputs).all():
            raise ValueError(f"{self.name}: an input that isn't finite")
        ready = self._calibration.ready
        scores = Scores(np.zeros(n), np.ones(n), np.full(n, ready), np.zeros((n, len(self.part_names))))
        for i, row in enumerate(self._rows(inputs)):
            score = self._score(row)
            if score is not None:
                self._scores[self._numbers[FILLED]] = scores.value[i] = scores.parts[i, 0] = score
                if ready:
                    self._judge(row, score, scores, i)
            self._numbers[FILLED] += 1
        return scores

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:  # noqa: ARG002  it looks at inputs only
        """Teach the estimator, then its scale or its past; if it failed in this block, start it afresh."""
        numbers = self._numbers
        taught = self._rows(inputs[teach])
        for row in taught:
            if numbers[BROKEN]:
                break
            self._call(self._estimator.learn_one, row)
        numbers[BLOCKS] += 1
        numbers[FILLED] = 0
        if not numbers[BROKEN] and numbers[BLOCKS] % SIZE_EVERY_BLOCKS == 0:
            self._measure()
        if numbers[BROKEN]:
            self._start_afresh()
            return
        numbers[TAUGHT] += len(taught)
        if self._scale[SPREAD] > 0.0:
            self._calibration.learn(self._placed(self._scores), teach)
        elif numbers[TAUGHT] >= SCALE_AFTER - SCALE_SCORES:
            self._look_for_scale(teach)
        for row in taught:
            self._typical += (np.array(row) - self._typical) / BLOCK_OBSERVATIONS

    def forget(self, kind: str, rows: Rows) -> None:
        """Nothing to forget: no state per entity."""

    def explain(self, parts: Floats) -> str:
        """Such as "river scores 0.99, 1 in 2,300 of its recent past; without amount z 0.31 less"."""
        said = f"river scores {parts[0]:.4g}"
        if parts[1] > 0.0:
            said += f", {one_in(float(parts[1]))} of its recent past"
        drops = parts[2:]
        order = sorted(range(len(drops)), key=lambda part: (-drops[part], part))[:SHOWN]
        shown = [f"{self._inputs[part].replace('_', ' ')} {drops[part]:.2g}" for part in order if drops[part] > 0.0]
        return said + ("; less, were it as usual: " + ", ".join(shown) if shown else "")

    @property
    def restarts(self) -> int:
        """How often it failed and began afresh."""
        return int(self._numbers[RESTARTS])

    @property
    def state_bytes(self) -> int:
        """Bytes of the estimator's state when last measured; its limit is 16 MiB."""
        return int(self._numbers[BYTES])

    def arrays(self) -> Arrays:
        """The whole state by name; `graph` is written anew at each call, since the estimator isn't made of arrays."""
        return {"graph": np.frombuffer(encode(self._estimator), np.uint8)} | self._own() | self._calibration.arrays()

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit, is another estimator's, or of another version of river."""
        own, calibration = self._own(), self._calibration.arrays()
        check_names(arrays, dict.fromkeys(("graph", *own, *calibration)))
        graph = arrays["graph"]
        if graph.dtype != np.uint8 or graph.ndim != 1:
            raise ValueError(f"{self.name}.graph: expected uint8 [n], got {graph.dtype} {list(graph.shape)}")
        for name, target in own.items():
            copy_into(f"{self.name}.{name}", target, arrays[name])
        self._calibration.restore({name: arrays[name] for name in calibration})
        estimator = decode(graph.tobytes())
        if type(estimator) is not type(self._estimator):
            raise ValueError(f"{self.name}: state of {name_of(type(estimator))}, this is {name_of(type(self._estimator))}")
        if not 0 <= self._numbers[FILLED] <= BLOCK_OBSERVATIONS:
            raise ValueError(f"{self.name}.numbers: a block of {self._numbers[FILLED]} observations")
        self._estimator = estimator

    def _own(self) -> Arrays:
        return {"scores": self._scores, "past": self._past, "scale": self._scale, "typical": self._typical, "numbers": self._numbers}

    def _rows(self, inputs: Floats) -> list[list[float]]:
        """Rows as river gets them: columns by name, so that their order in the inputs decides nothing, also not in which order sums are taken."""
        rows: list[list[float]] = inputs[:, self._columns].tolist()
        return rows

    def _judge(self, row: list[float], score: float, scores: Scores, i: int) -> None:
        place = float(self._placed(np.array([score]))[0])
        p_value = float(self._calibration.p_values[score_cell(place, self._calibration.middle)])
        scores.p_value[i] = p_value
        scores.parts[i, 1] = -log(p_value) / LN10
        if p_value <= EXPLAINED:
            for column in range(len(row)):
                other = self._score([*row[:column], float(self._typical[column]), *row[column + 1 :]])
                scores.parts[i, 2 + column] = 0.0 if other is None else score - other

    def _score(self, row: list[float]) -> float | None:
        """The estimator's score, None if it has failed."""
        if self._numbers[BROKEN]:
            return None
        score = self._call(self._estimator.score_one, row)
        if self._numbers[BROKEN]:
            return None
        if not isinstance(score, int | float | np.number) or not math.isfinite(score):
            self._fail(f"score_one gave {score!r}")
            return None
        return float(score)

    def _call(self, method: Callable[..., Any], row: list[float]) -> Any:
        given, why = attempt(method, dict(zip(self._inputs, row, strict=True)), self._target)
        if why:
            self._fail(why)
        return given

    def _fail(self, why: str) -> None:
        self._numbers[BROKEN] = 1
        self.failure = f"{name_of(type(self._estimator))} of river {RIVER_VERSION}: {why}"

    def _measure(self) -> None:
        try:
            self._numbers[BYTES] = len(encode(self._estimator))
        except GraphRefusedError as error:
            self._fail(str(error))

    def _start_afresh(self) -> None:
        restarts = self._numbers[RESTARTS]
        for array in self._own().values():
            array[...] = 0
        self._numbers[RESTARTS] = restarts + 1
        self._numbers[BYTES] = len(self._fresh)
        self._estimator = decode(self._fresh)
        self._calibration = Calibration(1.0)

    def _look_for_scale(self, teach: Bools) -> None:
        """Keep the newest scores; fix the scale by their quartiles once they are enough and differ."""
        kept = self._scores[teach]
        self._past[:] = np.concatenate([self._past, kept])[-SCALE_SCORES:]
        if self._numbers[TAUGHT] < SCALE_AFTER:
            return
        order = np.sort(self._past)
        quarter = SCALE_SCORES // 4
        spread = order[3 * quarter] - order[quarter]
        if spread <= 0.0:
            spread = order[-1 - SCALE_SCORES // 100] - order[SCALE_SCORES // 100]
        self._scale[MIDDLE], self._scale[SPREAD] = order[2 * quarter], max(spread, 0.0)

    def _placed(self, scores: Floats) -> Floats:
        """Scores as the calibration takes them: positive, the middle one at 1, and nothing so far away that it has no cell."""
        away = (scores - self._scale[MIDDLE]) / (self._scale[SPREAD] * SCALE_CENTRE)
        away = np.clip(away, -1e9, 1e9)
        placed: Floats = np.where(away >= 0.0, 1.0 + 2.0 * away, 1.0 / (1.0 + 2.0 * np.abs(away)))
        return placed


def _target(name: str, estimator: Any, input_names: tuple[str, ...], target: str | None) -> str | None:
    """Which input a supervised detector judges, None for the others."""
    if not (hasattr(estimator, "score_one") and hasattr(estimator, "learn_one")):
        raise DetectorRefusedError(f"{name}: {name_of(type(estimator))} is no detector of river: it has no score_one and learn_one")
    if not estimator._supervised:  # noqa: SLF001  river's own question; the public ones are answered by class only
        if target is not None:
            raise DetectorRefusedError(f"{name}: {name_of(type(estimator))} judges all inputs together: it takes no target")
        return None
    if not isinstance(estimator, base.SupervisedAnomalyDetector | base.AnomalyFilter):
        raise DetectorRefusedError(f"{name}: {name_of(type(estimator))} learns from labels: it is no anomaly detector of river")
    if target not in input_names:
        raise DetectorRefusedError(f"{name}: {name_of(type(estimator))} judges one number: its target must be one of the inputs, such as amount")
    return target


def attempt(method: Callable[..., Any], named: dict[str, float], target: str | None) -> tuple[Any, str]:
    """What a method of river gives for one observation, and why it failed, empty if it didn't. Interrupts pass."""
    arguments = (named,) if target is None else (named, named.pop(target))
    try:
        return method(*arguments), ""
    except Exception as error:  # noqa: BLE001  whatever an estimator raises is its failure, not ours
        return None, f"{method.__name__} raised {type(error).__name__}: {error}"
    except BaseException as error:
        if type(error).__module__ != PANIC:  # of river's compiled part; no Exception
            raise
        return None, f"{method.__name__} panicked: {error}"


def _rehearsed(name: str, estimator: Any, input_names: tuple[str, ...], target: str | None) -> bytes:
    """The state of a fresh estimator, after a try on two copies. Raises DetectorRefusedError."""
    kind = name_of(type(estimator))
    chance = random.Random(SEED)  # noqa: S311  numbers to try it on, no secrets
    try:
        first = seeded(decode(encode(estimator)))
        _, why = attempt(first.score_one, dict.fromkeys(input_names, 0.5), target)  # what pipelines keep from their first use isn't learning
        if why:
            raise DetectorRefusedError(f"{name}: {kind} fails at once: {why}")
        fresh = encode(first)
        twins = decode(fresh), decode(fresh)
        for _ in range(REHEARSED):
            row = {column: chance.random() for column in input_names}
            for twin in twins:
                for method in (twin.score_one, twin.learn_one):
                    _, why = attempt(method, dict(row), target)
                    if why:
                        raise DetectorRefusedError(f"{name}: {kind} fails at once: {why}")
        taught = encode(twins[0])
        if encode(twins[1]) != taught:
            raise DetectorRefusedError(f"{name}: two copies of {kind} that saw the same differ")
        attempt(twins[0].score_one, {column: chance.random() for column in input_names}, target)
        if encode(twins[0]) != taught:
            raise DetectorRefusedError(f"{name}: {kind} learns when it scores, so what is held would teach it")
    except GraphRefusedError as error:
        raise DetectorRefusedError(f"{name}: {error}") from error
    return fresh
