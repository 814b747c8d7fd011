"""`detectors`: which there are, and whether one keeps the contract; neither needs a broker.

A third party's detector and river's estimators pass through the same checks as ours. Bodies are in `streams.detector_checks`.
"""

from typing import Annotated

import typer

from streams.cli.given import given
from streams.cli.printing import print_rows, say
from streams.refusals import RefusedError

app = typer.Typer(help="List the detectors and check that they keep the contract.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list", epilog="Example: withdrawal-monitor --config monitor.toml detectors list")
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List our detectors, the configured ones and the installed ones: what each observes, which attack it looks for, what it asks."""
    from streams.detector_checks import listed

    rows = [tuple(row) for row in listed(given(context).settings.policy)]
    print_rows(("detector", "from", "scope", "family", "question", "state"), rows, as_json=as_json)


@app.command(epilog="Example: withdrawal-monitor detectors check --river anomaly.HalfSpaceTrees")
def check(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="A detector by name; all of ours and the configured ones if not given.")] = None,
    river: Annotated[
        str | None, typer.Option("--river", help="An estimator of river, as anomaly.HalfSpaceTrees; or all: its anomaly detectors, minutes.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Run every check of the contract on detectors; exit code 2 if one breaks it, unless --river all was asked for."""
    from streams.detector_checks import candidates, checked
    from streams.terminal import shown_count

    if name is not None and river is not None:
        raise RefusedError("Give either NAME or --river.")
    policy = given(context).settings.policy
    entries = candidates(policy, name, river)
    with shown_count("checked") as progress:
        rows = list(checked(entries, policy, progress))
    print_rows(("detector", "passes", "checks", "µs an event", "what it breaks"), [row.cells() for row in rows], as_json=as_json)
    broken = [row.name for row in rows if row.broken]
    if broken and river != "all":
        raise RefusedError(f"{', '.join(broken)}: not a detector that the monitor would take.")
    say(f"{len(rows) - len(broken)} of {len(rows)} keep the contract.")
