"""People's decisions on the `feedback` topic: who decided it is checked first, then what it is about; a refusal is said and changes nothing.

The order of the checks: actor, signature, journal, whether it is new, role, subject, command, the version that the person saw, a second person.
After the last nothing can fail. What each command does stands in `monitor.commands`. Called by `monitor.events`.
"""

from typing import NamedTuple

import msgspec

from monitor.alone import Alone
from monitor.approvals import Approval, content
from monitor.commands import Commands
from monitor.contracts.feedback import Command, Feedback
from monitor.contracts.outputs import Audit, AuditKind
from monitor.decision_ids import MACHINES
from monitor.decisions import Decisions
from monitor.money import parse_amount
from monitor.persons import person
from monitor.plans import Step
from monitor.policies import Proposal, differences, digest, needs_approval, next_version, propose, reconciled
from monitor.policy import Actor, Policy
from monitor.signatures import is_signed, public_key
from monitor.state import State

MACHINES_MAY: frozenset[Command] = frozenset(("acknowledge", "assign", "note", "set_clock"))
"""A machine may tell people what it did; it never releases, clears or pays, and is neither of two persons."""

ALWAYS_TWO: frozenset[Command] = frozenset(("change_policy",))
"""What needs two persons whatever the policy says: one alone could else give himself all the rest."""


def may(policy: Policy, actor: Actor, command: Command) -> bool:
    """Whether one of the actor's roles has the command."""
    if actor.machine and (command not in MACHINES_MAY or command in policy.four_eyes.commands):
        return False
    return any(role in policy.roles and command in policy.roles[role].commands for role in actor.roles)


OF_MARKS: frozenset[Command] = frozenset(("confirm", "clear", "release", "change_cause", "change_owner", "compensated"))
"""Commands that about an incident are about its marks: those that stand as the person saw them; how many are left is said."""


UNVERSIONED: frozenset[Command] = frozenset(("acknowledge", "assign", "note"))
"""What is said of an incident is as true of its next version: nobody has to look again to say it."""


class Planned(NamedTuple):
    """What a decision would do, and in words what it leaves."""

    step: Step
    left: str


