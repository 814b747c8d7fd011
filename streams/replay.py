"""Replays a file of input records, or of a journal's entries, through the same intake and core as live, without a broker: `replay FILE.jsonl[.gz]`.

Pages nobody and touches no reserve: it only folds and tells. `streams.replay_kafka` does the same from a live journal.
Called by the command line and the tests.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import IO, NamedTuple

import msgspec
import orjson

from monitor import entries
from monitor.contracts.topics import INPUTS, OUTPUTS
from monitor.decode import IntakeLimits
from monitor.engine import Engine, OutputRecord, Scope
from monitor.intake import Intake
from monitor.policy import Policy
from monitor.version import ENGINE_VERSION
from streams.journal_file import is_journal_file, read_journal
from streams.output_hash import OutputHash, record_digest
from streams.plug_ins import installed
from streams.replay_lines import BadLine, FileRefusedError, ReplayLines, ReplayRecord
from streams.settings import IntakeSettings, Settings
from streams.summary import Story, Summary, lines

TERM = "replay"
SECOND_MS = 1_000
BATCH_ENTRIES = 5_000
BAD_LINES_KEPT = 20
PROGRESS_LINES = 2_000
GAP_MS = 3_600_000
GAP_STEP_MS = 60_000
"""In a gap of more than an hour between records there is a Tick a minute: nothing can happen in it that needs one a second."""
CLOSING_MS = 2_000
"""After the last record the sources stand still for the policy's grace and this long, so that absence is judged to the end."""
FAILURES_MAX = 16

Progress = Callable[[int], None]
"""Called now and then with the lines (or entries) read so far."""

Hearer = Callable[[list[OutputRecord]], None]
"""Called with the outputs of each batch."""


def deaf(_: list[OutputRecord]) -> None:
    """Hear nothing."""


def as_it_is(_: Engine) -> None:
    """Leave an engine as it is."""


class ReplayFailedError(Exception):
    """The fold failed and leaving the entry out didn't help: a bug of ours; the message names the journal offset."""


class Replayed(NamedTuple):
    """What a replay gives: the story, the hash, and what was read."""

    summary: Summary
    journal_id: str
    sha256: str
    entries: int
    events: dict[str, int]
    rejected: dict[str, dict[str, int]]
    quarantined: dict[int, Scope]
    bad_lines: list[BadLine]
    bad_lines_count: int


def limits_of(settings: IntakeSettings) -> IntakeLimits:
    """The part of the settings that deciding on a record needs."""
    return IntakeLimits(**{name: getattr(settings, name) for name in IntakeLimits.__struct_fields__})


