"""Replay of files: same bytes whatever the batches and hash seeds, bad lines counted and never fatal, bad files one sentence."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import orjson
import pytest

from monitor.contracts.withdrawals import Withdrawal
from monitor.engine import Engine
from monitor.events import Events
from monitor.outbox import OutputRecord
from monitor.scoring import Opinion
from streams.replay import Replayed, ReplayFailedError, as_json, replay_file, text
from streams.replay_lines import BadLine, FileRefusedError, ReplayLines, ReplayRecord
from streams.settings import Settings
from streams.simulate import Traffic, write_file
from streams.simulation.exchange import ExchangeParameters
from streams.simulation.scenario import load

START_MS = 1_717_129_000_000
SETTINGS = Settings()
ROOT = Path(__file__).parents[2]
TRAFFIC = Traffic(ExchangeParameters(start_ms=START_MS, seconds=60.0, requests_per_second=8.0, accounts=80, seed=3), load("dmm-bitcoin-2024"), 20.0)
MINIMAL = {
    "event_id": "e1", "occurred_at_ms": START_MS, "status": "requested", "withdrawal_id": "w1", "account_id": "a1", "asset": "BTC",
    "network": "bitcoin", "amount": "0.25", "address": "bc1qx",
}  # fmt: skip


def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def line(value: object, topic: str = "withdrawals", key: str | None = "a1", timestamp: int = START_MS) -> bytes:
    return orjson.dumps({"topic": topic, "key": key, "value": value, "timestamp": timestamp})


@pytest.fixture(scope="module")
def traffic_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "traffic.jsonl.gz"
    write_file(TRAFFIC, path)
    return path


@pytest.fixture(scope="module")
def replayed(traffic_file: Path) -> Replayed:
    return replay_file(traffic_file, SETTINGS)


@pytest.mark.parametrize("batch_entries", [1, 7, 255, 256, 1_000])
def test_the_cut_into_batches_never_shows(traffic_file: Path, replayed: Replayed, batch_entries: int) -> None:
    again = replay_file(traffic_file, SETTINGS, batch_entries=batch_entries)
    assert again.sha256 == replayed.sha256
    assert as_json(again) == as_json(replayed)


@pytest.mark.parametrize(
    "changes",
    [{"PYTHONHASHSEED": "0"}, {"PYTHONHASHSEED": "4242"}, {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-AVX2,-FMA4"}],
    ids=["seed 0", "seed 4242", "another maths library"],
)
def test_hash_seeds_and_the_maths_library_never_show(traffic_file: Path, replayed: Replayed, changes: dict[str, str]) -> None:
    """Neither in what is simulated nor in what is decided."""
    program = (
        "import pathlib, sys; sys.path.insert(0, sys.argv[2]); from tests.unit.test_replay import SETTINGS, TRAFFIC; "
        "from streams.replay import replay_file; from streams.simulate import write_file; "
        "path = pathlib.Path(sys.argv[1]); write_file(TRAFFIC, path); print(replay_file(path, SETTINGS).sha256)"
    )
    again = traffic_file.with_name(f"again-{'-'.join(changes)}.jsonl.gz")
    done = subprocess.run(
        [sys.executable, "-c", program, str(again), str(ROOT)], check=False, env={**os.environ, **changes}, capture_output=True, text=True
    )
    assert done.stdout.strip() == replayed.sha256, done.stderr
    assert again.read_bytes() == traffic_file.read_bytes()


def test_the_hash_covers_policy_and_records_but_not_the_packing(traffic_file: Path, replayed: Replayed, tmp_path: Path) -> None:
    plain = gzip.decompress(traffic_file.read_bytes())
    same, changed = tmp_path / "same.jsonl", tmp_path / "changed.jsonl"
    same.write_bytes(plain)
    assert replay_file(same, SETTINGS).sha256 == replayed.sha256
    changed.write_bytes(plain.replace(b'"4502.9"', b'"4502.8"'))
    assert replay_file(changed, SETTINGS).sha256 != replayed.sha256
    enforcing = msgspec.structs.replace(SETTINGS, policy=msgspec.structs.replace(SETTINGS.policy, mode="enforce"))
    assert replay_file(same, enforcing).sha256 != replayed.sha256


def test_outputs_are_written_a_file_a_topic(traffic_file: Path, replayed: Replayed, tmp_path: Path) -> None:
    replay_file(traffic_file, SETTINGS, out=tmp_path / "out")
    for topic in ("verdicts", "marks", "coverage", "incidents", "alerts", "audit"):
        rows = [orjson.loads(row) for row in (tmp_path / "out" / f"{topic}.jsonl").read_bytes().splitlines()]
        assert len(rows) == replayed.summary.outputs.get(topic, 0)
        assert [(row["offset"], row["index"]) for row in rows] == sorted((row["offset"], row["index"]) for row in rows)


def test_the_summary_answers_the_question_first(replayed: Replayed) -> None:
    first = list(text(replayed))
    assert first[0].startswith("Was anything taken?  YES")
    assert "4,502.9 BTC" in first[0]
    assert first[1].startswith("How much is marked?  48,200,000,000 JPY")
    assert first[2].startswith("Is it covered?       Yes, in full")
    assert first[-1].startswith(f"SHA-256    {replayed.sha256}")
    assert orjson.loads(as_json(replayed))["summary"]["marks_by_state"]["suspected"] == 1


def test_a_file_written_by_hand_from_the_schema(tmp_path: Path) -> None:
    result = replay_file(written(tmp_path / "hand.jsonl", line(MINIMAL)), SETTINGS)
    assert result.events["withdrawal"] == 1
    assert result.summary.verdicts == {"CLEAR": 1, "WATCH": 0, "HOLD": 0, "UNSCORED": 0}
    assert next(text(result)) == "Was anything taken?  Nothing that the monitor would mark or page."


def test_bad_lines_are_counted_with_their_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    bad = [
        b"", b"   ", b"no json", b'{"topic":', b"[1,2]", b'{"topic":"withdrawals"}', line(MINIMAL, topic="withdrawal"), line(MINIMAL, timestamp=-1),
        b'{"topic":"withdrawals","value":{},"timestamp":1e400}', b'{"topic":"withdrawals","value":"\xff","timestamp":1}',
        b'{"topic":"withdrawals","key":"\\ud800","value":{},"timestamp":1}', b"[" * 100_000, line(MINIMAL, timestamp=START_MS + 400 * 86_400_000),
    ]  # fmt: skip
    result = replay_file(written(tmp_path / "bad.jsonl", line(MINIMAL), *bad, line(MINIMAL | {"event_id": "e2", "withdrawal_id": "w2"})), SETTINGS)
    assert result.events["withdrawal"] == 2
    assert result.bad_lines_count == len(bad) - 2
    assert [entry.line for entry in result.bad_lines] == list(range(4, 2 + len(bad)))
    assert "no input topic" in result.bad_lines[4].reason


def test_records_that_intake_refuses_are_rejected_with_their_reason(tmp_path: Path) -> None:
    rows = [
        line(MINIMAL), line("not json at all"), line(None), line(MINIMAL | {"asset": "NOPE"}), line(MINIMAL | {"amount": 0.25}),
        line(MINIMAL | {"amount": "-1"}), line({"a": 1}, topic="outflows", key="wallet"),
    ]  # fmt: skip
    result = replay_file(written(tmp_path / "refused.jsonl", *rows), SETTINGS)
    assert result.bad_lines_count == 0
    assert sum(result.rejected["withdrawals"].values()) == 5
    assert sum(result.rejected["outflows"].values()) == 1
    assert result.rejected["withdrawals"]["unknown_asset"] == 1
    # Three of the refused name the accepted withdrawal: its verdict goes from CLEAR to UNSCORED; the other three have no name that can be read.
    assert result.summary.verdicts == {"CLEAR": 0, "WATCH": 0, "HOLD": 0, "UNSCORED": 4}
    assert any("unknown_asset" in row for row in text(result))


def test_the_clock_never_goes_back_and_rings_every_second(tmp_path: Path) -> None:
    times = [START_MS, START_MS + 2_500, START_MS + 1_000, START_MS + 2_600]
    rows = [line(MINIMAL | {"event_id": f"e{i}", "withdrawal_id": f"w{i}"}, timestamp=at) for i, at in enumerate(times)]
    result = replay_file(written(tmp_path / "clock.jsonl", *rows), SETTINGS)
    assert result.events["withdrawal"] == 4
    # Two whole seconds among the records, then the grace (3 s) and 2 s more.
    assert result.summary.heartbeats == 7


def test_a_long_gap_costs_a_tick_a_minute(tmp_path: Path) -> None:
    later = START_MS + 5 * 3_600_000
    rows = [line(MINIMAL), line(MINIMAL | {"event_id": "e2", "withdrawal_id": "w2", "occurred_at_ms": later}, timestamp=later)]
    result = replay_file(written(tmp_path / "gap.jsonl", *rows), SETTINGS)
    assert result.events["withdrawal"] == 2
    assert 4 * 60 + 3_600 - 60 <= result.summary.heartbeats <= 4 * 60 + 3_600 + 60
    assert not result.summary.incidents


def test_a_long_line_is_read_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.replay_lines.LINE_BYTES_MAX", 1_000)
    path = written(tmp_path / "long.jsonl", line(MINIMAL), b'{"topic":"' + b"x" * 5_000, line(MINIMAL))
    kinds = [type(item) for item in ReplayLines(path)]
    assert kinds == [ReplayRecord, BadLine, ReplayRecord]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("blank.jsonl", b"\n\n", "is empty"),
        ("plain.jsonl.gz", line(MINIMAL) + b"\n", "isn't gzip"),
        ("empty.jsonl.gz", b"", "isn't gzip"),
        ("cut.jsonl.gz", gzip.compress(line(MINIMAL) * 100)[:60], "isn't whole gzip"),
        ("broken.jsonl.gz", gzip.compress(line(MINIMAL))[:12] + b"\xff" * 50, "isn't whole gzip"),
        ("text.jsonl", b"Dear customers,\nwe regret\n", "No line of"),
        ("image.jsonl", bytes(range(256)) * 20, "No line of"),
    ],
)
def test_a_file_that_cannot_be_replayed_is_one_sentence(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FileRefusedError, match=says) as refused:
        replay_file(path, SETTINGS)
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.jsonl", tmp_path):
        with pytest.raises(FileRefusedError, match="can't be read"):
            replay_file(path, SETTINGS)


class Panic(BaseException):
    """As a library's Rust part raises one."""


