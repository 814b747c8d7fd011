"""Which estimators of river can be named in a configuration, and how a name becomes a row of the detectors' table.

River is imported when a name is looked up and not before: it takes seconds. Called by `monitor.scoring`, the settings' rules and the command line.
"""

import difflib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from detectors.contract import Detector
from detectors.registry import Entry, Parts

Parameter = bool | int | float | str
MODULES = ("anomaly", "feature_extraction", "preprocessing")
"""Modules of river whose estimators can be named: detectors, and what prepares their inputs."""


class Step(NamedTuple):
    """One estimator of river by name, such as anomaly.HalfSpaceTrees, and its parameters; those not given are river's defaults."""

    estimator: str
    parameters: Mapping[str, Parameter]


class EstimatorRefusedError(ValueError):
    """No estimator of this name or with these parameters; one sentence."""


def river_entry(name: str, steps: Sequence[Step], target: str | None) -> Entry:
    """A row of the table: one detector out of these steps, the last of which scores. Making it raises ValueError with a sentence if it can't be."""

    def make(parts: Parts) -> Detector:
        from detectors.from_river import FromRiver  # noqa: PLC0415  imports river, which takes seconds

        return FromRiver(name, build(steps), parts.input_names, target)

    return Entry(name, make, f"What does river's {steps[-1].estimator} say?")


def build(steps: Sequence[Step]) -> Any:
    """The estimator, a pipeline if there is more than one step. Raises EstimatorRefusedError."""
    made = [_made(step) for step in steps]
    estimator = made[0]
    for following in made[1:]:
        estimator |= following
    return estimator


def detector_names() -> list[str]:
    """All anomaly detectors of river, such as anomaly.HalfSpaceTrees."""
    return [f"anomaly.{name}" for name in sorted(_classes("anomaly"))]


def trial_target(estimator: str) -> str | None:
    """The input that a detector judges when it is tried by name alone, None if it judges them together. Raises EstimatorRefusedError."""
    from river.base import SupervisedAnomalyDetector  # noqa: PLC0415  takes seconds

    return "amount" if issubclass(_class(estimator), SupervisedAnomalyDetector) else None


def _made(step: Step) -> Any:
    kind = _class(step.estimator)
    known = _parameters(kind)
    for name in step.parameters:
        if name not in known:
            raise EstimatorRefusedError(f"{step.estimator} of river has no parameter {name}; {_nearest(name, list(known))}")
    for name, parameter in known.items():
        if name not in step.parameters and not _optional(parameter):
            raise EstimatorRefusedError(f"{step.estimator} of river needs its parameter {name}")
    try:
        return kind(**step.parameters)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise EstimatorRefusedError(f"{step.estimator} of river refuses its parameters: {error}") from error


def _class(estimator: str) -> type:
    module, _, name = estimator.partition(".")
    if module not in MODULES:
        raise EstimatorRefusedError(f"{estimator} is not an estimator of river's {', '.join(MODULES)}: write it as anomaly.HalfSpaceTrees")
    classes = _classes(module)
    if name not in classes:
        raise EstimatorRefusedError(f"{estimator} is not an estimator of river; {_nearest(name, list(classes))}")
    return classes[name]


def _classes(module: str) -> dict[str, type]:
    from river import anomaly, base, feature_extraction, preprocessing  # noqa: PLC0415  takes seconds

    place = {"anomaly": anomaly, "feature_extraction": feature_extraction, "preprocessing": preprocessing}[module]
    return {name: kind for name in place.__all__ if isinstance(kind := getattr(place, name), type) and issubclass(kind, base.Estimator)}


def _parameters(kind: type) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(kind).parameters)


def _optional(parameter: inspect.Parameter) -> bool:
    return parameter.default is not parameter.empty or parameter.kind in {parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL}


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]}?" if near else "known are " + ", ".join(sorted(known))
