"""The golden compensation file and incident report: the golden incident, its customers' holdings, and its people's decisions, down to two signatures.

Beside the files stand assertions that say what must be true of them, worked out by hand from the public facts and never copied from a run.
The bytes change with the engine's words and with the policy: look at the difference, then write them anew with
`PYTHONPATH=. .venv/bin/python -c "from tests.golden.test_golden_compensation import renew; renew()"`.
"""

import csv
import gzip
import io
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
import pytest

from monitor import entries
from monitor.contracts.compensation import Compensation
from monitor.engine import Engine, OutputRecord
from monitor.price_rules import PriceRule
from monitor.signatures import is_signature, public_key
from streams.compensation_files import Made, files
from streams.dossier import Dossier, Folded
from streams.incident_report import files as report_files
from streams.replay import TERM, FileJournal
from streams.replay_lines import ReplayLines
from streams.scenario_compensation import signed_by_people
from streams.scenario_ground import SimulatedJournal
from streams.scenario_people import People, with_people
from streams.settings import Settings
from streams.simulation.phases import Aftermath, ClockFacts
from streams.simulation.telling import Part

FOLDER = Path(__file__).parent
RECORDS = FOLDER / "dmm-bitcoin-2024.jsonl.gz"
NAMES = ("compensation.json", "compensation.csv", "incident-report.md")
GOLDEN = {name: FOLDER / f"dmm-bitcoin-2024.{name}" for name in NAMES}
START_MS = 1_717_129_470_000
WITHDRAWAL = "withdrawal-dmm-bitcoin-2024.18fcce54a90.1"
CLOCK = ClockFacts(acknowledged_seconds=125.0, halted_seconds=85.0, regulator_told_seconds=3_900.0, police_told_seconds=9_000.0, customers_told_seconds=9_900.0)  # fmt: skip
"""From the start of the records. The wallet was frozen ten seconds after the broadcast, as the records say; all else is made up."""
CUSTOMERS = {"customer-1": "5000", "customer-2": "3000", "customer-3": "1002.68279276"}
"""With the 3.11720724 BTC of the 18 accounts whose holdings the records tell, twice 4,502.9 BTC: everybody loses half."""


class Continued(SimulatedJournal):
    """The journal of a file that goes on, under the file's own term."""

    def until(self, to_ms: int, step_ms: int) -> Iterator[bytes]:
        del step_ms
        if to_ms > self.clock_ms:
            self.clock_ms = to_ms
            yield entries.tick(TERM, to_ms)


class Played:
    """The golden records with their customers' holdings, folded; then goes on with what people decide."""

    def __init__(self) -> None:
        settings = Settings()
        settings = msgspec.structs.replace(settings, policy=with_people(settings.policy, 0))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "records.jsonl"
            path.write_bytes(b"".join(_holdings()) + gzip.decompress(RECORDS.read_bytes()))
            file = FileJournal(ReplayLines(path), settings)
            self.kept = list(file)
        self.journal = Continued(settings)
        self.journal.clock_ms = file._clock_ms
        self.play = SimpleNamespace(begin_ms=START_MS, name="golden", scenario=SimpleNamespace(id="golden"))
        self.dossier = Dossier()
        self.engine = Engine(sha256(self.kept[0]).hexdigest())
        self.dossier.attend(self.engine)
        self.dossier.take(self.engine.fold(0, self.kept))

    def fold(self, batch: list[bytes]) -> list[OutputRecord]:
        records = self.engine.fold(self.engine.next_offset, batch)
        self.dossier.take(records)
        self.kept += batch
        return records


def _holdings() -> Iterator[bytes]:
    for number, (account, quantity) in enumerate(CUSTOMERS.items()):
        value = {"event_id": f"held-{number}", "occurred_at_ms": START_MS, "account_id": account, "asset": "BTC", "quantity": quantity}
        yield orjson.dumps({"topic": "holdings", "key": account, "timestamp": START_MS, "value": value}) + b"\n"


