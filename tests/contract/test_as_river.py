"""River's own checks run on our detectors, over a made-up stream in place of the data sets that river would fetch."""

import math
import random
import sys
import types
from collections.abc import Callable, Hashable
from typing import Any

import pytest
from river import checks

from detectors.as_river import AsRiver

Observation = tuple[dict[Hashable, float], int]


def dataset(n: int, seed: int = 5) -> list[Observation]:
    """Two hundredths of the observations lie far outside. Long enough that the first reference, of 1,024, is a third of it at most."""
    chance = random.Random(seed)
    rows: list[Observation] = []
    for _ in range(n):
        odd = chance.random() < 0.02
        rows.append(({f"v{k}": chance.gauss(6.0 if odd and k < 5 else 0.0, 1.0) for k in range(10)}, int(odd)))
    return rows


def area(labels: list[int], scores: list[float]) -> float:
    """The area under the ROC curve by its definition: river's check takes it from a library that we don't have."""
    odd = [score for label, score in zip(labels, scores, strict=True) if label]
    rest = [score for label, score in zip(labels, scores, strict=True) if not label]
    return math.fsum((one > other) + 0.5 * (one == other) for one in odd for other in rest) / (len(odd) * len(rest))


def river_checks() -> list[Callable[[Any], None]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checks, "_yield_datasets", lambda _, scale=1: iter([dataset(3_000 if scale == 1 else 9_000)]))
        return list(checks.yield_checks(AsRiver()))


@pytest.fixture
def roc_auc(monkeypatch: pytest.MonkeyPatch) -> None:
    library = types.ModuleType("sklearn")
    library.metrics = types.SimpleNamespace(roc_auc_score=area)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sklearn", library)


@pytest.mark.parametrize("check", river_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize("detector", AsRiver.KINDS)
def test_river_checks_pass(detector: str, check: Callable[[Any], None], roc_auc: None) -> None:
    check(AsRiver(detector).clone())


def test_no_check_of_river_is_skipped() -> None:
    names = [check.__name__ for check in river_checks()]
    assert len(names) > 20
    assert "check_roc_auc" in names
    assert "check_bounded_memory_growth" in names
    assert not AsRiver()._unit_test_skips()


def test_it_finds_what_lies_outside_once_it_has_learnt() -> None:
    shown = AsRiver()
    labels, scores = [], []
    for place, (x, label) in enumerate(dataset(6_000)):
        if place >= 2_000:
            labels.append(label)
            scores.append(shown.score_one(x))
        shown.learn_one(x)
    assert area(labels, scores) > 0.95


def test_an_unknown_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="wallet_outflow can't be shown to river"):
        AsRiver("wallet_outflow")


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_a_number_that_is_not_finite_is_refused(odd: float) -> None:
    shown = AsRiver()
    shown.learn_one({"a": 1.0})
    for method in (shown.score_one, shown.learn_one):
        with pytest.raises(ValueError, match="isn't finite"):
            method({"a": odd})
