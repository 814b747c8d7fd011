"""`policy compare` and `policy show` with files, as a person and as a script see them."""

import gzip
import json
from pathlib import Path

import msgspec
import pytest

from monitor import entries
from monitor.policies import digest
from monitor.version import ENGINE_VERSION
from streams.cli.app import run
from streams.journal_file import line_of
from streams.settings import Settings
from tests.simulation.journals import PARTITIONS, altered, honest, journal, policy
from tests.unit.story import Story
from tests.unit.test_decided import actors, say

Captured = pytest.CaptureFixture[str]
STANDING = Settings().policy
GOLDEN = Path(__file__).parents[1] / "golden" / "dmm-bitcoin-2024.jsonl.gz"
OFF = '[policy]\nrules_off = ["redirect"]\n'


def keep(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"".join(line_of(offset, line) for offset, line in enumerate(lines)))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal under the default settings' policy, with things that are wrong."""
    path = tmp_path_factory.mktemp("kept") / "journal.jsonl"
    lines = journal(altered(honest(60, 40, 3), 5, 0.03))
    clock_ms = int(json.loads(lines[0])["clock_ms"])
    keep(path, [entries.term("term-1", ENGINE_VERSION, STANDING, PARTITIONS, clock_ms), *lines[1:]])
    return path


def config(directory: Path, text: str) -> str:
    path = directory / "proposed.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_answer_comes_first_and_the_rows_are_data(kept: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run(["policy", "compare", "--journal", str(kept), "--proposed", config(tmp_path, OFF)]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("The proposed policy would hold 5 fewer withdrawals worth ") and said.err.endswith(", of 711 withdrawals.\n")
    rows = [line.split("\t") for line in said.out.splitlines()]
    assert rows[0] == ["rules_off", "[]", '["redirect"]']
    assert ["HOLD", "10", "5"] in rows
    [changed] = [row for row in rows if row[0] == "HOLD → CLEAR"]
    assert changed[1] == "5"
    differences = [row for row in rows if row[0] == "verdict"]
    assert len(differences) == 5
    assert all(row[4:6] == ["HOLD (observe)", "CLEAR"] and row[6].startswith("redirect: requested ") and row[7] == "-" for row in differences)


