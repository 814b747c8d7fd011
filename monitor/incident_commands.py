"""What people decide about incidents, rules and policies: the plans of those commands. Marks are in `monitor.mark_commands`.

A plan checks everything and changes nothing; its step can't fail any more. Called by `monitor.commands`, whose table names the plans.
"""

from collections.abc import Callable

from monitor.clock_sheet import told
from monitor.closing import disagrees
from monitor.contracts.feedback import Feedback
from monitor.contracts.outputs import Audit
from monitor.decisions import Decisions
from monitor.findings import RULES
from monitor.handling import OPEN, OUTCOMES, Handling
from monitor.plans import PlanBrokenError, Step, Target
from monitor.policies import next_version
from monitor.snoozes import Snooze
from monitor.state import State

MINUTE_MS = 60_000


class IncidentCommands:
    """The plans, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions
        self.handling = Handling(state.incidents)

    def acknowledge(self, decision: Feedback, _: Target) -> Step | str:
        """Somebody is on it."""
        found = self.handling.find(decision.subject_id, "new")
        if isinstance(found, str):
            return found
        return self._step(decision, lambda now_ms: self.handling.acknowledge(decision.subject_id, decision.actor, now_ms), "acknowledged")

    def assign(self, decision: Feedback, _: Target) -> Step | str:
        """Somebody has it from now on."""
        found, name = self.handling.find(decision.subject_id, *OPEN), decision.argument
        if isinstance(found, str):
            return found
        if not name:
            return "the argument must name whom it is assigned to"
        return self._step(decision, lambda now_ms: self.handling.assign(decision.subject_id, name, decision.actor, now_ms), f"assigned to {name}")

    def note(self, decision: Feedback, _: Target) -> Step:
        """The reason is the note; a closed incident takes one too."""
        return self._step(decision, lambda now_ms: self.handling.note(decision.subject_id, decision.reason, decision.actor, now_ms), "noted")

    def set_clock(self, decision: Feedback, _: Target) -> Step | str:
        """When it was halted, or who was told when; also of a closed incident. What was told is corrected by two; a machine tells only when it was halted."""
        sheet, name, at_ms = self.state.incidents.by_id[decision.subject_id].clock, decision.argument or "", decision.time_ms
        if at_ms is None:
            return "time_ms must say when it was"
        filled = told(sheet, name, at_ms, self.state.clock.now_ms)
        if isinstance(filled, str):
            return filled
        known_ms = getattr(sheet, f"{name}_at_ms")
        if known_ms == at_ms:
            return f"{name} is told as {at_ms} already"
        if self.state.policy.actors[decision.actor].machine and (name != "halted" or known_ms is not None):
            return "a machine may tell when it was halted, once, and nothing else of the clock sheet"
        step = self._step(
            decision, lambda now_ms: self.handling.set_clock(decision.subject_id, name, at_ms, decision.actor, now_ms), f"{name} at {at_ms}"
        )  # fmt: skip
        return step._replace(needs_two=known_ms is not None)

    def close(self, decision: Feedback, _: Target) -> Step | str:
        """It is over, and was that. The first of two persons proposes it."""
        found, outcome = self.handling.find(decision.subject_id, *OPEN), decision.argument or ""
        if isinstance(found, str):
            return found
        if outcome not in OUTCOMES:
            return f"the argument must be one of {', '.join(OUTCOMES)}"
        marks = self.state.marks
        why = disagrees(outcome, (marks.by_id[mark_id] for mark_id in marks.of_incident(decision.subject_id)))
        if why is not None:
            return why

        def propose(actor: str) -> int:
            if found.stage != "pending_closure":
                self._done(decision, self.handling.propose_close(decision.subject_id, outcome, actor, self.state.clock.now_ms))
            return found.version

        return self._step(
            decision, lambda now_ms: self.handling.close(decision.subject_id, outcome, decision.actor, now_ms), f"closed as {outcome}", propose
        )

    def stay_open(self, incident_id: str, why: str) -> None:
        """A proposal to close it came to nothing. The Tick that found it so publishes the incident."""
        self.handling.withdraw_close(incident_id, why, self.state.clock.now_ms)

    def reopen(self, decision: Feedback, _: Target) -> Step | str:
        """A closing is taken back."""
        found = self.handling.find(decision.subject_id, "closed")
        if isinstance(found, str):
            return found
        return self._step(decision, lambda now_ms: self.handling.reopen(decision.subject_id, decision.reason, decision.actor, now_ms), "open again")

    def snooze(self, decision: Feedback, _: Target) -> Step | str:
        """Nobody is told of a rule's findings on one value until a time."""
        state, rule, value, until_ms = self.state, decision.subject_id, decision.argument, decision.time_ms
        if RULES[rule].severity == "critical" and not RULES[rule].statistical:
            return f"{rule} is severe and never muted"
        if not value or ":" not in value:
            return 'the argument must be the value that is snoozed, with its kind, as "network:203.0.113"'
        now_ms = state.clock.now_ms
        if until_ms is None or not now_ms < until_ms <= now_ms + state.policy.snooze_ms_max:
            return f"time_ms must say until when, at most {state.policy.snooze_ms_max // MINUTE_MS} min from now"
        if state.snoozes.full(rule, value, now_ms, state.policy.limits.snoozes):
            return f"{state.policy.limits.snoozes} rules are snoozed already"

        def do(actors: tuple[str, ...]) -> str:
            state.snoozes.put(Snooze(rule, value, " and ".join(actors), until_ms), now_ms)
            return f"snoozed for {value} until {until_ms}"

        return Step(do)

    def change_policy(self, decision: Feedback, _: Target) -> Step | str:
        """The proposed policy decides from here on; whatever else was proposed, was so against the former."""
        state = self.state
        proposal = state.proposals.get(decision.subject_id)
        if proposal is None:
            return "no such policy is proposed"

        def do(_: tuple[str, ...]) -> str:
            refused = state.configure(next_version(state.policy, proposal.policy))
            state.proposals.clear()
            for why in refused:
                detail = f"of the policy: {why}"
                self.decisions.audit(Audit(decided_at_ms=state.clock.now_ms, what="refused", subject_id=proposal.sha256, detail=detail))
            return f"it decides from here on as version {state.policy.version}"

        return Step(do)

    def _step(
        self, decision: Feedback, act: Callable[[int], str | None], told: str, wait: Callable[[str], int] | None = None
    ) -> Step:  # fmt: skip
        def do(_: tuple[str, ...]) -> str:
            self._done(decision, act(self.state.clock.now_ms))
            return told

        return Step(do, wait=wait)

    def _done(self, decision: Feedback, refused: str | None) -> None:
        if refused is not None:
            raise PlanBrokenError(f"the plan found incident {decision.subject_id} fit, and it is refused: {refused}")
        self.decisions.publish_incident(decision.subject_id)
