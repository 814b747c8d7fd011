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
from streams.words import moment, span

if TYPE_CHECKING:
    from monitor.contracts.outputs import Coverage
    from monitor.engine import Engine
    from monitor.policy import Policy
    from streams.published import Published
    from streams.replay import Fold, Hearer

JournalFile = Annotated[
    pathlib.Path | None,
    typer.Option("--journal", help="A file of `journal export`, or of input records, instead of Kafka: it is folded.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON: the records as they are published.")]


STALE_AFTER_MS = 15_000
"""Coverage comes with each Tick, once a second; without one for this long the core is down or behind."""


class Look(NamedTuple):
    """What stands published, the policy that amounts are read with, and what time it is there; `coverage` is read beside the topics asked for."""

    published: "Published"
    policy: "Policy"
    now_ms: int
    coverage: "Coverage | None"

    def quiet_ms(self) -> int | None:
        """How long the core has told nothing, if that is too long; None if it lives."""
        quiet_ms = self.now_ms - (0 if self.coverage is None else self.coverage.decided_at_ms)
        return quiet_ms if quiet_ms > STALE_AFTER_MS else None


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
        return Look(attempts[-1], engine.state.policy, engine.state.clock.now_ms, attempts[-1].coverage())
    with shown_count("read") as progress:
        published = run_with_kafka(read_published(chosen.kafka(), (*topics, "coverage"), progress), chosen.settings.kafka.bootstrap_servers)
    return Look(published, chosen.settings.policy, round(time.time() * 1_000), published.coverage())


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
    from streams.replay import ReplayFailedError, fold_file, left_out
    from streams.replay_lines import FileRefusedError
    from streams.terminal import shown_count

    try:
        with shown_count("folded") as progress:
            fold, read = fold_file(journal, chosen.settings, progress=progress, hearers=hearers)
    except (FileRefusedError, ReplayFailedError) as error:
        raise RefusedError(str(error)) from error
    say_left_out(left_out(read, journal))
    return fold


def say_left_out(sentence: str | None) -> None:
    """Say what of a file isn't in what is shown, if anything."""
    if sentence is not None:
        say(sentence)


def say_doubts(found: Look) -> None:
    """Say what may be missing in what was shown."""
    if found.published.unreadable:
        say(f"{found.published.unreadable:,} record(s) can't be read: another version of this program wrote them.")
    quiet_ms = found.quiet_ms()
    if found.coverage is None:
        say("NO CORE has told anything yet.")
    elif quiet_ms is not None:
        say(f"NO CORE has told anything for {span(quiet_ms)}: this is how it stood at {moment(found.coverage.decided_at_ms)} UTC.")