def test_as_json(kept: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run(["policy", "compare", "--journal", str(kept), "--proposed", config(tmp_path, OFF), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["compared"]["changed"] == [
        {"standing": "HOLD", "proposed": "CLEAR", "withdrawals": 5, "base_amount": told["compared"]["no_longer_held"]["base_amount"]}
    ]
    assert told["proposed_sha256"] == digest(msgspec.structs.replace(STANDING, rules_off=("redirect",)))
    assert (told["standing_version"], told["refused"]) == (1, [])
    assert told["entries"] == kept.read_bytes().count(b"\n")


def test_the_same_policy_decides_nothing_otherwise(kept: Path, tmp_path: Path, capsys: Captured) -> None:
    assert run(["policy", "compare", "--journal", str(kept), "--proposed", config(tmp_path, "")]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "The proposed policy is what decides already.",
        "The proposed policy would decide nothing otherwise in 1 min, of 711 withdrawals.",
    ]


def test_a_file_of_input_records_is_a_journal_too_and_what_is_left_out_of_it_is_said(tmp_path: Path, capsys: Captured) -> None:
    records = tmp_path / "records.jsonl"
    records.write_bytes(gzip.decompress(GOLDEN.read_bytes()) + b'{"topic":"withdrawals","value":\n')
    left_out = f"1 line(s) of {records} are no records and are left out; line "
    assert run(["policy", "compare", "--journal", str(records), "--proposed", config(tmp_path, OFF), "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["compared"]["no_longer_held"]["withdrawals"] == 1
    assert said.err.startswith(left_out) and said.err.count("\n") == 1
    for command in (("policy", "show"), ("incidents",), ("provider", "provider-wallet-software"), ("coverage",)):
        assert run([*command, "--journal", str(records), "--json"]) == 0
        assert capsys.readouterr().err.startswith(left_out), command
    assert run(["incident-report", "incident-2109-0", "--journal", str(records), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().err.startswith(left_out)


def test_since(kept: Path, tmp_path: Path, capsys: Captured) -> None:
    arguments = ["policy", "compare", "--journal", str(kept), "--proposed", config(tmp_path, OFF), "--since"]
    assert run([*arguments, "2023-11-14T22:13:50Z", "--json"]) == 0
    later = json.loads(capsys.readouterr().out)["compared"]
    assert later["from_ms"] >= 1_700_000_030_000 and 0 < later["withdrawals"] < 711
    assert run([*arguments, "yesterday"]) == 2
    assert capsys.readouterr().err == 'A time is written as 2026-05-04T10:00:00Z, or now; not "yesterday".\n'


def administered(directory: Path, approvals: tuple[str, ...]) -> tuple[Path, str]:
    """A journal in which a term proposes another policy, and who has approved it; the proposal's hash."""
    story = Story(actors=actors("adam", "eve"))
    standing = story.engine.state.policy
    lines = [entries.term("term-1", ENGINE_VERSION, standing, PARTITIONS, story.now_ms), *Story().writer.opened(story.now_ms)]
    told = story.feed

    def feed(entry: bytes) -> list[dict[str, object]]:
        lines.append(entry)
        return told(entry)

    story.feed = feed  # type: ignore[method-assign]  # the story is told as ever, and kept beside
    proposal = policy(actors=actors("adam", "eve"), layers=standing.layers, late_after_ms=5_000)
    story.feed(entries.term("term-2", ENGINE_VERSION, proposal, PARTITIONS, story.now_ms))
    for actor in approvals:
        say(story, actor, "change_policy", digest(proposal), "policy")
    path = directory / "journal.jsonl"
    keep(path, lines)
    return path, digest(proposal)


def test_show_tells_the_proposal_and_who_approved_it(tmp_path: Path, capsys: Captured) -> None:
    path, name = administered(tmp_path, ())
    assert run(["policy", "show", "--journal", str(path)]) == 0
    said = capsys.readouterr()
    assert said.err == "Nobody has approved the proposal yet.\n"
    assert ["standing version", "1"] in [line.split("\t") for line in said.out.splitlines()]
    assert ["late_after_ms", "60000", "5000"] in [line.split("\t") for line in said.out.splitlines()]
    path, _ = administered(tmp_path, ("adam",))
    assert run(["policy", "show", "--journal", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["proposed_sha256"], [each[0] for each in told["approved"]], told["needs_approval"]) == (1, name, ["adam"], True)
    path, _ = administered(tmp_path, ("adam", "eve"))
    assert run(["policy", "show", "--journal", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["sha256"], told["proposed_sha256"], told["approved"], told["changes"]) == (2, name, None, [], [])


def test_show_where_nobody_may_approve(kept: Path, capsys: Captured) -> None:
    assert run(["policy", "show", "--journal", str(kept)]) == 0
    assert capsys.readouterr().err == "Nobody in policy.actors may change_policy: a worker's configuration decides at once, when its term begins.\n"


def test_a_proposal_is_found_by_the_beginning_of_its_hash(tmp_path: Path, capsys: Captured) -> None:
    path, name = administered(tmp_path, ("adam",))
    assert run(["policy", "compare", "--journal", str(path), "--sha", name[:12], "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["proposed_sha256"] == name
    assert told["changes"] == [["late_after_ms", "60000", "5000"]]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Give either --proposed with a configuration or --sha with the hash of a proposed policy."),
        (("--proposed", "{good}", "--sha", "ab"), "Give either --proposed with a configuration or --sha with the hash of a proposed policy."),
        (("--sha", " "), "--sha must be the hash of a proposed policy, or its beginning."),
        (("--sha", "00ff", "--journal", "{journal}"), "No term of the journal proposes a policy with the hash 00ff; the newest are "),
        (("--proposed", "{good}", "--journal", "{missing}"), "{missing} can't be read: No such file or directory."),
        (("--proposed", "{good}", "--journal", "{good}"), "No line of {good} is a record; line 1: "),
        (("--proposed", "{good}", "--journal", "{holed}"), "{holed} has offset 5 where 0 should be: it can't be folded from its first entry."),
        (("--proposed", "{good}", "--journal", "{empty}"), "{empty} is empty."),
        (("--proposed", "{good}", "--journal", "{termless}"), "The journal has no term: it isn't one that a core has written."),
        (("--proposed", "{missing}", "--journal", "{journal}"), "The configuration file {missing} can't be read: No such file or directory."),
        (("--proposed", "{bad}", "--journal", "{journal}"), "policy.thresholds.hold_p_value "),
        (("--proposed", "{good}", "--journal", "{journal}", "--follow"), "--follow needs the live journal, so it doesn't go with --journal."),
    ],
)
def test_wrong_usage_is_one_sentence(kept: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str, capsys: Captured) -> None:
    lines = kept.read_bytes().splitlines(keepends=True)
    names = {name: str(tmp_path / name) for name in ("holed", "empty", "termless", "missing", "bad")}
    names |= {"good": config(tmp_path, OFF), "journal": str(kept)}
    Path(names["holed"]).write_bytes(b"".join(lines[5:10]))
    Path(names["empty"]).touch()
    keep(Path(names["termless"]), [b'{"kind":"tick","clock_ms":1,"term":"t"}'])
    Path(names["bad"]).write_text("[policy.thresholds]\nhold_p_value = 2.0\n", encoding="utf-8")
    assert run(["policy", "compare", *(argument.format(**names) for argument in arguments)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(sentence.format(**names)) and said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (b'{"kind":"tick","clock_ms":1,"term":"t"}', "The journal can't be folded here: the journal doesn't begin with a term"),
        (entries.term("t", ENGINE_VERSION, policy(plug_ins=("nowhere",)), PARTITIONS, 1), "The journal can't be folded here: "),
    ],
)
def test_a_journal_that_cant_be_folded_is_one_sentence(tmp_path: Path, first: bytes, sentence: str, capsys: Captured) -> None:
    keep(tmp_path / "journal", [first])
    assert run(["policy", "show", "--journal", str(tmp_path / "journal")]) == 2
    said = capsys.readouterr()
    assert said.err.startswith(sentence) and said.err.count("\n") == 1


def test_a_fold_that_fails_says_where(kept: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("monitor.events.Events.requested", fail)
    assert run(["policy", "show", "--journal", str(kept)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("The fold fails at journal offset ") and said.endswith(": ZeroDivisionError: a bug; see `core quarantine`.\n")
