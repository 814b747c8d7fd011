"""What each command of a person does: the table, and the doing. A plan checks everything and changes nothing; its step can't fail any more.

Who may decide, staleness and four eyes are `monitor.decided`'s, the only caller. A new command is one row of COMMANDS and its plan.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, get_args

import msgspec
import numpy as np

from monitor.contracts.base import Cause, Owner
from monitor.contracts.feedback import Command, Feedback, SubjectKind
from monitor.contracts.outputs import Outcome, ReasonGiven
from monitor.decisions import Decisions
from monitor.findings import RULES, Finding
from monitor.incidents import IncidentState
from monitor.labels import Vote
from monitor.marks import Change, MarkState
from monitor.money import parse_amount
from monitor.reasons import Reason
from monitor.snoozes import Snooze
from monitor.state import State


class Target(NamedTuple):
    """What is decided about, and all marks of it. What a person saw is stale below version `material`: nothing that matters changed since."""

    version: int
    material: int
    told: str
    mark_ids: tuple[str, ...] = ()
    withdrawal_ids: tuple[str, ...] = ()
    incident: IncidentState | None = None


class Step(NamedTuple):
    """What a decision would do, given who decided: says what came of it. `stake_base_minor` is the value at stake, None if it isn't known."""

    do: Callable[[tuple[str, ...]], str]
    stake_base_minor: int | None = 0


Plan = Callable[["Commands", Feedback, Target], Step | str]


class Row(NamedTuple):
    """One command: what it may be about, and its plan."""

    subjects: tuple[SubjectKind, ...]
    plan: Plan


