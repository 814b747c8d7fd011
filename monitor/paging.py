"""When an incident wakes people, and when it wakes them again: rules over one incident as it stands, in whole units of the base currency.

Changes what was paged of an incident and nothing else; budgets, counts and records are `monitor.incidents`', the only caller.
"""

from monitor.incident_state import IncidentState

ESCALATION_FACTOR = 10
"""A page again when the marked value is ten times that of the last page: at most a handful over any attack."""
PAGE_AGAIN_MS = 900_000
"""For value that paged before and was given back since, people are woken again at once, then once in a quarter of an hour: who comes and goes wakes
nobody more often."""


def is_grown(incident: IncidentState) -> bool:
    """Whether ten times as much stands as when it paged, or as stood since where less was left."""
    return incident.marked_base_minor >= ESCALATION_FACTOR * max(incident.paged_base_minor, 1)


def is_gone(incident: IncidentState) -> bool:
    """Whether something has left for the first time, or ten times as much as when it paged: what is held beside it, and may be a decoy, doesn't count."""
    return incident.gone and (not incident.paged_gone or incident.gone_base_minor >= ESCALATION_FACTOR * max(incident.paged_gone_base_minor, 1))


def left(incident: IncidentState, base_minor: int) -> None:
    """So much of it has left."""
    incident.gone = True
    incident.gone_base_minor += base_minor


def wakes(incident: IncidentState, now_ms: int) -> bool:
    """Whether a page is due now: the first, of what is proven, of what has left, or of what has grown."""
    proven = incident.certain and not incident.paged_certain
    return incident.paged_base_minor < 0 or proven or is_gone(incident) or (is_grown(incident) and now_ms >= quiet_until_ms(incident))


def quiet_until_ms(incident: IncidentState) -> int:
    """Until when growth wakes nobody, because a page has told of as much before."""
    if incident.paged_again_at_ms is None or not _again(incident):
        return 0
    return incident.paged_again_at_ms + PAGE_AGAIN_MS


def _again(incident: IncidentState) -> bool:
    return incident.marked_base_minor < ESCALATION_FACTOR * max(incident.paged_most_minor, 1)


def paged(incident: IncidentState, now_ms: int) -> None:
    """People are woken for it as it stands."""
    if incident.paged_base_minor >= 0 and is_grown(incident) and _again(incident):
        incident.paged_again_at_ms = now_ms
    incident.paged_base_minor = incident.marked_base_minor
    incident.paged_most_minor = max(incident.paged_most_minor, incident.marked_base_minor)
    incident.paged_certain, incident.paged_gone = incident.certain, incident.gone
    incident.paged_gone_base_minor = incident.gone_base_minor
    incident.last_paged_at_ms = now_ms


def unpaged(incident: IncidentState) -> None:
    """It is as if nobody had been woken for it."""
    incident.paged_base_minor = incident.paged_most_minor = -1
    incident.paged_certain = incident.paged_gone = False
    incident.paged_gone_base_minor, incident.paged_again_at_ms = 0, None


def lowered(incident: IncidentState, least_base_minor: int) -> None:
    """Something was given back: what stands now is what more is measured by, though less than `least_base_minor` in all wakes nobody again."""
    if incident.paged_base_minor > incident.marked_base_minor:
        level = max(incident.marked_base_minor, least_base_minor // ESCALATION_FACTOR)
        incident.paged_base_minor = min(incident.paged_base_minor, level)
    incident.gone_base_minor = min(incident.gone_base_minor, incident.marked_base_minor)
    incident.paged_gone_base_minor = min(incident.paged_gone_base_minor, incident.gone_base_minor)


def joined(incident: IncidentState, other: IncidentState) -> None:
    """Two incidents are one: what people were woken for of either, they were woken for."""
    incident.paged_base_minor = max(incident.paged_base_minor, other.paged_base_minor)
    incident.paged_most_minor = max(incident.paged_most_minor, other.paged_most_minor)
    incident.paged_certain |= other.paged_certain
    incident.paged_gone |= other.paged_gone
    incident.paged_gone_base_minor = max(incident.paged_gone_base_minor, other.paged_gone_base_minor)
    incident.gone |= other.gone
    incident.gone_base_minor += other.gone_base_minor
    incident.last_paged_at_ms = _later(incident.last_paged_at_ms, other.last_paged_at_ms)
    incident.paged_again_at_ms = _later(incident.paged_again_at_ms, other.paged_again_at_ms)


def _later(one_ms: int | None, other_ms: int | None) -> int | None:
    return max((at_ms for at_ms in (one_ms, other_ms) if at_ms is not None), default=None)