class FileJournal:
    """The journal that a file's records make: term, openings, entries, and each second progress of all sources and a Tick."""

    def __init__(self, lines_read: ReplayLines, settings: Settings, progress: Progress | None = None) -> None:
        policy = settings.policy
        self._lines = lines_read
        self._policy: Policy = policy
        self._intake = Intake(policy.assets, limits_of(settings.intake), policy.base_currency)
        self._next = {f"{topic.name}/0": 0 for topic in INPUTS}
        self._clock_ms = -1
        self._progress = progress
        self.bad_lines: list[BadLine] = []
        self.bad_lines_count = 0

    def __iter__(self) -> Iterator[bytes]:
        """Entries in order. Raises FileRefusedError if the file can't be read, or if no line of it is a record."""
        for number, record in enumerate(self._lines, start=1):
            if self._progress is not None and number % PROGRESS_LINES == 0:
                self._progress(number)
            if isinstance(record, BadLine):
                self.bad_lines_count += 1
                if len(self.bad_lines) < BAD_LINES_KEPT:
                    self.bad_lines.append(record)
                continue
            yield from self._until(record.timestamp)
            yield from self._take(record)
        if self._clock_ms < 0:
            raise FileRefusedError(self._nothing())
        yield from self._until(self._clock_ms + self._policy.absence_grace_ms + CLOSING_MS)

    def _nothing(self) -> str:
        if not self.bad_lines:
            return f"{self._lines.path} is empty."
        first = self.bad_lines[0]
        return f"No line of {self._lines.path} is a record; line {first.line}: {first.reason}."

    def _take(self, record: ReplayRecord) -> list[bytes]:
        source = f"{record.topic}/0"
        taken = self._intake.take(record.topic, 0, self._next[source], (record,), self._clock_ms)
        self._next[source] = taken.next_offset
        return taken.entries

    def _until(self, to_ms: int) -> Iterator[bytes]:
        """Move the clock: it never goes back, and rings each whole second that it passes."""
        if self._clock_ms < 0:
            self._clock_ms = to_ms
            yield from self._open()
            return
        while True:
            step_ms = GAP_STEP_MS if to_ms - self._clock_ms > GAP_MS else SECOND_MS
            next_ms = (self._clock_ms // step_ms + 1) * step_ms
            if next_ms > to_ms:
                break
            self._clock_ms = next_ms
            for source, position in self._next.items():
                yield entries.progress(source, position, position, next_ms)
            yield entries.tick(TERM, next_ms)
        self._clock_ms = max(self._clock_ms, to_ms)

    def _open(self) -> Iterator[bytes]:
        partitions = {topic.name: 1 for topic in INPUTS}
        yield entries.term(TERM, ENGINE_VERSION, self._policy, partitions, self._clock_ms)
        for source in self._next:
            yield entries.source_opened(source, 0, 0, 0, "first", TERM, None, self._clock_ms)


class KeptJournal:
    """A journal that `journal export` wrote."""

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        self._path = path
        self._progress = progress
        self.bad_lines: list[BadLine] = []
        self.bad_lines_count = 0

    def __iter__(self) -> Iterator[bytes]:
        """Entries in order. Raises FileRefusedError if the file can't be read, or if its offsets aren't 0, 1, 2, …."""
        for expected, (offset, entry) in enumerate(read_journal(self._path)):
            if offset != expected:
                raise FileRefusedError(f"{self._path} has offset {offset} where {expected} should be: it can't be folded from its first entry.")
            if self._progress is not None and offset % PROGRESS_LINES == 0:
                self._progress(offset)
            yield entry


class Outputs:
    """Where the outputs of a fold go: the story, the hash, and, if wanted, files."""

    def __init__(self, journal_id: str, files: Mapping[str, IO[bytes]]) -> None:
        self.story = Story()
        self.hash = OutputHash(journal_id)
        self._files = files

    def take(self, records: list[OutputRecord]) -> None:
        """The outputs of one batch."""
        for record in records:
            self.story.take(record)
            self.hash.add(record_digest(record))
            file = self._files.get(record.topic)
            if file is not None:
                file.write(_output_line(record))


@contextlib.contextmanager
def output_files(out: Path | None) -> Iterator[Mapping[str, IO[bytes]]]:
    """One file of JSON lines per output topic in the directory `out`, which is made; nothing if None. Raises OSError."""
    with contextlib.ExitStack() as stack:
        files: dict[str, IO[bytes]] = {}
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for topic in OUTPUTS:
                files[topic.name] = stack.enter_context((out / f"{topic.name}.jsonl").open("wb"))
        yield files


def _output_line(record: OutputRecord) -> bytes:
    facts = {"key": None if record.key is None else record.key.decode(), "offset": record.offset, "index": record.index}
    return orjson.dumps(facts | {"value": orjson.Fragment(record.value)}, option=orjson.OPT_APPEND_NEWLINE)


def replay_file(
    path: Path, settings: Settings, *, out: Path | None = None, batch_entries: int = BATCH_ENTRIES, progress: Progress | None = None
) -> Replayed:
    """Replay one file: of input records, under the settings' policy, or of journal entries; raises what `fold_file` raises."""
    fold, journal = fold_file(path, settings, out=out, batch_entries=batch_entries, progress=progress)
    return fold.replayed(journal.bad_lines, journal.bad_lines_count)


def journal_of(path: Path, settings: Settings, progress: Progress | None = None) -> FileJournal | KeptJournal:
    """What a file holds as a journal: entries that were kept, or those that its input records make under the settings' policy.

    Raises FileRefusedError if it can't be read.
    """
    return KeptJournal(path, progress) if is_journal_file(path) else FileJournal(ReplayLines(path), settings, progress)


def left_out(journal: FileJournal | KeptJournal, path: Path) -> str | None:
    """What of the file the journal doesn't have, as a sentence; None if nothing was left out."""
    if not journal.bad_lines_count:
        return None
    first = journal.bad_lines[0]
    return f"{journal.bad_lines_count:,} line(s) of {path} are no records and are left out; line {first.line}: {first.reason}."


def fold_file(
    path: Path,
    settings: Settings,
    *,
    out: Path | None = None,
    batch_entries: int = BATCH_ENTRIES,
    progress: Progress | None = None,
    hearers: Callable[[], Hearer] = lambda: deaf,
    prepare: Callable[[Engine], None] = as_it_is,
) -> "tuple[Fold, FileJournal | KeptJournal]":
    """Fold one file to its end; the result doesn't depend on `batch_entries`.

    Each attempt tells its outputs to a hearer of its own; after that was made, its engine is given to `prepare`, before it folds.

    Raises
    ------
    FileRefusedError
        The file can't be read, is empty, or has no record; a bad line among good ones is counted, not raised.
    ReplayFailedError
        The fold failed in a way that leaving entries out doesn't mend.
    OSError
        An output file can't be written.
    """
    quarantined: dict[int, Scope] = {}
    careful_until = 0
    for _ in range(FAILURES_MAX):
        journal = journal_of(path, settings, progress)
        fold = Fold(quarantined, careful_until, hearers(), prepare)
        with output_files(out) as files:
            if fold.run(iter(journal), files, batch_entries):
                return fold, journal
        # As live: fold again, one entry at a time up to the failure; one that fails again is kept from the detectors, then left out.
        failed = fold.failed_at
        if failed < careful_until:
            if quarantined.get(failed) == "entry":
                break
            quarantined[failed] = "entry" if failed in quarantined else "detectors"
        careful_until = max(careful_until, fold.batch_end)
    raise ReplayFailedError(f"The fold fails at journal offset {fold.failed_at}: {fold.error!r}.")


class Fold:
    """One fold of a journal from its first entry on; the outputs of each batch are told to `hear`."""

    def __init__(
        self, quarantined: dict[int, Scope], careful_until: int = 0, hear: Hearer = deaf, prepare: Callable[[Engine], None] = as_it_is
    ) -> None:
        self._quarantined = quarantined
        self._careful_until = careful_until
        self._hear = hear
        self._prepare = prepare
        self._engine: Engine | None = None
        self._outputs: Outputs | None = None
        self.failed_at = -1
        self.batch_end = 0
        self.error: BaseException | None = None

    def run(self, journal: Iterator[bytes], files: Mapping[str, IO[bytes]], batch_entries: int = BATCH_ENTRIES) -> bool:
        """Fold all; False if an entry failed, then `failed_at`, `batch_end` and `error` say what happened."""
        batch: list[bytes] = []
        for entry in journal:
            batch.append(entry)
            if len(batch) >= batch_entries:
                if not self.fold(batch, files):
                    return False
                batch = []
        return not batch or self.fold(batch, files)

    def fold(self, batch: list[bytes], files: Mapping[str, IO[bytes]]) -> bool:
        """Fold the next entries."""
        if self._engine is None or self._outputs is None:
            journal_id = sha256(batch[0]).hexdigest()
            self._engine = Engine(journal_id, self._quarantined, installed)
            self._engine.careful_until = self._careful_until
            self._prepare(self._engine)
            self._outputs = Outputs(journal_id, files)
        engine = self._engine
        self.batch_end = engine.next_offset + len(batch)
        try:
            records = engine.fold(engine.next_offset, batch)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001  # a library's panic is a BaseException; one bad entry must not end a replay
            self.failed_at = engine.next_offset if engine.failing_offset is None else engine.failing_offset
            self.error = error
            return False
        self._outputs.take(records)
        self._hear(records)
        return True

    @property
    def engine(self) -> Engine:
        """The fold's state. Raises FileRefusedError if nothing was folded."""
        if self._engine is None:
            raise FileRefusedError("There is nothing to replay.")
        return self._engine

    def replayed(self, bad_lines: list[BadLine], bad_lines_count: int) -> Replayed:
        """The result. Raises FileRefusedError if nothing was folded."""
        engine = self.engine
        if self._outputs is None:
            raise FileRefusedError("There is nothing to replay.")
        gauges = engine.gauges()
        return Replayed(
            summary=self._outputs.story.summary(),
            journal_id=engine.journal_id,
            sha256=self._outputs.hash.hexdigest(),
            entries=engine.next_offset,
            events=dict(Counter(gauges.entries)),
            rejected={topic: dict(reasons) for topic, reasons in gauges.rejected.items()},
            quarantined=dict(self._quarantined),
            bad_lines=bad_lines,
            bad_lines_count=bad_lines_count,
        )


def text(replayed: Replayed) -> Iterator[str]:
    """The result for people; the answer comes first."""
    yield from lines(replayed.summary)
    yield ""
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(replayed.events.items()))
    yield f"Read       {replayed.entries:,} journal entries; accepted {kinds}"
    for topic, reasons in sorted(replayed.rejected.items()):
        yield f"  rejected on {topic}: {', '.join(f'{reason} {count:,}' for reason, count in sorted(reasons.items()))}"
    if replayed.bad_lines_count:
        yield f"  {replayed.bad_lines_count:,} line(s) are no records:"
        for bad in replayed.bad_lines:
            yield f"    line {bad.line}: {bad.reason}"
    for offset, scope in sorted(replayed.quarantined.items()):
        yield f"  journal offset {offset} is quarantined ({scope})"
    yield f"SHA-256    {replayed.sha256} over all outputs (journal {replayed.journal_id[:16]}, engine {ENGINE_VERSION})"


def as_json(replayed: Replayed) -> bytes:
    """The result for machines, one JSON object."""
    facts = {
        "sha256": replayed.sha256, "journal_id": replayed.journal_id, "engine_version": ENGINE_VERSION, "entries": replayed.entries,
        "events": replayed.events, "rejected": replayed.rejected, "quarantined": {str(offset): scope for offset, scope in replayed.quarantined.items()},
        "bad_lines": [bad._asdict() for bad in replayed.bad_lines], "bad_lines_count": replayed.bad_lines_count,
    }  # fmt: skip
    return orjson.dumps(facts | {"summary": msgspec.to_builtins(replayed.summary)}, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
