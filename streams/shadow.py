"""Runs a proposed policy in shadow over a journal, from Kafka or a file, and tells what stands and what is proposed: the bodies of `policy`.

Decides nothing and writes nothing: `monitor.shadow` folds and compares. Called by the command line.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import msgspec
from aiokafka import TopicPartition

from detectors.registry import UnknownDetectorError
from monitor.contracts.topics import JOURNAL
from monitor.engine import Engine, JournalRefusedError, Scope
from monitor.policies import Changed, changes, digest, needs_approval, reconciled
from monitor.policy import Policy
from monitor.shadow import Proposed, Shadow, Terms, proposed_policy
from monitor.shadow_result import Compared, Difference
from streams.control import ControlReader
from streams.kafka import Kafka
from streams.plug_ins import installed
from streams.refusals import RefusedError
from streams.replay import BATCH_ENTRIES, journal_of, left_out
from streams.replay_kafka import journal_batches
from streams.replay_lines import FileRefusedError
from streams.settings import Settings
from streams.words import grouped, span

WAIT_MS = 500
FOLLOWED_ENTRIES_MAX = 1_000
HASHES_NAMED_MAX = 5

Result = TypeVar("Result")
Progress = Callable[[int, float], None]
"""Called with the entries folded and their share of the journal."""


class Source(Protocol):
    """Where a journal comes from. `left_out`: what of it isn't folded, as a sentence, once all was read; None if nothing."""

    left_out: str | None

    def batches(self) -> AsyncIterator[list[bytes]]:
        """Its entries from the first on, as it stands now. Raises FileRefusedError, TopicMissingError or KafkaError."""
        ...

    async def quarantines(self, journal_id: str) -> Mapping[int, Scope]:
        """Entries that its folds leave out."""
        ...


class FileSource:
    """A file of `journal export`, or of input records, which make a journal under the settings' policy."""

    def __init__(self, path: Path, settings: Settings) -> None:
        self._path = path
        self._settings = settings
        self.left_out: str | None = None

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """As `Source` says."""
        journal = journal_of(self._path, self._settings)
        entries = iter(journal)
        while batch := list(islice(entries, BATCH_ENTRIES)):
            yield batch
        self.left_out = left_out(journal, self._path)

    async def quarantines(self, _: str) -> Mapping[int, Scope]:
        """A file keeps none."""
        return {}


class KafkaSource:
    """The live journal."""

    def __init__(self, kafka: Kafka) -> None:
        self._kafka = kafka
        self.left_out: str | None = None

    def batches(self) -> AsyncIterator[list[bytes]]:
        """As `Source` says."""
        return journal_batches(self._kafka)

    async def quarantines(self, journal_id: str) -> Mapping[int, Scope]:
        """Those that people gave the core on `control`."""
        control = ControlReader(self._kafka)
        await control.start()
        await control.stop()
        return control.quarantines(journal_id)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What `policy compare` tells. `refused`: what of the proposed policy couldn't be had, in shadow or as things stand at the end."""

    journal_id: str
    entries: int
    standing_version: int
    proposed_sha256: str
    changes: list[Changed]
    refused: list[str]
    compared: Compared


