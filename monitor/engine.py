"""The core: a pure fold of journal entries into output records. Same journal, same bytes, however it is cut, stopped and restored.

Entries are taken in segments: first every entry of a segment is judged (accepted, a repeat, a hole) and new withdrawals are gathered, then
the detectors score them in one run, then each entry has its effect in order. A segment ends where the cut would show: at the end of a
block, at a price or a balance, and at every entry that stands for no source record. Called by `streams.core` and `streams.replay`.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, get_args

import msgspec
from msgspec.structs import replace

from detectors.contract import BLOCK_OBSERVATIONS
from detectors.registry import PlugIns, none_installed
from monitor.contracts.journal import (
    AccountEventEntry,
    BalanceEntry,
    EventEntry,
    FeedbackEntry,
    JournalEntry,
    OutflowEntry,
    PriceEntry,
    RejectedEntry,
    Sourced,
    TermEntry,
    WithdrawalEntry,
)  # fmt: skip
from monitor.contracts.outputs import Audit
from monitor.contracts.withdrawals import Withdrawal
from monitor.decisions import Decisions, FactRefusedError
from monitor.entities import EVICTED_SHARE
from monitor.events import CHECKED_TWICE, Events
from monitor.facts import facts_of
from monitor.gauges import Gauges
from monitor.outbox import Outbox, OutputRecord
from monitor.own_entries import OwnEntries
from monitor.picture import picture
from monitor.policies import first_policy
from monitor.repeats import CONFLICT, NEW, REPEAT, Seen
from monitor.scoring import Opinion
from monitor.snapshot import Frozen, freeze, thaw
from monitor.sources import ACCEPTED, HOLE
from monitor.state import State
from monitor.trail import Head, runs

__all__ = ["Engine", "GapInJournalError", "JournalRefusedError", "OutputRecord"]

Scope = Literal["detectors", "entry"]
Witness = Callable[[int], None]
"""Told the offset of each event that had its effect. Repeats, conflicts that count for nothing, prices that the ledger doesn't take, and what is refused or left out aren't told."""
KINDS: dict[type, str] = {kind: str(kind.__struct_config__.tag) for kind in (*get_args(EventEntry), RejectedEntry)}
SOURCED = frozenset(KINDS)
ENDS_SEGMENT: frozenset[type] = frozenset((PriceEntry, BalanceEntry, FeedbackEntry))
"""What these tell is gathered with the requests after them, or learnt before those are scored, so it must have had its effect before. Account events only leave a fact that
nothing else reads: it is taken in the first pass, and cuts nothing."""
OWN_IDS: frozenset[type] = frozenset((RejectedEntry, FeedbackEntry))
"""Rejections have no id; people's decisions have a table of their own, in which nobody's traffic takes or pushes out an id (`monitor.decision_ids`)."""
_decode = msgspec.json.Decoder(JournalEntry).decode


NOT_BEGUN = "the journal doesn't begin with a term: it isn't one that a core has written, or its beginning is gone"


def _is_term(entry: bytes) -> bool:
    try:
        return type(_decode(entry)) is TermEntry
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


class GapInJournalError(AssertionError):
    """The fold was given entries that don't follow on what it has: a bug of the shell."""


class JournalRefusedError(Exception):
    """The journal can't be folded: it doesn't begin with a term."""


NOT_REQUESTED, NOT_SCORED, REFUSED = -1, -2, -3


class Judged(msgspec.Struct, gc=False):
    """An accepted entry of the open segment.

    `place`: a new withdrawal's among those gathered, or NOT_SCORED; of anything else NOT_REQUESTED. REFUSED once it had no effect.
    """

    offset: int
    entry: Any  # one of SOURCED; what is done with it depends on its type alone
    seen: Seen
    place: int


