"""Outflows that no known withdrawal explains yet. That nobody requested one is proven by progress, never by the clock.

Pure facts: an outflow waits until its withdrawal appears, or until every withdrawals partition was read past its time. Called by `monitor.engine`.
"""

from collections.abc import Iterator

import msgspec

from monitor.contracts.outflows import Outflow
from monitor.withdrawals import destination


class Waiting(msgspec.Struct, frozen=True):
    """An outflow without a known request, and the clock past which every withdrawals partition must be read to prove that there is none."""

    outflow: Outflow
    due_ms: int


class Outflows:
    """Waiting outflows by "transaction destination", and by the withdrawal that they claim to serve."""

    def __init__(self) -> None:
        self.waiting: dict[str, Waiting] = {}
        self.by_claim: dict[str, str] = {}

    def wait(self, outflow: Outflow, due_ms: int, limit: int) -> Waiting | None:
        """Let an outflow wait. Returns the one that must be judged now because too many wait: the longest waiting."""
        key = f"{outflow.tx_id} {destination(outflow.address, outflow.tag)}"
        self.waiting[key] = Waiting(outflow, due_ms)
        if outflow.withdrawal_id is not None:
            self.by_claim[outflow.withdrawal_id] = key
        if len(self.waiting) > limit:
            return self._take(next(iter(self.waiting)))
        return None

    def _take(self, key: str) -> Waiting:
        waiting = self.waiting.pop(key)
        if waiting.outflow.withdrawal_id is not None:
            self.by_claim.pop(waiting.outflow.withdrawal_id, None)
        return waiting

    def claimed(self, withdrawal_id: str, payment: str | None) -> Outflow | None:
        """The waiting outflow that a withdrawal explains, by its claim or by the payment ("transaction destination"); it waits no longer."""
        if not self.waiting:
            return None
        key = self.by_claim.get(withdrawal_id)
        if key is None and payment is not None and payment in self.waiting:
            key = payment
        return None if key is None else self._take(key).outflow

    def proven(self, proven_until_ms: int) -> Iterator[Outflow]:
        """Those that nobody requested: every withdrawals partition was read past their time."""
        due = [key for key, waiting in self.waiting.items() if waiting.due_ms <= proven_until_ms]
        for key in due:
            yield self._take(key).outflow
