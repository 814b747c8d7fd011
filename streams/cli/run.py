"""`worker`, `demo` and `version`: start the monitor, show it, name it."""

from typing import Annotated, Literal

import typer

from streams.cli.failures import kafka_failures
from streams.cli.given import given
from streams.refusals import RefusedError

app = typer.Typer(rich_markup_mode=None)


@app.command(epilog="Example: withdrawal-monitor --config monitor.toml worker --role all")
def worker(
    context: typer.Context,
    role: Annotated[Literal["intake", "core", "all"], typer.Option("--role", help="What this worker does; any number of each may run.")] = "all",
) -> None:
    """Run a worker until it is stopped: intake reads the exchange's topics, the core decides."""
    chosen = given(context)
    settings = chosen.settings
    from streams.frame import run_worker
    from streams.logs import configure_logs

    configure_logs(settings.log, chosen.secrets)
    with kafka_failures(settings.kafka.bootstrap_servers):
        code = run_worker(settings, role, chosen.secrets)
    if code:
        raise typer.Exit(code)


@app.command(epilog="Example: withdrawal-monitor demo --broker 127.0.0.1:9092")
def demo(
    context: typer.Context,
    broker: Annotated[
        str | None, typer.Option("--broker", help="Your Kafka (host:port) instead of a broker in memory; the demo's topics are removed.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same customers.")] = 1,
    incident: Annotated[str, typer.Option("--incident", help="A scenario by name, or its TOML file.")] = "dmm-bitcoin-2024",
) -> None:
    """Watch an attack on a small exchange being held, marked against the reserve and paged: about a minute, ends by itself."""
    from streams.configuration import process_environment
    from streams.demo import DemoFailedError, DemoOptions, run_demo
    from streams.embedded_broker import EmbeddedBrokerError
    from streams.simulation.scenario import ScenarioRefusedError

    chosen = given(context)
    settings = chosen.configuration.settings
    chosen.quiet_logs()
    options = DemoOptions(chosen.file, chosen.flags, process_environment(), broker, seed, incident)
    try:
        with kafka_failures(broker or settings.kafka.bootstrap_servers):
            code = run_demo(options)
    except (DemoFailedError, EmbeddedBrokerError, ScenarioRefusedError) as error:
        raise RefusedError(str(error)) from error
    if code:
        raise typer.Exit(code)


@app.command(epilog="Example: withdrawal-monitor version")
def version() -> None:
    """Print the version of this program and of its engine."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    from monitor.version import ENGINE_VERSION

    try:
        program = installed("withdrawal-monitor")
    except PackageNotFoundError as error:
        raise RefusedError("The program isn't installed as a package, so its version isn't known.") from error
    print(f"withdrawal-monitor {program} (engine {ENGINE_VERSION})")