def contents() -> tuple[Made, dict[str, bytes]]:
    """The signed file, and all files by name."""
    played: Any = Played()
    people = People(played, 0, {WITHDRAWAL: Part("BTC", 450_290_000_000)})
    [incident_id] = people.incidents()
    people.handle(incident_id, Aftermath(confidence="assumed", clock=CLOCK), "unauthorized_access")
    folded = Folded(played.dossier, played.engine, lambda: enumerate(played.kept))
    file = signed_by_people(folded, incident_id, PriceRule("loss-time"), 0)
    return file, dict([*files(file), *report_files(folded, incident_id, file)])


def renew() -> None:
    """Write the golden files anew."""
    _, made = contents()
    for name, path in GOLDEN.items():
        path.write_bytes(made[name])


@pytest.fixture(scope="module")
def produced() -> tuple[Made, dict[str, bytes]]:
    return contents()


@pytest.fixture(scope="module")
def golden() -> Compensation:
    return msgspec.json.decode(GOLDEN["compensation.json"].read_bytes(), type=Compensation)


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_the_same_bytes_as_ever(produced: tuple[Made, dict[str, bytes]], name: str) -> None:
    assert produced[1][name] == GOLDEN[name].read_bytes()


def test_everybody_loses_half_of_what_was_held(golden: Compensation) -> None:
    lines = {line.account_id: line for line in golden.statement.lines}
    assert len(lines) == 3 + 18
    assert [(group.holders, group.held) for group in golden.statement.groups] == [(21, "9005.8")]  # twice what was lost
    assert {account: lines[account].quantity for account in ("customer-1", "customer-2", "customer-3")} == {
        "customer-1": "2500", "customer-2": "1500", "customer-3": "501.34139638",
    }  # fmt: skip
    for line in golden.statement.lines:
        held, lost = (round(float(amount or "0") * 10**8) for amount in (line.held, line.quantity))
        assert abs(2 * lost - held) <= 1  # half a satoshi goes by remainder
        assert (line.owner, line.asset, line.price, line.cause) == ("customer", "BTC", "10704212.8406", "unauthorized_access")
        assert line.layers == ("guarantee-btc", "liability-reserve")
        assert line.holding is not None


def test_the_public_amounts_come_out_to_the_last_unit(golden: Compensation) -> None:
    statement = golden.statement
    # Public: 4,502.9 BTC, 48.2 billion JPY. At 10,704,212.8406 JPY they are 48,199,999,999.94: rounded up once, in the ledger and here.
    assert [(total.asset, total.quantity, total.customers, total.own) for total in statement.assets] == [("BTC", "4502.9", "4502.9", "0")]
    totals = statement.totals
    assert (totals.customers, totals.customers_base_amount, totals.own_base_amount, totals.not_attributed_base_amount) == (
        21,
        "48200000000",
        "0",
        "0",
    )
    assert totals.ledger_base_amount == totals.base_amount == "48200000000"
    # All of it left, and no other incident robbed the same pool before.
    assert (totals.never_left_base_amount, statement.assets[0].never_left, statement.never_left, statement.counted_first) == ("0", "0", 0, ())
    assert {line.lost_before for line in statement.lines} == {None}
    assert sum(int(line.base_amount) for line in statement.lines) == 48_200_000_000
    assert sum(round(float(line.quantity) * 10**8) for line in statement.lines) == 450_290_000_000
    # 2,500 of 4,502.9 of it: 48,200,000,000 × 2,500 / 4,502.9 = 26,760,532,101.53; rounding gives the one yen or not.
    first = next(line for line in statement.lines if line.account_id == "customer-1")
    assert int(first.base_amount) in {26_760_532_101, 26_760_532_102}
    [group] = statement.groups
    # The guarantee in kind pays first, whole: 500 BTC; money pays the rest. Both are paid, nothing is held any more.
    assert [(part.layer_id, part.account, part.amount, part.unit) for part in group.layers] == [
        ("guarantee-btc", "paid", "500", "BTC"), ("liability-reserve", "paid", "42847893580", "JPY"),
    ]  # fmt: skip


def test_two_people_have_signed_exactly_these_bytes(golden: Compensation) -> None:
    raw = GOLDEN["compensation.json"].read_bytes()
    statement = raw[raw.index(b'"statement":') + len(b'"statement":') : -2]
    assert sha256(statement).hexdigest() == golden.statement_sha256
    assert (golden.status, [one.actor for one in golden.sign_offs]) == ("SIGNED", ["first-lead", "second-lead"])
    actors = with_people(Settings().policy, 0).actors
    for one in golden.sign_offs:
        said = f'["compensation","{golden.statement.incident_id}","{golden.statement_sha256}","{one.actor}"]'.encode()
        key = public_key(actors[one.actor].public_key)
        assert key is not None and is_signature(one.signature, said, key)


