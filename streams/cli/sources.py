"""`sources`: how the input partitions stand, and what a person may ask for them."""

import getpass
import json
import time
from typing import Annotated, Any

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.given import given
from streams.cli.printing import print_json, print_rows, say
from streams.refusals import RefusedError

app = typer.Typer(help="Show, rewind and accept sources (partitions of input topics).", no_args_is_help=True, rich_markup_mode=None)
ANSWER_TIMEOUT_S = 5.0

Source = Annotated[str, typer.Argument(help="topic/partition, the topic without the prefix: withdrawals/3.", show_default=False)]
Why = Annotated[str, typer.Option("--reason", help="Why; it is kept with the request.", show_default=False)]
Who = Annotated[str | None, typer.Option("--actor", help="Who asks; the login name if not given.")]


def actor_name(actor: str | None) -> str:
    """Who asks: what was given, else the login name."""
    return actor or getpass.getuser()


@app.command(epilog="Example: withdrawal-monitor sources show --url http://worker-1:6066 --url http://worker-2:6066")
def show(
    context: typer.Context,
    url: Annotated[list[str] | None, typer.Option("--url", help="A worker's site; may be given several times. web.host and web.port if not.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Show where the core stands in every source, as the worker that owns the core tells it."""
    web = given(context).settings.web
    picture = _ask(url or [f"http://{web.host}:{web.port}"])
    rows = [
        (source, str(next_offset), str(log_end), str(max(0, log_end - next_offset)), state)
        for source, (next_offset, log_end, state) in sorted(picture["sources"].items())
    ]
    if as_json:
        print_json([{"source": row[0], "next_offset": int(row[1]), "log_end": int(row[2]), "lag": int(row[3]), "state": row[4]} for row in rows])
    else:
        print_rows(("source", "next offset", "log end", "not accepted yet", "state"), rows)


def _ask(urls: list[str]) -> dict[str, Any]:
    """The picture of the first worker that owns the core. Raises RefusedError."""
    import urllib.error
    import urllib.request

    answered = False
    for url in urls:
        if not url.startswith(("http://", "https://")):
            raise RefusedError(f'A worker\'s site is written as http://host:port; not "{url}".')
        try:
            with urllib.request.urlopen(url.rstrip("/") + "/sources", timeout=ANSWER_TIMEOUT_S) as response:  # noqa: S310  # checked above
                found: dict[str, Any] = json.load(response)
                return found
        except urllib.error.HTTPError:
            answered = True
        except (OSError, ValueError):
            continue
    if answered:
        raise RefusedError(f"No worker at {', '.join(urls)} owns the core now; give the others' sites with --url.")
    raise RefusedError(f"No worker answers at {', '.join(urls)}; give its site with --url (settings web.host and web.port).")


@app.command(epilog='Example: withdrawal-monitor sources rewind withdrawals/3 1200 --reason "hole after the restart of 4 May"')
def rewind(
    context: typer.Context,
    source: Source,
    offset: Annotated[int, typer.Argument(min=0, help="The first offset to read again.", show_default=False)],
    reason: Why,
    actor: Who = None,
) -> None:
    """Ask intake to read a source again from an offset; what the core has already accepted is dropped as repeats."""
    from monitor.contracts.control import Rewind
    from streams import interventions

    asked = Rewind(source=source, offset=offset, asked_by=actor_name(actor), asked_at_ms=round(time.time() * 1_000), reason=reason)
    run_with_kafka(interventions.rewind(given(context).kafka(), asked), given(context).settings.kafka.bootstrap_servers)
    say(f"Asked: {source} is read again from {offset} by the intake that owns it.")


@app.command(epilog='Example: withdrawal-monitor sources accept withdrawals/3 --position start --actor m.sato --reason "topic made anew"')
def accept(
    context: typer.Context,
    source: Source,
    position: Annotated[str, typer.Option("--position", help="Where reading goes on: an offset, start or end.", show_default=False)],
    reason: Why,
    actor: Annotated[str, typer.Option("--actor", help="Who accepts; it is kept in the journal.", show_default=False)],
) -> None:
    """Accept a source that was replaced or has a hole: the decision is written into the journal, and reading goes on from the position."""
    from streams import interventions

    chosen = given(context)
    body = interventions.accept(chosen.kafka(), source, position, actor, reason, round(time.time() * 1_000))
    offset = run_with_kafka(body, chosen.settings.kafka.bootstrap_servers)
    say(f"Accepted: {source} goes on from {offset}.")
