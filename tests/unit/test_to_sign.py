"""What `sign-off` shows before it signs, from the bytes that it signs; and what it doesn't sign."""

import base64
import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import typer

from streams.cli.app import run
from streams.journal_file import line_of
from streams.refusals import RefusedError
from streams.to_sign import to_sign
from tests.unit.test_compensation_files import compensate, sign, told
from tests.unit.test_decided import KEYS


def made(out: Path, *, compensated: bool = True) -> dict[str, Any]:
    """The compensation file of a story, as it is written."""
    story, path = told(compensated=compensated), out.with_suffix(".jsonl")
    path.write_bytes(b"".join(line_of(offset, entry) for offset, entry in enumerate(story.entries)))
    return compensate(next(iter(story.engine.state.incidents.by_id)), path, out, rule="fixed:1000.5")


def test_what_is_signed_is_shown_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    found = made(out, compensated=False)
    incident_id = found["statement"]["incident_id"]
    capsys.readouterr()
    sign(out, "lea")
    said = capsys.readouterr().err.splitlines()
    totals = found["statement"]["totals"]
    assert said[:8] == [
        f"  incident: {incident_id}", f"  journal: {found['statement']['journal_id']}, up to offset {found['statement']['last_offset']}",
        f"  customers: {totals['customers']}", f"  customers' loss: {int(totals['customers_base_amount']):,} JPY", "  own loss: 0 JPY",
        f"  not attributed: {totals['not_attributed_base_amount']} JPY", f"  together: {int(totals['base_amount']):,} JPY",
        f"  of it BTC: {found['statement']['assets'][0]['quantity']}, {int(totals['base_amount']):,} JPY",
    ]  # fmt: skip
    assert said[8:10] == ["  price rule: fixed:1000.5", "  price of BTC: 1000.5 JPY"]
    assert said[10:] == [
        f"  SHA-256: {found['statement_sha256']}", "  DRAFT: 1 mark(s) are only suspected: it stays a draft whoever signs",
        "  DRAFT: signed by nobody so far: 2 persons must sign", f"Signed by lea: incident {incident_id}, statement {found['statement_sha256']}.",
    ]  # fmt: skip


def test_whoever_says_no_has_signed_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    made(out)
    key_file = out / "lea.key"
    key_file.write_text(base64.b64encode(KEYS["lea"].private_bytes_raw()).decode())
    key_file.chmod(0o600)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda *_, **__: False)
    arguments = ("sign-off", str(out / "compensation.json"), "--actor", "lea", "--key-file", str(key_file), "--out", str(out / "lea.json"))
    assert run(arguments) == 1
    assert "Nothing was signed." in capsys.readouterr().err and not (out / "lea.json").exists()
    assert run((*arguments, "--yes")) == 0


def test_a_file_whose_totals_its_lines_contradict_is_not_signed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    made(out)
    path = out / "compensation.json"
    whole = path.read_bytes()
    for name in ("customers", "customers_base_amount", "own_base_amount", "not_attributed_base_amount", "quantity"):
        file = json.loads(whole)
        place = file["statement"]["assets"][0] if name == "quantity" else file["statement"]["totals"]
        place[name] = 7 if name == "customers" else "7"
        content = json.dumps(file["statement"], separators=(",", ":"))
        path.write_text(f'{{"status":"DRAFT","sign_offs":[],"statement_sha256":"{sha256(content.encode()).hexdigest()}","statement":{content}}}')
        with pytest.raises(RefusedError, match="contradicts itself"):
            to_sign(path)
