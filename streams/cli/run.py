"""`worker`, `demo` and `version`: start the monitor, show it, name it."""

from typing import Annotated, Literal

import typer

from streams.cli.failures import CommandFailedError, kafka_failures
from streams.cli.given import given

app = typer.Typer()


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
    with kafka_failures(settings.kafka):
        code = run_worker(settings, role, chosen.secrets)
    if code:
        raise typer.Exit(code)


@app.command()
def version() -> None:
    """Print the version of this program and of its engine."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    from monitor.version import ENGINE_VERSION

    try:
        program = installed("withdrawal-monitor")
    except PackageNotFoundError as error:
        raise CommandFailedError("The program isn't installed as a package, so its version isn't known.") from error
    print(f"withdrawal-monitor {program} (engine {ENGINE_VERSION})")
