"""Topic `wallet-events`, key wallet_id: who may sign changed, a send failed, a node is in trouble."""

from typing import Literal

from monitor.contracts.base import Event, Id, Text

WalletAction = Literal["authority_changed", "signer_changed", "send_error", "node_trouble", "frozen", "unfrozen"]


class WalletEvent(Event, frozen=True, kw_only=True, gc=False):
    """One thing that happened to a wallet."""

    wallet_id: Id
    action: WalletAction
    provider_id: Id | None = None
    withdrawal_id: Id | None = None
    actor: Id | None = None
    detail: Text | None = None