class Decided:
    """The handler of feedback, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions
        self.commands = Commands(state, decisions)
        self.alone = Alone(state)

    def take(self, decision: Feedback) -> None:
        """Take a decision, and say what came of it: decided, awaiting a second person, or refused."""
        told = f"{decision.command} of {decision.subject} {decision.subject_id} by {decision.actor}"
        planned = self._refused(decision) or self._planned(decision)
        if isinstance(planned, str):
            self._say("refused", decision, f"{told} changes nothing: {planned}")
        elif decision.approves is not None:
            self._second(decision, decision.approves, planned, told)
        elif self._needs_second(decision, planned.step):
            self._first(decision, planned.step, told)
        else:
            before = self.alone.incidents(planned.step)
            self._say("decided", decision, f"{told}: {planned.step.do((decision.actor,))}{planned.left}: {decision.reason}")
            self.alone.add(decision.actor, planned.step, before)
            self._after(decision)

    def _first(self, decision: Feedback, step: Step, told: str) -> None:
        """It waits for a second person, who will approve what stands as the first saw it."""
        state = self.state
        approvals, four_eyes, now_ms = state.approvals, state.policy.four_eyes, state.clock.now_ms
        if approvals.full(decision, state.policy.limits.approvals) is not None:
            self.look()  # what has expired since the last Tick makes room
        full = approvals.full(decision, state.policy.limits.approvals)
        if full is not None:
            self._say("refused", decision, f"{told} changes nothing: {full}")
            return
        alike = approvals.alike(decision)
        version = decision.seen_version if step.wait is None else step.wait(decision.actor)
        approvals.wait(decision, person(self.state.policy, decision.actor), version, now_ms + four_eyes.within_ms)
        beside = "" if alike is None else f"; {alike.event_id} by {alike.actor} says the same and waits too: only what names it approves it"
        self._say(
            "awaits-second", decision, f"{told} waits {four_eyes.within_ms // 60_000} min for a second person{beside}: {decision.reason}"
        )  # fmt: skip

    def _second(self, decision: Feedback, event_id: str, planned: Planned, told: str) -> None:
        """A second person approves what the first decided: what both saw, and stands unchanged since."""
        approvals, first = self.state.approvals, self.state.approvals.by_event.get(event_id)
        why: str | None = None
        if first is None or first.expires_ms <= self.state.clock.now_ms:
            why = f"no decision {event_id} waits for a second person: it is decided, void or expired, or never came"
        elif first.content != content(decision):
            why = f"{event_id} by {first.actor} says something else"
        elif first.actor == decision.actor or first.person == person(self.state.policy, decision.actor):
            why = "the second must be another person than the first"
        if first is None or why is not None:
            self._say("refused", decision, f"{told} changes nothing: {why}")
            return
        unfit = self._unfit(first)
        if unfit is None and decision.seen_version > first.version:
            replanned = self._planned(msgspec.structs.replace(decision, seen_version=first.version))
            if isinstance(replanned, str):
                unfit = replanned
            else:
                planned = replanned
        approvals.take(lambda each: each.event_id == event_id)
        if unfit is not None:
            self._void(first, f"what {first.actor} approved on version {first.version} counts no more: {unfit}")
            why = f"what {first.actor} approved on version {first.version} counts no more: it must be asked for again ({unfit})"
            self._say("refused", decision, f"{told} changes nothing: {why}")
            return
        done = planned.step.do((first.actor, decision.actor))
        self._say("decided", decision, f"{told}, approved by {first.actor} first: {done}{planned.left}: {decision.reason}", first.actor)
        self._after(decision)

    def _after(self, decision: Feedback) -> None:
        """An incident that was decided about is published at once: the next decision about it covers what this one did."""
        if decision.subject_id in self.state.incidents.dirty and decision.subject == "incident":
            self.decisions.publish_incident(decision.subject_id)
        if decision.command == "change_policy":
            self._policy_changed()

    def _policy_changed(self) -> None:
        """Under another policy an approval counts only if its person still may, with the same key."""
        for first in self.state.approvals.take(lambda each: self._unfit(each) is not None):
            self._void(first, f"{first.command} of {first.subject_id} by {first.actor} waits no longer: {self._unfit(first)}")

    def _unfit(self, first: Approval) -> str | None:
        """Why the word of a first person no longer counts; None if it does."""
        policy = self.state.policy
        actor = policy.actors.get(first.actor)
        if actor is None or person(policy, first.actor) != first.person:
            return f"the policy has no such key of {first.actor} any more"
        return None if may(policy, actor, first.command) else f"{first.actor} may no longer decide it"

    def _void(self, first: Approval, detail: str) -> None:
        """Say that what waited waits no longer. Of a closing the incident is told."""
        self._end("void", first, detail)
        if self._closing_ended(first, f"what {first.actor} approved counts no more"):
            self.decisions.publish_incident(first.subject_id)

    def _end(self, what: AuditKind, first: Approval, detail: str) -> None:
        outcomes = self.state.totals.decisions
        outcomes[what] = outcomes.get(what, 0) + 1
        self.decisions.audit(
            Audit(
                decided_at_ms=self.state.clock.now_ms, what=what, subject_id=first.subject_id, event_id=first.event_id, actors=(first.actor,),
                detail=detail,
            )
        )  # fmt: skip

    def _closing_ended(self, first: Approval, why: str) -> bool:
        """What waited may have been the last word for closing an incident: whether it stays open for that."""
        incident = self.state.incidents.by_id.get(first.subject_id)
        if first.command != "close" or incident is None or incident.stage != "pending_closure":
            return False
        if self.state.approvals.waits(first.subject_id, "close", incident.handled_version):
            return False
        self.commands.incidents.stay_open(first.subject_id, why)
        return True

    def _refused(self, decision: Feedback) -> str | None:
        """Whose it is, whether it is meant for this monitor and new, and whether its actor may; from there on it is taken, whatever becomes of it."""
        state, policy = self.state, self.state.policy
        actor = policy.actors.get(decision.actor)
        key = None if actor is None else public_key(actor.public_key)
        if actor is None or key is None:
            return "the policy has no key to check its signature with"
        if not is_signed(decision, key):
            return "it isn't signed with that person's key"
        if decision.journal_id != state.journal_id:
            return f"it was signed for another journal, {decision.journal_id}: this is {state.journal_id}"
        by = MACHINES if actor.machine else decision.actor
        used = state.decision_ids.take(decision, by, state.clock, policy.decision_valid_ms, policy.limits.decision_ids)
        if used is not None:
            return used
        if not may(policy, actor, decision.command):
            roles = ", ".join(actor.roles) or "none"
            return "a machine may not decide it" if actor.machine else f"none of that person's roles may decide it ({roles})"
        return None

    def _planned(self, decision: Feedback) -> Planned | str:
        """What it would do to what its actor saw, or why it can't be done."""
        target = self.commands.target(decision)
        if isinstance(target, str):
            return target
        plans = self.commands.plans[decision.command]
        plan = plans.get(decision.subject)
        if plan is None:
            return f"it is decided about {' or '.join(plans)}, not about {decision.subject}"
        material = 0 if decision.command in UNVERSIONED else target.material
        if not material <= decision.seen_version <= target.version:
            return f"it was made on version {decision.seen_version}, the present one is {target.version} ({target.told})"
        step = plan(decision, target)
        left = ""
        if target.left and decision.command in OF_MARKS:
            left = f"; {target.left} mark(s) that came or changed since version {decision.seen_version} are left"
        return f"{step}{left}" if isinstance(step, str) else Planned(step, left)

    def _needs_second(self, decision: Feedback, step: Step) -> bool:
        policy = self.state.policy
        if decision.command in policy.four_eyes.commands or decision.command in ALWAYS_TWO:
            return True
        if step.needs_two or not step.stakes:
            return step.needs_two
        above = parse_amount(policy.four_eyes.above_base_amount, policy.assets[policy.base_currency].decimals)
        together = self.alone.together(decision.actor, step)
        return together is None or not isinstance(above, int) or together > above

    def _say(self, what: AuditKind, decision: Feedback, detail: str, first_actor: str | None = None) -> None:
        outcomes = self.state.totals.decisions
        outcomes[what] = outcomes.get(what, 0) + 1
        actors = (decision.actor,) if first_actor is None else (first_actor, decision.actor)
        self.decisions.audit(
            Audit(
                decided_at_ms=self.state.clock.now_ms, what=what, subject_id=decision.subject_id, event_id=decision.event_id,
                actors=actors, detail=detail,
            )
        )  # fmt: skip

    def policy_told(self, term: str, told: Policy) -> None:
        """A term brings a worker's policy: what decides already, or a change, which people must approve where the policy says who may.

        What decides already changes nothing, so that a standby with the former file ends no proposal.
        """
        state = self.state
        policy, refused = reconciled(state.policy, told)
        if digest(policy) != digest(state.policy):
            differs = f"differs in {differences(state.policy, policy)}"
            if needs_approval(state.policy):
                proposal = Proposal(policy, digest(policy))
                propose(state.proposals, proposal)
                self._policy("policy-proposed", proposal.sha256, f"the policy of term {term} {differs}; it decides once people approve it")
            else:
                state.proposals.clear()
                refused += state.configure(next_version(state.policy, policy))
                self._policy_changed()
                self._policy(
                    "policy-changed", term, f"the policy of term {term} {differs}; it decides from here on as version {state.policy.version}"
                )
        for why in refused:
            self._policy("refused", term, f"of the policy: {why}")

    def _policy(self, what: AuditKind, subject_id: str, detail: str) -> None:
        self.decisions.audit(Audit(decided_at_ms=self.state.clock.now_ms, what=what, subject_id=subject_id, detail=detail))

    def look(self) -> None:
        """On a Tick: say which decisions nobody seconded in time."""
        now_ms = self.state.clock.now_ms
        for waiting in self.state.approvals.take(lambda each: each.expires_ms <= now_ms):
            detail = f"{waiting.command} of {waiting.subject_id} by {waiting.actor} found no second person in time and changes nothing"
            self._end("expired", waiting, detail)
            self._closing_ended(waiting, f"{waiting.actor} found no second person in time")
