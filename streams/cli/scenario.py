"""`scenario`: the library of incidents, played over a simulated exchange in closed loop; and honest days without one."""

import json
import pathlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streams.cli.given import given
from streams.cli.printing import print_rows
from streams.refusals import RefusedError

if TYPE_CHECKING:
    from streams.scenario_ground import History
    from streams.settings import Settings
    from streams.simulation.phases import Scenario

SIMULATED_START_MS = 1_767_571_200_000  # 2026-01-05 00:00 UTC, a Monday: a fixed start, so that the same seed gives the same run
REVIEWS_A_DAY_AIM = 50.0
SEEDS_MAX = 1_000
NOT_MET = 1

app = typer.Typer(help="Play incidents over a simulated exchange, and honest days without one.", no_args_is_help=True, rich_markup_mode=None)

Days = Annotated[float, typer.Option("--days", min=0.01, max=366, help="Honest days, at 24 hours.")]
Rate = Annotated[float, typer.Option("--rate", min=0.01, max=1_000, help="Input records a second over all topics, on average.")]
Seeds = Annotated[int, typer.Option("--seeds", min=1, max=SEEDS_MAX, help="So many seeds, from --seed on.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Same seed, same run.")]
Jobs = Annotated[int, typer.Option("--jobs", min=1, max=256, help="Seeds at once, each in a process of its own.")]
Json = Annotated[bool, typer.Option("--json", help="Everything, as one JSON object.")]


@app.command("list", epilog="Example: withdrawal-monitor scenario list")
def list_scenarios(as_json: Json = False) -> None:
    """List the incidents that come with the program."""
    from streams.simulation.scenario import load, names

    scenarios = [load(name) for name in names()]
    if as_json:
        _print_object([{"id": one.id, "name": one.name, "date": one.date, "classes": one.classes, "teaches": one.teaches} for one in scenarios])
    else:
        print_rows(("id", "date", "class", "what it teaches"), [(one.id, one.date, ", ".join(one.classes), one.teaches) for one in scenarios])


@app.command(epilog="Example: withdrawal-monitor scenario show coincheck-2018")
def show(name: Annotated[str, typer.Argument(metavar="ID|FILE", help="An id of `list`, or a TOML file.")], as_json: Json = False) -> None:
    """Show an incident's facts and phases, and how well each is supported."""
    from streams.scenario_report import shown

    scenario = _load(name)
    if as_json:
        _print_object(_plain(scenario))
    else:
        for line in shown(scenario):
            print(line)


@app.command(epilog="Example: withdrawal-monitor scenario run all --seeds 5 --jobs 2")
def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID|FILE|all", help="An id of `list`, a TOML file, or all that `list` shows.")],
    seed: Seed = 1,
    seeds: Seeds = 1,
    hold: Annotated[
        Literal["on", "off"] | None,
        typer.Option("--hold", help="on: what is held goes no further; off: nobody obeys. On, but off with --to compensation.", show_default=False),
    ] = None,
    days: Days = 10.0,
    rate: Rate = 2.0,
    jobs: Jobs = 1,
    as_json: Json = False,
    to: Annotated[
        Literal["compensation"] | None,
        typer.Option("--to", help="compensation: people handle it, down to the signed compensation file and the report.", show_default=False),
    ] = None,
    out: Annotated[
        pathlib.Path | None, typer.Option("--out", help="With --to compensation: directory for its files; it is made.", show_default=False)
    ] = None,
) -> None:
    """Play an incident over days of honest history, and say when it was paged, what was gone, and what holds saved. 1 if a criterion isn't met."""
    if to is not None:
        _to_compensation(context, name, range(seed, seed + seeds), _history(days, rate), hold == "on", out)
        return
    if out is not None:
        raise RefusedError("--out goes with --to compensation.")
    from streams.scenario_report import table, text
    from streams.scenario_seeds import Wanted, over_seeds, run_seed
    from streams.simulation.scenario import ScenarioRefusedError, names
    from streams.terminal import shown_share

    scenarios = tuple(_load(one) for one in (names() if name == "all" else [name]))
    wanted = Wanted(_settings(context), _history(days, rate), scenarios, hold != "off")
    try:
        with shown_share("simulated") as progress:
            results = [result for one in over_seeds(run_seed, wanted, range(seed, seed + seeds), jobs, progress) for result in one]
    except ScenarioRefusedError as error:
        raise RefusedError(str(error)) from error
    if as_json:
        _print_object({"met": all(one.passed for one in results), "runs": [_plain(one) | {"misses": one.misses} for one in results]})
    else:
        for line in text(results[0]) if len(results) == 1 else table(results):
            print(line)
    if not all(result.passed for result in results):
        raise typer.Exit(NOT_MET)