@pytest.mark.parametrize(("always", "scope", "rule"), [(False, "detectors", "detectors_failed"), (True, "entry", "never_requested")])
def test_an_entry_that_the_fold_cannot_take_is_kept_out_and_said(
    traffic_file: Path, replayed: Replayed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, always: bool, scope: str, rule: str
) -> None:
    requests = [
        row for row in map(orjson.loads, gzip.decompress(traffic_file.read_bytes()).splitlines()) if row["value"].get("status") == "requested"
    ]
    poison = requests[100]["value"]["withdrawal_id"]
    requested = Events.requested

    def panicking(self: Events, event: Withdrawal, opinion: Opinion | None, observation: int = -1) -> bool:
        if event.withdrawal_id == poison and (always or opinion is not None):
            raise Panic(poison)
        return requested(self, event, opinion, observation)

    monkeypatch.setattr(Events, "requested", panicking)
    result = replay_file(traffic_file, SETTINGS, out=tmp_path)
    assert list(result.quarantined.values()) == [scope]
    rows = [orjson.loads(row)["value"] for row in (tmp_path / "verdicts.jsonl").read_bytes().splitlines()]
    # Left out whole, the withdrawal is known from its later steps alone; either way people look at it.
    first = next(row for row in rows if row.get("withdrawal_id") == poison)
    assert (first["verdict"], first["reasons"][0]["rule"]) == ("UNSCORED", rule)
    assert any("is quarantined" in row for row in text(result))
    assert sum(result.summary.verdicts.values()) == sum(replayed.summary.verdicts.values())


def test_a_fold_that_always_fails_is_one_sentence(traffic_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panicking(self: Engine, start: int, entries: list[bytes]) -> list[OutputRecord]:
        raise Panic("no memory")

    monkeypatch.setattr(Engine, "fold", panicking)
    with pytest.raises(ReplayFailedError, match=r"journal offset 0: Panic\('no memory'\)"):
        replay_file(traffic_file, SETTINGS)
