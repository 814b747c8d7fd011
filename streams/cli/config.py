"""`config`: look at the configuration and check it, without a broker."""

import pathlib
from typing import Annotated

import typer

from streams.cli.given import given
from streams.cli.printing import on_terminal, print_rows, say

app = typer.Typer(help="Check and show the configuration.", no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog="Example: withdrawal-monitor config check /etc/withdrawal-monitor.toml")
def check(
    context: typer.Context,
    file: Annotated[pathlib.Path | None, typer.Argument(help="The file to check; what --config names if not given.")] = None,
) -> None:
    """Check a configuration file together with the environment and --set: one sentence if something is wrong, exit code 2."""
    from streams.configuration import configure, process_environment

    chosen = given(context)
    configuration = chosen.configuration if file is None else configure(file, process_environment(), chosen.flags)
    said = len({path for path, _ in configuration.set_by})
    print(f"{file or chosen.file or 'The defaults'}: sound; {said} settings are given, the rest is as by default.")


@app.command(epilog="Example: withdrawal-monitor --config monitor.toml config show --changed")
def show(
    context: typer.Context,
    changed: Annotated[bool, typer.Option("--changed", help="Only what doesn't come from the defaults.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show every setting: value, where it came from, what it may be, and what it means; secrets as references only."""
    rows = [row for row in given(context).configuration.rows() if not changed or row.origin != "default"]
    if on_terminal() and not as_json:
        print_rows(
            ("setting", "value", "from", "meaning"), [(row.name, row.value, str(row.origin), f"{row.description} ({row.type})") for row in rows]
        )
    else:
        facts = [(row.name, row.value, str(row.origin), row.type, row.description) for row in rows]
        print_rows(("setting", "value", "from", "type", "meaning"), facts, as_json=as_json)
    if not rows:
        say("Everything is as by default.")


@app.command("schema", epilog="Example: withdrawal-monitor config schema > config.schema.json")
def show_schema() -> None:
    """Print the JSON Schema of the configuration."""
    from streams.configuration import schema

    print(schema().decode())
