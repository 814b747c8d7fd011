"""`core`: what a person may decide for the fold."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.given import given
from streams.cli.printing import say
from streams.cli.sources import Who, Why, actor_name

if TYPE_CHECKING:
    from monitor.contracts.control import Quarantine
    from streams.kafka import Kafka

app = typer.Typer(help="Decide for the core.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Decide for the core."""  # a callback keeps `quarantine` a command of its own although it is the only one


@app.command(epilog='Example: withdrawal-monitor core quarantine 48211 --scope detectors --reason "ticket 311: poison"')
def quarantine(
    context: typer.Context,
    offset: Annotated[int, typer.Argument(min=0, help="Journal offset that the worker names.", show_default=False)],
    reason: Why,
    scope: Annotated[
        Literal["detectors", "entry"],
        typer.Option("--scope", help="detectors: its verdict is UNSCORED; entry: the fold leaves it out whole.", show_default=False),
    ],
    actor: Who = None,
    journal_id: Annotated[str | None, typer.Option("--journal-id", help="SHA-256 of the journal's first entry, if that is gone.")] = None,
) -> None:
    """Keep one journal entry that the core can't fold from the detectors, or leave it out; a worker that stands at it goes on after a restart."""
    from monitor.contracts.control import Quarantine

    chosen = given(context)

    def asked(journal: str) -> Quarantine:
        clock_ms = round(time.time() * 1_000)
        return Quarantine(journal_id=journal, offset=offset, scope=scope, asked_by=actor_name(actor), asked_at_ms=clock_ms, reason=reason)

    run_with_kafka(_quarantine(chosen.kafka(), asked, journal_id), chosen.settings.kafka.bootstrap_servers)
    say(f"Asked: entry {offset} is quarantined ({scope}).")


async def _quarantine(kafka: "Kafka", asked: "Callable[[str], Quarantine]", journal_id: str | None) -> None:
    from streams import interventions

    await interventions.quarantine(kafka, asked(journal_id or await interventions.journal_id(kafka)))