@app.command(epilog="Example: withdrawal-monitor scenario honest --days 30 --seeds 5 --amount-shock-day 20 --amount-shock-factor 2.5")
def honest(
    context: typer.Context,
    days: Days = 30.0,
    seed: Seed = 1,
    seeds: Seeds = 5,
    rate: Rate = 2.0,
    warm_days: Annotated[int, typer.Option("--warm-days", min=0, help="Days at the start that don't count: detectors warm up.")] = 10,
    amount_shock_day: Annotated[float | None, typer.Option("--amount-shock-day", min=0, help="From this day on all amounts are larger.")] = None,
    amount_shock_factor: Annotated[float, typer.Option("--amount-shock-factor", min=0.01, max=100, help="By this factor.")] = 2.5,
    aim: Annotated[float, typer.Option("--aim", min=0, help="Reviews a day to compare with.")] = REVIEWS_A_DAY_AIM,
    jobs: Jobs = 1,
    as_json: Json = False,
) -> None:
    """Fold honest days with everything that looks like an attack and isn't: what paged and why, and reviews by day and week."""
    from streams.scenario_honest import text
    from streams.scenario_seeds import HonestWanted, honest_seed, over_seeds
    from streams.simulation.episodes import Episode, honest_month
    from streams.terminal import shown_share

    episodes = honest_month()
    if amount_shock_day is not None:
        if amount_shock_day >= days:
            raise RefusedError(f"The amounts would change on day {amount_shock_day:g}, but {days:g} days are simulated.")
        start_seconds, seconds = amount_shock_day * 86_400.0, 366 * 86_400.0
        episodes += (Episode(kind="amount_shock", start_seconds=start_seconds, seconds=seconds, factor=amount_shock_factor),)
    wanted = HonestWanted(_settings(context), _history(days, rate), episodes, warm_days)
    with shown_share("simulated") as progress:
        months = over_seeds(honest_seed, wanted, range(seed, seed + seeds), jobs, progress)
    if as_json:
        means = [{"pages_a_day": one.pages_a_day, "reviews_a_day": one.reviews_a_day} for one in months]
        _print_object({"aim": aim, "seeds": [_plain(one) | mean for one, mean in zip(months, means, strict=True)]})
    else:
        for line in text(months, aim):
            print(line)


def _to_compensation(context: typer.Context, name: str, seeds: range, history: "History", obey: bool, out: pathlib.Path | None) -> None:
    """Play incidents down to their compensation files. Raises typer.Exit if a file differs from what was truly lost."""
    from streams.scenario_compensation import people_ground, text, to_compensation, write_all
    from streams.simulation.scenario import ScenarioRefusedError, names
    from streams.terminal import shown_share

    scenarios = [_load(one) for one in (names() if name == "all" else [name])]
    wrong = 0
    for seed in seeds:
        with shown_share("simulated") as progress:
            ground = people_ground(_settings(context), history, seed, progress)
        for scenario in scenarios:
            try:
                run = to_compensation(ground, scenario, obey=obey)
            except ScenarioRefusedError as error:
                raise RefusedError(str(error)) from error
            if out is not None:
                write_all(run, out / f"seed-{seed}" if len(seeds) > 1 else out)
            for line in text(run):
                print(line)
            wrong += len(run.wrong)
    if wrong:
        raise typer.Exit(NOT_MET)


def _load(name: str) -> "Scenario":
    from streams.simulation.scenario import ScenarioRefusedError, load

    try:
        return load(name)
    except ScenarioRefusedError as error:
        raise RefusedError(str(error)) from error


def _history(days: float, rate: float) -> "History":
    from streams.scenario_ground import History

    return History(start_ms=SIMULATED_START_MS, days=days, records_per_second=rate)


def _settings(context: typer.Context) -> "Settings":
    """The configuration, whose policy must know what the simulated exchange has. Raises RefusedError."""
    from streams.simulation.world import ASSETS

    settings = given(context).settings
    for row in ASSETS:
        known = settings.policy.assets.get(row.asset)
        if known is None or known.decimals != row.decimals:
            raise RefusedError(
                f"The simulated exchange has {row.asset} with {row.decimals} decimals, which policy.assets doesn't: run it without --config."
            )
    return settings


def _plain(value: object) -> Any:
    """A struct as plain values. The library is imported here: --help waits for none."""
    import msgspec

    return msgspec.to_builtins(value)


def _print_object(told: object) -> None:
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