class Approved(NamedTuple):
    """A person who has approved the proposal, and until when a second one may."""

    actor: str
    until_ms: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What `policy show` tells: the policy that decides, and the one that waits: of several the newest that somebody has approved, or else the newest."""

    journal_id: str
    entries: int
    version: int
    sha256: str
    needs_approval: bool
    proposed_sha256: str | None
    changes: list[Changed]
    approved: list[Approved]
    also_proposed: list[str]


class Shadowed:
    """One comparison under way."""

    def __init__(self, shadow: Shadow, proposed: Proposed, asked: Policy) -> None:
        self._shadow, self._proposed, self._asked = shadow, proposed, asked

    @property
    def next_offset(self) -> int:
        """Of the entry that is folded next."""
        return self._shadow.next_offset

    def fold(self, entries: Sequence[bytes]) -> list[Difference]:
        """The next entries. Raises RefusedError if the fold fails."""
        shadow = self._shadow
        return folded(lambda: shadow.fold(entries), lambda: (shadow.standing, shadow.proposed))

    def result(self) -> Comparison:
        """What came of it so far."""
        shadow, standing = self._shadow, self._shadow.standing.state.policy
        return Comparison(
            journal_id=shadow.standing.journal_id,
            entries=shadow.next_offset,
            standing_version=standing.version,
            proposed_sha256=digest(reconciled(standing, self._asked)[0]),
            changes=changes(standing, self._proposed.policy),
            refused=[*self._proposed.refused, *shadow.refused()],
            compared=shadow.result(),
        )


def folded(fold: Callable[[], Result], engines: Callable[[], Sequence[Engine]]) -> Result:
    """What a fold gives. Raises RefusedError with a sentence for whatever it raises: one that failed can't go on."""
    try:
        return fold()
    except (KeyboardInterrupt, SystemExit):
        raise
    except (JournalRefusedError, UnknownDetectorError) as error:
        raise RefusedError(f"The journal can't be folded here: {error}.") from error
    except BaseException as error:
        offset = next((engine.failing_offset for engine in engines() if engine.failing_offset is not None), None)
        where = "" if offset is None else f" at journal offset {offset}"
        raise RefusedError(f"The fold fails{where}: {type(error).__name__}: {error}; see `core quarantine`.") from error


async def compare(source: Source, asked: Policy | str, since_ms: int = 0, progress: Progress | None = None) -> Shadowed:
    """Fold the journal as it stands now under both policies; `asked` is a policy, or the hash of one that a term of the journal proposes.

    Raises
    ------
    RefusedError
        No term proposes the hash, the policy can't be had, or the fold fails.
    FileRefusedError
        The journal can't be read from its first entry to its end.
    """
    terms, count = Terms(), 0
    async for batch in source.batches():
        terms.take(batch)
        count += len(batch)
    policy = _found(terms, asked) if isinstance(asked, str) else asked
    proposed = proposed_policy(terms, policy)
    if isinstance(proposed, str):
        raise RefusedError(proposed)
    shadowed: Shadowed | None = None
    async for batch in source.batches():
        if shadowed is None:
            journal_id = sha256(batch[0]).hexdigest()
            shadow = Shadow(journal_id, proposed.policy, since_ms=since_ms, quarantines=await source.quarantines(journal_id), plug_ins=installed)
            shadowed = Shadowed(shadow, proposed, policy)
        shadowed.fold(batch)
        if progress is not None:
            progress(shadowed.next_offset, min(1.0, shadowed.next_offset / count))
    if shadowed is None:
        raise FileRefusedError("The journal is empty: no core has run yet.")
    return shadowed


