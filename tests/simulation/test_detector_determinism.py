"""Same observations, same bytes: whatever the cut into runs, wherever it is stopped and restored, on whatever machine and Python."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from detectors.contract import BLOCK_OBSERVATIONS
from detectors.panel import Panel
from detectors.registry import make
from tests.unit.detector_runs import ROWS, Stream, cut, fold_all, state_of, stream

TOP = Path(__file__).parents[2]
OBSERVATIONS = 17 * BLOCK_OBSERVATIONS + 100


def fresh() -> Panel:
    panel = make(pairs_max=1024)
    panel.reserve(ROWS)
    return panel


def digest_of(given: Stream) -> str:
    """SHA-256 over all that comes out and the state at the end."""
    panel = fresh()
    digest = hashlib.sha256()
    for piece in fold_all(panel, given):
        digest.update(piece)
    for name, state in state_of(panel).items():
        digest.update(name.encode() + state)
    return digest.hexdigest()


@pytest.fixture(scope="module")
def given() -> Stream:
    return stream(21, OBSERVATIONS, step_ms=20_000)


@pytest.fixture(scope="module")
def stored(given: Stream, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stream in a file: making it takes the platform's logarithm, which differs between machines."""
    path = tmp_path_factory.mktemp("stream") / "stream.npz"
    np.savez(path, teach=given.teach, run=given.run)
    return path


def digest_in_a_child(stored: Path, python: str = sys.executable, **environment: str) -> str:
    path = os.environ | {"PYTHONPATH": str(TOP)} | environment
    command = [python, "-W", "error", __file__, str(stored)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=path, cwd=TOP, timeout=150).stdout.strip()


@pytest.mark.parametrize("seed", range(3))
def test_cuts_do_not_show(given: Stream, seed: int) -> None:
    whole, pieces = fresh(), fresh()
    longest = (1, 40, 256)[seed]
    assert fold_all(whole, given) == fold_all(pieces, given, longest=longest, chance=random.Random(seed))
    assert state_of(whole) == state_of(pieces)


def stops(seed: int) -> Iterator[int]:
    """Places to stop at, some at ends of blocks and beside them."""
    chance = random.Random(seed)
    yield from (0, 1, BLOCK_OBSERVATIONS - 1, BLOCK_OBSERVATIONS, BLOCK_OBSERVATIONS + 1, 16 * BLOCK_OBSERVATIONS)
    for _ in range(14):
        yield chance.randrange(OBSERVATIONS)


def test_restored_anywhere_is_never_stopped(given: Stream) -> None:
    whole = fresh()
    outcome = fold_all(whole, given, longest=1)
    for stop in stops(1):
        first = fresh()
        if stop:
            fold_all(first, Stream(cut(given.run, 0, stop), given.teach[:stop]))
        copied = {name: array.copy() for name, array in first.arrays().items()}
        heir = make(pairs_max=1024)
        heir.restore(copied)
        rest = finish(heir, given, stop)
        for all_of_it, end_of_it in zip(outcome, rest, strict=True):
            assert all_of_it.endswith(end_of_it) and len(end_of_it) * OBSERVATIONS == len(all_of_it) * (OBSERVATIONS - stop)
        assert state_of(heir) == state_of(whole)


def finish(panel: Panel, given: Stream, stop: int) -> list[bytes]:
    """Fold the rest of the stream: what is left of the open block, then whole blocks."""
    into_block = stop % BLOCK_OBSERVATIONS
    if into_block == 0:
        return fold_all(panel, given, start=stop)
    end = stop - into_block + BLOCK_OBSERVATIONS
    outcome: list[bytes] = []
    inputs, scores = panel.fold(cut(given.run, stop, end))
    outcome.append(inputs.tobytes())
    for one in scores.values():
        outcome += [one.value.tobytes(), one.p_value.tobytes(), one.ready.tobytes(), one.parts.tobytes()]
    if panel.room == 0:
        panel.learn(given.teach[end - BLOCK_OBSERVATIONS : end])
        rest = fold_all(panel, given, start=end)
        outcome = [one + other for one, other in zip(outcome, rest, strict=True)]
    return outcome


def test_rows_given_to_others_start_afresh(given: Stream) -> None:
    """Two panels fold the same; one forgets an account's row that never came, then both score that account alike."""
    one, other = fresh(), fresh()
    for panel in (one, other):
        panel.reserve(ROWS | {"account": ROWS["account"] + 1})
        fold_all(panel, Stream(cut(given.run, 0, 3_072), given.teach))
    used, unused = np.array([0], np.int32), np.array([ROWS["account"]], np.int32)
    one.forget("account", used)
    run = cut(given.run, 3_072, 3_082).copy()
    run["account"] = used
    first, _ = one.fold(run)
    run["account"] = unused
    second, _ = other.fold(run)
    assert first.tobytes() == second.tobytes()


ENVIRONMENTS = {
    "hash seed 0": {"PYTHONHASHSEED": "0"},
    "hash seed 4711": {"PYTHONHASHSEED": "4711"},
    "a C library without FMA and AVX2": {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2,-FMA4"},
    "kernels compiled for a plain processor": {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""},
}


@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_other_machines_give_the_same_bytes(given: Stream, stored: Path, environment: dict[str, str]) -> None:
    assert digest_in_a_child(stored, **environment) == digest_of(given)


def test_another_python_gives_the_same_bytes(given: Stream, stored: Path) -> None:
    """SECOND_PYTHON names an interpreter of another version that has the locked dependencies; `make second-python` sets one up."""
    python = os.environ.get("SECOND_PYTHON", "")
    if shutil.which(python) is None:
        pytest.skip("SECOND_PYTHON names no interpreter")
    assert digest_in_a_child(stored, python) == digest_of(given)


if __name__ == "__main__":
    with np.load(sys.argv[1]) as columns:
        print(digest_of(Stream(columns["run"], columns["teach"])))
