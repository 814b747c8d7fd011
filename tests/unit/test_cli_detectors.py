"""`detectors` as a person and as a script see it; installed detectors of others."""

import json
import pathlib
from importlib.metadata import EntryPoint

import pytest

from detectors.checks import Story
from detectors.half_space_trees import HalfSpaceTrees
from detectors.registry import DETECTORS, Entry, UnknownDetectorError
from detectors.tail import TailBins
from streams import detector_checks, plug_ins
from streams.cli.app import run

Captured = pytest.CaptureFixture[str]
CONFIGURED = '[[policy.river]]\nname = "svm"\nestimator = "anomaly.OneClassSVM"\n'


def others(parts: object) -> HalfSpaceTrees:
    return HalfSpaceTrees(("a", "b"), TailBins(2, 2))


THEIRS = Entry("whatever", others, "What do others say?")
NO_ENTRY = 7


@pytest.fixture
def entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed detectors: one that loads, one that isn't a detector, and one whose package is gone."""
    module = __name__
    monkeypatch.setitem(__import__("sys").modules, "their_package", __import__("sys").modules[module])
    points = [
        EntryPoint(name, f"{where}:{what}", plug_ins.GROUP)
        for name, where, what in (("theirs", "their_package", "THEIRS"), ("number", "their_package", "NO_ENTRY"), ("gone", "no_such_package", "x"))
    ]

    def found(group: str, name: str | None = None) -> list[EntryPoint]:
        assert group == "withdrawal_monitor.detectors"
        return [point for point in points if name in {None, point.name}]

    monkeypatch.setattr(plug_ins, "entry_points", found)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks' machinery without their length: the checks themselves are tested with every detector."""

    def first_check(make: object, story: Story) -> str:
        return ""

    def second_check(make: object, story: Story) -> str:
        detector = make(story.names)  # type: ignore[operator]
        return "too plain" if detector.name == "svm" else ""

    monkeypatch.setattr(detector_checks, "CHECKS", (first_check, second_check))
    monkeypatch.setattr(detector_checks, "_timed", lambda *_: 3.0)
    monkeypatch.setattr(detector_checks, "told", lambda: Story(None, None, None, ("amount", "burst")))  # type: ignore[arg-type]


def test_list_shows_ours_the_configured_and_the_installed(tmp_path: pathlib.Path, capsys: Captured, entry_points: None) -> None:
    file = tmp_path / "monitor.toml"
    file.write_text(CONFIGURED, encoding="utf-8")
    assert run(["detectors", "list", "--config", str(file), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["detector"] for row in rows] == [*(entry.name for entry in DETECTORS), "svm", "gone", "number", "theirs"]
    svm = rows[len(DETECTORS)]
    assert (svm["from"], svm["scope"], svm["family"]) == ("river", "everything", "multivariate")
    assert svm["question"] == "What does river's anomaly.OneClassSVM say?"
    assert rows[-1]["question"] == "takes no part: policy.plug_ins doesn't name it"


def test_check_runs_on_one_of_ours(capsys: Captured, short: None) -> None:
    assert run(["detectors", "check", "wallet_outflow"]) == 0
    printed = capsys.readouterr()
    assert printed.out == "wallet_outflow\tyes\t2 of 2\t3\t\n"
    assert printed.err == "1 of 1 keep the contract.\n"


def test_a_detector_that_breaks_a_check_is_refused_by_name(tmp_path: pathlib.Path, capsys: Captured, short: None) -> None:
    file = tmp_path / "monitor.toml"
    file.write_text(CONFIGURED, encoding="utf-8")
    assert run(["detectors", "check", "svm", "--config", str(file)]) == 2
    printed = capsys.readouterr()
    assert printed.out == "svm\tno\t1 of 2\t3\tsecond_check: too plain\n"
    assert printed.err == "svm: not a detector that the monitor would take.\n"


def test_a_detector_that_takes_too_long_is_refused(capsys: Captured, short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_checks, "_timed", lambda *_: 5_001.0)
    assert run(["detectors", "check", "--river", "anomaly.OneClassSVM"]) == 2
    assert "too slow: 5,001 µs for one observation" in capsys.readouterr().out


def test_river_all_lists_those_that_can_not_be_made_too(capsys: Captured, short: None) -> None:
    assert run(["detectors", "check", "--river", "all", "--json"]) == 0
    rows = {row["detector"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["anomaly.OneClassSVM"]["passes"] == "yes"
    assert "needs its parameter anomaly_detector" in rows["anomaly.QuantileFilter"]["what it breaks"]
    assert len(rows) == 9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["wallet_outflo"], "There is no detector wallet_outflo; did you mean wallet_outflow?"),
        (["--river", "anomaly.Nothing"], "anomaly.Nothing is not an estimator of river; known are "),
        (["wallet_outflow", "--river", "all"], "Give either NAME or --river."),
        (["gone"], "the detector gone (no_such_package:x) can't be loaded: ModuleNotFoundError"),
        (["number"], "the detector number (their_package:NO_ENTRY) is not an Entry of detectors.registry"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], said: str, capsys: Captured, entry_points: None) -> None:
    assert run(["detectors", "check", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(said) and printed.err.count("\n") == 1
    assert not printed.out


def test_an_installed_detector_is_found_under_its_entry_points_name(entry_points: None) -> None:
    assert plug_ins.installed("theirs").name == "theirs"
    assert plug_ins.names() == ["gone", "number", "theirs"]
    with pytest.raises(UnknownDetectorError, match="the detector nobody, which the policy names, is not installed here"):
        plug_ins.installed("nobody")
