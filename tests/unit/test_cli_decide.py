"""`decide`: signed, looked up, sent, answered; what is refused and by whom; and that its table is the core's."""

import base64
import json
import shlex
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import typer
from aiokafka import TopicPartition
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key

from monitor import entries
from monitor.commands import Commands
from monitor.contracts import base, outputs
from monitor.contracts.feedback import Command, Feedback
from monitor.policy import FourEyes
from monitor.signatures import is_signed
from monitor.version import ENGINE_VERSION
from streams import words
from streams.cli import decide
from tests.unit.people_stage import Stage
from tests.unit.test_cli_people import redirected
from tests.unit.test_decided import KEYS, actors

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path, monkeypatch)
    made.tell("prices price=1000")
    made.tell("reserves layer_id=reserve unit=JPY amount=100000")
    return made


def test_every_command_of_the_core_has_its_row(stage: Stage) -> None:
    plans = Commands(stage.engine.state, stage.engine.decisions).plans
    assert {name.replace("-", "_"): set(row.subjects) for name, row in decide.ROWS.items()} == {name: set(plans[name]) for name in plans}
    assert {name.replace("-", "_") for name in decide.ROWS} == set(get_args(Command))
    assert (decide.Cause, decide.Owner, decide.Outcome) == (base.Cause, base.Owner, outputs.Outcome)
    assert get_args(decide.Clock) == get_args(outputs.ClockTarget)[1:], "an acknowledgement is a command of its own"


def test_acknowledged_by_one_closed_by_two_with_the_command_that_was_printed(stage: Stage, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    incident = stage.engine.state.incidents.by_id[incident_id]
    capsys.readouterr()
    assert stage.say("ana", "acknowledge", "incident", incident_id) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"decided: acknowledge of incident {incident_id} by ana: acknowledged")
    assert said.err.splitlines()[0] == f"incident {incident_id}, version {incident.version - 1}" and "  state: new" in said.err
    assert (incident.stage, incident.clock.acknowledged_at_ms) == ("acknowledged", stage.now_ms)
    assert stage.say("lea", "close", "incident", incident_id, "--outcome", "confirmed_unauthorized", "--reason", "it's a theft") == 0
    said = capsys.readouterr()
    first, _, command = said.out.splitlines()
    assert first.startswith("awaits-second: ") and first.endswith("it's a theft")
    event_id = stage.sent()[-1]["event_id"]
    assert shlex.split(command)[1:] == ["decide", "approve", event_id, "--actor", "NAME", "--key-file", "FILE", "--reason", "TEXT"]
    assert incident.stage == "pending_closure"
    assert stage.say("leo", *shlex.split(command)[2:-6]) == 0
    said = capsys.readouterr()
    assert "approved by lea first" in said.out
    assert said.err.splitlines()[0] == f"{event_id}: close of incident {incident_id} by lea, on version {incident.version - 2}: it's a theft"
    assert stage.say("leo", "approve", "another") == 2
    assert capsys.readouterr().err == "No decision another stands on feedback: nothing was sent.\n"
    assert (incident.stage, incident.outcome) == ("closed", "confirmed_unauthorized")
    ids = [sent["event_id"] for sent in stage.sent()]
    assert len(set(ids)) == len(ids) == 3
    decision = msgspec.convert(stage.sent()[1], Feedback)
    assert is_signed(decision, KEYS["lea"].public_key().public_bytes_raw())


def noted(captured: Captured) -> list[str]:
    """What was said of second persons before anything was sent."""
    return [line.strip() for line in captured.readouterr().err.splitlines() if line.startswith(("  waits: ", "  second person: "))]


