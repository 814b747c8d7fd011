"""Topic `feedback`, key subject_id: people's decisions, signed by their actor.

A decision without a signature that the policy knows changes nothing. Signed is, with Ed25519, the JSON array without spaces of journal_id, event_id,
occurred_at_ms, subject, subject_id, command, actor, seen_version, approves, amount, argument, time_ms, reason; null where not given.
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
    """One decision of one person. It is taken once: sent again, by whomever and whenever, it has no second effect, whatever became of it.

    It covers what its actor saw: of an incident the marks that stand unchanged since seen_version.
    """

    journal_id: Annotated[
        Id, Meta(description="The journal that it is meant for, as the headers of all outputs name it; in another one it counts for nothing.")
    ]
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
        int,
        Meta(
            ge=0,
            le=2**63 - 1,
            description="Version of the subject that the person saw; of a withdrawal its verdict's and all of its marks', added up; 0 for rules and policies, "
            "which have none.",
        ),
    ]
    approves: Annotated[
        Id | None, Meta(description="The event_id of another's decision that waits for a second person and says the same: this one approves it.")
    ] = None
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
