"""Everything that is compiled or loaded at first use, used once before the worker joins a group: a first fold must not cost a session.

A scratch engine folds a few made-up entries and is thrown away. Called by `streams.frame`, in a thread.
"""

import msgspec

from detectors.contract import BLOCK_OBSERVATIONS
from monitor import entries
from monitor.contracts.journal import WithdrawalEntry
from monitor.contracts.withdrawals import Withdrawal
from monitor.engine import Engine
from monitor.policy import Policy
from monitor.snapshot_file import decode, encode
from monitor.version import ENGINE_VERSION
from streams.plug_ins import installed


def warm_up(policy: Policy) -> None:
    """Fold a block of withdrawals under `policy`, and take its state through a snapshot."""
    engine = Engine("0" * 64, plug_ins=installed)
    asset = next(iter(policy.assets))
    journal = [
        entries.term("warm-up", ENGINE_VERSION, policy, {"withdrawals": 1}, 0),
        entries.source_opened("withdrawals/0", 0, 0, 0, "first", "warm-up", None, 0),
        *(_withdrawal(number, asset) for number in range(BLOCK_OBSERVATIONS + 1)),
    ]
    engine.fold(0, journal)
    Engine.thaw(decode(encode(engine.freeze())), plug_ins=installed)


def _withdrawal(number: int, asset: str) -> bytes:
    event = Withdrawal(
        event_id=str(number),
        occurred_at_ms=number,
        status="requested",
        withdrawal_id=str(number),
        account_id="a",
        asset=asset,
        network="n",
        amount="1",
        address=str(number),
    )
    return msgspec.json.encode(WithdrawalEntry(clock_ms=number, source="withdrawals/0", start=number, offset=number, event=event))
