"""Where the commands for people look: the published topics of the configured Kafka, or a kept journal that is folded first.

Shows nothing but progress. Called by the commands that show incidents, marks, coverage and providers.
"""

import pathlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.given import Given
from streams.cli.printing import say
from streams.refusals import RefusedError

if TYPE_CHECKING:
    from monitor.engine import Engine
    from monitor.policy import Policy
    from streams.published import Published
    from streams.replay import Fold, Hearer

JournalFile = Annotated[
    pathlib.Path | None,
    typer.Option("--journal", help="A file of `journal export` (or of input records) instead of Kafka: it is folded first."),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON: the records as they are published.")]


class Look(NamedTuple):
    """What stands published, the policy that amounts are read with, and what time it is there."""

    published: "Published"
    policy: "Policy"
    now_ms: int


def look(chosen: Given, journal: pathlib.Path | None, topics: Sequence[str]) -> Look:
    """Read these topics, or fold the file. Raises RefusedError."""
    from streams.published import Published, read_published
    from streams.terminal import shown_count

    if journal is not None:
        attempts: list[Published] = []

        def fresh() -> "Hearer":
            attempts.append(Published())
            return attempts[-1].hear

        engine = _folded_file(chosen, journal, fresh).engine
        return Look(attempts[-1], engine.state.policy, engine.state.clock.now_ms)
    with shown_count("read") as progress:
        published = run_with_kafka(read_published(chosen.kafka(), topics, progress), chosen.settings.kafka.bootstrap_servers)
    return Look(published, chosen.settings.policy, round(time.time() * 1_000))


def folded(chosen: Given, journal: pathlib.Path | None) -> "Engine":
    """The state at the end of the journal, of the configured Kafka or of a file. Raises RefusedError."""
    if journal is not None:
        from streams.replay import deaf

        return _folded_file(chosen, journal, lambda: deaf).engine
    from streams.replay import ReplayFailedError
    from streams.replay_lines import FileRefusedError
    from streams.terminal import shown_share

    say("Folding the whole journal, which takes about as long as `replay --from-kafka`; the state at its end is shown.")
    try:
        with shown_share("folded") as progress:
            return run_with_kafka(_folded_journal(chosen, progress), chosen.settings.kafka.bootstrap_servers).engine
    except (FileRefusedError, ReplayFailedError) as error:
        raise RefusedError(str(error)) from error


async def _folded_journal(chosen: Given, progress: "Callable[[int, float], None] | None") -> "Fold":
    from monitor.contracts.topics import JOURNAL
    from streams.replay_kafka import fold_journal
    from streams.topic_reader import topic_bounds

    kafka = chosen.kafka()
    end = max(1, (await topic_bounds(kafka, JOURNAL))[0].end)

    def show(count: int) -> None:
        if progress is not None:
            progress(count, min(1.0, count / end))

    return await fold_journal(kafka, progress=show)


def _folded_file(chosen: Given, journal: pathlib.Path, hearers: "Callable[[], Hearer]") -> "Fold":
    from streams.replay import ReplayFailedError, fold_file
    from streams.replay_lines import FileRefusedError
    from streams.terminal import shown_count

    try:
        with shown_count("folded") as progress:
            return fold_file(journal, chosen.settings, progress=progress, hearers=hearers)[0]
    except (FileRefusedError, ReplayFailedError) as error:
        raise RefusedError(str(error)) from error


def say_unreadable(published: "Published") -> None:
    """Say if something couldn't be shown."""
    if published.unreadable:
        say(f"{published.unreadable:,} record(s) can't be read: another version of this program wrote them.")