def test_who_waits_for_a_second_person_is_said_before_sending(stage: Stage, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    paid = ("compensated", "mark", "withdrawal:w")
    stage.say("lea", "confirm", *paid[1:])
    capsys.readouterr()
    stage.say("lea", *paid, "--reason", "by bank")
    until = words.moment(stage.now_ms + 3_600_000)
    assert noted(capsys) == ["second person: needed, within 60 min, by the configured policy"]
    stage.say("lea", *paid, "--reason", "by bank")
    [waits, needed] = noted(capsys)
    first = stage.sent()[1]["event_id"]
    assert waits == f"waits: {first}, compensated by lea, for a second person until {until} UTC: by bank"
    assert needed == f"second person: needed: you asked for the same before, and another person may approve it until {until} UTC"
    assert stage.say("leo", *paid) == 0
    assert (
        noted(capsys)[-1]
        == f"second person: needed: lea asked for the same and waits until {until} UTC; `decide approve {first}` makes you the second"
    )
    awaits = [record for record in stage.cluster.logs[TopicPartition("audit", 0)] if b"awaits-second" in (record.value or b"")]
    assert stage.say("leo", "approve", first) == 0
    assert noted(capsys)[-1] == f"second person: you are the second: lea asked for it, and waits until {until} UTC"
    assert stage.engine.state.marks.by_id["withdrawal:w"].stage == "compensated"
    stage.cluster.append("audit", awaits[0].value, awaits[0].key, headers=awaits[0].headers)
    stage.say("leo", *paid)
    assert [line.split(",")[0] for line in noted(capsys)[:-1]] == [f"waits: {stage.sent()[number]['event_id']}" for number in (2, 3)], (
        "it was decided, though it is told again; the others wait still"
    )
    stage.say("ana", "note", "incident", incident_id)
    assert noted(capsys) == ["second person: not needed, by the configured policy"]


def test_what_waits_no_longer_is_not_told(stage: Stage, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    stage.say("lea", "close", "incident", incident_id, "--outcome", "confirmed_unauthorized")
    stage.now_ms += 3_600_000
    stage.tell("prices price=1000")
    stage.tell("tick")
    capsys.readouterr()
    stage.say("leo", "close", "incident", incident_id, "--outcome", "confirmed_unauthorized")
    assert noted(capsys) == ["second person: needed, within 60 min, by the configured policy"], "hers has expired"
    stage.say("lea", "close", "incident", incident_id, "--outcome", "inconclusive")
    [waits, needed] = noted(capsys)
    assert " close confirmed_unauthorized by leo, for a second person until " in waits and "you are the second" not in needed


@pytest.mark.parametrize(
    ("amount", "told"),
    [
        ("10000", "not needed up to 10,000,000 JPY, with what you decided alone about the incident"),
        ("10001", "needed, within 60 min, above 10,000,000 JPY"),
    ],
)
def test_the_value_of_a_mark_says_whether_a_second_person_is_needed(stage: Stage, amount: str, told: str, capsys: Captured) -> None:
    redirected(stage, "w", amount)
    capsys.readouterr()
    stage.say("ana", "confirm", "mark", "withdrawal:w")
    assert noted(capsys) == [f"second person: {told}, by the configured policy"]
    assert stage.engine.state.marks.by_id["withdrawal:w"].stage == ("suspected" if told.startswith("needed") else "confirmed"), "as the core does"


def test_of_many_marks_the_limit_is_said(stage: Stage, capsys: Captured) -> None:
    stage.say("ana", "confirm", "incident", redirected(stage, "w"))
    assert noted(capsys)[-1] == (
        "second person: needed, within 60 min, if it is about more than 10,000,000 JPY, with what you decided alone about the incident, or a fresh "
        "price is missing, by the configured policy"
    )


def test_times_are_the_same_for_the_second_person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    stage = Stage(tmp_path, monkeypatch, four_eyes=FourEyes(commands=("snooze",)))
    wanted = ("snooze", "rule", "unit_confusion", "--value", "address:home")
    assert stage.say("ana", *wanted, "--until", "2023-11-15T12:00:00.250+09:00") == 0
    capsys.readouterr()
    assert stage.approve("ben") == 0
    assert capsys.readouterr().out.startswith("decided: ")


def test_a_stale_version_is_refused_with_the_present_one(stage: Stage, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    version = stage.engine.state.incidents.by_id[incident_id].version
    assert stage.say("ana", "assign", "incident", incident_id, "--to", "ben") == 0
    capsys.readouterr()
    assert stage.say("ben", "confirm", "incident", incident_id, "--seen-version", str(version), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["actors"], told["seen_version"]) == ("refused", ["ben"], version)
    assert f"it was made on version {version}, the present one is {version + 1}" in told["detail"]
    assert stage.engine.state.incidents.by_id[incident_id].assignee == "ben"


def test_recovered_takes_an_amount_and_a_withdrawal_is_found_among_verdicts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured,
) -> None:  # fmt: skip
    stage = Stage(tmp_path, monkeypatch, four_eyes=FourEyes(commands=()))
    stage.tell("prices price=1000")
    redirected(stage, "w")
    assert stage.say("ana", "confirm", "withdrawal", "w") == 0
    assert "  verdict: HOLD" in capsys.readouterr().err
    assert stage.say("lea", "recovered", "mark", "withdrawal:w", "--amount", "0.5") == 0
    assert stage.engine.state.marks.by_id["withdrawal:w"].stage == "partly_recovered"
    said = capsys.readouterr()
    assert "0.5 BTC came back" in said.out and "  loss: 1 BTC, 1 of it open, 0 came back" in said.err


def test_of_a_withdrawal_the_newest_verdict_counts_though_an_older_one_is_repeated(stage: Stage) -> None:
    redirected(stage, "w")
    log = [record for record in stage.cluster.logs[TopicPartition("verdicts", 0)] if b'"withdrawal_id":"w"' in (record.value or b"")]
    assert len(log) > 1
    stage.cluster.append("verdicts", log[0].value, log[0].key, headers=log[0].headers)
    assert stage.say("ana", "confirm", "withdrawal", "w") == 0
    assert stage.sent()[0]["seen_version"] == len(log) + 1  # the verdicts' and the mark's


def test_what_others_say_of_the_decision_is_no_outcome(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    decide_it = stage.decide

    def talked_about(value: bytes) -> None:
        other = {"decided_at_ms": 1, "what": "refused", "event_id": "other", "detail": f"of {json.loads(value)['event_id']}"}
        stage.publish("audit", None, json.dumps(other).encode(), {})
        decide_it(value)

    monkeypatch.setattr(stage, "decide", talked_about)
    assert stage.say("ana", "note", "incident", incident_id) == 0
    assert capsys.readouterr().out.startswith("decided: ")


def test_a_policy_is_changed_by_its_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    stage = Stage(tmp_path, monkeypatch, actors=actors("ana", "adam", "eve"))
    changed = msgspec.structs.replace(stage.engine.state.policy, late_after_ms=5_000)
    stage.feed(entries.term("term-2", ENGINE_VERSION, changed, {"feedback": 1}, stage.now_ms))
    [proposal] = stage.engine.state.proposals.values()
    assert stage.say("adam", "change-policy", "policy", proposal.sha256) == 0
    assert "differs in late_after_ms" in capsys.readouterr().err
    assert stage.say("eve", "change-policy", "policy", proposal.sha256) == stage.approve("adam") == 0
    assert stage.engine.state.policy.late_after_ms == 5_000
    assert stage.say("eve", "change-policy", "policy", "0" * 64) == 2


def test_no_answer_in_time_ends_with_1_and_says_what_was_sent(stage: Stage, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    stage.answers = False
    assert stage.say("ana", "note", "incident", incident_id, "--wait", "0.05") == 1
    [sent] = stage.sent()
    assert f"No outcome within 0.05 s: is an intake and a core running? It was sent as {sent['event_id']};" in capsys.readouterr().err
    assert stage.say("ana", "note", "incident", incident_id, "--wait", "0", "--json") == 1
    assert json.loads(capsys.readouterr().out)["outcome"] is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("acknowledge", "mark", "m"), '`decide acknowledge` is about incident, and its id; not about "mark".'),
        (("acknowledge", "incident", "none"), "No incident none is published: nothing was sent (--seen-version N sends it all the same)."),
        (("confirm", "withdrawal", "none"), "No withdrawal none is published: nothing was sent (--seen-version N sends it all the same)."),
        (("snooze", "rule", "none", "--value", "address:x", "--until", "now"), "No rule none is published: nothing was sent"),
        (("set-clock", "incident", "i", "--clock", "halted", "--at", "10:30"), 'A time is written as 2026-05-04T10:00:00Z, or now; not "10:30".'),
        (("recovered", "mark", "m", "--amount", "-1", "--seen-version", "1"), "The decision can't be sent: bad_amount ("),
        (("note", "incident", "i" * 129, "--seen-version", "1"), "The decision can't be sent: Expected `str` of length <= 128 - at `$.subject_id`."),
        (
            ("note", "incident", "i", "--seen-version", "1", "--reason", ""),
            "The decision can't be sent: Expected `str` of length >= 1 - at `$.reason`.",
        ),
        (("close", "incident", "i"), "Missing option '--outcome'. Choose from: confirmed_unauthorized, "),
        (("close", "incident", "i", "--outcome", "theft"), "Invalid value for '--outcome': 'theft' is not one of 'confirmed_unauthorized', "),
        (("change-owner", "mark", "m", "--owner", "me"), "Invalid value for '--owner': 'me' is not one of 'customer', 'exchange'."),
        (("set-clock", "incident", "i", "--clock", "paged", "--at", "now"), "Invalid value for '--clock': 'paged' is not one of 'halted', "),
        (("destroy", "incident", "i"), "No such command 'destroy'."),
    ],
)
def test_wrong_usage_is_one_sentence_and_nothing_is_sent(stage: Stage, words: tuple[str, ...], sentence: str, capsys: Captured) -> None:
    assert stage.say("ana", *words) == 2
    said = capsys.readouterr().err
    assert said.startswith(sentence) and said.count("\n") == 1
    assert stage.sent() == []


def test_a_key_that_others_can_read_or_that_is_none_signs_nothing(stage: Stage, capsys: Captured) -> None:
    path = stage.directory / "ana.pem"
    path.chmod(0o640)
    assert stage.say("ana", "note", "incident", "i", "--seen-version", "1") == 2
    assert capsys.readouterr().err.startswith(f"The key file {path} can be read by others (mode 640)")
    path.chmod(0o600)
    path.write_text("no key")
    assert stage.say("ana", "note", "incident", "i", "--seen-version", "1") == 2
    said = capsys.readouterr().err
    assert said == f"file:{path} holds no Ed25519 private key that can be read (PEM, or 32 bytes in base64).\n"
    path.unlink()
    assert stage.say("ana", "note", "incident", "i", "--seen-version", "1") == 2
    assert capsys.readouterr().err == f"The secret file:{path} can't be read: No such file or directory.\n"
    assert stage.sent() == []


def test_a_key_may_come_from_the_environment_or_be_encrypted(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    monkeypatch.setenv("ANA_KEY", base64.b64encode(KEYS["ana"].private_bytes_raw()).decode())
    monkeypatch.setenv("WITHDRAWAL_MONITOR_KEY_FILE", "env:ANA_KEY")
    monkeypatch.setenv("WITHDRAWAL_MONITOR_ACTOR", "ana")
    assert stage.run("decide", "note", "incident", incident_id, "--reason", "x") == 0
    path = stage.directory / "encrypted.pem"
    path.write_bytes(KEYS["ana"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    path.chmod(0o600)
    asked = ("decide", "note", "incident", incident_id, "--reason", "x", "--key-file", str(path), "--yes")
    assert stage.run(*asked) == 2, "off a terminal nobody can be asked"
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: "secret")
    assert stage.run(*asked) == 0
    assert "secret" not in "".join(capsys.readouterr())


def test_on_a_terminal_a_person_is_asked_first(stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    asked: list[Any] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda question, **_: asked.append(question))
    assert stage.say("ana", "assign", "incident", incident_id, "--to", "ben") == 1
    assert asked == [f"ana: assign incident {incident_id} ben?"] and stage.sent() == []
    assert capsys.readouterr().err.endswith("Nothing was sent.\n")
    assert stage.say("ana", "assign", "incident", incident_id, "--to", "ben", "--yes") == 0
    assert len(asked) == 1


def test_made_keys_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    path = tmp_path / "new.pem"
    stage = Stage(tmp_path, monkeypatch)
    assert stage.run("decide", "keys", str(path)) == 0
    shown = capsys.readouterr().out.strip()
    assert path.stat().st_mode & 0o777 == 0o600
    made: Any = load_pem_private_key(path.read_bytes(), None)
    assert base64.b64decode(shown) == made.public_key().public_bytes_raw()
    assert stage.run("decide", "keys", str(path)) == 2
    assert capsys.readouterr().err == f"The file {path} can't be written: File exists.\n"


def test_a_clock_time_is_told_by_one_and_corrected_by_two(stage: Stage, capsys: Captured) -> None:
    incident_id = redirected(stage, "w")
    told = ("set-clock", "incident", incident_id, "--clock", "regulator_told", "--at")
    assert stage.say("ana", *told, words.exact_moment(stage.now_ms)) == 0
    said = capsys.readouterr()
    assert "second person: not needed, unless it corrects what was told: then needed, within 60 min" in said.err
    assert said.out.startswith("decided: ")
    assert stage.say("ana", *told, words.exact_moment(stage.now_ms)) == 0
    assert capsys.readouterr().out.startswith("awaits-second: ")


def test_two_change_the_policy_whatever_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("WITHDRAWAL_MONITOR__POLICY__FOUR_EYES__COMMANDS", '["release"]')
    stage = Stage(tmp_path, monkeypatch, actors=actors("ana", "adam", "eve"), four_eyes=FourEyes(commands=("release",)))
    changed = msgspec.structs.replace(stage.engine.state.policy, late_after_ms=5_000)
    stage.feed(entries.term("term-2", ENGINE_VERSION, changed, {"feedback": 1}, stage.now_ms))
    [name] = stage.engine.state.proposals
    assert stage.say("adam", "change-policy", "policy", name) == 0
    assert noted(capsys) == ["second person: needed, within 60 min, by the configured policy"]
