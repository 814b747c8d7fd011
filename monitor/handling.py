"""What people decide about an incident: acknowledge, assign, note, fill in the clock sheet, close, reopen. Who may is checked by the caller.

Each returns why it is refused, or None; a refusal changes nothing. The order of the checks: the incident, its state, the argument.
Called by `monitor.decided`, which publishes the incident afterwards.
"""

from typing import get_args

from msgspec.structs import replace

from monitor.clock_sheet import told
from monitor.contracts.outputs import Outcome, Stage
from monitor.incident_state import IncidentState
from monitor.incidents import Incidents

NOTE_CHARACTERS_MAX = 1_024
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
OPEN: tuple[Stage, ...] = ("new", "acknowledged", "investigating", "pending_closure")


class Handling:
    """The decisions, bound to the incidents."""

    def __init__(self, incidents: Incidents) -> None:
        self.incidents = incidents

    def find(self, incident_id: str, *stages: Stage) -> IncidentState | str:
        """The incident in one of these states; why not, as a `str`."""
        incident = self.incidents.by_id.get(incident_id)
        if incident is None:
            return f"incident {incident_id} isn't known, or is forgotten"
        if incident.stage == "merged":
            return f"incident {incident_id} is part of incident {incident.merged_into}: decide on that"
        if incident.stage not in stages:
            return f"incident {incident_id} is {incident.stage.replace('_', ' ')}"
        return incident

    def acknowledge(self, incident_id: str, actor: str, now_ms: int) -> str | None:
        """Somebody is on it: its clock stops waiting for that."""
        incident = self.find(incident_id, "new")
        if isinstance(incident, str):
            return incident
        incident.stage = "acknowledged"
        self._taken(incident, now_ms)
        incident.handled(now_ms, "acknowledged", f"by {actor}", actor)
        self._done(incident)
        return None

    def assign(self, incident_id: str, assignee: str, actor: str, now_ms: int) -> str | None:
        """It has an owner from now on, and is investigated."""
        incident = self.find(incident_id, *OPEN)
        if isinstance(incident, str):
            return incident
        if not assignee:
            return "an incident is assigned to somebody: no name is given"
        self._parted(incident, "it was assigned meanwhile", now_ms)
        incident.assignee, incident.stage = assignee, "investigating"
        self._taken(incident, now_ms)
        incident.handled(now_ms, "assigned", f"to {assignee}", actor)
        self._done(incident)
        return None

    def note(self, incident_id: str, text: str, actor: str, now_ms: int) -> str | None:
        """Something that the next shift should know. Nobody else's decision becomes stale by it."""
        incident = self.find(incident_id, *OPEN, "closed")
        if isinstance(incident, str):
            return incident
        if not text or len(text) > NOTE_CHARACTERS_MAX:
            return f"a note has 1 to {NOTE_CHARACTERS_MAX} characters, not {len(text)}"
        incident.happened(now_ms, "noted", text, actor)
        self._done(incident)
        return None

    def set_clock(self, incident_id: str, name: str, at_ms: int, actor: str, now_ms: int) -> str | None:
        """When it was halted, or who was told when; also of a closed incident, which may have been told later."""
        incident = self.find(incident_id, *OPEN, "closed")
        if isinstance(incident, str):
            return incident
        sheet = told(incident.clock, name, at_ms, now_ms)
        if isinstance(sheet, str):
            return sheet
        self._parted(incident, "its clock sheet was filled in meanwhile", now_ms)
        incident.clock = sheet
        incident.handled(now_ms, "clock_set", f"{name} at {at_ms}", actor)
        self._done(incident)
        return None

    def propose_close(self, incident_id: str, outcome: str, actor: str, now_ms: int) -> str | None:
        """A first person says what it was; it stays open until it is closed, or the proposal taken back."""
        incident = self.find(incident_id, "new", "acknowledged", "investigating")
        if isinstance(incident, str):
            return incident
        known = _outcome(outcome)
        if known is None:
            return _no_outcome(outcome)
        incident.stage_before = "acknowledged" if incident.stage == "new" else incident.stage  # who proposes it is on it
        incident.stage, incident.outcome = "pending_closure", known
        self._taken(incident, now_ms)
        incident.handled(now_ms, "closure_proposed", f"as {outcome}", actor)
        self._done(incident)
        return None

    def withdraw_close(self, incident_id: str, why: str, now_ms: int, actor: str | None = None) -> str | None:
        """A proposal to close it is taken back, or was not approved in time: it is what it was before."""
        incident = self.find(incident_id, "pending_closure")
        if isinstance(incident, str):
            return incident
        incident.stays_open(now_ms, why, actor)
        self._done(incident)
        return None

    def close(self, incident_id: str, outcome: str, actor: str, now_ms: int) -> str | None:
        """It was that, and is over. What happens later opens another incident; a fact from before reopens it."""
        incident = self.find(incident_id, *OPEN)
        if isinstance(incident, str):
            return incident
        known = _outcome(outcome)
        if known is None:
            return _no_outcome(outcome)
        self._taken(incident, now_ms)
        incident.stage, incident.stage_before, incident.outcome, incident.closed_at_ms = "closed", None, known, now_ms
        incident.handled(now_ms, "closed", f"as {outcome}", actor)
        self._done(incident)
        return None

    def reopen(self, incident_id: str, why: str, actor: str, now_ms: int) -> str | None:
        """A person takes a closing back, and has it in hand."""
        incident = self.find(incident_id, "closed")
        if isinstance(incident, str):
            return incident
        incident.stage, incident.outcome, incident.closed_at_ms = "investigating", None, None
        incident.handled(now_ms, "reopened", why, actor)
        self.incidents.counts.reopened += 1
        self._done(incident)
        return None

    @staticmethod
    def _parted(incident: IncidentState, why: str, now_ms: int) -> None:
        """Another decision parts the two who would close it: nobody can second what the first saw, so it doesn't wait for that."""
        if incident.stage == "pending_closure":
            incident.stays_open(now_ms, why)

    def _taken(self, incident: IncidentState, now_ms: int) -> None:
        """Who decides on it is on it."""
        if incident.clock.acknowledged_at_ms is None:
            incident.clock = replace(incident.clock, acknowledged_at_ms=now_ms)

    def _done(self, incident: IncidentState) -> None:
        self.incidents.clocked(incident)
        self.incidents.dirty[incident.incident_id] = None


def _outcome(name: str) -> Outcome | None:
    return next((outcome for outcome in OUTCOMES if outcome == name), None)


def _no_outcome(name: str) -> str:
    return f"an incident is closed as {', '.join(OUTCOMES)}, not as {name!r}"
