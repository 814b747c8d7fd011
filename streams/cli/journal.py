"""`journal`: keep the journal in a file."""

import typer

from streams.cli.given import given
from streams.cli.keeping import OutFile, keep
from streams.cli.printing import say

app = typer.Typer(help="Keep the journal in a file.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Keep the journal in a file."""  # a callback keeps `export` a command of its own although it is the only one


@app.command(epilog="Example: withdrawal-monitor journal export journal.jsonl.gz")
def export(context: typer.Context, out: OutFile) -> None:
    """Write every entry of the journal with its offset, byte for byte: the archive, which `audit verify` and `replay` read."""
    from streams.journal_file import write_journal

    say(f"{keep(given(context), out, write_journal):,} entries.")
