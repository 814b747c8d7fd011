"""What people decide about losses: the plans of the commands on marks and withdrawals, and what the detectors learn by them.

A plan checks everything and changes nothing; its step can't fail any more. Called by `monitor.commands`, whose table names the plans.
"""

from collections.abc import Callable, Iterable
from typing import Any, get_args

import numpy as np

from monitor.closing import CERTAIN, contradicts
from monitor.contracts.base import Cause, Owner
from monitor.contracts.feedback import Feedback
from monitor.contracts.outputs import ReasonGiven
from monitor.decisions import Decisions
from monitor.findings import Finding
from monitor.labels import Vote
from monitor.left_after_all import at_home
from monitor.mark_state import Change, MarkState
from monitor.money import parse_amount, print_amount
from monitor.persons import person
from monitor.plans import PlanBrokenError, Step, Target
from monitor.prices import PriceState
from monitor.reasons import Reason
from monitor.regrouping import NEW, moved, refused
from monitor.state import State


class MarkCommands:
    """The plans, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions

    def confirm(self, decision: Feedback, target: Target) -> Step | str:
        """It was a loss. What wasn't marked yet is marked; who agrees with a former decision adds a word for the detectors to learn."""
        fitting = self._fitting(target, lambda mark: mark.stage == "suspected")
        if not target.mark_ids and decision.subject == "withdrawal":
            return self._reported(decision)
        agreed = len(self._fitting(target, lambda mark: mark.stage in CERTAIN)) == len(target.mark_ids)
        if not fitting and not (agreed and self._unheard(target, decision.actor, "confirm")):
            return self._none(target, "is suspected")
        closed = self._closed_otherwise(fitting)
        if closed is not None:
            return closed

        def do(actors: tuple[str, ...]) -> str:
            return f"{self._each(fitting, self.state.marks.confirm)} confirmed{self._vote(target.withdrawal_ids, self._persons(actors), 'confirm')}"

        return Step(do, self._stakes(fitting))

    def _closed_otherwise(self, mark_ids: Iterable[str]) -> str | None:
        """A loss is certain in no incident that was closed as none: it is looked at again first."""
        for mark in map(self.state.marks.by_id.__getitem__, mark_ids):
            incident = self.state.incidents.by_id.get(mark.incident_id)
            if incident is not None and incident.stage == "closed" and contradicts(incident.outcome, mark):
                return f"incident {mark.incident_id} is closed as {incident.outcome}: reopen it first"
        return None

    def _reported(self, decision: Feedback) -> Step | str:
        """A withdrawal that nothing was suspected of is a loss: it is marked, and confirmed at once."""
        state, withdrawal_id = self.state, decision.subject_id
        known = state.withdrawals.by_id[withdrawal_id]
        loss = self.decisions.subject(f"withdrawal:{withdrawal_id}", withdrawal_id, known, known.amount_minor)

        def finding(detail: str) -> Finding:
            return Finding("reported", detail, known.occurred_at_ms, (f"address:{known.destination}",), None, loss)

        def do(actors: tuple[str, ...]) -> str:
            detail = f"{' and '.join(actors)} say that it was a loss: {decision.reason}"
            self.decisions.hold(withdrawal_id, known, (finding(detail),))
            return f"{self._each((loss.mark_id,), state.marks.confirm)} made and confirmed{self._vote((withdrawal_id,), self._persons(actors), 'confirm')}"

        beside = state.incidents.would_join(finding(""), state.policy.incident_window_ms)
        return Step(do, {loss.mark_id: self._worth(known.asset, known.amount_minor)}, beside=beside)

    def clear(self, decision: Feedback, target: Target) -> Step | str:
        """It was no loss: what is held for it is given back. A HOLD stays until it is released."""
        fitting = self._fitting(target, _clearable)
        agreed = len(self._fitting(target, lambda mark: mark.stage == "cleared")) == len(target.mark_ids)
        if not fitting and not (agreed and self._unheard(target, decision.actor, "clear")):
            return self._none(target, "can be cleared")

        def do(actors: tuple[str, ...]) -> str:
            return f"{self._each(fitting, self.state.marks.clear)} cleared{self._vote(target.withdrawal_ids, self._persons(actors), 'clear')}"

        return Step(do, self._stakes(fitting))

    def release(self, _: Feedback, target: Target) -> Step | str:
        """A HOLD is taken back: the withdrawal may go, its marks are cleared."""
        by_id, marks = self.state.withdrawals.by_id, self.state.marks.by_id
        held = tuple(name for name in target.withdrawal_ids if name in by_id and by_id[name].verdict == "HOLD" and not by_id[name].left)
        if not held:
            return "nothing of it is held that hasn't left already"
        names = frozenset(held)
        fitting = tuple(each for each in self._fitting(target, _clearable) if marks[each].subject.withdrawal_id in names)

        def do(actors: tuple[str, ...]) -> str:
            told = f"released by {' and '.join(actors)}"
            for name in held:
                self.decisions.released(name, by_id[name], ReasonGiven("released", told))
            cleared = self._each(fitting, self.state.marks.clear)
            return f"{len(held)} withdrawal(s) released, {cleared} cleared{self._vote(held, self._persons(actors), 'clear')}"

        return Step(do, self._stakes(fitting))

    def reopen(self, decision: Feedback, target: Target) -> Step | str:
        """Nobody is sure any more what it was: every word on it is taken back, and its marks are suspected again."""
        fitting = self._fitting(target, lambda mark: mark.stage in ("confirmed", "cleared"))
        labels = self.state.labels.by_id
        voted = tuple(name for name in target.withdrawal_ids if name in labels and labels[name].votes)
        if not fitting and not voted:
            return self._none(target, "was decided about")

        def do(actors: tuple[str, ...]) -> str:
            now_ms = self.state.clock.now_ms
            for mark_id in fitting:
                at_home(self.decisions, self.state.marks.by_id[mark_id], "reported", f"{' and '.join(actors)} look at it again: {decision.reason}")
            told = self._each(fitting, lambda mark_id: self.state.marks.suspect_again(mark_id, now_ms))
            for name in voted:
                told += self._vote((name,), tuple(labels[name].votes), None)
            return f"{told} suspected again"

        return Step(do, self._stakes(fitting))

    def change_cause(self, decision: Feedback, target: Target) -> Step | str:
        """Another cause: other layers may carry it."""
        cause = _named(decision.argument, get_args(Cause))
        if cause is None:
            return f"the cause must be one of {', '.join(get_args(Cause))}"
        fitting = self._fitting(target, lambda mark: mark.stage != "cleared" and mark.cause != cause)
        if not fitting:
            return self._none(target, f"stands with another cause than {cause}")

        def do(_: tuple[str, ...]) -> str:
            if target.incident is not None:
                target.incident.cause = cause
            return f"{self._each(fitting, lambda mark_id: self.state.marks.change_cause(mark_id, cause))} with cause {cause}"

        return Step(do, self._stakes(fitting))

    def change_owner(self, decision: Feedback, target: Target) -> Step | str:
        """Whose loss it is."""
        owner = _named(decision.argument, get_args(Owner))
        if owner is None:
            return f"the owner must be one of {', '.join(get_args(Owner))}"
        fitting = self._fitting(target, lambda mark: mark.stage != "cleared" and mark.subject.owner != owner)
        if not fitting:
            return self._none(target, f"stands as another's than {owner}'s")

        def do(_: tuple[str, ...]) -> str:
            return f"{self._each(fitting, lambda mark_id: self.state.marks.change_owner(mark_id, owner))} with owner {owner}"

        return Step(do, self._stakes(fitting))

    def revise(self, decision: Feedback, target: Target) -> Step | str:
        """The whole loss is another than was known, larger or smaller. It is about whichever amount is worth more."""
        told = self._amount(decision, target)
        if isinstance(told, str):
            return told
        mark, amount_minor = told
        marks, mark_id, asset = self.state.marks, mark.mark_id, mark.subject.asset
        if mark.stage == "cleared":
            return "it is cleared: reopen it first"
        if amount_minor == mark.subject.amount_minor:
            return f"it is marked with {decision.amount} {asset} already"
        if amount_minor < mark.settled_minor:
            return f"more of the {asset} is compensated or came back already"

        def do(_: tuple[str, ...]) -> str:
            now_ms, before = self.state.clock.now_ms, print_amount(mark.subject.amount_minor, marks.decimals(asset))
            revised = self._each((mark_id,), lambda each: marks.revise(each, amount_minor, now_ms))
            return f"{revised}: {decision.amount} {asset} are lost, not {before}"

        known, revised = self._stakes((mark_id,))[mark_id], self._worth(asset, amount_minor, mark.price)
        return Step(do, {mark_id: None if known is None or revised is None else max(known, revised)})

    def move(self, decision: Feedback, target: Target) -> Step | str:
        """A mark belongs to another incident, or to one of its own: what people part no finding merges again."""
        [mark_id], argument = target.mark_ids, decision.argument or ""
        why = refused(self.state, self.state.marks.by_id[mark_id], argument)
        if why is not None:
            return why

        def do(actors: tuple[str, ...]) -> str:
            into = moved(self.decisions, mark_id, argument, f"{' and '.join(actors)}: {decision.reason}")
            return f"it is of incident {into}"

        return Step(do, self._stakes((mark_id,)), beside=() if argument == NEW else (argument,))

    def _amount(self, decision: Feedback, target: Target) -> tuple[MarkState, int] | str:
        """The one mark that an amount is told of, and how much."""
        if len(target.mark_ids) != 1:
            return f"it must be about one mark; this has {len(target.mark_ids)}"
        mark, marks = self.state.marks.by_id[target.mark_ids[0]], self.state.marks
        amount_minor = parse_amount(decision.amount or "", marks.decimals(mark.subject.asset))
        if isinstance(amount_minor, Reason) or amount_minor == 0:
            return f"the amount must be a decimal string above zero in units of {mark.subject.asset}"
        return mark, amount_minor

    def recovered(self, decision: Feedback, target: Target) -> Step | str:
        """Some of a loss came back."""
        told = self._amount(decision, target)
        if isinstance(told, str):
            return told
        mark, amount_minor = told
        marks, mark_id, asset = self.state.marks, mark.mark_id, mark.subject.asset
        if mark.stage in ("suspected", "cleared"):
            return f"it is {mark.stage}: only a loss that is confirmed comes back"
        if amount_minor > mark.subject.amount_minor - mark.recovered_minor:
            return f"more than is still gone of the {asset} would be back"

        def do(_: tuple[str, ...]) -> str:
            return f"{self._each((mark_id,), lambda each: marks.recover(each, amount_minor))}: {decision.amount} {asset} came back"

        return Step(do, {mark_id: self._worth(asset, amount_minor, mark.price)})

    def compensated(self, _: Feedback, target: Target) -> Step | str:
        """Whom it belongs to was paid: what is held for it is paid."""
        fitting = self._fitting(target, lambda mark: mark.stage in ("confirmed", "partly_recovered") and mark.base_minor is not None)
        if not fitting:
            return self._none(target, "is confirmed, priced and still to be paid")

        def do(_: tuple[str, ...]) -> str:
            return f"{self._each(fitting, self.state.marks.compensate)} compensated"

        return Step(do, self._stakes(fitting))

    # ---- what plans share

    def _fitting(self, target: Target, fits: Callable[[MarkState], bool]) -> tuple[str, ...]:
        return tuple(mark_id for mark_id in target.mark_ids if fits(self.state.marks.by_id[mark_id]))

    def _none(self, target: Target, told: str) -> str:
        stages = ", ".join(sorted({self.state.marks.by_id[mark_id].stage for mark_id in target.mark_ids}))
        return f"no mark of it {told} ({stages or 'nothing is marked'})"

    def _stakes(self, mark_ids: Iterable[str]) -> dict[str, int | None]:
        """The base value of each whole loss."""
        found = {}
        for mark_id in mark_ids:
            mark = self.state.marks.by_id[mark_id]
            found[mark_id] = self._worth(mark.subject.asset, mark.subject.amount_minor, mark.price)
        return found

    def _worth(self, asset: str, amount_minor: int, price: PriceState | None = None) -> int | None:
        """The base value at the mark's price, or at a fresh one; None where there is neither: one of another day, or a doubted one, may be any amount off."""
        marks = self.state.marks
        price = price or marks.fresh_price(asset, self.state.clock.now_ms)
        return None if price is None and asset != self.state.policy.base_currency else marks.value(asset, amount_minor, price)

    def _each(self, mark_ids: tuple[str, ...], change: Callable[[str], Change | str]) -> str:
        """Change marks that the plan has found fit, one by one: each sees what the one before has freed."""
        changes = []
        for mark_id in mark_ids:
            after = change(mark_id)
            if isinstance(after, str):
                raise PlanBrokenError(f"the plan found mark {mark_id} fit, and it is refused: {after}")
            changes.append(after)
        self.decisions.changed(*changes)
        return f"{len(changes)} mark(s)"

    # ---- what the detectors learn

    def _unheard(self, target: Target, actor: str, vote: Vote) -> bool:
        """Whether the person's word on one of the withdrawals is new, and the detectors could learn it."""
        withdrawals, labels = self.state.withdrawals.by_id, self.state.labels.by_id
        heard = person(self.state.policy, actor)
        return any(
            name in withdrawals and withdrawals[name].observation >= 0 and (name not in labels or labels[name].votes.get(heard) != vote)
            for name in target.withdrawal_ids
        )

    def _persons(self, actors: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(person(self.state.policy, actor) for actor in actors)

    def _vote(self, withdrawal_ids: Iterable[str], persons: tuple[str, ...], vote: Vote | None) -> str:
        """Count people's word on what withdrawals were; what the detectors learn or unlearn by it, in words."""
        state, policy = self.state, self.state.policy
        learnt: dict[int, bool] = {}
        unlearnt: dict[int, None] = {}
        for name in withdrawal_ids:
            known = state.withdrawals.by_id.get(name)
            if known is None or known.observation < 0:
                continue
            counted = state.labels.by_id[name].counted if name in state.labels.by_id else None
            for each in persons:
                _, after = state.labels.vote(name, known.observation, each, vote, policy.label_approvals, policy.limits.labels)
            if persons and after.counted != counted:
                if after.counted is None:
                    unlearnt[after.observation] = None
                else:
                    learnt[after.observation] = after.counted
        panel, told = state.scoring.panel, ""
        if unlearnt:
            number = panel.unlabel(np.array(list(unlearnt), np.int64))
            told += f"; the detectors unlearnt {number} of {len(unlearnt)} withdrawal(s)"
        if learnt:
            number = panel.label(np.array(list(learnt), np.int64), np.array(list(learnt.values()), np.bool_))
            told += f"; the detectors learnt {number} of {len(learnt)} withdrawal(s)"
        return told


def _clearable(mark: MarkState) -> bool:
    return mark.stage in ("suspected", "confirmed") and not mark.recovered_minor and not mark.compensated_minor


def _named(name: str | None, names: tuple[Any, ...]) -> Any:
    """The name as the literal type's own, None if it isn't one."""
    return next((each for each in names if each == name), None)
