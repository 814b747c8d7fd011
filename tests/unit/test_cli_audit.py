"""`audit verify` with files, as a person and as a script see it; `audit key`."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.published_heads import HeadCopy
from streams.cli.app import run
from streams.head_signer import head_signer
from streams.journal_file import line_of
from streams.refusals import RefusedError
from streams.secrets import Secrets
from streams.settings import AuditSettings
from tests.unit.trail_stage import BLOCK, KEY, OTHER_KEY, base64_of, entries, heads, public

Captured = pytest.CaptureFixture[str]
WHOLE = entries(3 * BLOCK + 10)
CORE = f"core={base64_of(public(KEY))}"


class Files:
    """A journal and its heads as files; `verify` is the command."""

    def __init__(self, directory: Path) -> None:
        self.journal = directory / "journal.jsonl"
        self.heads = directory / "heads.jsonl"
        self.keep(WHOLE)
        self.publish(heads(WHOLE))

    def keep(self, lines: list[bytes]) -> None:
        self.journal.write_bytes(b"".join(line_of(offset, line) for offset, line in enumerate(lines)))

    def publish(self, copies: list[HeadCopy]) -> None:
        self.heads.write_bytes(b"".join(msgspec.json.encode(copy) + b"\n" for copy in copies))

    def verify(self, *arguments: str, key: str = CORE) -> int:
        return run(["audit", "verify", str(self.journal), "--heads", str(self.heads), *(["--key", key] if key else []), *arguments])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_a_journal_as_it_was_signed(files: Files, capsys: Captured) -> None:
    assert files.verify() == 0
    said = capsys.readouterr()
    assert [line.split("\t") for line in said.out.splitlines()] == [
        ["as signed", "0", "767", "key core"],
        ["no head yet", "768", "777", ""],
    ]
    assert said.err.startswith("Journal ") and said.err.endswith("with 778 entries is what was signed, up to offset 767.\n")


def test_trusted_keys_may_stand_in_the_settings(files: Files) -> None:
    assert files.verify("--set", f"audit.public_keys.core={base64_of(public(KEY))}", key="") == 0


def changed(lines: list[bytes]) -> None:
    lines[300] = lines[300].replace(b"3", b"4", 1)


def removed(lines: list[bytes]) -> None:
    del lines[300]


def inserted(lines: list[bytes]) -> None:
    lines.insert(300, b"{}")


def swapped(lines: list[bytes]) -> None:
    lines[300], lines[301] = lines[301], lines[300]


def cut(lines: list[bytes]) -> None:
    del lines[300:]


@pytest.mark.parametrize(
    ("tamper", "row"),
    [
        (changed, ["CHANGED", "300", "300", "it isn't the entry that was published"]),
        (removed, ["REMOVED", "300", "300", "the entry is gone"]),
        (inserted, ["INSERTED", "300", "300", "before it stands an entry that wasn't published, at offset 300 now"]),
        (swapped, ["SWAPPED", "300", "301", "the entries at offsets 300 and 301 have changed places"]),
        (cut, ["CUT", "300", "767", "the journal ends before offset 300; a head was published for what came up to 767"]),
    ],
    ids=lambda what: getattr(what, "__name__", ""),
)
def test_what_was_done_is_told_with_its_place(files: Files, tamper: Callable[[list[bytes]], None], row: list[str], capsys: Captured) -> None:
    lines = list(WHOLE)
    tamper(lines)
    files.keep(lines)
    assert files.verify() == 1
    said = capsys.readouterr()
    rows = [line.split("\t") for line in said.out.splitlines()]
    assert rows[0] == row
    assert rows[1] == ["as signed", "0", "255", "key core"]
    assert rows[2][0] == "DIFFERENT"
    assert "is NOT what was published: 1 finding(s).\n" in said.err
    assert files.verify("--json") == 1
    told = json.loads(capsys.readouterr().out)["checked"]
    assert (told["intact"], told["proven"], len(told["found"])) == (False, False, 1)
    assert [told["found"][0]["kind"].upper(), str(told["found"][0]["first_offset"])] == row[:2]


def test_unsigned_heads(files: Files, capsys: Captured) -> None:
    files.publish(heads(WHOLE, None))
    assert files.verify() == 1
    assert "isn't proven: who can change a journal can publish heads that nobody signs" in capsys.readouterr().err
    assert files.verify("--unsigned") == 0
    assert "is what was published; not all of its heads are signed." in capsys.readouterr().err


def test_a_foreign_key(files: Files, capsys: Captured) -> None:
    files.publish(heads(WHOLE, OTHER_KEY))
    assert files.verify("--unsigned") == 1
    said = capsys.readouterr()
    assert said.out.startswith("as published, unknown key\t0\t767\t\n")
    assert said.err.startswith("3 published heads are signed with a key that isn't known, or wrongly.\n")
    assert files.verify(key="") == 1
    assert "(give keys with --key)" in capsys.readouterr().err


def test_heads_of_another_journal(files: Files, capsys: Captured) -> None:
    files.publish(heads(entries(2 * BLOCK, "other")))
    assert files.verify() == 1
    assert capsys.readouterr().out.startswith("UNLIKE\t0\t0\tno head is of this journal; they are of ")


def test_a_journal_too_short_for_a_head_and_one_whose_heads_are_missing(files: Files, capsys: Captured) -> None:
    files.publish(heads(WHOLE)[:2])
    assert files.verify() == 1
    assert "isn't proven: whole blocks have no head. The core is behind, or heads were removed." in capsys.readouterr().err
    files.keep(WHOLE[:100])
    files.publish(heads(WHOLE)[:1])
    assert files.verify() == 1, "its tail is cut"
    said = capsys.readouterr()
    assert said.out.startswith("CUT\t100\t255\t")
    assert said.err.splitlines()[-1].endswith(": write the file again, after the heads."), "what an auditor of a live journal meets first"


def test_an_empty_journal(files: Files, capsys: Captured) -> None:
    files.keep([])
    assert files.verify() == 1
    assert capsys.readouterr().out.startswith("CUT\t0\t767\t")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{}", "Object missing required field `journal_id`"),
        ("no json", "JSON is malformed"),
        (msgspec.json.encode(heads(WHOLE)[0]).decode().replace('"last_offset":255', '"last_offset":254'), "no block ends at offset 254"),
        (msgspec.json.encode(heads(WHOLE)[0]).decode().replace('"prints":"', '"prints":"?'), "prints isn't base64"),
    ],
)
def test_a_malformed_file_of_heads_is_refused_by_its_line(files: Files, line: str, why: str, capsys: Captured) -> None:
    files.heads.write_bytes(msgspec.json.encode(heads(WHOLE)[0]) + b"\n" + line.encode() + b"\n")
    assert files.verify() == 2
    said = capsys.readouterr()
    assert said.err.startswith(f"{files.heads} is no file of heads: line 2: {why}") and said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("{journal}", "--heads", "{missing}"), "{missing} can't be read: No such file or directory."),
        (("{missing}", "--heads", "{heads}"), "{missing} can't be read: No such file or directory."),
        (("{heads}", "--heads", "{heads}"), "{heads} is no journal: line 1 holds no entry (Object missing required field `offset`)."),
        (("{journal}", "--heads", "{empty}"), "{empty} holds no head."),
        (
            ("{journal}", "--heads", "{heads}", "--key", "core"),
            'A key is written as NAME=BASE64 with the 32 bytes of an Ed25519 public key; not "core".',
        ),
    ],
)
def test_wrong_usage_is_one_sentence(files: Files, tmp_path: Path, arguments: tuple[str, ...], sentence: str, capsys: Captured) -> None:
    names = {"journal": str(files.journal), "heads": str(files.heads), "missing": str(tmp_path / "none"), "empty": str(tmp_path / "empty")}
    (tmp_path / "empty").touch()
    assert run(["audit", "verify", *(argument.format(**names) for argument in arguments)]) == 2
    assert capsys.readouterr().err == sentence.format(**names) + "\n"


def test_a_made_key_signs_what_its_public_key_verifies(files: Files, tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "key"
    assert run(["audit", "key", str(path)]) == 0
    shown = capsys.readouterr().out.strip()
    assert path.stat().st_mode & 0o777 == 0o600
    private = base64.b64decode(path.read_text(encoding="ascii"))
    assert public(Ed25519PrivateKey.from_private_bytes(private)) == base64.b64decode(shown)
    signer = head_signer(AuditSettings(signing_key=f"file:{path}", key_name="k"), Secrets({}))
    assert signer is not None
    copy = heads(WHOLE)[0]
    value = json.dumps({"what": "head", "last_offset": 255, "head_sha256": copy.head_sha256, "prints": copy.prints}, separators=(",", ":")).encode()
    headers = dict(signer.headers(copy.journal_id, value))
    files.publish([msgspec.structs.replace(copy, key=headers["key"].decode(), signature=headers["signature"].decode())])
    files.keep(WHOLE[:BLOCK])
    assert files.verify(key=f"k={shown}") == 0
    assert run(["audit", "key", str(path)]) == 2
    assert capsys.readouterr().err.endswith(f"The file {path} can't be written: File exists.\n")


@pytest.mark.parametrize("value", ["", "AAAA", "no base64"])
def test_a_secret_that_is_no_key_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(RefusedError) as refused:
        head_signer(AuditSettings(signing_key="env:KEY"), Secrets({"KEY": value}))
    assert "env:KEY" in str(refused.value) and (not value or value not in str(refused.value))
    assert head_signer(AuditSettings(), Secrets({})) is None
