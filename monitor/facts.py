"""What the core knows of a requested withdrawal beyond its event, gathered for the detectors.

Reads the state, changes nothing. Called by `monitor.engine` in its first pass, so only what the first pass has settled may be read here.
"""

from monitor.contracts.withdrawals import Withdrawal
from monitor.scoring import Facts
from monitor.state import State


def facts_of(state: State, event: Withdrawal) -> Facts:
    """Price, newest security change of the account, and what the wallet held of the asset; the float is for the detectors alone."""
    wallet_amount = None
    if event.wallet_id is not None:
        balance = state.held.balances.get(f"{event.wallet_id} {event.asset}")
        if balance is not None:
            wallet_amount = balance.amount_minor / state.units[event.asset]
    return Facts(state.marks.prices.scaled.get(event.asset), state.security.changed_at_ms.get(event.account_id, 0), wallet_amount)
