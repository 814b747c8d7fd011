"""An incident's records: events with ids of their own, the steps of a withdrawal's life, what is seen on chain.

Knows no phases; `play` says what happens. Pure.
"""

import hashlib
import itertools
from typing import NamedTuple

from monitor.money import print_amount
from streams.simulation.exchange import OUTFLOW_FIELDS, Record, Value
from streams.simulation.phases import ReplayPhase, WithdrawalsPhase
from streams.simulation.world import WALLETS, SimulatedAsset

_WALLETS = {row.wallet_id: row for row in WALLETS}


class Part(NamedTuple):
    """What one record takes that isn't theirs: asset and minor units."""

    asset: str
    amount_minor: int


class Planned(NamedTuple):
    """One record to come. `sends`: assets leave with it; `loss`: what of them is loss; `honest`: no part of the attack or failure."""

    record: Record
    sends: bool = False
    loss: Part | None = None
    honest: bool = False


class Teller:
    """Makes the records of one playing; `name` is unique to it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._event_numbers = itertools.count(1)

    def record(self, topic: str, key: str, at_ms: int, event: Value, seen_ms: int | None = None) -> Record:
        """An event of that time, told at once or when it was seen."""
        event_id = f"{self.name}.{next(self._event_numbers)}"
        value: Value = {"event_id": event_id, "occurred_at_ms": at_ms, "schema_version": 1}
        return Record(topic, key, value | event, at_ms if seen_ms is None else seen_ms)

    def base(self, withdrawal_id: str, account_id: str, asset: SimulatedAsset, wallet_id: str, amount_minor: int, address: str) -> Value:
        """What every step of a withdrawal says."""
        return {
            "withdrawal_id": withdrawal_id, "account_id": account_id, "asset": asset.asset, "network": asset.network,
            "amount": print_amount(amount_minor, asset.decimals), "address": address, "fee": asset.fee, "wallet_id": wallet_id,
            "provider_id": _WALLETS[wallet_id].provider_id, "owner": "customer",
        }  # fmt: skip

    def step(self, status: str, at_ms: int, withdrawal: Value) -> Record:
        """One step of a withdrawal."""
        return self.record("withdrawals", str(withdrawal["account_id"]), at_ms, {"status": status, **withdrawal})

    def seen(self, sent: Value, at_ms: int, **facts: object) -> Record:
        """What of a payment is seen on chain."""
        outflow: Value = {name: sent[name] for name in OUTFLOW_FIELDS if name in sent}
        return self.record("outflows", str(sent["wallet_id"]), at_ms, outflow | facts)

    def holding(self, account_id: str, asset: SimulatedAsset, quantity_minor: int, at_ms: int) -> Record:
        """What an account holds of an asset."""
        event: Value = {"account_id": account_id, "asset": asset.asset, "quantity": print_amount(quantity_minor, asset.decimals)}
        return self.record("holdings", account_id, at_ms, event)

    def account_event(self, action: str, account_id: str, facts: Value, at_ms: int) -> Record:
        """Something happens to an account."""
        event: Value = {"account_id": account_id, "action": action}
        event |= {name: facts[name] for name in ("device_id", "ip", "country", "api_key_id") if name in facts}
        return self.record("account-events", account_id, at_ms, event)

    def life(
        self, phase: WithdrawalsPhase | ReplayPhase, withdrawal: Value, at_ms: int, part: Part | None, batch_id: str | None = None, last_ms: int = 0
    ) -> list[Planned]:
        """All steps of one withdrawal; those of a batch are sent together, by one transaction, after the last was asked for."""
        signed_ms = at_ms + round(phase.signed_after_seconds * 1_000)
        sent_ms = (at_ms if batch_id is None else last_ms) + round(phase.broadcast_after_seconds * 1_000)
        sent = withdrawal | {"tx_id": tx_of(batch_id or str(withdrawal["withdrawal_id"]))}
        if batch_id is not None:
            sent["batch_id"] = batch_id
        seen_ms = sent_ms + round((phase.seen_after_seconds - phase.broadcast_after_seconds) * 1_000)
        return [
            Planned(self.step("requested", at_ms, withdrawal)),
            Planned(self.step("approved", at_ms + round(phase.approved_after_seconds * 1_000), withdrawal)),
            Planned(self.step("signed", signed_ms, withdrawal)),
            Planned(self.step("broadcast", sent_ms, sent), sends=True, loss=part),
            Planned(self.seen(sent, seen_ms)),
            Planned(self.step("confirmed", sent_ms + round(phase.confirmed_after_seconds * 1_000), sent)),
        ]


def tx_of(name: str) -> str:
    """A transaction id."""
    return hashlib.sha256(name.encode()).hexdigest()
