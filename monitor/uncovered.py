"""Which standing marks have something that no layer carries, so that what gets free finds the oldest of them without a search.

Grouped by all that decides whether a layer may carry them: groups that it may not are passed over whole. Called by `monitor.marks`.
"""

from collections.abc import Callable, Iterator
from heapq import merge
from typing import Any, NamedTuple

from monitor.contracts.base import Cause, Owner


class Group(NamedTuple):
    """What marks of one group have in common. All that reaches a layer in `bearing` they bear themselves, as its deductible: it can't help them."""

    incident_id: str
    asset: str
    cause: Cause
    owner: Owner
    bearing: tuple[str, ...] = ()


class Uncovered:
    """Marks by group, each with the number under which it became uncovered."""

    def __init__(self) -> None:
        self.groups: dict[Group, dict[str, int]] = {}
        self.of_incident: dict[str, dict[Group, None]] = {}
        self.of: dict[str, Group] = {}
        self.unsorted: dict[Group, None] = {}
        self.next = 0

    def put(self, mark_id: str, group: Group) -> None:
        """A mark has something uncovered. One that had before keeps its place, in whichever group."""
        known = self.of.get(mark_id)
        if known == group:
            return
        number = self.next if known is None else self._leave(mark_id, known)
        self.next += known is None
        self.of[mark_id] = group
        members = self.groups.get(group)
        if members is None:
            members = self.groups[group] = {}
            self.of_incident.setdefault(group.incident_id, {})[group] = None
        members[mark_id] = number
        if known is not None:
            self.unsorted[group] = None

    def drop(self, mark_id: str) -> None:
        """A mark is covered in full, or stands no longer."""
        group = self.of.pop(mark_id, None)
        if group is not None:
            self._leave(mark_id, group)

    def _leave(self, mark_id: str, group: Group) -> int:
        members = self.groups[group]
        number = members.pop(mark_id)
        if not members:
            del self.groups[group]
            leave(self.of_incident, group.incident_id, group)
            self.unsorted.pop(group, None)
        return number

    def oldest_first(self, fits: Callable[[Group], bool], incident_id: str | None = None) -> Iterator[str]:
        """Marks of the groups that fit, of one incident or of all, the longest uncovered first. Nothing may change while it runs."""
        for group in self.unsorted:
            self.groups[group] = dict(sorted(self.groups[group].items(), key=lambda member: member[1]))
        self.unsorted.clear()
        groups = self.groups if incident_id is None else self.of_incident.get(incident_id, ())
        members = (iter(self.groups[group].items()) for group in groups if fits(group))
        return (mark_id for mark_id, _ in merge(*members, key=lambda member: member[1]))

    def in_order(self) -> list[str]:
        """All of them, the longest uncovered first."""
        return list(self.oldest_first(lambda _: True))


def leave(members_of: dict[Any, dict[Any, None]], group: Any, member: Any) -> None:
    """A mark, or what else, is of a group no longer; a group without members goes."""
    members = members_of[group]
    del members[member]
    if not members:
        del members_of[group]
