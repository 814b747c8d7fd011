"""What waits for a second person about one subject, as `audit` and `feedback` tell it, and whether a decision will need one, by the configured policy.

The core keeps what waits by what was said to the letter, and so does this. Decides nothing; called by `streams.decisions`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import msgspec

from monitor.approvals import content
from monitor.contracts.feedback import Feedback
from monitor.contracts.outputs import Audit
from monitor.decided import ALWAYS_TWO
from monitor.policy import Policy
from streams.decisions import Wish
from streams.kafka import Kafka
from streams.published import newest_with
from streams.words import exact_moment, grouped, moment, number, spaced

NEWEST_AUDITS = 50_000
NEWEST_DECISIONS = 5_000
"""Of each partition: more than comes while a decision waits."""
OF_MARKS = frozenset(("confirm", "clear", "release", "change_cause", "change_owner", "recovered", "compensated", "revise", "move", "reopen"))
"""Commands that change marks: their value may need a second person."""
ASK_AGAIN = "must be asked for again"
"""What the core says where a first approval no longer counts."""
_minutes = re.compile(r" waits (\d+) min for a second person: ")


class Waiting(NamedTuple):
    """A first person's decision, and until when a second one may agree."""

    decision: Feedback
    until_ms: int

    @property
    def said(self) -> str:
        """The decision for people."""
        return said(self.decision)


def said(one: Feedback | Wish) -> str:
    """A decision in words, without what it is about."""
    more = (one.argument, one.amount, None if one.time_ms is None else exact_moment(one.time_ms))
    return " ".join((spaced(one.command), *(each for each in more if each is not None)))


async def waiting_for(kafka: Kafka, subject: str, subject_id: str) -> list[Waiting]:
    """What waits now, the oldest first. Raises TopicMissingError or KafkaError."""
    words = msgspec.json.encode(subject_id)
    audits = await newest_with(kafka, "audit", words, Audit, NEWEST_AUDITS)
    if not any(each.what == "awaits-second" and each.subject_id == subject_id for each in audits):
        return []
    first: dict[str, Feedback] = {}
    for decision in await newest_with(kafka, "feedback", words, Feedback, NEWEST_DECISIONS):
        first.setdefault(decision.event_id, decision)  # another content under a known id is refused
    return still_waiting(audits, first, subject, subject_id)


def still_waiting(audits: Iterable[Audit], decisions: Mapping[str, Feedback], subject: str, subject_id: str) -> list[Waiting]:
    """What of the outcomes, in their order, is still open."""
    found: dict[str, Waiting] = {}
    for audit in audits:
        decision = decisions.get(audit.event_id or "")
        if decision is None or (decision.subject, decision.subject_id) != (subject, subject_id):
            continue
        key = content(decision)
        if audit.what == "awaits-second":
            told = f"{decision.command} of {subject} {subject_id} by {decision.actor}"
            minutes = _minutes.match(audit.detail, len(told))
            if minutes is not None:
                found.pop(key, None)
                found[key] = Waiting(decision, audit.decided_at_ms + int(minutes[1]) * 60_000)
        elif audit.what in {"decided", "expired"} or (audit.what == "refused" and ASK_AGAIN in audit.detail):
            found.pop(key, None)
    return list(found.values())


def foreseen(policy: Policy, waiting: Iterable[Waiting], wish: Wish, value: str | None, *, known: bool) -> str:
    """Whether a decision will need a second person. `value` is what it is about, None without a price; `known` says whether that can be told at all."""
    for one in waiting:
        if (said(one.decision), one.decision.subject, one.decision.subject_id) == (said(wish), wish.subject, wish.subject_id):
            until = f"until {moment(one.until_ms)} UTC"
            if one.decision.actor == wish.actor:
                return f"needed: you asked for the same before, and another person may agree {until}"
            return f"you are the second: {one.decision.actor} asked for the same, and waits {until}"
    return f"{_by_policy(policy, wish.command, value, known=known)}, by the configured policy"


def _by_policy(policy: Policy, command: str, value: str | None, *, known: bool) -> str:
    eyes = policy.four_eyes
    needed = f"needed, within {eyes.within_ms // 60_000} min"
    limit = f"{grouped(eyes.above_base_amount)} {policy.base_currency}"
    if command in eyes.commands or command in ALWAYS_TWO:
        return needed
    if command == "set_clock":
        return f"not needed, unless it corrects what was told: then {needed}"
    if command not in OF_MARKS:
        return "not needed"
    if not known:
        return f"{needed}, if it is about more than {limit}, with what you decided alone about the incident, or a fresh price is missing"
    if value is not None and number(value) <= number(eyes.above_base_amount):
        return f"not needed up to {limit}, with what you decided alone about the incident"
    return f"{needed}, {'since no fresh price is known' if value is None else f'above {limit}'}"
