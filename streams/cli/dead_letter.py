"""`dead-letter`: look at rejected records and send them again after a fix."""

import collections
import datetime as dt
import pathlib
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.given import given
from streams.cli.printing import print_json, print_rows, say
from streams.refusals import RefusedError

if TYPE_CHECKING:
    from streams.dead_letters import Facts, Letter, Wanted
    from streams.kafka import Kafka

app = typer.Typer(help="List rejected records, and send them again after a fix.", no_args_is_help=True, rich_markup_mode=None)
RETRIED_BYTES_MAX = 256 * 1024 * 1024

Topic = Annotated[str | None, typer.Option("--topic", help="Only of this input topic (name without the prefix).")]
Reason = Annotated[str | None, typer.Option("--reason", help="Only with this reason, as bad_json.")]


@app.command("list", epilog="Example: withdrawal-monitor dead-letter list --topic withdrawals --reason unknown_asset")
def list_letters(
    context: typer.Context,
    topic: Topic = None,
    reason: Reason = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """List dead letters, one per rejected record, the newest last."""
    from streams.dead_letters import Wanted

    chosen = given(context)
    shown, total = run_with_kafka(_newest(chosen.kafka(), Wanted(topic, reason), limit), chosen.settings.kafka.bootstrap_servers)
    if as_json:
        print_json(shown)
    else:
        rows = [(facts.position, _time(facts.timestamp_ms), facts.reason, facts.detail, facts.key or "", _size(facts)) for facts in shown]
        print_rows(("position", "time (UTC)", "reason", "detail", "key", "bytes"), rows)
    if total > len(shown):
        say(f"{total} in all; the newest {len(shown)} are shown (--limit).")
    elif not total:
        say("No dead letters.")


@app.command(epilog="Example: withdrawal-monitor dead-letter retry withdrawals/3@1200 --value corrected.json")
def retry(
    context: typer.Context,
    positions: Annotated[list[str] | None, typer.Argument(help="topic/partition@offset, as `list` shows them.", show_default=False)] = None,
    topic: Topic = None,
    reason: Reason = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    value: Annotated[pathlib.Path | None, typer.Option("--value", help="File with the corrected value, for one position.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
) -> None:
    """Send dead letters again, as they are or corrected; intake judges them anew, and a position that was repaired before stays as it is."""
    from streams.dead_letters import Wanted, parse_position

    chosen = given(context)
    if not (positions or topic or reason or everything):
        raise RefusedError("Say which dead letters: positions, --topic, --reason or --all.")
    if value is not None and len(positions or ()) != 1:
        raise RefusedError("A corrected value repairs one record: give exactly one position with --value.")
    try:
        wanted = Wanted(topic, reason, frozenset(parse_position(text) for text in positions or ()))
        corrected = None if value is None else value.read_bytes()
    except ValueError as error:
        raise RefusedError(str(error)) from error
    except OSError as error:
        raise RefusedError(f"The file {value} can't be read: {error.strerror}.") from error
    sent = run_with_kafka(_retry(chosen.kafka(), wanted, corrected, dry_run=dry_run), chosen.settings.kafka.bootstrap_servers)
    for letter in sent:
        print(f"{letter.position}\t{letter.facts.reason}\t{'corrected' if corrected is not None else 'as it was'}")
    say(f"{len(sent)} {'would be sent' if dry_run else 'sent'} to retries.")


async def _newest(kafka: "Kafka", wanted: "Wanted", limit: int) -> "tuple[list[Facts], int]":
    from streams.dead_letters import letters

    kept: collections.deque[Facts] = collections.deque(maxlen=limit)
    total = 0
    async for letter in letters(kafka, wanted):
        kept.append(letter.facts)
        total += 1
    return list(kept), total


async def _retry(kafka: "Kafka", wanted: "Wanted", corrected: bytes | None, *, dry_run: bool) -> "list[Letter]":
    """All or nothing: what can't be sent again is refused before anything is sent."""
    from streams.dead_letters import letters, send_again

    chosen = []
    size_bytes = 0
    async for letter in letters(kafka, wanted):
        if corrected is None and not letter.facts.whole:
            raise RefusedError(
                f"The value of {letter.position} was cut ({letter.facts.value_bytes} bytes in all): take it from its source and give it with --value."
            )
        chosen.append(letter)
        size_bytes += len(letter.value or b"")
        if size_bytes > RETRIED_BYTES_MAX:
            raise RefusedError(f"More than {RETRIED_BYTES_MAX} bytes at once; choose fewer with --topic, --reason or positions.")
    missing = wanted.positions - {letter.position for letter in chosen}
    if missing:
        raise RefusedError(f"There is no dead letter of {', '.join(str(position) for position in sorted(missing))}.")
    if chosen and not dry_run:
        await send_again(kafka, chosen, corrected)
    return chosen


def _time(at_ms: int) -> str:
    try:
        return dt.datetime.fromtimestamp(at_ms / 1_000, tz=dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(at_ms)


def _size(facts: "Facts") -> str:
    return str(facts.value_bytes) if facts.whole else f"{facts.value_bytes} (cut)"
