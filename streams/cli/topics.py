"""`topics`: make what the monitor needs on the broker, and check it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.given import given
from streams.cli.printing import say
from streams.refusals import RefusedError

if TYPE_CHECKING:
    from streams.topics import Problem

app = typer.Typer(help="Make and check the topics.", no_args_is_help=True, rich_markup_mode=None)


@app.command(epilog="Example: withdrawal-monitor --config monitor.toml topics apply")
def apply(context: typer.Context) -> None:
    """Make the topics that are missing and set what our own need; the exchange's topics are never changed, none is ever deleted."""
    from streams.topics import apply_topics

    chosen = given(context)
    applied = run_with_kafka(apply_topics(chosen.kafka(), chosen.settings), chosen.settings.kafka.bootstrap_servers)
    for verb, names in (("made", applied.made), ("changed", applied.changed)):
        for name in names:
            print(f"{verb}\t{name}")
    say(f"{len(applied.made)} made, {len(applied.changed)} changed.")
    _refuse(applied.problems)


@app.command(epilog="Example: withdrawal-monitor --config monitor.toml topics check")
def check(context: typer.Context) -> None:
    """Check partitions, replicas and settings of every topic: a sentence for each that is wrong, exit code 2."""
    from streams.topics import check_topics

    chosen = given(context)
    _refuse(run_with_kafka(check_topics(chosen.kafka(), chosen.settings), chosen.settings.kafka.bootstrap_servers))
    say("All topics are as they must be.")


def _refuse(problems: "Sequence[Problem]") -> None:
    """Say each problem on a line of its own, if there is any. Raises RefusedError."""
    if problems:
        raise RefusedError("\n".join(problem.sentence for problem in problems))