class Engine:
    """The fold and its state.

    Parameters
    ----------
    journal_id
        SHA-256 of the journal's first entry, hexadecimal.
    quarantines
        By offset: "entry" leaves an entry out whole (its source position counts as read), "detectors" keeps its withdrawal from them.
    plug_ins
        Finds the detectors of others that a policy names.
    """

    def __init__(self, journal_id: str, quarantines: Mapping[int, Scope] | None = None, plug_ins: PlugIns = none_installed) -> None:
        self.journal_id = journal_id
        self.quarantines: Mapping[int, Scope] = quarantines or {}
        self.plug_ins = plug_ins
        self.witness: Witness | None = None
        self.next_offset = 0
        self.careful_until = 0
        self.failing_offset: int | None = None
        self.outbox = Outbox()
        self.segment: list[Judged] = []
        self.fresh: set[str] = set()
        self._state: State | None = None

    @property
    def term(self) -> str | None:
        """The newest term; None before the first."""
        return None if self._state is None else self._state.term

    @property
    def state(self) -> State:
        """The state, for tests and gauges. Raises JournalRefusedError before the first term."""
        if self._state is None:
            raise JournalRefusedError(NOT_BEGUN)
        return self._state

    def _install(self, state: State) -> None:
        self._state = state
        state.journal_id = self.journal_id
        self.decisions = Decisions(state, self.outbox)
        self.events = Events(state, self.decisions)
        self.own = OwnEntries(state, self.decisions, self.events)

    def fold(self, start: int, entries: Sequence[bytes]) -> list[OutputRecord]:
        """Take entries from offset `start` on; returns what they cause, in order.

        Raises
        ------
        GapInJournalError
            `start` isn't `next_offset`. Nothing has changed.
        JournalRefusedError
            The journal's first entry isn't a term.
        BaseException
            Any other: a bug of ours or of a library. The engine must be thrown away; `failing_offset` says where it happened.
        """
        if start != self.next_offset:
            raise GapInJournalError(f"the fold stands at offset {self.next_offset} and was given {start}")
        if self._state is None and entries and not _is_term(entries[0]):
            raise JournalRefusedError(NOT_BEGUN)
        segment, careful_until, offset = self.segment, self.careful_until, start
        for run in runs(start, entries):
            for value in run:
                if not segment:
                    self.failing_offset = offset
                self._take(offset, value)
                offset += 1
                if offset <= careful_until:
                    self._flush()
            head = self.state.trail.take(offset - len(run), run)
            if head is not None:
                self._head(head)
        self._flush()
        self.next_offset = offset
        self.failing_offset = None
        return self.outbox.take()

    def _head(self, head: Head) -> None:
        """Publish a head of the audit trail, as the last of what its block's last entry causes."""
        self._flush()
        self.outbox.at(head.last_offset)
        self.decisions.audit(head.record(self.state.clock.now_ms))

    def _take(self, offset: int, value: bytes) -> None:
        """Judge one entry; a segment that it ends has its effect now."""
        try:
            entry = _decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            self._flush()
            self._unreadable(offset, error)
            return
        if type(entry) in SOURCED:
            if self._judge(offset, value, entry):
                self._flush()
            return
        self._flush()
        self.outbox.at(offset)
        if type(entry) is TermEntry and self._state is None:
            self._install(State(first_policy(entry.policy), self.plug_ins))
        self.own.handlers[type(entry)](entry)
        self.events.settled()

    def _judge(self, offset: int, value: bytes, entry: Any) -> bool:
        """First pass: whether it is accepted, its event new, and whether it asks for a new withdrawal. Says whether it ends the segment."""
        state, source = self.decisions.state, entry.source
        sources = state.sources
        judgement = sources.judge(source, entry.start, entry.offset, entry.clock_ms)
        if judgement is not ACCEPTED:
            if judgement is HOLE:
                self._hole(offset, source)
            return False
        kind = type(entry)
        if kind is RejectedEntry:
            sources.remember_digest(source, entry.value_sha256)
        else:
            sources.last_entry[source] = value
        if entry.retry_of is not None and not self._first_retry(entry.retry_of):
            sources.repeats += 1
            return False
        scope = self.quarantines.get(offset) if self.quarantines else None
        if scope == "entry":
            self._flush()
            self.outbox.at(offset)
            self._quarantined(entry, scope)
            return False
        seen = NEW if kind in OWN_IDS else state.event_ids.see(entry.event)
        if seen is REPEAT:
            return False
        if kind is WithdrawalEntry:
            place = self._gather(entry.event, scope)
            self.segment.append(Judged(offset, entry, seen, place))
            return place >= 0 and state.scoring.room == 0
        if kind is OutflowEntry and entry.time_replaced:
            entry = replace(entry, event=replace(entry.event, occurred_at_ms=entry.clock_ms))
        if kind is AccountEventEntry and seen is NEW:
            state.security.note(entry.event, state.policy.limits.security_changes)
        self.segment.append(Judged(offset, entry, seen, NOT_REQUESTED))
        return kind in ENDS_SEGMENT

    def _hole(self, offset: int, source: str) -> None:
        self._flush()
        self.outbox.at(offset)
        notice = self.state.sources.hole(source)
        if notice is not None:
            self.decisions.notice(notice)

    def _first_retry(self, position: str) -> bool:
        retried = self.state.retried
        if position in retried:
            return False
        retried[position] = None
        limit = self.state.policy.limits.retries
        if len(retried) > limit:
            for old in list(islice(retried, limit // EVICTED_SHARE)):
                del retried[old]
        return True

    def _gather(self, event: Withdrawal, scope: Scope | None) -> int:
        """A withdrawal's event; a new withdrawal joins the open run. Its place, as `Judged` has it."""
        place, withdrawal_id = NOT_REQUESTED, event.withdrawal_id
        if event.status == "requested":
            state = self.state
            if withdrawal_id not in self.fresh and withdrawal_id not in state.withdrawals.by_id:
                place = NOT_SCORED
                if scope is None:
                    place = len(state.scoring.ids)
                    state.scoring.gather(event, facts_of(state, event))
        self.fresh.add(withdrawal_id)
        return place

    def _flush(self) -> None:
        """Second pass: score what was gathered, then let each entry of the segment have its effect, in order."""
        segment = self.segment
        if not segment:
            return
        state = self.state
        scoring, events, outbox, clock = state.scoring, self.events, self.outbox, state.clock
        first = scoring.position
        opinions = scoring.score() if scoring.gathered else []
        self._count(segment)
        for judged in segment:
            entry = judged.entry
            self.failing_offset = outbox.offset = judged.offset
            outbox.index = 0
            if entry.clock_ms > clock.intake_ms:
                clock.heard(entry.clock_ms)
            kind = type(entry)
            if judged.seen is CONFLICT and not events.repeat_conflict(entry, entry.event.event_id):
                continue
            try:
                if judged.place != NOT_REQUESTED:
                    self._requested(judged, opinions, first)
                elif kind is WithdrawalEntry:
                    events.step(entry.event)
                elif events.handlers[kind](entry) is False:
                    judged.place = REFUSED
            except FactRefusedError as error:
                events.unplaced(entry, str(error))
                judged.place = REFUSED
            self.events.settled()
        self._end_segment()

    def _count(self, segment: list[Judged]) -> None:
        entries = self.state.totals.entries
        for kind, number in Counter([type(judged.entry) for judged in segment]).items():
            entries[KINDS[kind]] = entries.get(KINDS[kind], 0) + number

    def _requested(self, judged: Judged, opinions: list[Opinion], first: int) -> None:
        event = judged.entry.event
        if judged.place == NOT_SCORED:
            self._quarantined(judged.entry, "detectors")
            self.events.requested(event, None)
            return
        scoring = self.state.scoring
        position = first + judged.place
        if not self.events.requested(event, opinions[judged.place], scoring.blocks * BLOCK_OBSERVATIONS + position):
            scoring.held(position)

    def _end_segment(self) -> None:
        """The witness is told what had its effect. Limits are kept where a block ends: fixed places, so that the cut into batches never shows."""
        state, witness = self.state, self.witness
        for judged in self.segment if witness is not None else ():
            counts = judged.place != REFUSED and (judged.seen is NEW or type(judged.entry) in CHECKED_TWICE)
            if counts and witness is not None:
                witness(judged.offset)
        self.segment.clear()
        self.fresh.clear()
        if state.scoring.end_block():
            state.withdrawals.evict(state.policy.limits.withdrawals)

    def _quarantined(self, entry: Sourced, scope: Scope) -> None:
        self.state.totals.quarantined += 1
        detail = f"entry {self.outbox.offset} is kept from {'the detectors' if scope == 'detectors' else 'everything'}"
        record = Audit(decided_at_ms=self.state.clock.now_ms, what="quarantined", source=entry.source, first_offset=entry.offset, detail=detail)
        self.decisions.audit(record)

    def _unreadable(self, offset: int, error: Exception) -> None:
        """Nobody but intake and core may write the journal; what isn't an entry is said and counted, and changes nothing."""
        self.outbox.at(offset)
        state = self.state
        state.totals.unreadable += 1
        self.decisions.audit(
            Audit(decided_at_ms=state.clock.now_ms, what="refused", detail=f"journal offset {offset} isn't an entry: {type(error).__name__}")
        )

    def gauges(self) -> Gauges:
        """The picture that the core shows of itself. Raises JournalRefusedError before the first term."""
        return picture(self.state, self.journal_id, self.next_offset)

    def freeze(self) -> Frozen:
        """The state between two calls of fold: cheap shallow copies, to be encoded in another thread."""
        return freeze(self.state, self.journal_id, self.next_offset, self.state.trail.newest_sha256)

    @classmethod
    def thaw(cls, frozen: Frozen, quarantines: Mapping[int, Scope] | None = None, plug_ins: PlugIns = none_installed) -> "Engine":
        """The engine that goes on where `freeze` was called, as if never stopped."""
        engine = cls(frozen.header.journal_id, quarantines, plug_ins)
        engine.next_offset = frozen.header.next_offset
        engine._install(thaw(frozen, plug_ins))
        return engine