def test_the_evidence_is_the_withdrawal_the_outflow_and_two_peoples_decisions(golden: Compensation, produced: tuple[Made, dict[str, bytes]]) -> None:
    [mark] = golden.statement.groups[0].marks
    assert (mark.withdrawal_id, mark.state, mark.provider_id) == (WITHDRAWAL, "compensated", "provider-wallet-software")
    assert mark.lost_at_ms == START_MS + 75_000  # the broadcast, 13:25:45 in Japan
    kinds = [each.what for each in mark.evidence]
    assert [kind for kind in kinds if kind.startswith("version")] == ["version 1", "version 2", "version 3"]
    assert {"withdrawal requested", "withdrawal approved", "withdrawal signed", "withdrawal broadcast", "outflow"} <= set(kinds)
    at = {each.what: each.offset for each in mark.evidence}
    assert at["version 1"] == at["withdrawal broadcast"]  # the entry that told of the broadcast made the mark
    rows = list(csv.DictReader(io.StringIO(produced[1]["evidence.csv"].decode("utf-8-sig"))))
    assert [(int(row["offset"]), row["sha256"]) for row in rows] == [(each.offset, each.sha256) for each in mark.evidence]


def test_the_spreadsheet_says_the_same(golden: Compensation) -> None:
    rows = list(csv.DictReader(io.StringIO(GOLDEN["compensation.csv"].read_bytes().decode("utf-8-sig"))))
    told = [(row["account"], row["quantity"], row["base amount"], row["holding offset"]) for row in rows]
    assert told == [(line.account_id, line.quantity, line.base_amount, str(line.holding and line.holding.offset)) for line in golden.statement.lines]
    assert {row["status"] for row in rows} == {"SIGNED"}


def test_the_report_says_what_a_supervisor_asks(golden: Compensation) -> None:
    report = GOLDEN["incident-report.md"].read_text(encoding="utf-8")
    assert "DRAFT" not in report
    for words in (
        "closed as confirmed unauthorized",
        "Cause: unauthorized access; certain: an invariant is broken",
        "| paged | 2024-05-31 04:25:45 UTC (2024-05-31 13:25 Japan) | 0 min 0 s |",
        "| acknowledged | 2024-05-31 04:26:36 UTC (2024-05-31 13:26 Japan) | 0 min 51 s | 15 min |",
        "| halted | 2024-05-31 04:25:55 UTC (2024-05-31 13:25 Japan) | 0 min 10 s | 30 min |",
        "| regulator told | 2024-05-31 05:29:30 UTC (2024-05-31 14:29 Japan) | 63 min 45 s | 120 min |",
        "| BTC | customers' | 4,502.9 | 0 | 0 | 4,502.9 |",
        "Customers to compensate: 21",
        "Customers' loss: 48,200,000,000 JPY; the exchange's own: 0 JPY; not attributed: 0 JPY",
        "| provider-wallet-software | Example Wallet Software KK | wallet software | registered |",
        "| guarantee-btc | before | BTC | 500 | 0 | 500 | 0 | 0 |",
        "| guarantee-btc | after | BTC | 500 | 0 | 0 | 0 | 500 |",
        "| liability-reserve | after | JPY | 50,000,000,000 | 0 | 7,152,106,420 | 0 | 42,847,893,580 |",
        f"the compensation file's statement has SHA-256 {golden.statement_sha256}",
    ):
        assert words in report, words
    story = [line for line in report.splitlines() if f"withdrawal:{WITHDRAWAL}" in line]
    assert [line.split(" | ")[4] for line in story] == ["suspected, version 1", "confirmed, version 2", "compensated, version 3"]
    [section] = [part for part in report.split("\n## ") if part.startswith("Decisions")]
    compensated = [line for line in section.splitlines() if "compensated of incident" in line and "| decided |" in line]
    assert len(compensated) == 1 and "first-lead and second-lead" in compensated[0]
    assert report.rstrip().endswith("Nothing.")  # what is still open: everything was told, closed and signed
