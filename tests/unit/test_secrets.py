"""Secrets: resolved by reference, masked wherever a log line could carry them."""

import io
import json
import logging
import pathlib

import pytest
import structlog

from streams.logs import configure_logs
from streams.secrets import Secrets, SecretUnavailableError
from streams.settings import LogSettings


@pytest.fixture(autouse=True)
def _logs_as_before() -> object:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def logged(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_reference_is_resolved_from_the_environment_or_a_file(tmp_path: pathlib.Path) -> None:
    (tmp_path / "password").write_text("from-file\n", encoding="utf-8")
    secrets = Secrets({"PASSWORD": "from-environment"})
    assert secrets.resolve("env:PASSWORD") == "from-environment"
    assert secrets.resolve(f"file:{tmp_path}/password") == "from-file"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("hunter2", "A secret must be given by reference, as env:NAME or file:PATH."),
        ("vault:x", "A secret must be given by reference, as env:NAME or file:PATH."),
        ("env:ABSENT", "The secret env:ABSENT is not set in the environment."),
        ("env:EMPTY", "The secret env:EMPTY is empty."),
        ("file:/nowhere/x", "The secret file:/nowhere/x can't be read: No such file or directory."),
    ],
)
def test_what_cannot_be_resolved_is_one_sentence(reference: str, expected: str) -> None:
    with pytest.raises(SecretUnavailableError) as caught:
        Secrets({"EMPTY": ""}).resolve(reference)
    assert str(caught.value) == expected


def test_a_resolved_secret_never_reaches_the_log() -> None:
    out, secrets = io.StringIO(), Secrets({"PASSWORD": "correct horse"})
    configure_logs(LogSettings(format="json"), secrets, out)
    secrets.resolve("env:PASSWORD")
    log = structlog.get_logger("test")
    log.info("connected with correct horse", url="kafka://u:correct horse@host", nested={"deep": ["correct horse"]}, sasl_password="other")
    logging.getLogger("aiokafka").error("refused: %s", "correct horse")
    log.error("failed", exc_info=ValueError("correct horse"))
    assert "correct horse" not in out.getvalue()
    assert len(logged(out)) == 3
    assert logged(out)[0]["sasl_password"] == "***"


def test_a_line_is_one_json_object_with_level_time_and_fields() -> None:
    out = io.StringIO()
    configure_logs(LogSettings(format="auto"), None, out)
    log = structlog.get_logger("test")
    log.debug("not shown")
    log.warning("source stopped", source="withdrawals/3", expected_offset=7)
    (line,) = logged(out)
    assert line["event"] == "source stopped" and line["level"] == "warning" and line["source"] == "withdrawals/3" and line["expected_offset"] == 7
    assert str(line["timestamp"]).endswith("Z")


def test_libraries_speak_only_when_something_is_wrong() -> None:
    out = io.StringIO()
    configure_logs(LogSettings(format="console"), None, out)
    logging.getLogger("aiokafka.consumer.group_coordinator").info("joined group")
    logging.getLogger("aiokafka.consumer.group_coordinator").warning("heartbeat failed")
    assert "joined group" not in out.getvalue()
    assert "heartbeat failed" in out.getvalue()
