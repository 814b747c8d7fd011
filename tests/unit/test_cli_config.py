"""`config` and `version` as a person and as a script see them."""

import json
import pathlib

import pytest

from streams.cli.app import run

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: pathlib.Path) -> pathlib.Path:
    written = tmp_path / "monitor.toml"
    written.write_text("[kafka]\npartitions = 12\n", encoding="utf-8")
    return written


def test_show_is_a_line_per_setting_off_a_terminal(file: pathlib.Path, capsys: Captured) -> None:
    assert run(["config", "show", "--config", str(file)]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert {len(row) for row in rows} == {5}
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["kafka.partitions"][:2] == ["12", "file"]
    assert by_name["kafka.topic_prefix"][1] == "default"


def test_show_changed_names_where_each_value_came_from(file: pathlib.Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WITHDRAWAL_MONITOR__LOG__LEVEL", "debug")
    monkeypatch.setenv("WITHDRAWAL_MONITOR_CONFIG", str(file))
    assert run(["config", "show", "--changed", "--json", "--set", "web.port=0"]) == 0
    shown = {row["setting"]: (row["value"], row["from"]) for row in json.loads(capsys.readouterr().out)}
    assert shown == {"kafka.partitions": ("12", "file"), "log.level": ("debug", "environment"), "web.port": ("0", "flag")}


def test_show_on_a_terminal_is_a_table(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    assert run(["config", "show"]) == 0
    shown = capsys.readouterr().out
    assert "setting" in shown and "meaning" in shown
    assert "[" in shown, "what looks like markup is shown as it is"


def test_check_says_that_a_file_is_sound(file: pathlib.Path, capsys: Captured) -> None:
    assert run(["config", "check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: sound; 1 settings are given, the rest is as by default.\n"


def test_check_refuses_a_bad_file(file: pathlib.Path, capsys: Captured) -> None:
    file.write_text("[kafka]\npartitons = 12\n", encoding="utf-8")
    assert run(["config", "check", str(file)]) == 2
    said = capsys.readouterr()
    assert said.err == "kafka.partitons is not a setting (in monitor.toml); did you mean partitions?\n"
    assert said.out == ""


def test_schema_is_printed_as_json(capsys: Captured) -> None:
    assert run(["config", "schema"]) == 0
    assert "$defs" in json.loads(capsys.readouterr().out)
