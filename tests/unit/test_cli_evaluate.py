"""`evaluate` as a command: every bad input is one sentence and exit code 2; CSV and Parquet say the same; the report's files."""

import csv
import gzip
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from streams.cli.app import run
from streams.cli.evaluate import duration_ms
from streams.refusals import RefusedError

pa = pytest.importorskip("pyarrow", reason="needs pyarrow, of the extra `study`")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow, of the extra `study`")

Captured = pytest.CaptureFixture[str]
Columns = dict[str, Any]
COLUMNS = "time=at,account=who,destination=to,asset=coin,amount=units,label=bad"
START_S = 1_700_000_000


def stream(n: int = 5_000, seed: int = 3) -> Columns:
    """Forty days of a small exchange; one in forty withdrawals is large, to a place that nobody paid before, and a fraud."""
    chance = np.random.default_rng(seed)
    at = START_S + np.sort(chance.integers(0, 40 * 86_400, n))
    bad = chance.random(n) < 0.025
    units = np.round(np.exp(chance.normal(3.0 + 2.0 * bad, 0.5)), 2)
    to = np.where(bad, 1_000 + np.arange(n), chance.integers(0, 60, n))
    coins = np.array(["BTC", "ETH"])[chance.integers(0, 2, n)]
    return {
        "at": at.tolist(),
        "who": chance.integers(0, 50, n).tolist(),
        "to": to.tolist(),
        "coin": coins.tolist(),
        "units": units.tolist(),
        "bad": bad.astype(int).tolist(),
    }


def written(columns: Columns, path: pathlib.Path) -> str:
    if path.suffix == ".parquet":
        parquet.write_table(pa.table(columns), path)
    else:
        with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as file:
            csv.writer(file).writerows([list(columns), *zip(*columns.values(), strict=True)])
    return str(path)


def evaluated(captured: Captured, *arguments: str, code: int = 0) -> str:
    assert run(["evaluate", *arguments]) == code, captured.readouterr()
    shown = captured.readouterr()
    assert "Traceback" not in shown.out + shown.err
    if code:
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        assert shown.err.endswith(".\n")
    return shown.err if code else shown.out


def small(**changed: Any) -> Columns:
    """Twelve days with one event each, one column changed: a value at row 4, or the whole list."""
    columns: Columns = {
        "at": [START_S + 86_400 * row for row in range(12)],
        "who": [1] * 12,
        "to": ["x", "y"] * 6,
        "coin": ["BTC"] * 12,
        "units": [1.5] * 12,
        "bad": [0] * 11 + [1],
    }
    for name, value in changed.items():
        columns[name] = value if isinstance(value, list) else [*columns[name][:3], value, *columns[name][4:]]
    return columns


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"units": ["1"] * 3 + ["many"] + ["1"] * 8}, "Row 4 has an amount that is no number (column units): 'many'."),
        ({"units": -0.5}, "Row 4 has a negative amount (column units): '-0.5'."),
        ({"units": 1e30}, "Row 4 has an absurd amount, above 1e+18 (column units): '1e+30'."),
        ({"units": float("nan")}, "Row 4 has an amount that isn't finite (column units): 'nan'."),
        ({"units": float("inf")}, "Row 4 has an amount that isn't finite (column units): 'inf'."),
        ({"units": [0] * 12}, "All amounts are 0 (column units)."),
        ({"bad": 2}, "Row 4 has a label that isn't 0 or 1 (column bad): '2'."),
        ({"bad": ["no"] * 12}, "Row 1 has a label that isn't 0 or 1 (column bad): 'no'."),
        ({"bad": None}, "Row 4 has no label (column bad)."),
        ({"who": None}, "Row 4 has no account (column who)."),
        ({"coin": None}, "Row 4 has no asset (column coin)."),
        ({"at": -5}, "Row 4 has a negative time (column at): '-5'."),
        ({"at": 5}, "Row 4 has an absurd time, outside 2000 to 2099 if its numbers are in s; --time-unit says otherwise (column at): '5'."),
        ({"at": ["2024-01-01"] * 3 + ["soon"] + ["2024-01-09"] * 8}, "Row 4 has a time that is neither a number nor ISO 8601 (column at): 'soon'."),
        ({"at": ["1024-01-01"] * 12}, "Row 1 has an absurd time, outside 2000 to 2099 (column at): '1024-01-01'."),
        ({"at": [START_S + row for row in range(12)]}, "The warm-up of 10 days is longer than the data, which span 0.000127 days."),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_values_that_cannot_be(changed: Columns, sentence: str, suffix: str, tmp_path: pathlib.Path, capsys: Captured) -> None:
    path = written(small(**changed), tmp_path / f"data.{suffix}")
    shown = evaluated(capsys, path, "--columns", COLUMNS, code=2).strip()
    assert shown.replace("'-5.0'", "'-5'").replace("'5.0'", "'5'").replace("'2.0'", "'2'") == sentence


