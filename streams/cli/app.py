"""The root of the command line: global options, the groups of commands, and how every failure ends.

Commands are in the files beside it. `main` is the console script; `run` is the same for tests, with the exit code as its value.
"""

import pathlib
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from streams.cli import (
    audit,
    compensation,
    config,
    core,
    coverage,
    dead_letter,
    decide,
    detectors,
    evaluate,
    incidents,
    journal,
    policy,
    scenario,
    sources,
    study,
    topics,
)  # fmt: skip
from streams.cli import run as running
from streams.cli.given import Given
from streams.refusals import RefusedError

PROGRAM = "withdrawal-monitor"
REFUSED = 2
"""Exit code of everything that a person can mend: usage, configuration, a broker that isn't there."""
INTERRUPTED = 130
DEFECT = 70
"""Exit code for a defect of ours (EX_SOFTWARE): what a person can't mend."""
ANYWHERE = ("--config", "--set")
TRACEBACK = "--traceback"

app = typer.Typer(
    name=PROGRAM,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help comes in half the time of rich help
    epilog="Example: withdrawal-monitor demo",
)
for group, name in (
    (topics.app, "topics"),
    (config.app, "config"),
    (sources.app, "sources"),
    (dead_letter.app, "dead-letter"),
    (core.app, "core"),
    (journal.app, "journal"),
    (audit.app, "audit"),
    (decide.app, "decide"),
    (policy.app, "policy"),
    (detectors.app, "detectors"),
    (scenario.app, "scenario"),
):
    app.add_typer(group, name=name)
for commands in (running.app, incidents.app, coverage.app, compensation.app, study.app, evaluate.app):
    app.registered_commands += commands.registered_commands


@app.callback()
def options(
    context: typer.Context,
    config_file: Annotated[
        pathlib.Path | None,
        typer.Option("--config", envvar="WITHDRAWAL_MONITOR_CONFIG", help="The configuration file (TOML). May stand anywhere.", show_default=False),
    ] = None,
    flags: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="One setting, as kafka.topic_prefix=x; repeatable. May stand anywhere.", show_default=False),
    ] = None,
    _traceback: Annotated[bool, typer.Option(TRACEBACK, help="For a defect of ours: show where it happened. May stand anywhere.")] = False,
) -> None:
    """Score every withdrawal of an exchange, mark what is suspected against the reserve, and say so at once."""
    context.obj = Given(config_file, flags or ())


def main() -> None:
    """Run the command line with the process's own arguments and end the process."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code: 0 done, 2 refused with a sentence, 130 interrupted, 70 a defect of ours."""
    try:
        code = app(args=hoisted(arguments), prog_name=PROGRAM, standalone_mode=False)
    except RefusedError as error:
        return _fail(str(error), REFUSED)
    except typer.TyperException as error:
        message = " ".join(error.format_message().split()).replace(": Value error, ", ": ")  # the library's own words, on one line
        # Without a command the help has been shown already, and the message is empty.
        return _fail(f"{message} ({PROGRAM} --help shows how.)", REFUSED) if message else REFUSED
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the last place: a sentence for people, and all that is known for us
        if TRACEBACK in arguments:
            traceback.print_exc()
        return _fail(f"This is a defect of {PROGRAM}: {type(error).__name__}: {error} ({TRACEBACK} shows where).", DEFECT)
    return code if isinstance(code, int) else 0


def hoisted(arguments: Sequence[str]) -> list[str]:
    """The arguments with --config, --set and --traceback in front, wherever they stood."""
    front: list[str] = []
    rest: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            rest += [argument, *remaining]
        elif argument in ANYWHERE:
            front += [argument, *(value for value in (next(remaining, None),) if value is not None)]
        elif argument == TRACEBACK or argument.startswith(tuple(f"{name}=" for name in ANYWHERE)):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


def _fail(message: str, code: int) -> int:
    print(message, file=sys.stderr)
    return code
