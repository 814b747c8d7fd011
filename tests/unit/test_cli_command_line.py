"""The command line as a whole: help, exit codes, one sentence per failure, and no traceback."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.testing import CliRunner

from streams.cli import app as command_line
from streams.cli.app import hoisted, run
from streams.refusals import RefusedError

Captured = pytest.CaptureFixture[str]


def commands(group: typer.Typer, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Every command: its path, its sentence, its example."""
    for command in group.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        yield (*prefix, name), command.callback.__doc__ or "", str(command.epilog or "")
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, (*prefix, str(inner.name)))


COMMANDS = list(commands(command_line.app))


@pytest.mark.parametrize(("path", "sentence", "example"), COMMANDS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_every_command_has_a_sentence_an_example_and_help(path: tuple[str, ...], sentence: str, example: str) -> None:
    assert sentence.strip().endswith(".")
    assert "\n" not in sentence.strip(), "one sentence, one line"
    assert example.startswith("Example: withdrawal-monitor ")
    assert all(word in example for word in path)
    shown = CliRunner().invoke(command_line.app, [*path, "--help"])
    assert shown.exit_code == 0
    assert sentence.split(maxsplit=1)[0] in shown.output


def test_help_waits_for_no_library() -> None:
    code = (
        "import sys; from streams.cli.app import run; run(['--help']); run(['dead-letter', '--help']);"
        "print(*sorted({'aiokafka', 'aiohttp', 'faust', 'msgspec', 'numba', 'numpy', 'prometheus_client', 'rich', 'river'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ""


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nonsense"], "No such command 'nonsense'. (withdrawal-monitor --help shows how.)"),
        (["config", "show", "--nonsense"], "No such option: --nonsense (withdrawal-monitor --help shows how.)"),
        (["sources", "accept", "withdrawals/1"], "Missing option '--position'. (withdrawal-monitor --help shows how.)"),
        (
            ["worker", "--role", "both"],
            "Invalid value for '--role': 'both' is not one of 'intake', 'core', 'all'. (withdrawal-monitor --help shows how.)",
        ),
        (["--config", "/nowhere.toml", "config", "show"], "The configuration file /nowhere.toml can't be read: No such file or directory."),
        (
            ["config", "show", "--set", "kafka.partitions=0"],
            "kafka.partitions must be a whole number from 1 to 1000; not 0 (by the flag --set kafka.partitions).",
        ),
        (["replay"], "Give either a file to replay or --from-kafka."),
        (["replay", "x.jsonl", "--compare"], "--compare needs published outputs, so it goes with --from-kafka only."),
        (["replay", "/nowhere.jsonl"], "/nowhere.jsonl can't be read: No such file or directory."),
        (["simulate"], "Give either --out FILE or --to-kafka."),
        (["simulate", "--out", "/nowhere/x.jsonl", "--seconds", "1"], "The file /nowhere/x.jsonl can't be written: No such file or directory."),
        (["dead-letter", "retry"], "Say which dead letters: positions, --topic, --reason or --all."),
        (["dead-letter", "retry", "withdrawals"], 'A position is written as topic/partition@offset, as in withdrawals/3@1200; not "withdrawals".'),
        (["dead-letter", "retry", "--all", "--value", "x"], "A corrected value repairs one record: give exactly one position with --value."),
        (["sources", "show", "--url", "ftp://x"], 'A worker\'s site is written as http://host:port; not "ftp://x".'),
    ],
)
def test_a_refusal_is_one_sentence_and_exit_code_2(arguments: list[str], sentence: str, capsys: Captured) -> None:
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.err.strip() == sentence
    assert not said.out


@pytest.mark.parametrize("command", [["topics", "check"], ["topics", "apply"], ["dead-letter", "list"], ["replay", "--from-kafka"], ["worker"]])
def test_a_bad_setting_stops_every_command_before_it_does_anything(command: list[str], capsys: Captured) -> None:
    assert run([*command, "--set", "kafka.replication_factor=1"]) == 2
    assert capsys.readouterr().err.startswith("kafka.min_insync_replicas (2) must be at most kafka.replication_factor (1)")


@pytest.mark.parametrize(
    "command",
    [
        ["topics", "check"],
        ["topics", "apply"],
        ["dead-letter", "list"],
        ["dead-letter", "retry", "--all"],
        ["sources", "rewind", "withdrawals/0", "0", "--reason", "x"],
        ["sources", "accept", "withdrawals/0", "--position", "start", "--actor", "x", "--reason", "x"],
        ["core", "quarantine", "0", "--scope", "entry", "--reason", "x"],
        ["simulate", "--to-kafka", "--seconds", "1", "--at-once"],
    ],
    ids=" ".join,
)
def test_a_broker_that_is_not_there_is_one_sentence(command: list[str], capsys: Captured) -> None:
    assert run([*command, "--set", "kafka.bootstrap_servers=127.0.0.1:1"]) == 2
    assert capsys.readouterr().err.strip() == "Kafka can't be reached at 127.0.0.1:1 (setting kafka.bootstrap_servers)."


def test_a_secret_that_is_not_there_is_one_sentence(capsys: Captured) -> None:
    security = ["kafka.security_protocol=SASL_PLAINTEXT", "kafka.sasl_username=monitor", "kafka.sasl_password=env:ABSENT"]
    assert run(["topics", "check", *(word for setting in security for word in ("--set", setting))]) == 2
    assert capsys.readouterr().err.strip() == "The secret env:ABSENT is not set in the environment."


def test_no_worker_is_one_sentence(capsys: Captured) -> None:
    assert run(["sources", "show", "--set", "web.port=1"]) == 2
    assert capsys.readouterr().err.strip() == ("No worker answers at http://127.0.0.1:1; give its site with --url (settings web.host and web.port).")


class Ends:
    """A command that ends as it is told."""

    def __init__(self, with_: BaseException) -> None:
        self.app = typer.Typer()
        self._with = with_

        @self.app.command()
        def only() -> None:
            raise self._with


@pytest.mark.parametrize(
    ("with_", "code", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (RefusedError("No."), 2, "No."),
        (ZeroDivisionError("x"), 70, "This is a defect of withdrawal-monitor: ZeroDivisionError: x (--traceback shows where)."),
        (typer.Exit(3), 3, ""),
    ],
)
def test_how_a_command_ends(with_: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(command_line, "app", Ends(with_).app)
    assert run([]) == code
    assert capsys.readouterr().err.strip() == said


def test_a_traceback_is_shown_only_when_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    group = Ends(ZeroDivisionError("x")).app
    group.callback()(command_line.options)
    monkeypatch.setattr(command_line, "app", group)
    assert run(["only", "--traceback"]) == 70
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("worker --config x", "--config x worker"),
        ("worker --set=a.b=1 --role core --set c=2", "--set=a.b=1 --set c=2 worker --role core"),
        ("replay -- --config", "replay -- --config"),
        ("worker --config", "--config worker"),
    ],
)
def test_global_options_may_stand_anywhere(given: str, expected: str) -> None:
    assert hoisted(given.split()) == expected.split()


def test_a_closed_pipe_ends_quietly() -> None:
    command = [sys.executable, "-c", "from streams.cli import main; main()", "config", "schema"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 1
