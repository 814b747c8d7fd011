"""Honest records with incidents laid over them: prices and balances made to fit, payouts redirected, and what is held goes no further.

The withdrawal engine's part of the closed loop: a withdrawal that was held before its broadcast isn't approved, signed or sent.
Pure; called by `simulate`, the demo and the scenario runner.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from monitor.money import print_amount
from streams.simulation.directory import Directory, minor_of
from streams.simulation.exchange import Record
from streams.simulation.play import Play, Redirection
from streams.simulation.telling import Part, Planned
from streams.simulation.world import ASSETS, DESK_ACCOUNT, WALLETS

STOPPABLE = ("approved", "signed", "broadcast")
_WALLET_OF = {row.address: row.wallet_id for row in WALLETS}
_DECIMALS = {row.asset: row.decimals for row in ASSETS}


class Step(NamedTuple):
    """One record that is due. `stopped`: it doesn't happen, since its withdrawal was held; `ours`: the attack's or failure's, or changed by it."""

    record: Record
    ours: bool
    sends: bool
    loss: Part | None
    stopped: bool


def never_held(_withdrawal_id: str) -> bool:
    """Nobody obeys the monitor."""
    return False


class Stage:
    """Honest records over which an incident can be begun, before or while they are drawn."""

    def __init__(self, honest: Iterable[Record], known: Directory | None = None) -> None:
        self._honest = honest
        self._known = known or Directory()
        self._waiting: list[Play] = []
        self._due: deque[Planned] = deque()
        self._fixed_ms: dict[str, int] = {}
        self._redirections: list[tuple[Play, Redirection]] = []
        self._elsewhere: dict[str, tuple[Play, Redirection, str]] = {}
        self._taken_minor: dict[str, int] = {}
        self._sent: set[str] = set()
        self._stopped: set[str] = set()
        self._lost: set[str] = set()
        self._told: dict[str, str] = {}

    def begin(self, play: Play) -> None:
        """Lay an incident over what is still to be drawn; what of it lies before that comes at once."""
        self._waiting.append(play)

    def records(self) -> Iterator[Record]:
        """All records in order of time; draws the honest ones once."""
        for step in self.steps():
            if not step.stopped:
                yield step.record

    def steps(self, is_held: Callable[[str], bool] = never_held) -> Iterator[Step]:
        """The same with what they mean; asks about a withdrawal just before its next step. Stopped steps come too, marked."""
        for record in self._honest:
            while self._waiting and self._waiting[0].first_ms <= record.timestamp_ms:
                self._raise_curtain(self._waiting.pop(0))
            while self._due and self._due[0].record.timestamp_ms <= record.timestamp_ms:
                yield self._own(self._due.popleft(), is_held)
            self._known.note(record)
            fixed_ms = self._fixed_ms.get(record.key) if record.topic == "prices" else None
            if fixed_ms is None or record.timestamp_ms < fixed_ms:
                yield self._of_others(record, is_held)
        while self._waiting:
            self._raise_curtain(self._waiting.pop(0))
        while self._due:
            yield self._own(self._due.popleft(), is_held)

    def _raise_curtain(self, play: Play) -> None:
        self._due = deque(sorted((*self._due, *play.planned(self._known)), key=lambda planned: planned.record.timestamp_ms))
        self._fixed_ms |= play.fixed_prices()
        self._redirections += [(play, redirection) for redirection in play.redirections()]

    def _own(self, planned: Planned, is_held: Callable[[str], bool]) -> Step:
        record = planned.record
        if record.topic == "balances":
            return self._fund(record)
        step = self._gate(record, planned.sends, planned.loss, is_held)
        if planned.sends and not step.stopped:
            self._take(record)
        return step._replace(ours=not planned.honest)

    def _fund(self, record: Record) -> Step:
        """A wallet is filled up, so that it holds at least so much; one that holds more stays as it is: it would look drained."""
        fixed_minor = minor_of(str(record.value["asset"]), record.value["amount"])
        level_minor = self._known.levels_minor.get(record.key, 0) - self._taken_minor.get(record.key, 0)
        missing_minor = max(fixed_minor - level_minor, 0)
        self._taken_minor[record.key] = self._taken_minor.get(record.key, 0) - missing_minor
        return Step(record, ours=False, sends=False, loss=None, stopped=missing_minor == 0)

    def _of_others(self, record: Record, is_held: Callable[[str], bool]) -> Step:
        if record.topic == "balances":
            return Step(self._balance(record), ours=False, sends=False, loss=None, stopped=False)
        sends = record.topic == "withdrawals" and record.value["status"] == "broadcast"
        if not self._redirections:
            return self._gate(record, sends, None, is_held)
        redirected = self._redirect(record)
        if redirected is None:
            return self._gate(record, sends, None, is_held)
        play, redirection, record = redirected
        loss = None
        if sends and redirection.phase.loss and str(record.value["withdrawal_id"]) not in self._lost:  # once, whatever is sent or told again
            loss = Part(str(record.value["asset"]), minor_of(str(record.value["asset"]), record.value["amount"]))
            self._lost.add(str(record.value["withdrawal_id"]))
            play.redirected.append((str(record.value["withdrawal_id"]), loss.asset, str(record.value["amount"])))
        return self._gate(record, sends, loss, is_held)._replace(ours=True)

    def _gate(self, record: Record, sends: bool, loss: Part | None, is_held: Callable[[str], bool]) -> Step:  # noqa: FBT001  # a column of the step
        """Whether the step happens: not if its withdrawal is held before it, nor if it follows on a sending that didn't happen."""
        value = record.value
        withdrawal_id = value.get("withdrawal_id")
        if withdrawal_id is None or record.topic not in {"withdrawals", "outflows"}:
            return Step(record, ours=False, sends=sends, loss=loss, stopped=False)
        sending = _sending(record)
        stopped = sending in self._stopped
        if not stopped and (sends or value.get("status") in STOPPABLE) and sending not in self._sent and is_held(str(withdrawal_id)):
            stopped = True
            if sends:
                self._stopped.add(sending)
        elif sends and not stopped:
            self._sent.add(sending)
        return Step(record, ours=False, sends=sends, loss=loss, stopped=stopped)

    def _redirect(self, record: Record) -> tuple[Play, Redirection, Record] | None:
        """The record with its new destination, if it is a payout that goes elsewhere."""
        withdrawal_id = record.value.get("withdrawal_id")
        if withdrawal_id is None or record.topic not in {"withdrawals", "outflows"}:
            return None
        elsewhere = self._elsewhere.get(str(withdrawal_id)) or self._begin_redirect(str(withdrawal_id), record)
        if elsewhere is None:
            return None
        play, redirection, address = elsewhere
        if redirection.phase.when == "broadcast" and record.value.get("status") in {"requested", "approved", "signed"}:
            return None  # told again, as it was
        value = {name: told for name, told in record.value.items() if name != "tag"} | {"address": address}
        return play, redirection, record._replace(value=value)

    def _begin_redirect(self, withdrawal_id: str, record: Record) -> tuple[Play, Redirection, str] | None:
        value = record.value
        status = {"request": "requested", "broadcast": "broadcast"}
        for play, redirection in self._redirections:
            phase = redirection.phase
            if value.get("status") != status[phase.when] or value.get("provider_id") != phase.provider_id or value["account_id"] == DESK_ACCOUNT:
                continue
            if redirection.begin_ms <= int(str(value["occurred_at_ms"])) < redirection.end_ms:
                asset = str(value["asset"])
                pool = play.cast.addresses(phase.addresses, asset, f"redirect/{play.scenario.phases.index(phase)}")
                address = pool[len(self._elsewhere) % len(pool)] if pool else play.cast.address(asset)
                self._elsewhere[withdrawal_id] = play, redirection, address
                return self._elsewhere[withdrawal_id]
        return None

    def _take(self, record: Record) -> None:
        """What leaves a wallet is missing from what is told of its balance; what comes to another of ours is there."""
        value = record.value
        asset, wallet_id = str(value["asset"]), str(value["wallet_id"])
        amount_minor = minor_of(asset, value["amount"])
        self._taken_minor[wallet_id] = self._taken_minor.get(wallet_id, 0) + amount_minor
        to = _WALLET_OF.get(str(value["address"]))
        if to is not None:
            self._taken_minor[to] = self._taken_minor.get(to, 0) - amount_minor

    def _balance(self, record: Record) -> Record:
        """A balance with what the incident changed; told again, it is what it was."""
        asset, event_id = str(record.value["asset"]), str(record.value["event_id"])
        if event_id not in self._told:
            level_minor = minor_of(asset, record.value["amount"]) - self._taken_minor.get(record.key, 0)
            self._told[event_id] = print_amount(max(level_minor, 0), _DECIMALS[asset])
        return record._replace(value=record.value | {"amount": self._told[event_id]})


def _sending(record: Record) -> str:
    """Names one sending of one withdrawal; before a transaction is known, all of its steps."""
    return f"{record.value['withdrawal_id']} {record.value.get('tx_id')}"
