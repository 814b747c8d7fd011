"""Which incidents a key leads to: the union-find of incidents, flat, so that the look-up on the hot path is one step.

Bounded: over the limit the keys longest unused go, and a key remembers its newest incidents only. Called by `monitor.incidents`.
"""

from collections.abc import Iterable
from itertools import islice

from monitor.entities import EVICTED_SHARE

KEY_INCIDENTS_MAX = 8
"""Incidents remembered for one key, the newest: a hot wallet has many in a year, and a late fact must find its own."""


class IncidentKeys:
    """Keys to incidents, and back. `of` follows from `by_key`."""

    def __init__(self) -> None:
        self.by_key: dict[str, tuple[str, ...]] = {}
        self.of: dict[str, set[str]] = {}
        self.evicted = 0

    def restore(self, incident_ids: Iterable[str], by_key: dict[str, tuple[str, ...]], evicted: int) -> None:
        """Take over what was snapshotted."""
        self.by_key, self.evicted = by_key, evicted
        self.of = {incident_id: set() for incident_id in incident_ids}
        for key, ids in by_key.items():
            for incident_id in ids:
                self.of[incident_id].add(key)

    def add(self, incident_id: str) -> None:
        """A new incident, without keys yet."""
        self.of[incident_id] = set()

    def tied(self, keys: Iterable[str]) -> dict[str, None]:
        """The incidents that any of the keys leads to."""
        ids: dict[str, None] = {}
        for key in keys:
            for incident_id in self.by_key.get(key, ()):
                ids[incident_id] = None
        return ids

    def tie(self, incident_id: str, keys: Iterable[str], limit: int) -> list[str]:
        """The keys lead to the incident from now on; which of them are new to it."""
        by_key, own, new = self.by_key, self.of[incident_id], []
        for key in keys:
            ids = by_key.pop(key, ())
            if key not in own:
                own.add(key)
                new.append(key)
                for gone in ids[: max(0, len(ids) + 1 - KEY_INCIDENTS_MAX)]:
                    self.of[gone].discard(key)
                ids = (*ids, incident_id)[-KEY_INCIDENTS_MAX:]
            by_key[key] = ids
        if len(by_key) > limit:
            self._evict(len(by_key) - limit + limit // EVICTED_SHARE)
        return new

    def _evict(self, number: int) -> None:
        for key in list(islice(self.by_key, number)):
            for incident_id in self.by_key.pop(key):
                self.of[incident_id].discard(key)
            self.evicted += 1

    def merge(self, into: str, other: str) -> None:
        """All keys of `other` lead to `into`."""
        moved, self.of[other] = self.of[other], set()
        for key in moved:
            self.by_key[key] = tuple(dict.fromkeys(into if each == other else each for each in self.by_key[key]))
        self.of[into] |= moved

    def forget(self, incident_id: str) -> None:
        """No key leads to it any more."""
        for key in self.of.pop(incident_id):
            ids = tuple(each for each in self.by_key[key] if each != incident_id)
            if ids:
                self.by_key[key] = ids
            else:
                del self.by_key[key]
