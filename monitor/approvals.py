"""Four eyes: decisions that wait for a second, different person, who names the one that is approved; and until when.

Pure state; who may decide, and what needs a second person, is judged by `monitor.decided`, the only caller. Bounded: beyond the limits nothing
new waits, so that a flood of first approvals can't push out one that waits; and no person, and no subject, takes more than a share of the table.
"""

from collections.abc import Callable

import msgspec

from monitor.contracts.feedback import Command, Feedback

SHARE = 8
"""One person's, and one subject's, share of the table is an eighth, and one person's of a subject's: who fills it blocks nobody else."""


class Approval(msgspec.Struct, frozen=True):
    """One decision by its first person; `version` is the one of its subject that the person saw, `content` what is decided, to the letter.

    `person` is the key that signed it.
    """

    subject_id: str
    command: Command
    actor: str
    person: str
    event_id: str
    content: str
    version: int
    expires_ms: int


def content(decision: Feedback) -> str:
    """What two people must agree on, to the letter; their reasons may differ."""
    return msgspec.json.encode([
        decision.subject, decision.subject_id, decision.command, decision.amount, decision.argument, decision.time_ms,
    ]).decode()  # fmt: skip


class Approvals:
    """What waits, by the event id of the decision."""

    def __init__(self) -> None:
        self.by_event: dict[str, Approval] = {}

    def full(self, decision: Feedback, limit: int) -> str | None:
        """Why no further decision by that person on that subject can wait; None if it can."""
        share = max(1, limit // SHARE)
        own = {each.event_id for each in self.by_event.values() if each.actor == decision.actor}
        about = {each.event_id for each in self.by_event.values() if each.subject_id == decision.subject_id}
        by, of = f" by {decision.actor}", f" about {decision.subject_id}"
        limits = (
            (len(self.by_event), limit, ""),
            (len(own), share, by),
            (len(about), share, of),
            (len(own & about), max(1, share // SHARE), by + of),
        )
        return next((f"{most} decision(s){whose} wait for a second person already" for number, most, whose in limits if number >= most), None)

    def wait(self, decision: Feedback, person: str, version: int, expires_ms: int) -> None:
        """A decision waits for a second person."""
        self.by_event[decision.event_id] = Approval(
            decision.subject_id, decision.command, decision.actor, person, decision.event_id, content(decision), version, expires_ms
        )  # fmt: skip

    def alike(self, decision: Feedback) -> Approval | None:
        """The newest decision of another that waits and says the same."""
        said = content(decision)
        found = [each for each in self.by_event.values() if each.content == said and each.actor != decision.actor]
        return found[-1] if found else None

    def waits(self, subject_id: str, command: Command, since_version: int) -> bool:
        """Whether a first person's decision of that kind waits that isn't stale: it was made on that version or a later one."""
        return any(
            (each.subject_id, each.command) == (subject_id, command) and each.version >= since_version for each in self.by_event.values()
        )  # fmt: skip

    def take(self, fits: Callable[[Approval], bool]) -> list[Approval]:
        """Those that fit wait no longer."""
        taken = [each for each in self.by_event.values() if fits(each)]
        for each in taken:
            del self.by_event[each.event_id]
        return taken
