"""Incidents as data: a TOML file of phases (who, what, when, how much, from where, what is loss), laid over honest traffic.

Pure: reads no clock; files are read by `load`. Called by `simulate`, the demo and the tests. New kinds of phases are structs of `Phase`.
"""

import hashlib
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Literal

import msgspec

from streams.simulation.exchange import OUTFLOW_FIELDS, Record, Value
from streams.simulation.world import ASSETS, WALLETS

Confidence = Literal["high", "medium", "low", "assumed"]

_ASSETS = {row.asset: row for row in ASSETS}
_WALLETS = {row.wallet_id: row for row in WALLETS}


class ScenarioRefusedError(Exception):
    """The scenario can't be read; the message is one sentence for people."""


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One public fact and how well it is supported."""

    text: str
    confidence: Confidence


class Loss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was lost in all."""

    asset: str
    amount: str
    base_amount: str
    confidence: Confidence


class Played(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="action"):
    """What every phase carries; `at_seconds` counts from the start of the incident."""

    name: str
    at_seconds: float
    confidence: Confidence


class PricePhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="price"):
    """The asset's price stands at `price` from then on: the exchange's own records of it are left out."""

    asset: str
    price: str


class TransferPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="transfer"):
    """A withdrawal's whole life. With `paid_to` it is broadcast to that address instead of the requested one."""

    account_id: str
    wallet_id: str
    to_wallet_id: str
    asset: str
    amount: str
    paid_to: str | None = None
    approved_after_seconds: float
    signed_after_seconds: float
    broadcast_after_seconds: float
    seen_after_seconds: float
    confirmed_after_seconds: float
    loss: bool = False


class WalletEventPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="wallet_event"):
    """Something happens to a wallet."""

    wallet_id: str
    event: str
    actor: str | None = None
    detail: str | None = None


