"""`incidents`, `incident`, `marks`, `coverage` and `provider` on recorded topics and on a kept journal: what a woken person reads is what stands there."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streams import words
from streams.refusals import RefusedError
from tests.unit.people_stage import Stage

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path, monkeypatch)
    made.tell("prices price=1000")
    made.tell("reserves layer_id=reserve unit=JPY amount=1500")
    return made


def redirected(stage: Stage, name: str, amount: str = "1", thief: str = "thief", **facts: str) -> str:
    """A withdrawal that is paid elsewhere, told on the next Tick; its incident's id."""
    more = " ".join(f"{field}={value}" for field, value in facts.items())
    stage.tell(f"withdrawals withdrawal_id={name} status=requested amount={amount} account_id=a-{name} {more}")
    told = stage.tell(f"outflows withdrawal_id={name} tx_id=t-{name} address={thief} amount={amount} wallet_id=hot-{name}")
    stage.tell("tick")
    return str(next(record for record in told if record["topic"] == "marks")["incident_id"])


def rows(captured: Captured) -> list[list[str]]:
    return [line.split("\t") for line in captured.readouterr().out.splitlines()]


def section(lines: list[list[str]], name: str) -> list[list[str]]:
    return [line[1:] for line in lines if line[0] == name]


def test_incidents_lists_the_open_the_most_severe_and_the_dearest_first(stage: Stage, capsys: Captured) -> None:
    stage.tell("wallet-events wallet_id=else action=authority_changed")
    stage.tell("tick")
    over, small, large = redirected(stage, "w", "3", "first"), redirected(stage, "v", "1", "second"), redirected(stage, "u", "2", "third")
    for person in ("lea", "leo"):
        assert stage.say(person, "close", "incident", over, "--outcome", "inconclusive") == 0
    capsys.readouterr()
    assert stage.run("incidents") == 0
    shown = rows(capsys)
    assert [row[0] for row in shown[:2]] == [large, small] and over not in [row[0] for row in shown]
    assert shown[0][1:3] == ["critical", "new"] and shown[0][4:6] == ["2,000", "2,000"], "the first took all of the reserve"
    assert shown[0][8].startswith("acknowledged MISSED"), "the story is long ago"
    assert len(shown) > 2 and {row[1] for row in shown[2:]} <= {"warning", "notice"}
    assert stage.run("incidents", "--severity", "critical", "--all", "--json") == 0
    told = [(each["incident_id"], each["state"]) for each in json.loads(capsys.readouterr().out)]
    assert told == [(large, "new"), (small, "new"), (over, "closed")]


def test_incident_says_what_a_woken_person_needs(stage: Stage, capsys: Captured) -> None:
    incident_id = redirected(stage, "w", "1.5", provider_id="custody")
    redirected(stage, "v", "0.25")
    assert stage.say("ana", "change-owner", "mark", "withdrawal:v", "--owner", "exchange") == 0
    assert stage.say("ana", "set-clock", "incident", incident_id, "--clock", "halted", "--at", words.exact_moment(stage.now_ms)) == 0
    stage.tell("tick")
    capsys.readouterr()
    assert stage.run("incident", incident_id) == 0
    lines = rows(capsys)
    assert lines[0][0].startswith(f"{incident_id}  CRITICAL  ") and "NOT COVERED" in lines[1][0]
    assert section(lines, "marks") == [
        ["BTC", "suspected", "customers'", "1", "1.5", "1.5", "0", "0", "1,500", "0"],
        ["BTC", "suspected", "own", "1", "0.25", "0.25", "0", "0", "250", "250"],
    ]
    clock = {row[0]: row[1:] for row in section(lines, "clock")}
    assert clock["halted"][0] and "after the first finding" in clock["halted"][1]
    assert clock["regulator told"][0] == "" and clock["regulator told"][1].startswith("MISSED ")
    assert ["address", "thief"] in section(lines, "places")
    assert [row[1:3] for row in section(lines, "timeline")][-1] == ["clock set", "ana"]
    commands = [row[1] for row in section(lines, "next")]
    assert f"withdrawal-monitor decide acknowledge incident {incident_id} --reason TEXT" in commands
    assert not [command for command in commands if "--clock halted" in command], "that is known already"
    assert [command for command in commands if "--clock regulator_told" in command]


