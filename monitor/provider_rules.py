"""Custodians and system providers: what the registry says of each, and rules about payments through those that it doesn't know or that don't stand.

That a provider isn't known is proven by progress of topic providers, never by the clock. Called by `monitor.events` and `monitor.payouts`.
"""

from monitor.contracts.journal import ProviderEntry
from monitor.contracts.outflows import Outflow
from monitor.contracts.outputs import Audit
from monitor.contracts.withdrawals import Withdrawal
from monitor.decisions import Decisions
from monitor.doubts import Doubt
from monitor.entities import EVICTED_SHARE
from monitor.findings import Finding
from monitor.policy import PROVIDERS_MAX
from monitor.state import Provider, State


class ProviderRules:
    """The registry and its rules, bound to one state. While nobody has told any provider the rules are silent."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions

    def told(self, entry: ProviderEntry) -> None:
        """The registry's newest word on a provider: payments through it are judged anew."""
        event, state = entry.event, self.state
        known = state.providers.get(event.provider_id)
        if known is None and len(state.providers) >= PROVIDERS_MAX:
            detail = f"provider not kept: the limit of {PROVIDERS_MAX} is reached"
            self.decisions.audit(Audit(decided_at_ms=state.clock.now_ms, what="refused", subject_id=event.provider_id, detail=detail))
        elif known is None or event.occurred_at_ms >= known.at_ms:
            state.providers[event.provider_id] = Provider(
                event.name, event.role, event.standing, event.occurred_at_ms, event.registration_number, event.since_ms, event.wallet_ids,
                event.signing_wallet_ids,
            )  # fmt: skip
            state.doubted_providers.pop(event.provider_id, None)

    def used(self, provider_id: str, event: Withdrawal | Outflow) -> None:
        """A payment goes through a provider. A doubt, once in a window, if the registry has nothing good to say of it."""
        state, at_ms = self.state, event.occurred_at_ms
        known = state.providers.get(provider_id)
        if (known is not None and known.stands(at_ms)) or not state.providers:
            return
        doubted, now_ms = state.doubted_providers, state.clock.now_ms
        before_ms = doubted.get(provider_id)
        if before_ms is not None and now_ms - before_ms <= state.policy.incident_window_ms:
            return
        due_ms = max(state.clock.intake_ms, at_ms) + state.policy.absence_grace_ms
        amount_minor = self.decisions.minor(event.asset, event.amount)
        if not state.doubts.add(Doubt("provider", due_ms, provider_id, event.asset, at_ms, amount_minor, event.withdrawal_id)):
            return
        doubted.pop(provider_id, None)
        doubted[provider_id] = now_ms
        if len(doubted) > PROVIDERS_MAX:
            for old in list(doubted)[: PROVIDERS_MAX // EVICTED_SHARE]:
                del doubted[old]

    def judge(self, doubt: Doubt) -> None:
        """All that the registry had to say by then was read."""
        state = self.state
        known = state.providers.get(doubt.name)
        if known is not None and known.stands(doubt.at_ms):
            return
        rule = "provider_unknown" if known is None else "provider_unregistered"
        if not self.decisions.on(rule):
            return
        payment = f"withdrawal {doubt.withdrawal_id}" if doubt.withdrawal_id is not None else "an outflow that names no withdrawal"
        detail = f"{payment} went through provider {doubt.name}, which {self._why(known)}"
        self.decisions.finding(Finding(rule, detail, doubt.at_ms, (f"provider:{doubt.name}",)))

    def _why(self, known: Provider | None) -> str:
        if known is None:
            full = len(self.state.providers) >= PROVIDERS_MAX
            return f"isn't among the {len(self.state.providers)} of the registry" + (", which is full" if full else "")
        if known.standing == "none":
            return "is neither registered nor notified"
        return f"is {known.standing} only from {known.since_ms} (ms) on"
