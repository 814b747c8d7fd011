"""People's decisions on the `feedback` topic: who decided it is checked first, then what it is about; a refusal is said and changes nothing.

The order of the checks is the order of this file: actor, signature, role, subject, command, the version that the person saw, a second person.
After the last nothing can fail. What each command does stands in `monitor.commands`. Called by `monitor.events`.
"""

from monitor.alone import Alone
from monitor.approvals import Approved
from monitor.commands import Commands
from monitor.contracts.feedback import Command, Feedback
from monitor.contracts.outputs import Audit, AuditKind
from monitor.decisions import Decisions
from monitor.money import parse_amount
from monitor.plans import Step, Target
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
        why = self._refused(decision)
        if why is not None:
            self._say("refused", decision, f"{told} changes nothing: {why}")
            return
        target = self.commands.target(decision)
        step = target if isinstance(target, str) else self._planned(decision, target)
        if isinstance(target, str) or isinstance(step, str):
            self._say("refused", decision, f"{told} changes nothing: {step}")
            return
        if not self._needs_second(decision, step):
            before = self.alone.incidents(step)
            self._say("decided", decision, f"{told}: {step.do((decision.actor,))}: {decision.reason}")
            self.alone.add(decision.actor, step, before)
            return
        policy = self.state.policy
        asked = self.state.approvals.ask(
            decision, (target.material, target.version), self.state.clock.now_ms, policy.four_eyes.within_ms, policy.limits.approvals
        )  # fmt: skip
        if isinstance(asked, str):
            self._say("refused", decision, f"{told} changes nothing: {asked}")
        elif isinstance(asked, Approved):
            done = step.do((asked.first_actor, decision.actor))
            self._say("decided", decision, f"{told}, approved by {asked.first_actor} first: {done}: {decision.reason}", asked.first_actor)
        else:
            if step.wait is not None:
                self.state.approvals.stamp(decision, step.wait(decision.actor))
            minutes = policy.four_eyes.within_ms // 60_000
            self._say("awaits-second", decision, f"{told} waits {minutes} min for a second person: {decision.reason}")

    def _refused(self, decision: Feedback) -> str | None:
        policy = self.state.policy
        actor = policy.actors.get(decision.actor)
        key = None if actor is None else public_key(actor.public_key)
        if actor is None or key is None:
            return "the policy has no key to check its signature with"
        if not is_signed(decision, key):
            return "it isn't signed with that person's key"
        if not may(policy, actor, decision.command):
            roles = ", ".join(actor.roles) or "none"
            return "a machine may not decide it" if actor.machine else f"none of that person's roles may decide it ({roles})"
        return None

    def _planned(self, decision: Feedback, target: Target) -> Step | str:
        plans = self.commands.plans[decision.command]
        plan = plans.get(decision.subject)
        if plan is None:
            return f"it is decided about {' or '.join(plans)}, not about {decision.subject}"
        if not target.material <= decision.seen_version <= target.version:
            return f"it was made on version {decision.seen_version}, the present one is {target.version} ({target.told})"
        return plan(decision, target)

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
                self._policy(
                    "policy-changed", term, f"the policy of term {term} {differs}; it decides from here on as version {state.policy.version}"
                )
        for why in refused:
            self._policy("refused", term, f"of the policy: {why}")

    def _policy(self, what: AuditKind, subject_id: str, detail: str) -> None:
        self.decisions.audit(Audit(decided_at_ms=self.state.clock.now_ms, what=what, subject_id=subject_id, detail=detail))

    def look(self) -> None:
        """On a Tick: say which decisions nobody seconded in time."""
        outcomes = self.state.totals.decisions
        for waiting in self.state.approvals.expired(self.state.clock.now_ms):
            outcomes["expired"] = outcomes.get("expired", 0) + 1
            detail = f"{waiting.command} of {waiting.subject_id} by {waiting.actor} found no second person in time and changes nothing"
            self.decisions.audit(
                Audit(
                    decided_at_ms=self.state.clock.now_ms, what="expired", subject_id=waiting.subject_id, event_id=waiting.event_id,
                    actors=(waiting.actor,), detail=detail,
                )
            )  # fmt: skip
            if waiting.command == "close" and not self.state.approvals.waits(waiting.subject_id, "close"):
                self.commands.incidents.stay_open(waiting.subject_id, f"{waiting.actor} found no second person in time")
