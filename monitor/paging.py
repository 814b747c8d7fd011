"""When an incident wakes people, and when it wakes them again: rules over one incident as it stands, in whole units of the base currency.

Changes what was paged of an incident and nothing else; budgets, counts and records are `monitor.incidents`'. Called there, and where marks leave or
move: `monitor.left_after_all`, `monitor.regrouping`, `monitor.decisions`.
"""

from monitor.incident_state import IncidentState, Unvalued

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


def unvalued(incident: IncidentState, asset: str, gone_minor: int) -> None:
    """A mark of an asset stands by an exact rule and has no price, so that it may be worth anything; so much of it has left.

    Due is the first of an asset, the first of it that has left, and of both ten times the units.
    """
    told_minor, gone_before_minor, told_gone_minor = incident.unvalued.get(asset, Unvalued())
    stood_minor, gone_minor = incident.marked_minor.get(asset, 0), gone_before_minor + gone_minor
    if told_minor < 0 or stood_minor >= ESCALATION_FACTOR * max(told_minor, 1):
        told_minor, incident.unvalued_due = stood_minor, True
    if gone_minor > 0 and gone_minor >= ESCALATION_FACTOR * told_gone_minor:
        told_gone_minor, incident.unvalued_due = gone_minor, True
    incident.unvalued[asset] = Unvalued(told_minor, gone_minor, told_gone_minor)
    incident.severity, incident.severe = "critical", True


def wakes(incident: IncidentState, now_ms: int) -> bool:
    """Whether a page is due now: the first, of what is proven, of what has left, or of what has grown."""
    proven = incident.certain and not incident.paged_certain
    return (
        incident.paged_base_minor < 0
        or proven
        or is_gone(incident)
        or incident.unvalued_due
        or (is_grown(incident) and now_ms >= quiet_until_ms(incident))
    )


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
    incident.paged_gone_base_minor, incident.unvalued_due = incident.gone_base_minor, False
    incident.last_paged_at_ms = now_ms


def unpaged(incident: IncidentState) -> None:
    """It is as if nobody had been woken for it."""
    incident.paged_base_minor = incident.paged_most_minor = -1
    incident.paged_certain = incident.paged_gone = False
    incident.paged_gone_base_minor, incident.paged_again_at_ms, incident.unvalued = 0, None, {}


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
    for asset, there in other.unvalued.items():
        here = incident.unvalued.get(asset, Unvalued())
        incident.unvalued[asset] = Unvalued(
            max(here.told_minor, there.told_minor), here.gone_minor + there.gone_minor, max(here.told_gone_minor, there.told_gone_minor)
        )
    incident.unvalued_due |= other.unvalued_due
    incident.last_paged_at_ms = _later(incident.last_paged_at_ms, other.last_paged_at_ms)
    incident.paged_again_at_ms = _later(incident.paged_again_at_ms, other.paged_again_at_ms)


def moved(left: IncidentState, into: IncidentState, base_minor: int, *, gone: bool) -> None:
    """A mark of so much goes from one to the other, and with it what people were woken for of it; `gone`: it has left."""
    if left.paged_base_minor >= 0:
        into.paged_base_minor = max(into.paged_base_minor, 0) + min(base_minor, left.paged_base_minor)
        into.paged_most_minor = max(into.paged_most_minor, into.paged_base_minor)
        into.last_paged_at_ms = _later(into.last_paged_at_ms, left.last_paged_at_ms)
    into.paged_certain |= left.paged_certain and not into.certain
    into.certain |= left.certain
    into.severe |= left.severe
    if left.certain:
        into.severity = "critical"
    if not (gone and left.gone):
        return
    told_minor = min(base_minor, left.paged_gone_base_minor)
    into.paged_gone = left.paged_gone and (into.paged_gone or not into.gone)
    into.gone, into.gone_base_minor = True, into.gone_base_minor + base_minor
    into.paged_gone_base_minor += told_minor
    left.gone_base_minor = max(0, left.gone_base_minor - base_minor)
    left.paged_gone_base_minor = min(left.paged_gone_base_minor - told_minor, left.gone_base_minor)
    if left.gone_base_minor == 0:
        left.gone = left.paged_gone = False


def moved_unvalued(left: IncidentState, into: IncidentState, asset: str, amount_minor: int, *, gone: bool) -> None:
    """So much of an asset goes along without a price: people were woken for no more of it than that."""
    there = left.unvalued.get(asset)
    if there is not None:
        here, gone_minor = into.unvalued.get(asset, Unvalued()), amount_minor if gone else 0
        into.unvalued[asset] = Unvalued(
            max(here.told_minor, min(there.told_minor, amount_minor)), here.gone_minor + gone_minor,
            max(here.told_gone_minor, min(there.told_gone_minor, gone_minor)),
        )  # fmt: skip


def _later(one_ms: int | None, other_ms: int | None) -> int | None:
    return max((at_ms for at_ms in (one_ms, other_ms) if at_ms is not None), default=None)
