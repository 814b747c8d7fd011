"""What can be wrong with a withdrawal at its request, by exact keys and reconciliations; live from the first event or from the first facts.

Facts are taken here, findings given back; `monitor.events` decides with the detectors' opinion. Called by `monitor.events` and `monitor.payouts`.
"""

from collections.abc import Iterator

from monitor.contracts.withdrawals import Withdrawal
from monitor.decisions import Decisions
from monitor.doubts import Doubt
from monitor.findings import Finding, is_ambient
from monitor.repeated import Asked
from monitor.scoring import tied_by
from monitor.state import State
from monitor.wallet_rules import WalletRules
from monitor.withdrawals import ENDED, Known

BURST_MS = 10_000
"""Nobody fills in the same form twice in so short a time. A program may: requests by an API key, or by an untold channel, aren't judged by it."""
API = "api"
REST_PERCENT = 2
CERTAIN_REPEATS = 2
"""From so many repetitions on, where no balance tells otherwise, it is no longer a customer who paid twice."""


class Requests:
    """The checks of a request, bound to one state."""

    def __init__(self, state: State, decisions: Decisions, wallet_rules: WalletRules) -> None:
        self.state = state
        self.decisions = decisions
        self.wallet_rules = wallet_rules

    def findings(self, event: Withdrawal, known: Known, amount_minor: int) -> tuple[Finding, ...]:
        """All that is wrong with it. Each fact is taken whether or not its rule is applied."""
        state = self.state
        told: list[tuple[str, str, str]] = []
        more = self._more_than_held(event, amount_minor)
        if more is not None:
            told.append(("more_than_held", more, f"address:{known.destination}"))
        repeated = self._repeated(event, known, amount_minor)
        if repeated is not None:
            told.append((*repeated, f"account:{event.account_id}"))
        if not state.usual_withdrawals[event.owner].take(event.asset, amount_minor):
            told.extend(self._far_above(event, known, amount_minor, more))
        if state.wallets.changes and event.wallet_id is not None:
            changed = self.wallet_rules.after_authority_change(event.wallet_id, event.asset, amount_minor, event.occurred_at_ms)
            if changed is not None:
                told.append(("large_after_authority_change", f"{event.amount} {event.asset} asked for: {changed}", f"wallet:{event.wallet_id}"))
        ahead_ms = event.occurred_at_ms - state.clock.intake_ms
        if ahead_ms > state.policy.clock_tolerance_ms:
            told.append(("clock_disorder", f"a request is dated {ahead_ms // 1_000} s ahead of intake's clock", "clock:withdrawals"))
        key = f"{event.account_id} {event.asset}"
        if key in state.holdings.by_key:
            self._ask(key, event, amount_minor)
        return self._found(event, known, amount_minor, told) if told else ()

    def _found(self, event: Withdrawal, known: Known, amount_minor: int, told: list[tuple[str, str, str]]) -> tuple[Finding, ...]:
        loss = self.decisions.subject(f"withdrawal:{event.withdrawal_id}", event.withdrawal_id, known, amount_minor)
        shared = tied_by(event)
        return tuple(
            Finding(rule, detail, event.occurred_at_ms, (key,) if is_ambient((key,)) else (key, *shared), None, loss)
            for rule, detail, key in told
            if self.decisions.on(rule)
        )

    def _far_above(self, event: Withdrawal, known: Known, amount_minor: int, more: str | None) -> Iterator[tuple[str, str, str]]:
        usual, state = self.state.usual_withdrawals[event.owner], self.state
        confused = usual.confused(event.asset, amount_minor, state.marks, state.confusion_base_minor)
        if confused is not None:
            yield "unit_confusion", confused, f"address:{known.destination}"
        elif more is None:
            usual.learn(event.asset, amount_minor)

    def _more_than_held(self, event: Withdrawal, amount_minor: int) -> str | None:
        if event.balance_before is not None and amount_minor > self.decisions.minor(event.asset, event.balance_before):
            return f"{event.amount} {event.asset} asked for, the account had {event.balance_before}"
        total = self.state.held.total(event.asset)
        if total is not None and amount_minor > total:
            return f"{event.amount} {event.asset} asked for, more than all wallets hold"
        return None

    def _repeated(self, event: Withdrawal, known: Known, amount_minor: int) -> tuple[str, str] | None:
        """Whether the request repeats an earlier one that wasn't given up, and how sure it is that it is one request and not two payments."""
        repeated, policy = self.state.repeated, self.state.policy
        asked = Asked(event.occurred_at_ms, event.withdrawal_id, event.balance_before)
        window_ms, limit = policy.repeat_window_ms, policy.limits.repeated
        same_key: list[Asked] = []
        if event.idempotency_key is not None:
            same_key = self._standing(repeated.ask(f"{event.account_id} key {event.idempotency_key}", asked, window_ms, limit))
        same = repeated.ask(f"{event.account_id} {known.destination} {event.asset} {amount_minor}", asked, window_ms, limit)
        if not same and not same_key:
            return None
        same = tuple(self._standing(same))
        if same_key:
            return "replayed_request", f"asked with the client's key {event.idempotency_key}, as {same_key[-1].withdrawal_id} was"
        if not same:
            return None
        ago_s = (event.occurred_at_ms - same[-1].at_ms) // 1_000
        times = f"{event.amount} {event.asset} to {known.destination} was asked for {ago_s} s before as {same[-1].withdrawal_id}"
        if event.balance_before is not None and same[-1].balance_before is not None and not self._takes_all(event, amount_minor):
            # The books have moved on between two payments; the same balance before both says that they know of one.
            before = [each for each in same if each.balance_before == event.balance_before]
            return ("replayed_request", f"{times}, with the same balance of {event.balance_before} before it") if before else None
        is_habit, is_program = repeated.repeats(event.account_id), event.channel == API or event.api_key_id is not None
        quick = event.channel is not None and event.occurred_at_ms - same[-1].at_ms <= BURST_MS
        if not is_program and (quick or (len(same) >= CERTAIN_REPEATS and not is_habit)):
            return "replayed_request", f"{times}; {len(same)} times in {window_ms // 60_000} min"
        return None if is_habit else ("repeated_request", times)

    def _takes_all(self, event: Withdrawal, amount_minor: int) -> bool:
        """Whether nothing worth naming is left: who pays in what he takes out has the same balance before each payment, honestly."""
        minor = self.decisions.minor
        before_minor = minor(event.asset, event.balance_before or "0")
        needed_minor = amount_minor + minor(event.asset, event.fee or "0")
        return before_minor * 100 <= needed_minor * (100 + REST_PERCENT)

    def _standing(self, asked: tuple[Asked, ...]) -> list[Asked]:
        """Those that were not given up: what failed or was cancelled may be asked for again."""
        known = self.state.withdrawals.by_id
        return [each for each in asked if each.withdrawal_id not in known or known[each.withdrawal_id].status not in ENDED]

    def _ask(self, key: str, event: Withdrawal, amount_minor: int) -> None:
        """Count the request against the account's holding; a doubt if that can't carry it: credits may still be unread."""
        policy = self.state.policy
        if self.state.holdings.ask(key, amount_minor, event.occurred_at_ms, policy.holding_fresh_ms):
            due_ms = max(self.state.clock.intake_ms, event.occurred_at_ms) + policy.absence_grace_ms
            doubt = Doubt("holding", due_ms, event.account_id, event.asset, event.occurred_at_ms, amount_minor, event.withdrawal_id)
            self.state.doubts.add(doubt)

    def given_up(self, known: Known) -> None:
        """A withdrawal failed or was cancelled without having left: it takes nothing from the holding."""
        if not known.left:
            self.state.holdings.ask(f"{known.account_id} {known.asset}", -known.amount_minor, known.occurred_at_ms, 0)
