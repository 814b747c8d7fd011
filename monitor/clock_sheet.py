"""The clock sheet of an incident: when what happened, by when the policy wants it, and what was missed.

Pure values; nothing here tells anybody. Called by `monitor.incidents` and `monitor.handling`.
"""

from collections.abc import Iterable
from typing import Literal, get_args

from msgspec.structs import replace

from monitor.contracts.outputs import ClockSheet, ClockTarget, Due
from monitor.policy import ClockTargets

ToldByPeople = Literal["halted", "regulator_told", "police_told", "customers_told"]
TOLD_BY_PEOPLE: tuple[ToldByPeople, ...] = get_args(ToldByPeople)
MINUTE_MS = 60_000


def begun(first_event_at_ms: int, first_finding_at_ms: int) -> ClockSheet:
    """The sheet of a new incident."""
    return ClockSheet(first_event_at_ms=first_event_at_ms, first_finding_at_ms=first_finding_at_ms)


def joined(sheet: ClockSheet, other: ClockSheet) -> ClockSheet:
    """The sheet of two incidents that are one: of each time the earlier."""
    earlier = {}
    for name in sheet.__struct_fields__:
        known = [at_ms for at_ms in (getattr(sheet, name), getattr(other, name)) if at_ms is not None]
        earlier[name] = min(known) if known else None
    return replace(sheet, **earlier)


def told(sheet: ClockSheet, name: str, at_ms: int, now_ms: int) -> ClockSheet | str:
    """The sheet with a time that a person tells; a later word on the same corrects it. Why it is refused, as a `str`."""
    if name not in TOLD_BY_PEOPLE:
        return f"the clock sheet takes {', '.join(TOLD_BY_PEOPLE)} from people, not {name}"
    if at_ms < sheet.first_event_at_ms:
        return f"{name} at {at_ms} is before the incident's first event at {sheet.first_event_at_ms}"
    if at_ms > now_ms:
        return f"{name} at {at_ms} is still to come: it is {now_ms}"
    return replace(sheet, **{f"{name}_at_ms": at_ms})


def open_targets(sheet: ClockSheet, targets: ClockTargets, missed: Iterable[ClockTarget], *, at_stake: bool) -> tuple[Due, ...]:
    """What the sheet still waits for, in the sheet's order: an acknowledgement once it was paged, all else while money is `at_stake`."""
    gone = set(missed)
    found = []
    for name in get_args(ClockTarget):
        since_ms = sheet.paged_at_ms if name == "acknowledged" else sheet.first_finding_at_ms if at_stake else None
        minutes: int = getattr(targets, f"{name}_minutes")
        if since_ms is not None and minutes > 0 and getattr(sheet, f"{name}_at_ms") is None:
            found.append(Due(name, since_ms + minutes * MINUTE_MS, name in gone))
    return tuple(found)