def test_incident_tells_what_was_merged_into_it(stage: Stage, capsys: Captured) -> None:
    first, second = redirected(stage, "w"), redirected(stage, "v", thief="other")
    stage.tell("withdrawals withdrawal_id=u status=requested account_id=a-w address=fine")
    stage.tell("outflows withdrawal_id=u tx_id=t-u address=other")
    stage.tell("tick")
    stays = stage.engine.state.incidents.root(first)
    gone = second if stays == first else first
    assert stage.run("incident", str(stays)) == 0
    assert [row[0] for row in section(rows(capsys), "merged")] == [gone]
    assert stage.run("incident", gone) == 0
    assert section(rows(capsys), "next") == [["it goes on there", f"withdrawal-monitor incident {stays}"]]
    assert stage.run("incident", "nonsense") == 2
    assert capsys.readouterr().err == "There is no incident nonsense: `withdrawal-monitor incidents --all` lists them.\n"


def test_marks_of_one_incident_and_state(stage: Stage, capsys: Captured) -> None:
    incident_id = redirected(stage, "w", "0.5")
    redirected(stage, "v", "2", "other")
    assert stage.say("ana", "confirm", "mark", "withdrawal:w") == 0
    capsys.readouterr()
    assert stage.run("marks") == 0
    assert [row[0] for row in rows(capsys)] == ["withdrawal:v", "withdrawal:w"], "the largest first"
    assert stage.run("marks", "--incident", incident_id, "--state", "confirmed") == 0
    [row] = rows(capsys)
    assert row[:8] == ["withdrawal:w", "confirmed", incident_id, "BTC", "0.5", "0.5", "500", "0"] and row[11] == "reserve held 500 JPY"
    assert stage.run("marks", "--state", "suspected", "--json", "--limit", "1") == 0
    assert [mark["mark_id"] for mark in json.loads(capsys.readouterr().out)] == ["withdrawal:v"]
    assert stage.run("marks", "--state", "cleared") == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "No marks." and said[1].startswith("NO CORE has told anything for ")


def answer(stage: Stage, captured: Captured) -> str:
    captured.readouterr()
    assert stage.run("coverage") == 0
    return captured.readouterr().out


def test_coverage_says_the_answer_first(stage: Stage, capsys: Captured) -> None:
    stage.tell("tick")
    assert answer(stage, capsys).startswith("Nothing is marked.\nHeadroom for one further event of customers' losses: unauthorized access 1,500 JPY")
    redirected(stage, "w")
    told = answer(stage, capsys)
    assert told.startswith("COVERED: 1,000 JPY are marked, and the reserve carries all of it.\n")
    assert "At the present drain of " in told and "it lasts " in told
    assert "layers\treserve\tJPY\t1,500\t0\t500\t1,000\t0\t500\n" in told
    redirected(stage, "v")
    told = answer(stage, capsys)
    assert told.startswith("NOT COVERED: 500 JPY of 2,000 JPY that are marked are carried by no layer.\n")
    assert "THE RESERVE IS EXHAUSTED" in told
    stage.tell("withdrawals withdrawal_id=x status=requested asset=ETH network=ethereum account_id=a-x")
    stage.tell("outflows withdrawal_id=x tx_id=t-x asset=ETH network=ethereum address=thief")
    assert answer(stage, capsys).startswith("NOT COVERED: at least 500 JPY of at least 2,000 JPY"), "between Ticks too"