Phase = PricePhase | TransferPhase | WalletEventPhase


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One incident: public facts and the phases that play it."""

    id: str
    name: str
    date: str
    classes: tuple[str, ...]
    cause: Literal["unauthorized_access", "system_failure", "undecided"]
    teaches: str
    loss: Loss
    facts: tuple[Fact, ...]
    phases: tuple[Phase, ...]

    @property
    def seconds(self) -> float:
        """Until the last phase has begun."""
        return max(phase.at_seconds for phase in self.phases)


def names() -> list[str]:
    """Ids of the scenarios that come with the package."""
    return sorted(
        path.name.removesuffix(".toml") for path in resources.files(__package__).joinpath("scenarios").iterdir() if path.name.endswith(".toml")
    )


def load(name: str) -> Scenario:
    """The scenario of that id, or of that TOML file; raises ScenarioRefusedError with a sentence."""
    try:
        file = resources.files(__package__).joinpath("scenarios", f"{name}.toml") if name in names() else Path(name)
        scenario = msgspec.toml.decode(file.read_bytes(), type=Scenario)
    except OSError as error:
        raise ScenarioRefusedError(f"No scenario '{name}': neither one of {', '.join(names())} nor a readable file ({error.strerror}).") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ScenarioRefusedError(f"Scenario '{name}' can't be read: {error}.") from error
    for phase in scenario.phases:
        asset = getattr(phase, "asset", None)
        wallets = {getattr(phase, field, None) for field in ("wallet_id", "to_wallet_id")} - {None}
        if (asset is not None and asset not in _ASSETS) or not wallets <= _WALLETS.keys():
            raise ScenarioRefusedError(
                f"Scenario '{name}': phase '{phase.name}' names an asset or a wallet that the simulated exchange doesn't have."
            )
    return scenario


class Play:
    """One playing of a scenario, begun at `begin_ms`; ids are unique per beginning."""

    def __init__(self, scenario: Scenario, begin_ms: int) -> None:
        self._scenario = scenario
        self._begin_ms = begin_ms
        self._event_numbers = itertools.count(1)

    def withdrawal_id(self, phase: TransferPhase) -> str:
        """Id of a transfer phase's withdrawal."""
        return f"withdrawal-{self._scenario.id}.{self._begin_ms:x}.{self._scenario.phases.index(phase)}"

    def losses(self) -> list[tuple[str, str, str]]:
        """The truth: withdrawal_id, asset and amount of every transfer that is loss."""
        return [
            (self.withdrawal_id(phase), phase.asset, phase.amount)
            for phase in self._scenario.phases
            if isinstance(phase, TransferPhase) and phase.loss
        ]

    def records(self) -> list[Record]:
        """The scenario's own records, in order of time; the same at every call."""
        self._event_numbers = itertools.count(1)
        records: list[Record] = []
        for phase in self._scenario.phases:
            at_ms = self._begin_ms + round(phase.at_seconds * 1_000)
            match phase:
                case PricePhase():
                    records.append(
                        self._record("prices", phase.asset, at_ms, {"asset": phase.asset, "price": phase.price, "price_source": "simulated"})
                    )
                case WalletEventPhase():
                    event: Value = {"wallet_id": phase.wallet_id, "action": phase.event, "provider_id": _WALLETS[phase.wallet_id].provider_id}
                    told = {"actor": phase.actor, "detail": phase.detail}
                    records.append(self._record("wallet-events", phase.wallet_id, at_ms, event | {k: v for k, v in told.items() if v is not None}))
                case TransferPhase():
                    records.extend(self._transfer(phase, at_ms))
        return sorted(records, key=lambda record: record.timestamp_ms)

    def fixed_prices(self) -> dict[str, int]:
        """By asset, the time from which its price is the scenario's."""
        phases = self._scenario.phases
        return {phase.asset: self._begin_ms + round(phase.at_seconds * 1_000) for phase in phases if isinstance(phase, PricePhase)}

    def _record(self, topic: str, key: str, at_ms: int, event: Value) -> Record:
        event_id = f"{self._scenario.id}.{self._begin_ms:x}.{next(self._event_numbers)}"
        value: Value = {"event_id": event_id, "occurred_at_ms": at_ms, "schema_version": 1}
        return Record(topic, key, value | event, at_ms)

    def _transfer(self, phase: TransferPhase, at_ms: int) -> list[Record]:
        asset = _ASSETS[phase.asset]
        withdrawal_id = self.withdrawal_id(phase)
        withdrawal: Value = {
            "withdrawal_id": withdrawal_id, "account_id": phase.account_id, "asset": phase.asset, "network": asset.network,
            "amount": phase.amount, "address": _WALLETS[phase.to_wallet_id].address, "fee": asset.fee, "wallet_id": phase.wallet_id,
            "provider_id": _WALLETS[phase.wallet_id].provider_id, "owner": "customer", "channel": "desk", "second_factor": "passkey", "country": "JP",
        }  # fmt: skip
        sent = withdrawal | {"tx_id": hashlib.sha256(withdrawal_id.encode()).hexdigest()}
        if phase.paid_to is not None:
            sent["address"] = phase.paid_to
        steps = (
            ("requested", 0.0, withdrawal),
            ("approved", phase.approved_after_seconds, withdrawal),
            ("signed", phase.signed_after_seconds, withdrawal),
            ("broadcast", phase.broadcast_after_seconds, sent),
            ("confirmed", phase.confirmed_after_seconds, sent),
        )
        records = [
            self._record("withdrawals", phase.account_id, at_ms + round(seconds * 1_000), {"status": status, **event})
            for status, seconds, event in steps
        ]
        outflow = {name: sent[name] for name in OUTFLOW_FIELDS if name in sent}
        records.append(self._record("outflows", phase.wallet_id, at_ms + round(phase.seen_after_seconds * 1_000), outflow))
        return records


class Stage:
    """Honest records over which an incident can be begun, before or while they are drawn."""

    def __init__(self, honest: Iterable[Record]) -> None:
        self._honest = honest
        self._due: deque[Record] = deque()
        self._fixed_ms: dict[str, int] = {}

    def begin(self, play: Play) -> None:
        """Lay an incident over what is still to be drawn; what of it lies before that comes at once."""
        self._due.extend(play.records())
        self._fixed_ms |= play.fixed_prices()

    def records(self) -> Iterator[Record]:
        """All records in order of time; draws the honest ones once."""
        for record in self._honest:
            while self._due and self._due[0].timestamp_ms <= record.timestamp_ms:
                yield self._due.popleft()
            fixed_ms = self._fixed_ms.get(record.key) if record.topic == "prices" else None
            if fixed_ms is None or record.timestamp_ms < fixed_ms:
                yield record
        yield from self._due
