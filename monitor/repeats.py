"""Which events have been seen: the same event_id with the same content is a repeat, with other content a conflict.

Exchanges deliver at least once. Bounded: two generations, the older one is dropped whole when the younger is full. Called by `monitor.engine`.
"""

import enum
from zlib import adler32, crc32

import msgspec

from monitor.contracts.base import Event

_encode = msgspec.msgpack.Encoder().encode


class Seen(enum.Enum):
    """What is known of an event_id."""

    NEW = "new"
    REPEAT = "repeat"
    CONFLICT = "conflict"


NEW, REPEAT, CONFLICT = Seen
"""The members by names of their own: looking a member up in its class takes ten times as long, and this is asked of every entry."""


def _digest(event: Event) -> int:
    """64 bits over what the contract knows of an event. Against accidents, not forgery: who can forge an event can give it another id."""
    try:
        content = _encode(event)
    except OverflowError:  # an integer beyond 64 bits, as an outflow's absurd time may be
        content = repr(event).encode()
    return crc32(content) << 32 | adler32(content)


class EventIds:
    """event_id -> digest of what the contract knows of the event: unknown fields are tolerated and not judged."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.young: dict[str, int] = {}
        self.old: dict[str, int] = {}
        self.repeats = 0
        self.conflicts = 0

    def see(self, event: Event) -> Seen:
        """Judge one event and remember it."""
        digest, event_id, young = _digest(event), event.event_id, self.young
        known = young.get(event_id)
        if known is None:
            known = self.old.get(event_id)
        if known is None:
            young[event_id] = digest
            if len(young) * 2 >= self.limit:
                self.old, self.young = young, {}
            return NEW
        if known == digest:
            self.repeats += 1
            return REPEAT
        self.conflicts += 1
        return CONFLICT

    def __len__(self) -> int:
        return len(self.young) + len(self.old)


class Told:
    """What something was first told to be, by its name, in two generations as above: a posting, an output of a transaction."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.young: dict[str, str] = {}
        self.old: dict[str, str] = {}

    def see(self, name: str, told: str) -> str | None:
        """Remember what it is told to be; returns what it was told to be before, None if it is new."""
        known = self.young.get(name) or self.old.get(name)
        if known is None:
            self.young[name] = told
            if len(self.young) * 2 >= self.limit:
                self.old, self.young = self.young, {}
        return known

    def __len__(self) -> int:
        return len(self.young) + len(self.old)
