"""People's decisions on the `feedback` topic: who decided it is checked first, then what it is about; a refusal is said and changes nothing.

Of this version: votes on what a withdrawal was (confirm, clear, reopen), which teach the detectors once enough people agree. Called by
`monitor.events`.
"""

import numpy as np

from monitor.contracts.feedback import Feedback
from monitor.contracts.outputs import Audit
from monitor.decisions import Decisions
from monitor.labels import Label, Vote
from monitor.signatures import is_signed, public_key
from monitor.state import State

VOTES: dict[str, Vote | None] = {"confirm": "confirm", "clear": "clear", "reopen": None}
MEANING = {True: "a fraud", False: "no fraud", None: "not agreed on"}


class Decided:
    """The handler of feedback, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions

    def take(self, decision: Feedback) -> str | None:
        """Take a decision; why it is refused, None if it isn't.

        Order of the checks: actor, signature, command, subject, the version that the person saw.
        """
        state = self.state
        told = f"decision {decision.command} of {decision.actor} changes nothing"
        actor = state.policy.actors.get(decision.actor)
        key = None if actor is None else public_key(actor.public_key)
        if key is None:
            return f"{told}: the policy has no key to check its signature with"
        if not is_signed(decision, key):
            return f"{told}: it isn't signed with that person's key"
        if decision.command not in VOTES:
            return f"{told}: this version takes {', '.join(VOTES)}"
        known = state.withdrawals.by_id.get(decision.subject_id)
        if known is None or known.observation < 0:
            return f"{told}: withdrawal {decision.subject_id} isn't known, is forgotten, or was never scored"
        if decision.seen_version != known.version:
            return f"{told}: it was made on version {decision.seen_version}, the present one is {known.version}"
        self._vote(decision, known.observation)
        return None

    def _vote(self, decision: Feedback, observation: int) -> None:
        state, policy = self.state, self.state.policy
        vote = VOTES[decision.command]
        before, after = state.labels.vote(
            decision.subject_id, observation, decision.actor, vote, policy.label_approvals, policy.limits.labels
        )  # fmt: skip
        taught = self._teach(before, after)
        votes = ", ".join(f"{actor} {said}" for actor, said in sorted(after.votes.items())) or "nobody"
        detail = f"it counts as {MEANING[after.counted]} ({policy.label_approvals} must agree; {votes}){taught}: {decision.reason}"
        self.decisions.audit(
            Audit(decided_at_ms=state.clock.now_ms, what="labelled", source=decision.actor, subject_id=decision.subject_id, detail=detail)
        )

    def _teach(self, before: Label, after: Label) -> str:
        """Let the detectors learn what is agreed, or unlearn what no longer is; what came of it, in words."""
        if before.counted == after.counted:
            return ""
        panel, ordinals = self.state.scoring.panel, np.array([after.observation], np.int64)
        if after.counted is None:
            return "; the detectors unlearnt it" if panel.unlabel(ordinals) else "; what it taught is too old to be unlearnt"
        known = panel.label(ordinals, np.array([after.counted], np.bool_))
        return "; the detectors learnt it" if known else "; the detectors remember that withdrawal no longer"
