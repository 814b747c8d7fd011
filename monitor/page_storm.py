"""Many small alarms at once: a ceiling for first pages, so that who asks for dust from many accounts can't wake people without end.

What is put off is published, held and counted; every page says how many and how much. Changed by `monitor.incidents`, the only caller.
"""

import msgspec

from monitor.budget import HOUR_MS, Bucket
from monitor.incident_state import IncidentState

PAGES_AN_HOUR = 5
"""So many small incidents wake people one by one: more at once are looked at as a list."""
FACTOR = 10
"""Beyond them one pages again when ten times as many wait, or they are worth ten times as much."""


class PageStorm(msgspec.Struct):
    """How many incidents are put off and what they are worth; and how many and how much when people were last woken over the ceiling."""

    bucket: Bucket = msgspec.field(default_factory=Bucket)
    number: int = 0
    base_minor: int = 0
    told: int = 0
    told_base_minor: int = 0

    def puts_off(self, incident: IncidentState, now_ms: int, page_base_minor: int) -> bool:
        """Whether the page that is due is put off. Never one of what has left, is worth a page by itself, has no mark, is in hand, or was paged before."""
        is_first = incident.stage == "new" and incident.paged_base_minor < 0
        small = is_first and incident.marks > 0 and not incident.gone and incident.marked_base_minor < page_base_minor
        if not small or self._take(now_ms):
            self.drop(incident)
            return False
        if not incident.put_off:
            incident.put_off = True
            self.number += 1
            self.base_minor += incident.marked_base_minor
        if self.number < FACTOR * self.told and self.base_minor < max(FACTOR * self.told_base_minor, page_base_minor):
            return True
        self.told, self.told_base_minor = self.number, self.base_minor
        self.drop(incident)
        return False

    def _take(self, now_ms: int) -> bool:
        taken = self.bucket.take(now_ms, PAGES_AN_HOUR, HOUR_MS)
        if taken and self.bucket.level == (PAGES_AN_HOUR - 1) * HOUR_MS:  # the first after a quiet hour
            self.told = self.told_base_minor = 0
        return taken

    def changed(self, incident: IncidentState, stood_minor: int) -> None:
        """Its marks stand for another value than before; of one without any nothing waits."""
        if incident.put_off:
            self.base_minor += incident.marked_base_minor - stood_minor
            if incident.marks == 0:
                self.drop(incident)

    def drop(self, incident: IncidentState) -> None:
        """It is paged, decided about, merged or forgotten: it waits no longer."""
        if incident.put_off:
            incident.put_off = False
            self.number -= 1
            self.base_minor -= incident.marked_base_minor