def cut(path: pathlib.Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(content: bytes) -> Callable[[pathlib.Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "spoil", "beginning"),
    [
        ("data.parquet", cut, "The file {} isn't a whole Parquet file: "),
        ("data.parquet", overwritten(b"PAR1"), "The file {} isn't a whole Parquet file: "),
        ("data.parquet", overwritten(b""), "The file {} is empty."),
        ("data.parquet", overwritten(b"at,who\n1,2\n"), "The file {} isn't Parquet: it doesn't begin as such a file does."),
        ("data.csv", overwritten(b""), "The file {} is empty."),
        ("data.csv", overwritten(b"at,who,to,coin,units,bad\n"), "The file {} has columns but no row."),
        ("data.csv", overwritten(b"at,who,to,coin,units,bad\n1,2,3\n"), "Row 1 of {} has 3 fields, the header 6."),
        ("data.csv", overwritten(b"at,who,to,coin,units,bad,bad\n"), "The file {} has more than one column bad."),
        ("data.csv", overwritten(b'at,who,to,coin,units,bad\n"1,2'), "The file {} isn't sound CSV: "),
        ("data.csv", overwritten(bytes(range(128, 256)) * 9), "The file {} is neither Parquet nor CSV in UTF-8."),
        ("data.csv.gz", cut, "The file {} isn't sound CSV: "),
        ("data.csv.gz", overwritten(b"\x1f\x8bnonsense"), "The file {} isn't sound CSV: "),
        ("data.csv", pathlib.Path.unlink, "The file {} can't be read: No such file or directory."),
    ],
)
def test_files_that_cannot_be(name: str, spoil: Callable[[pathlib.Path], object], beginning: str, tmp_path: pathlib.Path, capsys: Captured) -> None:
    path = tmp_path / name
    written(small(), path)
    spoil(path)
    assert evaluated(capsys, str(path), "--columns", COLUMNS, code=2).startswith(beginning.format(path))


@pytest.mark.parametrize("name", ["data.parquet", "data.csv"])
def test_missing_columns_are_named_beside_those_that_exist(name: str, tmp_path: pathlib.Path, capsys: Captured) -> None:
    path = written(small(), tmp_path / name)
    shown = evaluated(capsys, path, "--columns", COLUMNS.replace("=who", "=whom").replace("=bad", "=worse"), code=2)
    assert shown == f"The file {path} has no column whom, worse; it has at, who, to, coin, units, bad.\n"


def test_a_table_without_rows(tmp_path: pathlib.Path, capsys: Captured) -> None:
    path = written({name: [] for name in small()}, tmp_path / "data.parquet")
    assert evaluated(capsys, path, "--columns", COLUMNS, code=2) == f"The file {path} has columns but no row.\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--columns", "time=at,account=who"], "--columns lacks destination, amount, label: time, account, destination, amount, label are needed."),
        (["--columns", COLUMNS + ",label=bad"], "--columns: label is given twice."),
        (["--columns", COLUMNS + ",who"], "--columns: who isn't MEANING=COLUMN, as time=ts."),
        (["--label-policy", "most"], "--label-policy: most is no policy; give none, all, or alerted, audit and reported:SHARE joined by +."),
        (["--label-policy", "alerted+reported:2"], "--label-policy: reported:2 needs a share above 0 and at most 1, as reported:0.5."),
        (["--label-delay", "a week"], "--label-delay: a week is no duration; give 7d, 12h, 30m or 90s."),
        (["--warm-up", "-1d"], "--warm-up: -1d is no duration; give 7d, 12h, 30m or 90s."),
        (["--peer-events", "5"], "--peer-events goes with --peers only."),
        (["--test-from", "2024-01-01"], "--test-from and --test-to go with --protocol handbook only."),
        (["--protocol", "handbook"], "--protocol handbook needs --test-from and --test-to."),
        (["--protocol", "handbook", "--test-from", "June", "--test-to", "2023-12-01"], "--test-from: June is no day, as 2018-06-06."),
        (
            ["--protocol", "handbook", "--test-from", "2023-12-02", "--test-to", "2023-12-01"],
            "--test-to 2023-12-01 is before --test-from 2023-12-02.",
        ),
        (
            ["--protocol", "handbook", "--test-from", "2023-11-20", "--test-to", "2023-11-25"],
            "From --test-from to --test-to there is no whole test of 7 days.",
        ),
        (
            ["--protocol", "handbook", "--test-from", "2023-12-20", "--test-to", "2023-12-26"],
            "The test from 2023-12-20 on has no event; the data are from 2023-11-14 to 2023-11-25.",
        ),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_options_that_cannot_be(arguments: list[str], sentence: str, tmp_path: pathlib.Path, capsys: Captured) -> None:
    path = written(small(), tmp_path / "data.csv")
    columns = [] if "--columns" in arguments else ["--columns", COLUMNS]
    assert evaluated(capsys, path, *columns, *arguments, code=2) == sentence + "\n"


