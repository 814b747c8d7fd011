"""What the entries that are facts of our own do: terms, Ticks, progress, sources opened and accepted. Events of the exchange are in `monitor.events`.

Called by `monitor.engine`, in the order of the journal.
"""

from collections.abc import Callable
from typing import Any

from monitor.contracts.journal import ProgressEntry, SourceAcceptedEntry, SourceOpenedEntry, TermEntry, TickEntry
from monitor.contracts.outputs import Audit, Heartbeat
from monitor.coverage import coverage, position
from monitor.decisions import Decisions, Moved
from monitor.events import Events
from monitor.state import State


class OwnEntries:
    """The handlers, bound to one state."""

    def __init__(self, state: State, decisions: Decisions, events: Events) -> None:
        self.state = state
        self.decisions = decisions
        self.events = events
        self.handlers: dict[type, Callable[[Any], None]] = {
            TermEntry: self.term,
            TickEntry: self.tick,
            ProgressEntry: self.progress,
            SourceOpenedEntry: self.opened,
            SourceAcceptedEntry: self.accepted,
        }

    def term(self, entry: TermEntry) -> None:
        """A worker became the core's owner, and tells its policy."""
        state = self.state
        state.term, state.partitions = entry.term, entry.partitions
        state.clock.heard(entry.clock_ms)
        self.events.decided.policy_told(entry.term, entry.policy)
        detail = f"term {entry.term} under engine version {entry.engine_version}, policy version {state.policy.version}"
        self.decisions.audit(Audit(decided_at_ms=state.clock.now_ms, what="term", subject_id=entry.term, detail=detail))

    def tick(self, entry: TickEntry) -> None:
        """Wall time. Ticks of older terms are ignored; one that jumps far ahead of what the intakes' clocks and earlier Ticks say is refused."""
        state = self.state
        clock = state.clock
        if entry.term != state.term:
            state.totals.ticks_ignored += 1
            return
        known_ms = max(clock.intake_ms, clock.tick_ms)
        if known_ms > 0 and entry.clock_ms > known_ms + state.policy.tick_ahead_max_ms:
            state.totals.ticks_refused += 1
            detail = f"a Tick {(entry.clock_ms - known_ms) // 1000} s ahead of every other clock was refused"
            self.decisions.audit(Audit(decided_at_ms=clock.now_ms, what="tick-refused", detail=detail))
            return
        clock.tick_ms = max(clock.tick_ms, entry.clock_ms)
        clock.now_ms = max(clock.now_ms, entry.clock_ms)
        self._look()
        moved = self.decisions.settle() or Moved(position(state.marks, clock.now_ms), None)
        self.events.levels.tick(moved)
        for incident_id in list(state.incidents.dirty):
            self.decisions.publish_incident(incident_id)
        outbox = self.decisions.outbox
        outbox.put("coverage", None, coverage(state, moved.position, "whole"))
        outbox.put("verdicts", None, Heartbeat(decided_at_ms=clock.now_ms, term=state.term, journal_offset=outbox.offset))

    def _look(self) -> None:
        """Everything that time alone brings about."""
        state = self.state
        for notice in state.sources.look(state.clock.now_ms, state.policy.blind_after_ms, state.partitions):
            self.decisions.notice(notice)
        for notice in state.sources.silences(state.clock.now_ms, state.policy.silent_factor, state.partitions):
            self.decisions.notice(notice)
        self.events.judge_absence()
        self.events.decided.look()
        self.decisions.watch_clocks()

    def progress(self, entry: ProgressEntry) -> None:
        """A source was read to its end."""
        self.state.clock.heard(entry.clock_ms)
        self.state.sources.progress(entry)
        self.events.progressed()

    def opened(self, entry: SourceOpenedEntry) -> None:
        """An intake worker reads a source."""
        self.state.clock.heard(entry.clock_ms)
        for notice in self.state.sources.open(entry):
            self.decisions.notice(notice)

    def accepted(self, entry: SourceAcceptedEntry) -> None:
        """A person accepts a source as it is."""
        self.decisions.notice(self.state.sources.accept(entry))
