"""Four eyes: decisions that wait for a second, different person, and until when.

Pure state; who may decide, and what needs a second person, is judged by `monitor.decided`, the only caller. Bounded: beyond the limit nothing
new is taken, so that a flood of first approvals can't push out one that waits.
"""

from collections.abc import Iterator

import msgspec

from monitor.contracts.feedback import Feedback


class Approval(msgspec.Struct, frozen=True):
    """One decision by its first person; `version` is the subject's when it was made."""

    subject_id: str
    command: str
    actor: str
    event_id: str
    version: int
    expires_ms: int
    told: bool = False


class Approved(msgspec.Struct, frozen=True):
    """The second person agrees with the first."""

    first_actor: str
    first_event_id: str


def content(decision: Feedback) -> str:
    """What two people must agree on, to the letter; their reasons may differ."""
    return msgspec.json.encode([
        decision.subject, decision.subject_id, decision.command, decision.amount, decision.argument, decision.time_ms,
    ]).decode()  # fmt: skip


class Approvals:
    """Approval decisions by what they say."""

    def __init__(self) -> None:
        self.by_content: dict[str, Approval] = {}

    def ask(self, decision: Feedback, seen: tuple[int, int], now_ms: int, within_ms: int, limit: int) -> Approved | Approval | str:
        """Take one person's decision on a subject of which the versions `seen` (from, to) say the same to a person.

        Returns
        -------
        Approved if a second person agrees in time with what the first saw, the decision as it waits, or why it is refused.
        """
        key = content(decision)
        known = self.by_content.get(key)
        if known is not None and known.actor != decision.actor:
            if known.expires_ms > now_ms or known.told:  # what has expired and wasn't told stays until it is
                del self.by_content[key]
            if known.expires_ms <= now_ms:
                return f"the approval by {known.actor} expired {(now_ms - known.expires_ms) // 1_000} s before: it must be asked for again"
            if seen[0] <= known.version <= seen[1]:
                return Approved(known.actor, known.event_id)
            return f"{known.actor} approved it on version {known.version}, the present one is {seen[1]}: it must be asked for again"
        if known is None and len(self.by_content) >= limit:
            return f"{limit} decisions wait for a second person already"
        waiting = Approval(decision.subject_id, decision.command, decision.actor, decision.event_id, seen[1], now_ms + within_ms)
        self.by_content.pop(key, None)
        self.by_content[key] = waiting
        return waiting

    def stamp(self, decision: Feedback, version: int) -> None:
        """That a decision waits has made a version of its subject: it waits on that one."""
        key = content(decision)
        self.by_content[key] = msgspec.structs.replace(self.by_content[key], version=version)

    def waits(self, subject_id: str, command: str) -> bool:
        """Whether a first person's decision of that kind still waits."""
        return any(each.subject_id == subject_id and each.command == command and not each.told for each in self.by_content.values())

    def expired(self, now_ms: int) -> Iterator[Approval]:
        """Those that have expired since they were last asked about, each told once; they are kept for the second person who comes too late."""
        for key, waiting in list(self.by_content.items()):
            if waiting.told and now_ms - waiting.expires_ms > KEPT_MS:
                del self.by_content[key]
            elif not waiting.told and waiting.expires_ms <= now_ms:
                self.by_content[key] = msgspec.structs.replace(waiting, told=True)
                yield waiting


KEPT_MS = 86_400_000
"""How long after its end a decision is remembered as expired."""
