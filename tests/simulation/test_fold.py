"""The fold is deterministic: same journal, same bytes, whatever the cut into batches, the restores, the hash seed, the machine's maths."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from monitor.engine import Engine, OutputRecord
from monitor.policy import Limits
from monitor.snapshot_file import decode, encode
from tests.simulation.journals import altered, honest, journal, troubled

ROOT = Path(__file__).parents[2]


def small_tables() -> list[bytes]:
    """The journal of these tests: detectors become warm, and every bounded table overflows."""
    limits = Limits(
        accounts=1024, addresses=1024, pairs=1024, withdrawals=1024, event_ids=2048, incidents=64, security_changes=64, repeated=1024,
        holdings=512, postings=512,
    )  # fmt: skip
    records = troubled(altered(honest(seconds=100, rate=100, seed=5, accounts=6_000), seed=6), seed=7)
    return journal(records, limits=limits, repeat_window_ms=20_000, balance_grace_ms=5_000, authority_share_percent=0, authority_watch_ms=1_000)


def fold(lines: list[bytes], cut: int, restore_every: int = 0) -> list[OutputRecord]:
    """Fold in batches of `cut`, with the state written out and read back every so many batches."""
    engine, records = Engine(sha256(lines[0]).hexdigest()), []
    for number, at in enumerate(range(0, len(lines), cut), 1):
        records += engine.fold(at, lines[at : at + cut])
        if restore_every and number % restore_every == 0:
            engine = Engine.thaw(decode(encode(engine.freeze())))
    return records


def digest(records: list[OutputRecord]) -> str:
    """SHA-256 over all records."""
    total = sha256()
    for record in records:
        total.update(f"{record.topic} {record.key!r} {record.offset} {record.index} ".encode() + record.value + b"\n")
    return total.hexdigest()


@pytest.fixture(scope="module")
def lines() -> list[bytes]:
    return small_tables()


@pytest.fixture(scope="module")
def whole(lines: list[bytes]) -> list[OutputRecord]:
    """What one fold of everything at once gives."""
    records = fold(lines, len(lines))
    kinds = {record.topic for record in records}
    assert kinds == {"verdicts", "marks", "coverage", "incidents", "alerts", "audit"}  # else the comparisons below prove little
    return records


def test_the_journal_warms_the_detectors_and_fills_the_tables(lines: list[bytes]) -> None:
    engine = Engine(sha256(lines[0]).hexdigest())
    engine.fold(0, lines)
    picture = engine.gauges()
    assert picture.detectors["account_lane"].state == picture.detectors["half_space_trees"].state == "READY"
    assert all(picture.evictions[table] > 0 for table in ("account", "address", "withdrawal"))
    assert all(picture.evictions[table] > 0 for table in ("security_change", "holding"))
    told = {
        "sent_again", "replayed_request", "step_missing", "steps_out_of_order", "more_than_holding", "posting_mismatch",
        "authority_changed", "large_after_authority_change", "frozen_wallet_pays", "balance_unexplained",
    }  # fmt: skip
    assert told - picture.findings.keys() == set()
    assert picture.verdicts["WATCH"] > 0
    assert picture.verdicts["HOLD"] > 0


@pytest.mark.parametrize("cut", [1, 2, 7, 100, 255, 257, 5_000])
def test_cut_into_batches_never_shows(lines: list[bytes], whole: list[OutputRecord], cut: int) -> None:
    assert fold(lines, cut) == whole


@pytest.mark.parametrize(("cut", "restore_every"), [(13, 60), (997, 1), (256, 3)])
def test_restored_is_never_stopped(lines: list[bytes], whole: list[OutputRecord], cut: int, restore_every: int) -> None:
    assert fold(lines, cut, restore_every) == whole


def test_restore_at_every_entry() -> None:
    lines = journal(troubled(altered(honest(seconds=20, rate=3, seed=9, accounts=20), seed=2, share=0.2), seed=3, share=0.2))
    assert fold(lines, 1, restore_every=1) == fold(lines, len(lines))


def test_index_runs_from_zero_at_every_offset_and_offsets_ascend(whole: list[OutputRecord]) -> None:
    places = [(record.offset, record.index) for record in whole]
    assert places == sorted(set(places))
    assert all(index == 0 or (offset, index - 1) in set(places[max(0, at - 1) : at]) for at, (offset, index) in enumerate(places))


PROGRAM = """
from tests.simulation.test_fold import digest, fold, small_tables
print(digest(fold(small_tables(), 1_000)))
"""


def elsewhere(python: str, **environment: str) -> str:
    """The digest that another process gives."""
    settings = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    done = subprocess.run([python, "-c", PROGRAM], env=settings, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "environment",
    [{"PYTHONHASHSEED": "0"}, {"PYTHONHASHSEED": "4242"}, {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2,-FMA4"}],
    ids=["hash seed 0", "hash seed 4242", "without FMA and AVX2"],
)
def test_same_bytes_in_another_process(whole: list[OutputRecord], environment: dict[str, str]) -> None:
    assert elsewhere(sys.executable, **environment) == digest(whole)


def test_same_bytes_under_another_python(whole: list[OutputRecord]) -> None:
    """SECOND_PYTHON names an interpreter of another version that has the locked dependencies; `make second-python` sets one up."""
    second = os.environ.get("SECOND_PYTHON", "")
    if not second or shutil.which(second) is None:
        pytest.skip("SECOND_PYTHON names no interpreter")
    assert elsewhere(second) == digest(whole)