def _found(terms: Terms, name: str) -> Policy:
    found = [policy for known, policy in terms.proposals.items() if known.startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise RefusedError(f"{len(found)} policies of the journal's terms have a hash that begins with {name}: give more of it.")
    known = ", ".join(each[:16] for each in list(terms.proposals)[-HASHES_NAMED_MAX:]) or "none"
    raise RefusedError(f"No term of the journal proposes a policy with the hash {name}; the newest are {known}.")


async def follow(kafka: Kafka, shadowed: Shadowed) -> AsyncGenerator[Difference, None]:
    """Go on with the live journal for ever: every difference as it comes. Raises RefusedError or KafkaError."""
    partition = TopicPartition(kafka.names.full(JOURNAL), 0)
    reader = kafka.reader(WAIT_MS)
    try:
        await reader.start()
        reader.assign([partition])
        reader.seek(partition, shadowed.next_offset)
        while True:
            fetched = await reader.getmany(partition, timeout_ms=WAIT_MS, max_records=FOLLOWED_ENTRIES_MAX)
            records = fetched.get(partition, ())
            for expected, record in enumerate(records, start=shadowed.next_offset):
                if record.offset != expected:
                    raise RefusedError(f"Offset {expected} is missing in {partition.topic}: it can't be folded further.")
            if records:
                for difference in shadowed.fold([record.value or b"" for record in records]):
                    yield difference
    finally:
        await reader.stop()


async def standing(source: Source, progress: Callable[[int], None] | None = None) -> Standing:
    """The policy that decides at the journal's end, and the one that waits. Raises FileRefusedError, RefusedError or KafkaError."""
    engine: Engine | None = None
    async for batch in source.batches():
        if engine is None:
            journal_id = sha256(batch[0]).hexdigest()
            engine = Engine(journal_id, await source.quarantines(journal_id), installed)
        taken = engine
        folded(lambda taken=taken, batch=batch: taken.fold(taken.next_offset, batch), lambda taken=taken: (taken,))  # type: ignore[misc]
        if progress is not None:
            progress(engine.next_offset)
    if engine is None:
        raise FileRefusedError("The journal is empty: no core has run yet.")
    state = engine.state
    now_ms = state.clock.now_ms
    asked = [each for each in state.approvals.by_content.values() if each.command == "change_policy" and each.expires_ms > now_ms]
    approved = {each.subject_id for each in asked}
    proposals = sorted(state.proposals.values(), key=lambda each: each.sha256 in approved)  # stable: the newest of equals stays last
    proposal = proposals[-1] if proposals else None
    waiting = [] if proposal is None else [each for each in asked if each.subject_id == proposal.sha256]
    return Standing(
        journal_id=engine.journal_id,
        entries=engine.next_offset,
        version=state.policy.version,
        sha256=digest(state.policy),
        needs_approval=needs_approval(state.policy),
        proposed_sha256=None if proposal is None else proposal.sha256,
        changes=[] if proposal is None else changes(state.policy, proposal.policy),
        approved=[Approved(each.actor, each.expires_ms) for each in waiting],
        also_proposed=[each.sha256 for each in reversed(proposals[:-1])],
    )


def answer(comparison: Comparison) -> Iterator[str]:
    """The result for people, in sentences: what they ask first comes first."""
    compared = comparison.compared
    of = f"in {span(compared.span_ms)}, of {compared.withdrawals:,} withdrawals"
    if not comparison.changes:
        yield "The proposed policy is what decides already."
    if compared.equal:
        yield f"The proposed policy would decide nothing otherwise {of}."
    else:
        yield f"The proposed policy would {', '.join(_would(compared))} {of}."
    if compared.unlisted:
        yield f"{compared.unlisted:,} differences are counted and not listed."
    if compared.forgotten:
        yield f"{compared.forgotten:,} withdrawals and marks were too many to follow to the end: what became of them later isn't compared, and the value held leaves them out."
    for why in comparison.refused:
        yield f"What of the proposed policy can't be had: {why}."


def _would(compared: Compared) -> Iterator[str]:
    base = compared.base_currency
    for held, words in ((compared.newly_held, "more"), (compared.no_longer_held, "fewer")):
        if held.withdrawals:
            yield f"hold {held.withdrawals:,} {words} {'withdrawal' if held.withdrawals == 1 else 'withdrawals'} worth {grouped(held.base_amount)} {base}"
    others = compared.verdicts_differ - compared.newly_held.withdrawals - compared.no_longer_held.withdrawals
    if others:
        yield f"decide {others:,} between CLEAR, WATCH and UNSCORED otherwise"
    if compared.modes_differ:
        yield f"change whether a HOLD is enforced for {compared.modes_differ:,}"
    for what, before, after in (
        ("page", compared.standing.pages, compared.proposed.pages),
        ("ask for a review", compared.standing.reviews_due, compared.proposed.reviews_due),
    ):
        if before != after:
            yield f"{what} {abs(after - before):,} {'time' if abs(after - before) == 1 else 'times'} {'more' if after > before else 'less'}"
    if compared.marks_differ:
        yield f"mark {compared.marks_differ:,} {'loss' if compared.marks_differ == 1 else 'losses'} otherwise"
    standing, proposed = compared.standing.coverage, compared.proposed.coverage
    if standing is not None and proposed is not None and standing.uncovered != proposed.uncovered:
        yield f"leave {grouped(proposed.uncovered)} {base} uncovered at the end instead of {grouped(standing.uncovered)}"
