"""Topic `feedback`, key incident_id or withdrawal_id: people's decisions, signed by their actor.

A decision without a signature that the policy knows changes nothing. Signed is, with Ed25519, the JSON array without spaces of event_id,
occurred_at_ms, subject_id, command, actor, seen_version, amount, argument, reason; null where not given.
"""

from typing import Annotated, Literal

from msgspec import Meta

from monitor.contracts.base import Amount, Event, Id, Text

Command = Literal[
    "acknowledge", "assign", "note", "confirm", "clear", "release", "change_cause", "change_owner",
    "recovered", "compensated", "set_clock", "snooze", "close", "reopen", "change_policy",
]  # fmt: skip


class Feedback(Event, frozen=True, kw_only=True, gc=False):
    """One decision of one person about one incident or withdrawal."""

    subject_id: Annotated[Id, Meta(description="The incident_id or withdrawal_id that is decided about; the record's key.")]
    command: Command
    actor: Id
    reason: Text
    seen_version: Annotated[int, Meta(ge=0, le=2**63 - 1, description="Version of the subject that the person saw.")]
    amount: Amount | None = None
    argument: Text | None = None
    signature: Annotated[Id | None, Meta(description="Ed25519 signature over the decision, 64 bytes in base64.")] = None
