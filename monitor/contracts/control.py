"""Topic `control`: rewinds, asked for by the core or a person and done by intake; quarantines, read by the core before it folds.

Written by the core's owner and by `withdrawal-monitor sources rewind` and `core quarantine`. Kept for ever: it is small.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.contracts.base import Text, TimeMs


class Rewind(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="rewind"):
    """The owner of `source` is to read it again from `offset`."""

    source: str
    offset: Annotated[int, Meta(ge=0)]
    asked_by: str
    asked_at_ms: TimeMs
    reason: Text


class Quarantine(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="quarantine"):
    """A journal entry that the fold can't take: kept from the detectors (its verdict is UNSCORED), or left out whole."""

    journal_id: str
    offset: Annotated[int, Meta(ge=0)]
    scope: Literal["detectors", "entry"]
    asked_by: str
    asked_at_ms: TimeMs
    reason: Text


Control = Rewind | Quarantine
