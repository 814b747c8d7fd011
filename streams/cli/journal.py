"""`journal`: keep the journal in a file."""

import pathlib
from typing import Annotated

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.given import given
from streams.cli.printing import say
from streams.refusals import RefusedError

app = typer.Typer(help="Keep the journal in a file.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Keep the journal in a file."""  # a callback keeps `export` a command of its own although it is the only one


@app.command(epilog="Example: withdrawal-monitor journal export journal.jsonl.gz")
def export(
    context: typer.Context, out: Annotated[pathlib.Path, typer.Argument(help="File to write; gzipped if it ends in .gz.", show_default=False)]
) -> None:
    """Write every entry of the journal with its offset, byte for byte: the archive, which `audit verify` and `replay` read."""
    from streams.journal_file import write_journal

    chosen = given(context)
    try:
        count = run_with_kafka(write_journal(chosen.kafka(), out), chosen.settings.kafka.bootstrap_servers)
    except OSError as error:
        raise RefusedError(f"The file {out} can't be written: {error.strerror}.") from error
    say(f"{count:,} entries.")
