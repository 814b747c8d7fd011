"""A library that says the same hundreds of times a second is heard once; our own lines are all written."""

import io
import logging
from collections.abc import Iterator

import pytest

from streams.logs import REPEAT_AFTER_S, configure_logs
from streams.settings import LogSettings


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:]
    stream = io.StringIO()
    configure_logs(LogSettings(format="json"), stream=stream)
    yield stream
    root.handlers[:] = before


def say(logger: str, message: str, *values: object, after_s: float = 0.0) -> None:
    record = logging.LogRecord(logger, logging.ERROR, __file__, 1, message, values, None)
    record.created += after_s
    logging.getLogger().handle(record)


def test_the_same_message_of_kafkas_client_is_written_once(written: io.StringIO) -> None:
    for node in range(500):
        say("aiokafka.client", "Unable connect to node with id %s", node)
    say("aiokafka.client", "Another message")
    say("aiokafka.client", "Unable connect to node with id %s", 7, after_s=REPEAT_AFTER_S + 1)
    assert [line.count("Unable connect") for line in written.getvalue().splitlines()] == [1, 0, 1]


def test_our_own_lines_are_all_written(written: io.StringIO) -> None:
    for _ in range(5):
        say("streams.core", "alert")
    assert written.getvalue().count("alert") == 5
