"""Commands that keep what Kafka has in a file: read to its end, with progress, and how many there were is said.

Knows no topic. Called by `journal export`, `audit heads` and the commands that need a copy of the journal.
"""

import pathlib
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.given import Given
from streams.refusals import RefusedError

if TYPE_CHECKING:
    from streams.journal_file import Progress
    from streams.kafka import Kafka

    Write = Callable[[Kafka, pathlib.Path, Progress | None], Coroutine[None, None, int]]

OutFile = Annotated[pathlib.Path, typer.Argument(help="File to write; gzipped if it ends in .gz.", show_default=False)]


def keep(chosen: Given, out: pathlib.Path, write: "Write") -> int:
    """Have `write` fill the file; how much it is. The file is there when it is whole, not before. Raises RefusedError."""
    from streams.terminal import shown_count

    try:
        with shown_count("read") as progress:
            return run_with_kafka(write(chosen.kafka(), out, progress), chosen.settings.kafka.bootstrap_servers)
    except OSError as error:
        raise RefusedError(f"The file {out} can't be written: {error.strerror}.") from error