@pytest.mark.parametrize(
    ("library", "arguments", "sentence"),
    [
        ("pyarrow", [], "Parquet needs pyarrow: install withdrawal-monitor[study], which has it."),
        ("matplotlib", ["--report", "out"], "--report needs matplotlib: install withdrawal-monitor[study], which has it."),
    ],
)
def test_a_library_that_is_not_there(
    library: str, arguments: list[str], sentence: str, tmp_path: pathlib.Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(small(), tmp_path / "data.parquet")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)
    assert evaluated(capsys, path, "--columns", COLUMNS, *arguments, code=2) == sentence + "\n"


def test_the_answer_comes_first(tmp_path: pathlib.Path, capsys: Captured) -> None:
    path = written(stream(), tmp_path / "data.parquet")
    shown = evaluated(capsys, path, "--columns", COLUMNS, "--bootstrap", "20", "--without-run-age").splitlines()
    assert shown[0].startswith("Average precision 0.")
    assert "labels: all after 7 days" in shown[0]
    assert [line.split("  ")[0] for line in shown if line.startswith("lanes")] == ["lanes", "lanes without run age"]


def test_csv_gzip_and_units_of_time_give_what_parquet_gives(tmp_path: pathlib.Path, capsys: Captured) -> None:
    columns = stream()
    later = columns | {"at": [at * 1_000 for at in columns["at"]], "who": [str(who) for who in columns["who"]]}
    text = columns | {"at": [str(np.datetime64(at, "s")) for at in columns["at"]], "bad": [str(bool(bad)).lower() for bad in columns["bad"]]}
    stamped = columns | {"at": np.array(columns["at"], "datetime64[s]")}
    reordered = {name: values[::-1] for name, values in columns.items()}
    files = [
        written(columns, tmp_path / "data.parquet"),
        written(columns, tmp_path / "data.csv"),
        written(later, tmp_path / "data.csv.gz"),
        written(text, tmp_path / "text.csv"),
        written(stamped, tmp_path / "stamped.parquet"),
        written(reordered, tmp_path / "reordered.parquet"),
    ]
    results = [json.loads(evaluated(capsys, file, "--columns", COLUMNS, "--json", "--bootstrap", "0")) for file in files]
    assert "The file isn't in order of time; its rows were sorted." in results[-1]["notes"]
    for result in results:
        for name in ("file", "scoring_us", "labelling_us", "notes"):
            del result[name]
        for row in result["rows"]:
            del row["cpu_us"]
    distinct = len(set(columns["at"])) == len(columns["at"])  # rows of one second would change places in the reversed file
    for result in results[1 : None if distinct else -1]:
        assert result == results[0]
    figures = results[0]["rows"][0]["figures"]
    assert figures["average_precision"] > 0.5, "frauds of this stream are plain to see"