def test_coverage_is_read_back_to_the_last_whole_record(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    stage.tell("balances wallet_id=hot amount=3 owner=customer temperature=hot")
    stage.tell("progress")
    stage.tell("tick")
    for number in range(5):
        stage.tell(f"reserves layer_id=reserve unit=JPY amount={number + 1}")
    monkeypatch.setattr("streams.published.TAIL_RECORDS", 1)
    monkeypatch.setattr("streams.published.TAIL_GROWS", 2)
    told = answer(stage, capsys)
    assert "layers\treserve\tJPY\t1,515\t" in told, "the layers are the newest"
    assert "if emptied now\thot\t" in told, "the wallets are from the last Tick"


def test_coverage_tells_the_hot_share_the_guarantee_and_what_is_at_risk(stage: Stage, capsys: Captured) -> None:
    stage.tell("balances wallet_id=hot amount=3 owner=customer temperature=hot provider_id=custody")
    stage.tell("balances wallet_id=cold amount=7 owner=customer temperature=cold")
    stage.tell("progress")
    stage.tell("tick")
    told = answer(stage, capsys)
    assert "30 % of customers' assets are in hot wallets, ABOVE the 5 % that may be." in told
    assert "GUARANTEE SHORT (same kind and quantity): 3 BTC." in told
    assert "if emptied now\thot\tcustody\t3 BTC\t3,000\t1,500\n" in told
    assert stage.run("coverage", "--json") == 0
    assert json.loads(capsys.readouterr().out)["hot_share_percent"] == "30"


def test_repeats_other_journals_and_unreadable_records_don_t_count(stage: Stage, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    redirected(stage, "v")
    log = [record for records in list(stage.cluster.logs.values()) for record in records if record.topic == "incidents"]
    versions = [msgspec.json.decode(record.value or b"")["version"] for record in log]
    assert versions[0] < versions[-1]
    stage.cluster.append("incidents", log[0].value, log[0].key, headers=log[0].headers)  # a repeat, after the newest
    facts = {"journal_id": stage.engine.journal_id, "offset": 10**6, "index": 0}
    stage.publish("incidents", b"odd", b'{"incident_id":"odd"}', facts)
    assert stage.run("incidents", "--json") == 0
    said = capsys.readouterr()
    [shown] = json.loads(said.out)
    assert (shown["incident_id"], shown["version"]) == (incident_id, versions[-1])
    assert "1 record(s) can't be read: another version of this program wrote them." in said.err
    stage.publish("incidents", b"new", log[0].value.replace(incident_id.encode(), b"new") if log[0].value else b"", facts | {"journal_id": "another"})
    assert stage.run("incidents", "--json") == 0
    assert [each["incident_id"] for each in json.loads(capsys.readouterr().out)] == ["new"], "a new journal begins anew"


def test_a_kept_journal_shows_the_same(stage: Stage, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    file = stage.journal_file()
    for command in (("incidents",), ("incident", incident_id), ("marks",), ("coverage",)):
        told: list[Any] = []
        for where in ((), ("--journal", file)):
            assert stage.run(*command, "--json", *where) == 0
            told.append(json.loads(capsys.readouterr().out))
        assert told[0] == told[1], command
    assert stage.run("incidents", "--journal", file) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines()[0].split("\t")[8] == "acknowledged due in 14 min", "its time is the journal's"
    assert stage.run("incidents", "--journal", f"{file}.none") == 2
    assert capsys.readouterr().err == f"{file}.none can't be read: No such file or directory.\n"


def test_provider_by_its_name_with_what_depends_on_it(stage: Stage, capsys: Captured) -> None:
    stage.tell("providers provider_id=custody name=Custody registration_number=7")
    stage.tell("balances wallet_id=hot amount=3 owner=customer temperature=hot provider_id=custody")
    stage.tell("withdrawals withdrawal_id=w status=requested provider_id=custody")
    file = stage.journal_file()
    assert stage.run("provider", "CUSTODY", "--journal", file) == 0
    said = capsys.readouterr().out
    assert said.startswith("custody, Custody, custodian: registered, number 7.\n")
    assert (
        "If it is broken into now: 3,000 JPY of customers' assets in its wallets, of which NO LAYER carries 1,500 JPY (headroom 1,500 JPY).\n" in said
    )
    assert "facts\topen withdrawals\t1, 0 of them sent: 1 BTC, 1,000 JPY\n" in said
    assert "wallets\thot\tBTC\t3\t3,000\thot\tcustomer\t\tby its balance\n" in said
    assert stage.run("provider", "custody", "--json", "--journal", file) == 0
    assert json.loads(capsys.readouterr().out)["open_withdrawals"] == 1
    assert stage.run("provider", "nobody", "--journal", file) == 2
    assert capsys.readouterr().err == "Nothing is known of provider nobody; the registry has custody.\n"


def test_provider_folds_the_journal_on_kafka(stage: Stage, capsys: Captured) -> None:
    stage.tell("withdrawals withdrawal_id=w status=requested provider_id=stranger")
    for entry in stage.entries:
        stage.cluster.append("journal", entry)
    assert stage.run("provider", "stranger") == 0
    said = capsys.readouterr()
    assert said.out.startswith("stranger: UNKNOWN TO THE REGISTRY.\n") and said.err.startswith("Folding the whole journal")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-05-04T10:00Z", 1_777_888_800_000),
        ("2026-05-04T10:00:00.250+09:00", 1_777_856_400_250),
        ("now", 7),
        ("2026-05-04T10:00", None),
        ("soon", None),
    ],
)
def test_times_have_a_zone(text: str, told: int | None) -> None:
    if told is None:
        with pytest.raises(RefusedError):
            words.read_moment(text, 7)
    else:
        assert words.read_moment(text, 7) == told
        assert text == "now" or words.read_moment(words.exact_moment(told), 0) == told


def test_amounts_are_added_and_shown_to_the_last_unit() -> None:
    assert words.total(["1000000000000000000000000000000.000000000000000001", "2", None]) == "1000000000000000000000000000002.000000000000000001"
    assert words.grouped("1234567.000100") == "1,234,567.000100" and words.grouped(None) == "?"
    assert [words.span(seconds * 1_000) for seconds in (59, 61, 3_660, 90_000, -5)] == ["59 s", "1 min", "1 h 1 min", "1 d 1 h", "0 s"]
