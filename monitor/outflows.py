"""Outflows that no known withdrawal explains yet. That nobody requested one is proven by progress, never by the clock.

Pure facts: an outflow waits until its withdrawal appears or says that its first transaction failed, or until every withdrawals partition was
read past its time. Called by `monitor.payouts`.
"""

from collections.abc import Iterator

import msgspec

from monitor.contracts.outflows import Outflow
from monitor.withdrawals import destination


def output_of(outflow: Outflow) -> str | None:
    """Names the output of which it tells; None where it doesn't say which. A coin and a token may leave as outputs of one number."""
    return None if outflow.output_index is None else f"{outflow.tx_id} #{outflow.output_index} {outflow.asset} {outflow.network}"


def telling_of(outflow: Outflow, amount_minor: int) -> str | None:
    """What it tells of its output: how much went where. Two tellings are one only if nothing of this differs."""
    output = output_of(outflow)
    return None if output is None else f"{output}\n{amount_minor}\n{destination(outflow.address, outflow.tag)}"


def loss_of(outflow: Outflow) -> str:
    """Names the loss that it would be: its output, or where it doesn't say which, its event."""
    return f"outflow:{output_of(outflow) or f'{outflow.tx_id} {outflow.event_id}'}"


class Waiting(msgspec.Struct, frozen=True):
    """An outflow without a known request, and the clock past which every withdrawals partition must be read to prove that there is none."""

    outflow: Outflow
    due_ms: int


class Outflows:
    """Waiting outflows in order of arrival, found by the withdrawal that they claim or, without a claim, by payment ("transaction destination").

    One transaction may pay one destination several times, and several outflows may claim one withdrawal: none hides another.
    """

    def __init__(self) -> None:
        self.waiting: dict[int, Waiting] = {}
        self._by_clue: dict[str, dict[int, None]] = {}
        self._arrived = 0

    def wait(self, outflow: Outflow, due_ms: int, limit: int) -> Waiting | None:
        """Let an outflow wait. Returns the one that must be judged now because too many wait: the longest waiting."""
        number = self._arrived
        self._arrived += 1
        self.waiting[number] = Waiting(outflow, due_ms)
        self._by_clue.setdefault(_clue(outflow), {})[number] = None
        if len(self.waiting) > limit:
            return self._take(next(iter(self.waiting)))
        return None

    def _take(self, number: int) -> Waiting:
        waiting = self.waiting.pop(number)
        clue = _clue(waiting.outflow)
        same = self._by_clue[clue]
        del same[number]
        if not same:
            del self._by_clue[clue]
        return waiting

    def claimed(self, withdrawal_id: str, payment: str | None) -> list[Waiting]:
        """The waiting outflows that a withdrawal explains, by their claim or by the payment ("transaction destination"); they wait no longer."""
        clues = (_claim(withdrawal_id),) if payment is None else (_claim(withdrawal_id), payment)
        if self._by_clue.keys().isdisjoint(clues):
            return []
        numbers = sorted(number for clue in clues for number in self._by_clue.get(clue, ()))
        return [self._take(number) for number in numbers]

    def proven(self, proven_until_ms: int) -> Iterator[Outflow]:
        """Those that nobody requested: every withdrawals partition was read past their time."""
        due = [number for number, waiting in self.waiting.items() if waiting.due_ms <= proven_until_ms]
        for number in due:
            yield self._take(number).outflow


def _claim(withdrawal_id: str) -> str:
    return f"claims {withdrawal_id}"


def _clue(outflow: Outflow) -> str:
    """What a waiting outflow is found by. A claim decides: the withdrawal that it names may still be unread while another has the same payment."""
    if outflow.withdrawal_id is not None:
        return _claim(outflow.withdrawal_id)
    return f"{outflow.tx_id} {destination(outflow.address, outflow.tag)}"