def test_further_columns_are_used(tmp_path: pathlib.Path, capsys: Captured) -> None:
    """A stream whose frauds show by their new device alone."""
    columns = stream()
    n = len(columns["at"])
    chance = np.random.default_rng(9)
    columns["units"] = np.round(np.exp(chance.normal(3.0, 0.5, n)), 2).tolist()
    columns["to"] = chance.integers(0, 60, n).tolist()
    columns["phone"] = [f"new-{row}" if bad else f"of-{who}" for row, (bad, who) in enumerate(zip(columns["bad"], columns["who"], strict=True))]
    columns["held"] = [1_000.0 if row % 2 else None for row in range(n)]
    path = written(columns, tmp_path / "data.parquet")
    without, with_device = (
        json.loads(evaluated(capsys, path, "--columns", COLUMNS + more, "--json", "--bootstrap", "0"))["rows"][0]["figures"]["average_precision"]
        for more in ("", ",device=phone,balance=held")
    )
    assert with_device > 3 * without


def test_a_stream_too_short_to_learn_from(tmp_path: pathlib.Path, capsys: Captured) -> None:
    """Everything is WARMING, nothing alerts, no block ends: figures there are still."""
    path = written(small(), tmp_path / "data.csv")
    shown = evaluated(capsys, path, "--columns", COLUMNS, "--label-policy", "none", "--hold", "--report", str(tmp_path / "report"))
    assert "Counted: 2 of 12 events with 1 frauds" in shown
    assert "Alerts: 0.0 a day" in shown


def test_no_fraud_is_said_and_the_rest_is_shown(tmp_path: pathlib.Path, capsys: Captured) -> None:
    columns = stream(3_000)
    path = written(columns | {"bad": [0] * 3_000}, tmp_path / "data.parquet")
    shown = evaluated(capsys, path, "--columns", COLUMNS)
    assert shown.startswith("No counted event is labelled as fraud: average precision, ROC-AUC and recall are undefined.\n")
    assert "Alerts: " in shown
    result = json.loads(evaluated(capsys, path, "--columns", COLUMNS, "--json"))
    figures = result["rows"][0]["figures"]
    assert (figures["roc_auc"], figures["average_precision"], figures["at"][0]["recall"]) == (None, None, None)


def test_report(tmp_path: pathlib.Path, capsys: Captured) -> None:
    image = pytest.importorskip("matplotlib.image", reason="needs matplotlib, of the extra `study`")
    path = written(stream(), tmp_path / "data.parquet")
    folder = tmp_path / "a" / "report"
    arguments = ["--protocol", "handbook", "--test-from", "2023-11-28", "--test-to", "2023-12-18", "--test-days", "7"]
    shown = evaluated(capsys, path, "--columns", COLUMNS, "--report", str(folder), "--bootstrap", "0", *arguments)
    assert "Handbook's protocol, lanes: AUC " in shown
    assert "lanes without run age, test from" in shown
    pictures = ["alerts_per_day.png", "calibration.png", "precision_recall.png", "roc.png"]
    assert sorted(file.name for file in folder.iterdir()) == sorted([*pictures, "figures.csv", "figures.md"])
    for name in pictures:
        pixels = image.imread(folder / name)[:, :, :3]
        inside = pixels[90:-90, 150:-120]  # without title, axes and their numbers
        assert len(np.unique(inside.reshape(-1, 3), axis=0)) > 20, f"{name} is empty"
    rows = list(csv.reader((folder / "figures.csv").read_text().splitlines()))
    assert rows[0][:4] == ["who", "events", "frauds", "AP"]
    assert [row[0] for row in rows[1:3]] == ["lanes", "lanes without run age"]
    assert all(cell in (folder / "figures.md").read_text() for cell in rows[1])


def test_report_where_nothing_can_be_written(tmp_path: pathlib.Path, capsys: Captured) -> None:
    path = written(small(), tmp_path / "data.parquet")
    shown = evaluated(capsys, path, "--columns", COLUMNS, "--report", f"{path}/report", code=2)
    assert shown == f"The folder {path}/report can't be made: Not a directory.\n"


@pytest.mark.parametrize(("text", "expected"), [("7d", 604_800_000), ("1.5h", 5_400_000), ("30m", 1_800_000), ("90s", 90_000), ("0", 0)])
def test_durations(text: str, expected: int) -> None:
    assert duration_ms("--warm-up", text) == expected


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "7 d", "1e3d", "7w", "nan"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(RefusedError):
        duration_ms("--warm-up", text)
