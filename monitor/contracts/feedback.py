"""Topic `feedback`, key subject_id: people's decisions, signed by their actor.

A decision without a signature that the policy knows changes nothing. Signed is, with Ed25519, the JSON array without spaces of event_id,
occurred_at_ms, subject, subject_id, command, actor, seen_version, amount, argument, time_ms, reason; null where not given.
"""

from typing import Annotated, Literal

from msgspec import Meta

from monitor.contracts.base import Amount, Event, Id, Text

Command = Literal[
    "acknowledge", "assign", "note", "confirm", "clear", "release", "change_cause", "change_owner",
    "recovered", "compensated", "revise", "move", "set_clock", "snooze", "close", "reopen", "change_policy",
]  # fmt: skip
AnyTimeMs = Annotated[
    int,
    Meta(
        ge=0,
        le=2**63 - 1,
        description="For set_clock when it was, for snooze until when: milliseconds since 1970-01-01T00:00:00Z, in the future too.",
    ),
]
SubjectKind = Literal["incident", "withdrawal", "mark", "rule", "policy"]


class Feedback(Event, frozen=True, kw_only=True, gc=False):
    """One decision of one person. Its event_id makes it idempotent: sent again as it was, it has no second effect."""

    subject: Annotated[
        SubjectKind, Meta(description="What is decided about; a withdrawal stands for all marks of it, an incident for all of its marks.")
    ]
    subject_id: Annotated[
        Id, Meta(description="The id of the incident, withdrawal or mark, the rule's name, or the proposed policy's hash; the record's key.")
    ]
    command: Command
    actor: Id
    reason: Annotated[Text, Meta(min_length=1, description="Why, for who reads it later: 1 to 1,024 characters.")]
    seen_version: Annotated[
        int, Meta(ge=0, le=2**63 - 1, description="Version of the subject that the person saw; 0 for rules and policies, which have none.")
    ]
    amount: Annotated[Amount | None, Meta(description="For recovered: how much, for revise: the whole loss; in units of the mark's asset.")] = None
    argument: Annotated[
        Text | None,
        Meta(
            description="For assign the person, for set_clock the clock's name, for change_cause the cause, for change_owner the owner, for move the incident that the mark belongs to, or new, for close the outcome, "
            'for snooze the value that is snoozed, as "network:203.0.113".'
        ),
    ] = None
    time_ms: AnyTimeMs | None = None
    signature: Annotated[Id | None, Meta(description="Ed25519 signature over the decision, 64 bytes in base64.")] = None
