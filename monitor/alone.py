"""What one person has decided alone: it adds up by incident, so that nobody passes the limit of four eyes in slices.

Kept in the incident (`IncidentState.alone`), so that it lives, merges, is snapshotted and forgotten with it. Called by `monitor.decided`.
"""

from monitor.persons import person
from monitor.plans import Step
from monitor.state import State

PERSONS_MAX = 256
"""Persons of whom an incident keeps what they decided alone; whoever comes later needs a second person."""


class Alone:
    """The sums, bound to one state. A person is a key, not a name."""

    def __init__(self, state: State) -> None:
        self.state = state

    def together(self, actor: str, step: Step) -> int | None:
        """What a step is worth with all that its actor has decided alone about the same incidents before, in minor units of the base currency.

        None where it can't be told: a loss without a fresh price, an incident that is forgotten or has no room for another person.
        """
        marks, incidents, who = self.state.marks.by_id, self.state.incidents.by_id, person(self.state.policy, actor)
        about = dict.fromkeys((*step.beside, *(marks[mark_id].incident_id for mark_id in step.stakes if mark_id in marks)))
        total = 0
        for incident_id in about:
            incident = incidents.get(incident_id)
            if incident is None or (who not in incident.alone and len(incident.alone) >= PERSONS_MAX):
                return None
            total += incident.alone.get(who, 0)
        for value in step.stakes.values():
            if value is None:
                return None
            total += value
        return total

    def incidents(self, step: Step) -> dict[str, str]:
        """The incidents of the marks that a step is about, as they are now."""
        marks = self.state.marks.by_id
        return {mark_id: marks[mark_id].incident_id for mark_id in step.stakes if mark_id in marks}

    def add(self, actor: str, step: Step, before: dict[str, str]) -> None:
        """Its actor has decided it alone. What was moved counts in the incident that it was in `before` too: parting marks makes no room."""
        after, incidents, who = self.incidents(step), self.state.incidents.by_id, person(self.state.policy, actor)
        for mark_id, value in step.stakes.items():
            for incident_id in dict.fromkeys((before.get(mark_id), after.get(mark_id))):
                incident = incidents.get(incident_id or "")
                if incident is not None and value is not None:
                    incident.alone[who] = incident.alone.get(who, 0) + value