class Commands:
    """The commands, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions

    # ---- what is decided about

    def target(self, decision: Feedback) -> Target | str:
        """What the decision is about as it stands, or why it can't be decided about."""
        state, subject_id = self.state, decision.subject_id
        if decision.subject == "incident":
            return self._incident(subject_id)
        if decision.subject == "withdrawal":
            known = state.withdrawals.by_id.get(subject_id)
            if known is None:
                return f"withdrawal {subject_id} isn't known, or is forgotten"
            marks = tuple(state.marks.of_withdrawal(subject_id))
            return Target(known.version, known.version, known.verdict, marks, (subject_id,))
        if decision.subject == "mark":
            mark = state.marks.by_id.get(subject_id)
            if mark is None:
                return f"mark {subject_id} isn't known"
            withdrawals = () if mark.subject.withdrawal_id is None else (mark.subject.withdrawal_id,)
            return Target(mark.version, mark.version, mark.stage, (subject_id,), withdrawals)
        if decision.subject == "rule":
            return Target(0, 0, "a rule") if subject_id in RULES else f"there is no rule {subject_id}"
        proposed = state.proposal
        return Target(0, 0, "proposed") if proposed is not None and proposed.sha256 == subject_id else "no such policy is proposed"

    def _incident(self, incident_id: str) -> Target | str:
        state = self.state
        incident = state.incidents.by_id.get(incident_id)
        if incident is None:
            return f"incident {incident_id} isn't known, or is forgotten"
        if incident.merged_into is not None:
            return f"incident {incident_id} was merged into {incident.merged_into}"
        marks = tuple(state.marks.of_incident(incident_id))
        subjects = (state.marks.by_id[mark_id].subject.withdrawal_id for mark_id in marks)
        withdrawals = dict.fromkeys((*incident.withdrawals, *(name for name in subjects if name is not None)))
        return Target(incident.version, incident.material_version, incident.state, marks, tuple(withdrawals), incident)

    # ---- marks

    def _stake(self, mark_ids: Iterable[str]) -> int | None:
        total = 0
        for mark_id in mark_ids:
            value = self.state.marks.by_id[mark_id].base_minor
            if value is None:
                return None
            total += value
        return total

    def _each(self, mark_ids: tuple[str, ...], change: Callable[[str], Change | str]) -> str:
        """Change marks one by one; those that refuse were changed before by the same decision about an incident."""
        changed = 0
        for mark_id in mark_ids:
            after = change(mark_id)
            if not isinstance(after, str):
                changed += 1
                self.decisions.changed(after)
        return f"{changed} mark(s)"

    def _marks_in(self, target: Target, fits: Callable[[MarkState], bool], told: str) -> tuple[str, ...] | str:
        """The marks that a command can be about; why not, if there is none."""
        by_id = self.state.marks.by_id
        fitting = tuple(mark_id for mark_id in target.mark_ids if fits(by_id[mark_id]))
        if fitting:
            return fitting
        stages = ", ".join(sorted({by_id[mark_id].stage for mark_id in target.mark_ids})) or "nothing is marked"
        return f"no mark of it {told} ({stages})"

    def confirm(self, decision: Feedback, target: Target) -> Step | str:
        """It was a loss: its marks stay, and the detectors learn it once enough people agree. What wasn't marked yet is marked."""
        marks = self._marks_in(target, lambda mark: mark.stage == "suspected", "is suspected")
        if isinstance(marks, str) and (target.mark_ids or decision.subject != "withdrawal"):
            return marks
        if isinstance(marks, str):
            return self._reported(decision)
        fitting = marks

        def do(actors: tuple[str, ...]) -> str:
            done = self._each(fitting, self.state.marks.confirm)
            return f"{done} confirmed{self._vote(target, actors, 'confirm')}"

        return self._voting(decision, target, Step(do, self._stake(fitting)), "confirm")

    def _reported(self, decision: Feedback) -> Step | str:
        """A withdrawal that nothing was suspected of is a loss: it is marked, and confirmed at once."""
        state, withdrawal_id = self.state, decision.subject_id
        known = state.withdrawals.by_id[withdrawal_id]
        loss = self.decisions.subject(f"withdrawal:{withdrawal_id}", withdrawal_id, known, known.amount_minor)

        def do(actors: tuple[str, ...]) -> str:
            detail = f"{' and '.join(actors)} say that it was a loss: {decision.reason}"
            finding = Finding("reported", detail, known.occurred_at_ms, (f"address:{known.destination}",), None, loss)
            self.decisions.hold(withdrawal_id, known, (finding,))
            return f"marked and {self._each((loss.mark_id,), state.marks.confirm)} confirmed{self._vote_on((withdrawal_id,), actors, 'confirm')}"

        return Step(do, state.marks.value(known.asset, known.amount_minor))

    def clear(self, decision: Feedback, target: Target) -> Step | str:
        """It was no loss: what is held for it is given back, and the detectors learn it once enough people agree. A HOLD stays until it is released."""
        marks = self._marks_in(target, lambda mark: mark.stage in ("suspected", "confirmed"), "can be cleared")
        if isinstance(marks, str) and (target.mark_ids or decision.subject != "withdrawal"):
            return marks
        fitting = () if isinstance(marks, str) else marks

        def do(actors: tuple[str, ...]) -> str:
            return f"{self._each(fitting, self.state.marks.clear)} cleared{self._vote(target, actors, 'clear')}"

        return Step(do, self._stake(fitting))

    def release(self, _: Feedback, target: Target) -> Step | str:
        """A HOLD is taken back: the withdrawal may go, its marks are cleared."""
        by_id = self.state.withdrawals.by_id
        held = tuple(name for name in target.withdrawal_ids if name in by_id and by_id[name].verdict == "HOLD" and not by_id[name].left)
        if not held:
            return "nothing of it is held that hasn't left already"
        names = frozenset(held)
        standing = tuple(
            mark_id
            for mark_id in target.mark_ids
            if self.state.marks.by_id[mark_id].subject.withdrawal_id in names and self.state.marks.by_id[mark_id].stage in ("suspected", "confirmed")
        )

        def do(actors: tuple[str, ...]) -> str:
            for name in held:
                reason = ReasonGiven("released", f"released by {' and '.join(actors)}")
                self.decisions.released(name, by_id[name], reason)
            cleared = self._each(standing, self.state.marks.clear)
            return f"{len(held)} withdrawal(s) released, {cleared} cleared{self._vote_on(held, actors, 'clear')}"

        return Step(do, self._stake(standing))

    def change_cause(self, decision: Feedback, target: Target) -> Step | str:
        """Another cause: other layers may carry it."""
        cause = decision.argument
        if cause not in get_args(Cause):
            return f"the cause must be one of {', '.join(get_args(Cause))}"
        marks = self._marks_in(target, lambda mark: mark.stage != "cleared" and mark.cause != cause, f"stands with another cause than {cause}")
        if isinstance(marks, str):
            return marks
        fitting, new = marks, _cause(cause)

        def do(_: tuple[str, ...]) -> str:
            if target.incident is not None:
                self.state.incidents.change_cause(target.incident, new)
            return f"{self._each(fitting, lambda mark_id: self.state.marks.change_cause(mark_id, new, self._now_ms))} now {new}"

        return Step(do, self._stake(fitting))

    def change_owner(self, decision: Feedback, target: Target) -> Step | str:
        """Whose loss it is."""
        owner = decision.argument
        if owner not in get_args(Owner):
            return f"the owner must be one of {', '.join(get_args(Owner))}"
        marks = self._marks_in(target, lambda mark: mark.stage != "cleared" and mark.subject.owner != owner, f"stands as another's than {owner}'s")
        if isinstance(marks, str):
            return marks
        fitting: tuple[str, ...] = marks
        new: Owner = "customer" if owner == "customer" else "exchange"

        def do(_: tuple[str, ...]) -> str:
            return f"{self._each(fitting, lambda mark_id: self.state.marks.change_owner(mark_id, new, self._now_ms))} now {new}'s"

        return Step(do, self._stake(fitting))

    def recovered(self, decision: Feedback, target: Target) -> Step | str:
        """Some of a loss came back."""
        if len(target.mark_ids) != 1:
            return f"it must be about one mark, this has {len(target.mark_ids)}"
        mark_id = target.mark_ids[0]
        asset = self.state.marks.by_id[mark_id].subject.asset
        amount_minor = parse_amount(decision.amount or "", self.state.marks.decimals(asset))
        if isinstance(amount_minor, Reason) or amount_minor == 0:
            return f"the amount must be a decimal string above zero in units of {asset}"
        why = self.state.marks.recoverable(mark_id, amount_minor)
        if why is not None:
            return why

        def do(_: tuple[str, ...]) -> str:
            return self._each(target.mark_ids, lambda each: self.state.marks.recover(each, amount_minor)) + f" with {decision.amount} {asset} back"

        return Step(do, self.state.marks.value(asset, amount_minor))

    def compensated(self, _: Feedback, target: Target) -> Step | str:
        """The customers were paid: what is held for it is paid."""
        marks = self._marks_in(target, lambda mark: mark.stage in ("confirmed", "partly_recovered"), "is confirmed and still to be paid")
        if isinstance(marks, str):
            return marks
        fitting = marks

        def do(_: tuple[str, ...]) -> str:
            return f"{self._each(fitting, self.state.marks.compensate)} paid"

        return Step(do, self._stake(fitting))

    # ---- labels

    def _vote(self, target: Target, actors: tuple[str, ...], vote: Vote | None) -> str:
        return self._vote_on(target.withdrawal_ids, actors, vote)

    def _voting(self, decision: Feedback, target: Target, step: Step, vote: Vote) -> Step:
        del decision, target, vote
        return step

    def _vote_on(self, withdrawal_ids: Iterable[str], actors: tuple[str, ...], vote: Vote | None) -> str:
        """Count people's word on what withdrawals were; what the detectors learnt or unlearnt by it, in words."""
        state, policy = self.state, self.state.policy
        learnt: list[tuple[int, bool]] = []
        unlearnt: list[int] = []
        for name in withdrawal_ids:
            known = state.withdrawals.by_id.get(name)
            if known is None or known.observation < 0:
                continue
            for actor in actors:
                before, after = state.labels.vote(name, known.observation, actor, vote, policy.label_approvals, policy.limits.labels)
                if before.counted != after.counted and after.counted is not None:
                    learnt.append((after.observation, after.counted))
                elif before.counted != after.counted:
                    unlearnt.append(after.observation)
        panel = state.scoring.panel
        told = ""
        if unlearnt:
            panel.unlabel(np.array(unlearnt, np.int64))
            told += f"; the detectors unlearn {len(unlearnt)}"
        if learnt:
            panel.label(np.array([place for place, _ in learnt], np.int64), np.array([fraud for _, fraud in learnt], np.bool_))
            told += f"; the detectors learn {len(learnt)}"
        return told

    @property
    def _now_ms(self) -> int:
        return self.state.clock.now_ms
