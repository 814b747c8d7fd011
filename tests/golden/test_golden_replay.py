"""The golden replay: a checked-in file, the hash of its outputs, and a second witness that says what must be true of them.

The file is a stored input, written by an earlier simulator: it stays as it is when the simulator changes.

The hash changes when a decision on this file changes, even in its wording: on purpose, write the new one to the .sha256 file and raise
ENGINE_VERSION. The witness's figures are worked out by hand from the public facts and never copied from a run.
"""

import gzip
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.replay import Replayed, replay_file
from streams.settings import Settings

GOLDEN = Path(__file__).parent / "dmm-bitcoin-2024.jsonl.gz"
HASH = Path(__file__).parent / "dmm-bitcoin-2024.sha256"
REQUESTED = "bc1q1346466c8b091e62576a135e34f896e537d545"
PAID = "bc1q7a2f0c4d91be3586a0e7d24c19f8b35d60"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("golden")


@pytest.fixture(scope="module")
def replayed(out: Path) -> Replayed:
    return replay_file(GOLDEN, Settings(), out=out)


def rows(out: Path, topic: str) -> list[dict[str, Any]]:
    return [orjson.loads(row)["value"] for row in (out / f"{topic}.jsonl").read_bytes().splitlines()]


def test_the_outputs_are_the_same_bytes_as_ever(replayed: Replayed) -> None:
    assert replayed.sha256 == HASH.read_text(encoding="ascii").strip()


def test_every_line_is_accepted(replayed: Replayed) -> None:
    lines = gzip.decompress(GOLDEN.read_bytes()).splitlines()
    assert replayed.bad_lines_count == 0
    assert replayed.rejected == {}
    assert sum(replayed.events.values()) == len(lines)


def test_every_request_has_a_verdict(replayed: Replayed, out: Path) -> None:
    lines = [orjson.loads(row) for row in gzip.decompress(GOLDEN.read_bytes()).splitlines()]
    requested = {row["value"]["withdrawal_id"] for row in lines if row["topic"] == "withdrawals" and row["value"]["status"] == "requested"}
    decided = {row["withdrawal_id"] for row in rows(out, "verdicts") if row.get("kind") != "heartbeat"}
    assert decided == requested
    assert sum(replayed.summary.verdicts.values()) == len(requested)
    assert replayed.summary.verdicts["UNSCORED"] == 0


def test_the_redirected_withdrawal_and_no_other_is_held_and_too_late(out: Path) -> None:
    verdicts = [row for row in rows(out, "verdicts") if row.get("kind") != "heartbeat"]
    [held] = {str(row["withdrawal_id"]) for row in verdicts if row["verdict"] == "HOLD"}
    assert held.startswith("withdrawal-dmm-bitcoin-2024.")
    last = [row for row in verdicts if row["withdrawal_id"] == held][-1]
    assert (last["verdict"], last["too_late"], last["asset"], last["amount"], last["mode"]) == ("HOLD", True, "BTC", "4502.9", "observe")
    reasons = last["reasons"]
    assert reasons[0]["rule"] == "redirect"
    assert REQUESTED in reasons[0]["detail"]
    assert PAID in reasons[0]["detail"]


def test_one_mark_of_the_public_amount_on_the_layers_in_order(replayed: Replayed, out: Path) -> None:
    [mark] = rows(out, "marks")
    assert (mark["state"], mark["asset"], mark["amount"], mark["owner"], mark["cause"]) == (
        "suspected", "BTC", "4502.9", "customer", "unauthorized_access",
    )  # fmt: skip
    assert mark["provider_id"] == "provider-wallet-software"
    # 4,502.9 BTC at 10,704,212.8406 JPY are 48,199,999,999.94 JPY: rounded up, 48,200,000,000, as published.
    assert mark["base_amount"] == "48200000000"
    assert mark["uncovered_base_amount"] == "0"
    # The guarantee in kind goes first, whole: 500 BTC, worth 5,352,106,420.3 JPY. Money carries the rest, and nothing is lost between them.
    first, second = mark["allocations"]
    assert (first["layer_id"], first["unit"], first["amount"]) == ("guarantee-btc", "BTC", "500")
    assert (second["layer_id"], second["unit"], second["amount"]) == ("liability-reserve", "JPY", second["base_amount"])
    assert first["base_amount"] == "5352106420"  # exactly …420.31: the yen that rounding down leaves goes to the other part, which lost more
    assert int(first["base_amount"]) + int(second["base_amount"]) == 48_200_000_000
    layers = {layer.layer_id: layer for layer in replayed.summary.layers}
    assert (layers["guarantee-btc"].available, layers["guarantee-btc"].held) == ("0", "500")
    assert (layers["guarantee-eth"].available, layers["guarantee-eth"].held) == ("6000", "0")
    assert int(layers["liability-reserve"].available) == 50_000_000_000 - int(second["amount"])
    assert all(layer.paid == "0" for layer in layers.values())


def test_one_critical_incident_and_one_page_when_it_is_broadcast(replayed: Replayed, out: Path) -> None:
    critical = [incident for incident in replayed.summary.incidents if incident.severity == "critical"]
    [incident] = critical
    assert (incident.cause, incident.marked_base_amount, incident.uncovered_base_amount) == ("unauthorized_access", "48200000000", "0")
    assert "redirect" in incident.rules
    pages = [row for row in rows(out, "alerts") if row["kind"] == "page"]
    [page] = pages
    assert page["incident_id"] == incident.incident_id
    # Begun at 60 s, asked for at 62 s, broadcast 13 s later: the page comes with the record of the broadcast, not with the chain's sight of it.
    assert page["decided_at_ms"] == 1_717_129_470_000 + 75_000


def test_coverage_falls_by_what_is_marked_at_the_moment_of_the_page(replayed: Replayed) -> None:
    before = [row for row in replayed.summary.coverage if row.marked == "0"][-1]
    after = next(row for row in replayed.summary.coverage if row.marked != "0")
    assert after.marked == "48200000000"
    # Layers in kind are valued anew, each rounded up: at most one yen a layer.
    assert abs(int(before.available) - int(after.available) - 48_200_000_000) <= 3
    assert replayed.summary.coverage[-1].uncovered == "0"
    assert not replayed.summary.exhausted
