"""What incidents are laid over: days of honest history, generated and folded once per seed through the real intake and core, then frozen.

Every incident of a seed forks the same frozen engine and draws the same continuation. Called by `scenario_run` and `scenario_honest`.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import dropwhile
from typing import NamedTuple

import msgspec
import orjson

from monitor import entries
from monitor.contracts.topics import INPUTS
from monitor.engine import Engine
from monitor.intake import Intake
from monitor.snapshot_file import decode, encode
from monitor.version import ENGINE_VERSION
from streams.replay import limits_of
from streams.replay_lines import ReplayRecord
from streams.scenario_watch import Watch
from streams.settings import Settings
from streams.simulation.directory import Directory
from streams.simulation.episodes import Episode
from streams.simulation.exchange import Exchange, ExchangeParameters, Record

TERM = "scenario"
SECOND_MS, MINUTE_MS, DAY_MS = 1_000, 60_000, 86_400_000
BATCH_ENTRIES = 5_000
SHARE_STEPS = 20_000
"""Progress is told every so many records."""
LIVE_DAYS = 12
"""How long the honest stream could go on after its history: more than any scenario may last."""

Progress = Callable[[int, float], None]
"""Called now and then with records so far and the share that is done, 0 to 1."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """How the honest past is made: records a second over all topics, and when it begins."""

    start_ms: int
    days: float = 10.0
    records_per_second: float = 2.0
    accounts: int | None = None

    @property
    def end_ms(self) -> int:
        """When it ends."""
        return self.start_ms + round(self.days * DAY_MS)

    def parameters(self, seed: int, episodes: tuple[Episode, ...] = ()) -> ExchangeParameters:
        """Of the exchange that makes it and goes on after it."""
        seconds = (self.days + LIVE_DAYS) * 86_400.0
        rate, accounts = self.records_per_second, self.accounts
        return ExchangeParameters.at_rate(rate, start_ms=self.start_ms, seconds=seconds, seed=seed, episodes=episodes, accounts=accounts)


class SimulatedJournal:
    """Records become journal entries, as live: through intake as bytes, with progress of all sources and a Tick now and then."""

    def __init__(self, settings: Settings) -> None:
        policy = settings.policy
        self._settings = settings
        self._intake = Intake(policy.assets, limits_of(settings.intake), policy.base_currency)
        self._next = {f"{topic.name}/0": 0 for topic in INPUTS}
        self.clock_ms = -1
        self.refused: Counter[str] = Counter()

    def fork(self) -> "SimulatedJournal":
        """Another that goes on from here by itself, with nothing refused so far."""
        other = SimulatedJournal(self._settings)
        other._next, other.clock_ms = dict(self._next), self.clock_ms
        return other

    def open(self, at_ms: int) -> Iterator[bytes]:
        """The journal's first entries."""
        self.clock_ms = at_ms
        yield entries.term(TERM, ENGINE_VERSION, self._settings.policy, {topic.name: 1 for topic in INPUTS}, at_ms)
        for source in self._next:
            yield entries.source_opened(source, 0, 0, 0, "first", TERM, None, at_ms)

    def until(self, to_ms: int, step_ms: int) -> Iterator[bytes]:
        """Move the clock, which never goes back, and ring each whole step that it passes."""
        while (next_ms := (self.clock_ms // step_ms + 1) * step_ms) <= to_ms:
            self.clock_ms = next_ms
            for source, position in self._next.items():
                yield entries.progress(source, position, position, next_ms)
            yield entries.tick(TERM, next_ms)
        self.clock_ms = max(self.clock_ms, to_ms)

    def take(self, record: Record) -> list[bytes]:
        """One record's entry."""
        source = f"{record.topic}/0"
        start = self._next[source]
        arrived = ReplayRecord(record.topic, start, record.timestamp_ms, record.key.encode(), orjson.dumps(record.value))
        taken = self._intake.take(record.topic, 0, start, (arrived,), self.clock_ms)
        self._next[source] = taken.next_offset
        self.refused.update({f"{record.topic}: {reason}": count for reason, count in taken.rejected.items()})
        return taken.entries


class Continuation:
    """The honest stream after its history; can be read from its beginning any number of times, and is drawn no further than it is read."""

    def __init__(self, rest: Iterator[Record]) -> None:
        self._rest = rest
        self._drawn: list[Record] = []

    def __iter__(self) -> Iterator[Record]:
        """All records in order of time."""
        index = 0
        while True:
            if index == len(self._drawn):
                record = next(self._rest, None)
                if record is None:
                    return
                self._drawn.append(record)
            yield self._drawn[index]
            index += 1


class Ground(NamedTuple):
    """A folded history, ready to be forked."""

    seed: int
    history: History
    settings: Settings
    snapshot: bytes
    journal: SimulatedJournal
    known: Directory
    honest: Continuation
    watch: Watch
    prices: dict[str, str]
    records: int

    def engine(self) -> Engine:
        """An engine that goes on where the history ended; it shares nothing with others, hence the way over bytes, as after a restart."""
        return Engine.thaw(decode(self.snapshot))

    def continuation(self, episodes: tuple[Episode, ...]) -> Continuation:
        """The honest stream that goes on after the history; with episodes it is made again from its beginning, which takes a while."""
        if not episodes:
            return self.honest
        again = Exchange(self.history.parameters(self.seed, episodes)).records()
        return Continuation(dropwhile(lambda record: record.timestamp_ms < self.history.end_ms, again))


class Folding:
    """A fold of simulated records: entries are gathered into batches; outputs go to the watch."""

    def __init__(self, settings: Settings, watch: Watch, step_ms: int = MINUTE_MS) -> None:
        self.journal = SimulatedJournal(settings)
        self._watch = watch
        self._step_ms = step_ms
        self._batch: list[bytes] = []
        self._engine: Engine | None = None

    def take(self, record: Record) -> None:
        """One record, after all that the clock rings before it."""
        journal, batch = self.journal, self._batch
        if journal.clock_ms < 0:
            batch += journal.open(record.timestamp_ms)
            self._engine = Engine(sha256(batch[0]).hexdigest())
        batch += journal.until(record.timestamp_ms, self._step_ms)
        batch += journal.take(record)
        if len(batch) >= BATCH_ENTRIES:
            self.fold()

    def fold(self) -> Engine:
        """Fold what was gathered. Raises ValueError if there was no record."""
        engine = self._engine
        if engine is None:
            raise ValueError("there is nothing to fold")
        self._watch.take(engine.fold(engine.next_offset, self._batch))
        self._batch.clear()
        return engine


def make_ground(settings: Settings, history: History, seed: int, progress: Progress | None = None) -> Ground:
    """Generate and fold a seed's history. The policy's mode becomes enforce, so that a HOLD means: held."""
    settings = msgspec.structs.replace(settings, policy=msgspec.structs.replace(settings.policy, mode="enforce"))
    watch, known = Watch(), Directory()
    folding = Folding(settings, watch)
    stream = Exchange(history.parameters(seed)).records()
    prices: dict[str, str] = {}
    end_ms, count = history.end_ms, 0
    for record in stream:
        if record.timestamp_ms >= end_ms:
            break
        folding.take(record)
        known.note(record)
        if record.topic == "prices":
            prices[record.key] = str(record.value["price"])
        count += 1
        if progress is not None and count % SHARE_STEPS == 0:
            progress(count, (record.timestamp_ms - history.start_ms) / (end_ms - history.start_ms))
    else:
        raise ValueError("the simulated exchange ended before its history did")

    def rest() -> Iterator[Record]:
        yield record
        yield from stream

    snapshot = encode(folding.fold().freeze())
    return Ground(seed, history, settings, snapshot, folding.journal, known, Continuation(rest()), watch, prices, count)
