"""The panel's gate and its bookkeeping: what it refuses changes nothing, a state that doesn't fit is refused by name."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from detectors import compiled
from detectors.contract import BLOCK_OBSERVATIONS, Arrays, Run
from detectors.panel import Panel
from detectors.registry import DETECTORS, compile_kernels, make
from detectors.tables import RowTable
from detectors.words import duration, one_in
from tests.unit.detector_runs import ROWS, cut, fold_all, state_of, stream


def fresh() -> Panel:
    panel = make(pairs_max=1024)
    panel.reserve(ROWS)
    return panel


def spoilt(column: str, value: float) -> Run:
    run = stream(1, 20).run
    run[column][7] = value
    return run


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount", np.nan), ("amount", np.inf), ("amount", 0.0), ("amount", -1.0), ("amount_base", np.inf), ("amount_base", 0.0),
        ("time_ms", 1 << 60), ("time_ms", -(1 << 60)), ("account", -1), ("account", 40), ("address", 60), ("asset", 4), ("wallet", 3),
        ("wallet", -2), ("provider", 2), ("provider", -2), ("balance_share", np.inf), ("balance_share", -0.1), ("wallet_share", np.inf),
        ("security_age_ms", -2), ("security_age_ms", 1 << 60), ("second_factor", -1), ("second_factor", 5),
    ],
)  # fmt: skip
def test_what_no_kernel_may_see_is_refused_and_changes_nothing(column: str, value: float) -> None:
    panel = fresh()
    before = state_of(panel)
    with pytest.raises(ValueError, match="observation 7 of the run"):
        panel.fold(spoilt(column, value))
    assert state_of(panel) == before and panel.room == BLOCK_OBSERVATIONS


def test_blocks_are_kept() -> None:
    panel, given = fresh(), stream(2, 300)
    panel.fold(cut(given.run, 0, 200))
    assert panel.room == 56
    with pytest.raises(ValueError, match="room for 56"):
        panel.fold(cut(given.run, 200, 257))
    with pytest.raises(ValueError, match="open"):
        panel.learn(given.teach[:256])
    with pytest.raises(ValueError, match="between blocks"):
        panel.forget("account", np.array([1], np.int32))
    panel.fold(cut(given.run, 200, 256))
    assert panel.room == 0
    for wrong in (given.teach[:255], np.ones(256)):
        with pytest.raises(ValueError, match="teach"):
            panel.learn(wrong)  # type: ignore[arg-type]
    panel.learn(given.teach[:256])
    assert panel.room == BLOCK_OBSERVATIONS
    panel.forget("account", np.array([1], np.int32))


def without_one(arrays: Arrays) -> Arrays:
    return dict(list(arrays.items())[1:])


def with_stranger(arrays: Arrays) -> Arrays:
    return arrays | {"stranger.counts": np.zeros(3)}


def with_other(name: str, make_other: Callable[[Any], Any]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: arrays | {name: make_other(arrays[name])}


@pytest.mark.parametrize(
    "spoil",
    [
        without_one,
        with_stranger,
        with_other("observer.account", lambda rows: rows[:, :-1]),
        with_other("observer.pairs", lambda rows: rows[:0]),
        with_other("observer.notes", lambda notes: notes.astype(np.float32)),
        with_other("half_space_trees.counts", lambda counts: counts[:-1]),
        with_other("lanes.bins", lambda bins: bins.astype(np.int64)),
        with_other("lanes.remembered_bins", lambda bins: bins[:-1]),
        with_other("lanes.log_befores", lambda log: np.zeros((len(log) + 1, 6))),
        with_other("wallet_outflow.amounts", lambda rows: rows.astype(np.uint16)),
        with_other("panel.filled", lambda filled: filled.repeat(2)),
        with_other("panel.filled", lambda filled: filled + 257),
    ],
)
def test_a_state_that_does_not_fit_is_refused(spoil: Callable[[Arrays], Arrays]) -> None:
    panel = fresh()
    fold_all(panel, stream(3, 600))
    with pytest.raises(ValueError, match=r"expected|doesn't have"):
        fresh().restore(spoil(panel.arrays()))


def test_the_registry_names_its_detectors() -> None:
    panel = fresh()
    assert [entry.name for entry in DETECTORS] == [detector.name for detector in panel.detectors]
    assert len({entry.name for entry in DETECTORS}) == len(DETECTORS)
    _, scores = panel.fold(cut(stream(4, 3).run, 0, 3))
    for detector in panel.detectors:
        assert scores[detector.name].parts.shape == (3, len(detector.part_names))
        assert panel.explain(detector.name, scores[detector.name].parts[0])
    compile_kernels()


def test_tables_grow_without_losing_rows_and_fresh_rows_are_zero() -> None:
    table = RowTable(np.dtype([("a", np.int64), ("b", np.float32)], align=True))
    table.reserve(10)
    table.rows[9] = (7, 2.5)
    table.reserve(100_000)
    table.reserve(5)
    assert table.count == 100_000 and table.rows[9]["a"] == 7 and not table.rows[10:]["a"].any()
    table.forget(np.array([9], np.int32))
    assert not table.as_bytes().any()


def test_kernels_compile_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    njit = numba.njit

    def without_folders(**options: Any) -> Any:
        if options["cache"]:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", without_folders)
    assert compiled.kernel(lambda x: x + 1.0)(2.0) == 3.0


@pytest.mark.parametrize(
    ("decades", "words"),
    [
        (0.0, "1 in 1"),
        (1.0, "1 in 10"),
        (2.5, "1 in 320"),
        (4.97, "1 in 93,000"),
        (7.99, "1 in 98,000,000"),
        (9.0, "1 in 10^9"),
        (308.7, "1 in 10^308"),
        (1e6, "1 in 10^1000000"),
    ],
)
def test_rarities_in_words(decades: float, words: str) -> None:
    assert one_in(decades) == words


@pytest.mark.parametrize(("span_ms", "words"), [(0, "0 s"), (59_999, "59 s"), (60_000, "1 min"), (7_199_999, "1 h"), (86_400_000, "1 d")])
def test_durations_in_words(span_ms: int, words: str) -> None:
    assert duration(span_ms) == words
