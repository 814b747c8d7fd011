"""`replay` and `simulate`: decide again what was, and make what could be; neither needs a running monitor."""

import pathlib
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.given import Given, given
from streams.cli.printing import print_json, say
from streams.refusals import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.replay import Replayed
    from streams.replay_kafka import Comparison
    from streams.simulate import Simulated, Traffic

SIMULATED_START_MS = 1_767_571_200_000  # 2026-01-05 00:00 UTC: a fixed start, so that the same seed gives the same file

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: withdrawal-monitor replay incident.jsonl.gz --out decided/")
def replay(
    context: typer.Context,
    file: Annotated[
        pathlib.Path | None,
        typer.Argument(help="JSON lines (topic, key, value, timestamp), or of `journal export`, plain or gzipped.", show_default=False),
    ] = None,
    from_kafka: Annotated[bool, typer.Option("--from-kafka", help="Fold the journal of the configured Kafka instead of a file.")] = False,
    out: Annotated[pathlib.Path | None, typer.Option("--out", help="Directory for the outputs, one file of JSON lines per topic.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="With --from-kafka: compare with the outputs that were published.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    """Decide again, offline: print the summary and a SHA-256 over all outputs. Pages nobody and touches no reserve."""
    from streams import replay as offline
    from streams.replay_lines import FileRefusedError
    from streams.terminal import shown_count

    if (file is None) == (not from_kafka):
        raise RefusedError("Give either a file to replay or --from-kafka.")
    if compare and file is not None:
        raise RefusedError("--compare needs published outputs, so it goes with --from-kafka only.")
    chosen = given(context)
    try:
        with shown_count("replayed") as progress:
            if file is None:
                replayed, comparison = _from_kafka(chosen, out, progress, compare=compare)
            else:
                replayed, comparison = offline.replay_file(file, chosen.settings, out=out, progress=progress), None
    except (FileRefusedError, offline.ReplayFailedError) as error:
        raise RefusedError(str(error)) from error
    except OSError as error:
        raise RefusedError(f"The outputs can't be written to {out}: {error.strerror}.") from error
    if as_json:
        sys.stdout.write(offline.as_json(replayed).decode())
    else:
        for line in offline.text(replayed):
            print(line)
    if comparison is not None:
        _say_comparison(comparison)


def _from_kafka(
    chosen: Given, out: pathlib.Path | None, progress: "Callable[[int], None] | None", *, compare: bool
) -> "tuple[Replayed, Comparison | None]":
    from streams.replay_kafka import replay_journal

    return run_with_kafka(replay_journal(chosen.kafka(), out=out, compare=compare, progress=progress), chosen.settings.kafka.bootstrap_servers)


def _say_comparison(comparison: "Comparison") -> None:
    """Say whether the published outputs are what the fold gives. Raises RefusedError if they aren't."""
    if not comparison.equal:
        rest = comparison.differences_count - len(comparison.differences)
        more = [f"and {rest} more"] if rest else []
        raise RefusedError("\n".join(["The published outputs are NOT what the fold gives:", *comparison.differences, *more]))
    say(f"The {comparison.compared} outputs published up to journal offset {comparison.until} are what the fold gives, byte for byte.")


@app.command(epilog="Example: withdrawal-monitor simulate --seconds 600 --incident dmm-bitcoin-2024 --out incident.jsonl.gz")
def simulate(
    context: typer.Context,
    out: Annotated[pathlib.Path | None, typer.Option("--out", help="File of JSON lines to write; gzipped if it ends in .gz.")] = None,
    to_kafka: Annotated[bool, typer.Option("--to-kafka", help="Write to the configured Kafka instead.")] = False,
    seconds: Annotated[float, typer.Option("--seconds", min=1, help="Simulated time.")] = 600,
    rate: Annotated[float, typer.Option("--rate", min=0.01, help="Withdrawal requests a second; each makes about seven records.")] = 5,
    accounts: Annotated[int, typer.Option("--accounts", min=7, help="Customers of the exchange.")] = 1_000,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same records.")] = 1,
    incident: Annotated[str | None, typer.Option("--incident", help="A scenario by name, or its TOML file; none: honest traffic only.")] = None,
    incident_after: Annotated[float, typer.Option("--incident-after", min=0, help="Seconds until the incident begins.")] = 300,
    finish: Annotated[bool, typer.Option("--finish", help="Let open withdrawals end after the last second.")] = False,
    at_once: Annotated[bool, typer.Option("--at-once", help="With --to-kafka: don't wait for each record's time.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="What was written as JSON.")] = False,
) -> None:
    """Write the records of a simulated exchange, honest or with an incident laid over it, to a file for `replay` or to Kafka."""
    if (out is None) == (not to_kafka):
        raise RefusedError("Give either --out FILE or --to-kafka.")
    from streams.simulate import Traffic, write_file
    from streams.simulation import scenario
    from streams.simulation.exchange import ExchangeParameters
    from streams.terminal import shown_share

    if incident is not None and incident_after >= seconds:
        raise RefusedError(
            f"The incident would begin after {incident_after:g} s, but {seconds:g} s are simulated: give --seconds or --incident-after."
        )
    start_ms = SIMULATED_START_MS
    if out is None:
        # Written at once, all of it has just happened: intake refuses what lies far ahead of its clock.
        start_ms = round((time.time() - (seconds if at_once else 0.0)) * 1_000)
    try:
        played = None if incident is None else scenario.load(incident)
    except scenario.ScenarioRefusedError as error:
        raise RefusedError(str(error)) from error
    parameters = ExchangeParameters(start_ms=start_ms, seconds=seconds, requests_per_second=rate, accounts=accounts, seed=seed, finish=finish)
    traffic = Traffic(parameters, played, incident_after)
    try:
        with shown_share("simulated") as progress:
            simulated = _to_kafka(given(context), traffic, progress, real_pace=not at_once) if out is None else write_file(traffic, out, progress)
    except scenario.ScenarioRefusedError as error:
        raise RefusedError(str(error)) from error
    except OSError as error:
        raise RefusedError(f"The file {out} can't be written: {error.strerror}.") from error
    if as_json:
        print_json({"records": simulated.records, "losses": [list(loss) for loss in simulated.losses]})
    else:
        for topic, count in sorted(simulated.records.items()):
            print(f"{topic}\t{count}")
        say(f"{sum(simulated.records.values())} records, {len(simulated.losses)} of them take what isn't theirs.")


def _to_kafka(chosen: Given, traffic: "Traffic", progress: "Callable[[int, float], None] | None", *, real_pace: bool) -> "Simulated":
    from streams.simulate import write_kafka

    return run_with_kafka(write_kafka(chosen.kafka(), traffic, real_pace=real_pace, progress=progress), chosen.settings.kafka.bootstrap_servers)
