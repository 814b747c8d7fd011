"""One playing of a scenario: its phases become planned records, each with the loss that it is, in order of time.

Pure; a handler per kind of phase. `stage` lays them over honest traffic and lets a held withdrawal go no further. Ids are unique per beginning.
"""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

from monitor.money import print_amount
from streams.simulation.crowds import HOT, Cast, Changes, Member, TooFewAccountsError, divided, fee_minor, funds_before, moments
from streams.simulation.directory import Directory, minor_of
from streams.simulation.episodes import Episode
from streams.simulation.exchange import Record, Value
from streams.simulation.phases import (
    EXISTING,
    FRESH,
    AccountEventPhase,
    BalancePhase,
    EpisodePhase,
    NoticePhase,
    OutflowPhase,
    Phase,
    PostingsPhase,
    PricePhase,
    RedirectPhase,
    ReplayPhase,
    Scenario,
    TransferPhase,
    TreasuryPhase,
    WalletEventPhase,
    WithdrawalsPhase,
)  # fmt: skip
from streams.simulation.scenario import ScenarioRefusedError
from streams.simulation.telling import Part, Planned, Teller, tx_of
from streams.simulation.world import ASSETS, DESK_ACCOUNT, WALLETS

_ASSETS = {row.asset: row for row in ASSETS}
_WALLETS = {row.wallet_id: row for row in WALLETS}


class Redirection(NamedTuple):
    """For how long a provider's payouts go elsewhere."""

    phase: RedirectPhase
    begin_ms: int
    end_ms: int


def is_honest(phase: Phase) -> bool:
    """Whether a phase is the exchange's or its customers' own doing: a page for it is a false one."""
    return isinstance(phase, PricePhase | BalancePhase | TreasuryPhase) or (isinstance(phase, WithdrawalsPhase) and not phase.loss)


class Play:
    """One playing of a scenario, begun at `begin_ms`; `seed` decides what the file leaves open."""

    def __init__(self, scenario: Scenario, begin_ms: int, seed: int = 0) -> None:
        self.scenario = scenario
        self.begin_ms = begin_ms
        self.seed = seed
        self.redirected: list[tuple[str, str, str]] = []
        self.cast = self._cast(Directory())
        self._planned: list[Planned] | None = None
        self._tell = Teller(self.name)
        self._handlers: dict[type, Callable[[Any, int], list[Planned]]] = {
            PricePhase: self._price,
            BalancePhase: self._balance,
            TransferPhase: self._transfer,
            WithdrawalsPhase: self._withdrawals,
            OutflowPhase: self._outflow,
            PostingsPhase: self._postings,
            ReplayPhase: self._replay,
            TreasuryPhase: self._treasury,
            WalletEventPhase: self._wallet_event,
            AccountEventPhase: self._account_event,
            RedirectPhase: lambda _phase, _at_ms: [],
            EpisodePhase: lambda _phase, _at_ms: [],
            NoticePhase: lambda _phase, _at_ms: [],
        }

    @property
    def name(self) -> str:
        """Unique to this beginning of this scenario."""
        return f"{self.scenario.id}.{self.begin_ms:x}"

    def _cast(self, known: Directory) -> Cast:
        rng = random.Random(f"{self.scenario.id}/{self.seed}")  # noqa: S311  # a simulation
        return Cast(rng, self.name, known)

    @property
    def first_ms(self) -> int:
        """When its first record comes."""
        return self.begin_ms + round(self.scenario.first_seconds * 1_000)

    @property
    def end_ms(self) -> int:
        """When the last of it has happened; confirmations and episodes may go on."""
        last = [self._at_ms(phase) for phase in self.scenario.played]
        last += [redirection.end_ms for redirection in self.redirections()]
        return max(last + [planned.record.timestamp_ms for planned in self.planned() if planned.record.value.get("status") != "confirmed"])

    def episodes(self, start_ms: int) -> tuple[Episode, ...]:
        """The honest episodes that go on meanwhile, for an exchange that began at that time."""
        return tuple(
            Episode(
                kind=phase.episode, start_seconds=(self._at_ms(phase) - start_ms) / 1_000, seconds=phase.for_seconds, factor=phase.factor, asset=phase.asset
            )
            for phase in self.scenario.phases
            if isinstance(phase, EpisodePhase)
        )  # fmt: skip

    def busy_ms(self) -> list[tuple[int, int]]:
        """When something of it happens, as ranges in order of their beginning."""
        ranges = [(planned.record.timestamp_ms, planned.record.timestamp_ms) for planned in self.planned()]
        return sorted(ranges + [(redirection.begin_ms, redirection.end_ms) for redirection in self.redirections()])

    def _at_ms(self, phase: Phase) -> int:
        return self.begin_ms + round(phase.at_seconds * 1_000)

    def withdrawal_id(self, phase: TransferPhase) -> str:
        """Id of a transfer phase's withdrawal."""
        return f"withdrawal-{self.name}.{self.scenario.phases.index(phase)}"

    def losses(self) -> list[tuple[str, str, str]]:
        """The truth: withdrawal_id (or event id, where there is none), asset and amount of all that is loss, redirected payouts as they came."""
        own = []
        for planned in self.planned():
            if planned.loss is not None:
                value = planned.record.value
                amount = print_amount(planned.loss.amount_minor, _ASSETS[planned.loss.asset].decimals)
                own.append((str(value.get("withdrawal_id") or value["event_id"]), planned.loss.asset, amount))
        return own + self.redirected

    def records(self) -> list[Record]:
        """The scenario's own records, in order of time; the same at every call."""
        return [planned.record for planned in self.planned()]

    def planned(self, known: Directory | None = None) -> list[Planned]:
        """The same with what they take, made at the first call. Raises ScenarioRefusedError if the exchange lacks accounts for it."""
        if self._planned is None:
            self.cast = self._cast(known or Directory())
            planned: list[Planned] = []
            for phase in self.scenario.phases:
                try:
                    planned += [one._replace(honest=is_honest(phase)) for one in self._handlers[type(phase)](phase, self._at_ms(phase))]
                except TooFewAccountsError as error:
                    raise ScenarioRefusedError(f"Scenario '{self.scenario.id}': phase '{phase.name}' can't be played: {error}.") from error
            self._planned = sorted(planned, key=lambda one: one.record.timestamp_ms)
        return self._planned

    def fixed_prices(self) -> dict[str, int]:
        """By asset, the time from which its price is the scenario's."""
        phases = [phase for phase in self.scenario.phases if isinstance(phase, PricePhase)]
        return {phase.asset: self._at_ms(phase) for phase in sorted(phases, key=lambda phase: -phase.at_seconds)}

    def redirections(self) -> list[Redirection]:
        """Which providers' payouts go elsewhere, and when."""
        phases = [phase for phase in self.scenario.phases if isinstance(phase, RedirectPhase)]
        return [Redirection(phase, self._at_ms(phase), self._at_ms(phase) + round(phase.for_seconds * 1_000)) for phase in phases]

    def _price(self, phase: PricePhase, at_ms: int) -> list[Planned]:
        return [Planned(self._tell.record("prices", phase.asset, at_ms, {"asset": phase.asset, "price": phase.price, "price_source": "simulated"}))]

    def _balance(self, phase: BalancePhase, at_ms: int) -> list[Planned]:
        wallet = _WALLETS[phase.wallet_id]
        event: Value = {"wallet_id": phase.wallet_id, "asset": wallet.asset, "amount": phase.amount, "temperature": wallet.temperature}
        return [Planned(self._tell.record("balances", phase.wallet_id, at_ms, event | {"owner": "customer", "provider_id": wallet.provider_id}))]

    def _asked(self, phase: TransferPhase) -> Value:
        """What a transfer's request says."""
        facts: Value = {"channel": "desk", "second_factor": "passkey", "country": "JP"}
        account_id, address, amount_minor = phase.account_id, None, minor_of(phase.asset, phase.amount)
        if account_id == EXISTING:
            member = self.cast.gather(None, 1, phase.asset, new=False)[0]
            account_id, facts, address = member.account_id, self.cast.dressed(member, Changes()), member.address
            facts["balance_before"] = print_amount(funds_before(member, phase.asset, amount_minor, self.cast.rng), _ASSETS[phase.asset].decimals)
            if phase.to_wallet_id is None and phase.to is None and member.request is not None and "tag" in member.request:
                facts["tag"] = member.request["tag"]
        if phase.to_wallet_id is not None:
            address = _WALLETS[phase.to_wallet_id].address
        elif phase.to is not None or address is None:
            address = self._address(phase.to or FRESH, phase.asset)
        asked = self._tell.base(self.withdrawal_id(phase), account_id, _ASSETS[phase.asset], phase.wallet_id, amount_minor, address)
        return asked | {"owner": phase.owner} | facts

    def _transfer(self, phase: TransferPhase, at_ms: int) -> list[Planned]:
        withdrawal = self._asked(phase)
        sent = withdrawal | {"tx_id": tx_of(str(withdrawal["withdrawal_id"]))}
        if phase.paid_to is not None:
            sent["address"] = self._address(phase.paid_to, phase.asset)
        if phase.paid_amount is not None:
            sent["amount"] = phase.paid_amount
        twice = phase.second_broadcast_after_seconds is not None
        part = Part(phase.asset, _taken_minor(phase)) if phase.loss else None
        loss = None if twice else part

        def planned_step(status: str, seconds: float, value: Value) -> Planned:
            sends = status == "broadcast"
            return Planned(self._tell.step(status, at_ms + round(seconds * 1_000), value), sends=sends, loss=loss if sends else None)

        planned = []
        if phase.account_id == EXISTING:
            quantity_minor = minor_of(phase.asset, withdrawal["balance_before"])
            planned.append(Planned(self._tell.holding(str(withdrawal["account_id"]), _ASSETS[phase.asset], quantity_minor, at_ms)))
        planned += [
            planned_step("requested", 0.0, withdrawal),
            planned_step("approved", phase.approved_after_seconds, withdrawal),
            planned_step("signed", phase.signed_after_seconds, withdrawal),
        ]
        if phase.cancelled_after_seconds is not None:
            planned.append(planned_step("cancelled", phase.cancelled_after_seconds, withdrawal))
        if phase.first_broadcast_told:
            planned.append(planned_step("broadcast", phase.broadcast_after_seconds, sent))
            if not twice:
                planned.append(planned_step("confirmed", phase.confirmed_after_seconds, sent))
        seen = self._tell.seen(sent, at_ms + round(phase.seen_after_seconds * 1_000))
        planned.append(Planned(seen) if phase.first_broadcast_told else Planned(seen, sends=True, loss=loss))
        return planned + self._second(phase, at_ms, sent, part) if twice else planned

    def _second(self, phase: TransferPhase, at_ms: int, sent: Value, part: Part | None) -> list[Planned]:
        """The same withdrawal is taken up again, perhaps with an event that tells so, and sent by another transaction."""
        second = sent | {"tx_id": tx_of(f"{sent['withdrawal_id']}/2")}
        second_ms = at_ms + round((phase.second_broadcast_after_seconds or 0.0) * 1_000)
        planned = []
        if phase.retry_after_seconds is not None:
            planned.append(Planned(self._tell.step("signed", at_ms + round(phase.retry_after_seconds * 1_000), second)))
        planned.append(Planned(self._tell.step("broadcast", second_ms, second), sends=True, loss=part))
        planned.append(Planned(self._tell.seen(second, second_ms + round((phase.seen_after_seconds - phase.broadcast_after_seconds) * 1_000))))
        planned.append(Planned(self._tell.step("confirmed", second_ms + round(phase.confirmed_after_seconds * 1_000), second)))
        return planned

    def _address(self, told: str, asset: str) -> str:
        if told == FRESH:
            return self.cast.address(asset)
        self.cast.fresh.add(told)
        return told

    def _withdrawals(self, phase: WithdrawalsPhase, at_ms: int) -> list[Planned]:
        asset, rng = _ASSETS[phase.asset], self.cast.rng
        wallet_id = phase.wallet_id or HOT[phase.asset].wallet_id
        members = self.cast.gather(phase.group, phase.count, phase.asset, new=phase.accounts == "new")
        amounts = self._amounts(phase, members, wallet_id)
        addresses = self.cast.addresses(phase.addresses or phase.count, phase.asset, phase.group) if phase.destinations == FRESH else []
        changes = Changes(phase.device, phase.network, phase.api_key, phase.country)
        times = moments(phase.count, phase.over_seconds, rng)
        number = self.scenario.phases.index(phase)
        batch_id = f"batch-{self.name}.{number}" if phase.batch else None
        last_ms = at_ms + times[-1]
        planned = []
        for index, (member, amount_minor) in enumerate(zip(members, amounts, strict=True)):
            facts = self.cast.dressed(member, changes)
            asked_ms = at_ms + times[index]
            if phase.login_before_seconds is not None:
                planned.append(
                    Planned(self._tell.account_event("login", member.account_id, facts, asked_ms - round(phase.login_before_seconds * 1_000)))
                )
            address = addresses[index % len(addresses)] if addresses else member.address or self.cast.address(phase.asset)
            withdrawal = self._tell.base(f"withdrawal-{self.name}.{number}.{index}", member.account_id, asset, wallet_id, amount_minor, address)
            withdrawal |= facts
            if not addresses and member.request is not None and "tag" in member.request:
                withdrawal["tag"] = member.request["tag"]
            before_minor = funds_before(member, phase.asset, amount_minor, self.cast.rng)
            withdrawal["balance_before"] = print_amount(before_minor, asset.decimals)
            if before_minor != member.left_minor:  # the books must say so too, or they alone would give the incident away
                planned.append(Planned(self._tell.holding(member.account_id, asset, before_minor, asked_ms)))
            planned += self._tell.life(phase, withdrawal, asked_ms, Part(phase.asset, amount_minor) if phase.loss else None, batch_id, last_ms)
        if batch_id is not None:
            self.cast.fresh.add(batch_id)
        return planned

    def _amounts(self, phase: WithdrawalsPhase, members: list[Member], wallet_id: str) -> list[int]:
        rng = self.cast.rng
        if phase.total is not None:
            return divided(minor_of(phase.asset, phase.total), phase.count, phase.spread, rng)
        if phase.share_of_balance is not None:
            return [max(1, member.left_minor * round(1e9 * phase.share_of_balance) // 1_000_000_000 - fee_minor(phase.asset)) for member in members]
        if phase.amount is not None:
            base_minor = minor_of(phase.asset, phase.amount)
        else:
            base_minor = self.cast.quantile_minor(wallet_id, phase.asset, phase.wallet_quantile or 1.0)
        return [max(1, base_minor * round(1e9 * (1.0 + phase.spread * rng.uniform(-1.0, 1.0))) // 1_000_000_000) for _ in members]

    def _outflow(self, phase: OutflowPhase, at_ms: int) -> list[Planned]:
        wallet, rng = _WALLETS[phase.wallet_id], self.cast.rng
        asset = _ASSETS[wallet.asset]
        if phase.total is not None:
            amounts = divided(minor_of(wallet.asset, phase.total), phase.count, phase.spread, rng)
        else:
            each = minor_of(wallet.asset, phase.amount)
            amounts = [max(1, each * round(1e9 * (1.0 + phase.spread * rng.uniform(-1.0, 1.0))) // 1_000_000_000) for _ in range(phase.count)]
        addresses = [self._address(address, wallet.asset) for address in phase.to] or self.cast.addresses(phase.addresses, wallet.asset, phase.group)
        number = self.scenario.phases.index(phase)
        name = f"{self.name}/{number}"
        rows = [(at_ms + after_ms, amount) for after_ms, amount in zip(moments(phase.count, phase.over_seconds, rng), amounts, strict=True)]
        if phase.test_amount is not None:
            rows.insert(0, (at_ms - round(phase.test_before_seconds * 1_000), minor_of(wallet.asset, phase.test_amount)))
        planned = []
        for index, (left_ms, amount_minor) in enumerate(rows):
            tx_id = tx_of(name if phase.one_transaction else f"{name}/{index}")
            event: Value = {"tx_id": tx_id, "wallet_id": phase.wallet_id, "asset": wallet.asset, "network": asset.network}
            event |= {"amount": print_amount(amount_minor, asset.decimals), "address": addresses[index % len(addresses)]}
            event |= {"provider_id": wallet.provider_id, "owner": phase.owner}
            record = self._tell.record("outflows", phase.wallet_id, left_ms, event, left_ms + round(phase.seen_after_seconds * 1_000))
            planned.append(Planned(record, sends=True, loss=Part(wallet.asset, amount_minor) if phase.loss else None))
        return planned

    def _postings(self, phase: PostingsPhase, at_ms: int) -> list[Planned]:
        asset, rng = _ASSETS[phase.asset], self.cast.rng
        members = self.cast.gather(phase.group, phase.count, phase.asset, new=phase.accounts == "new")
        if phase.total is not None:
            amounts = divided(minor_of(phase.asset, phase.total), phase.count, 0.0, rng)
        else:
            amounts = [minor_of(phase.asset, phase.amount)] * phase.count
        number = self.scenario.phases.index(phase)
        name = f"{self.name}.{number}"
        times = moments(phase.count, phase.over_seconds, rng)
        planned = []
        for index, (member, amount_minor) in enumerate(zip(members, amounts, strict=True)):
            event: Value = {"posting_id": f"posting-{name}.{index}", "account_id": member.account_id, "kind": "credit", "asset": phase.asset}
            event |= {"amount": print_amount(amount_minor, asset.decimals), "owner": phase.owner, "reason": phase.reason}
            event |= {"batch_id": f"batch-{name}"} if phase.batch else {}
            event |= {"actor": phase.actor} if phase.actor is not None else {}
            part = Part(phase.asset, amount_minor) if phase.loss else None
            planned.append(Planned(self._tell.record("postings", member.account_id, at_ms + times[index], event), loss=part))
        if phase.batch:
            self.cast.fresh.add(f"batch-{name}")
        return planned

    def _replay(self, phase: ReplayPhase, at_ms: int) -> list[Planned]:
        member = self.cast.gather(None, 1, phase.asset, new=False)[0]
        asset, wallet_id = _ASSETS[phase.asset], HOT[phase.asset].wallet_id
        if member.request is None or member.address is None:
            raise TooFewAccountsError(f"nobody has asked for {phase.asset} so far")
        amount_minor = minor_of(phase.asset, member.request["amount"])
        number = self.scenario.phases.index(phase)
        planned = []
        for index, after_ms in enumerate(moments(phase.count, phase.over_seconds, self.cast.rng)):
            name = f"withdrawal-{self.name}.{number}.{index}"
            withdrawal = self._tell.base(name, member.account_id, asset, wallet_id, amount_minor, member.address) | member.facts
            withdrawal |= {name: member.request[name] for name in ("tag", "balance_before") if name in member.request}
            planned += self._tell.life(phase, withdrawal, at_ms + after_ms, Part(phase.asset, amount_minor) if phase.loss else None)
        return planned

    def _treasury(self, phase: TreasuryPhase, at_ms: int) -> list[Planned]:
        asset, rng = _ASSETS[_WALLETS[phase.wallet_id].asset], self.cast.rng
        if phase.total is not None:
            amounts = divided(minor_of(asset.asset, phase.total), phase.count, 0.0, rng)
        else:
            amounts = [minor_of(asset.asset, phase.amount)] * phase.count
        number, to = self.scenario.phases.index(phase), _WALLETS[phase.to_wallet_id].address
        planned = []
        for index, after_ms in enumerate(moments(phase.count, phase.over_seconds, rng)):
            name = f"withdrawal-{self.name}.{number}.{index}"
            withdrawal = self._tell.base(name, DESK_ACCOUNT, asset, phase.wallet_id, amounts[index], to)
            withdrawal |= {"channel": "desk", "second_factor": "passkey", "country": "JP"}
            sent = withdrawal | {"tx_id": tx_of(name)}
            begin_ms = at_ms + after_ms
            for status, seconds in (("requested", 0), ("approved", 10), ("signed", 13)):
                planned.append(Planned(self._tell.step(status, begin_ms + seconds * 1_000, withdrawal)))
            planned.append(Planned(self._tell.step("broadcast", begin_ms + 15_000, sent), sends=True))
            planned.append(Planned(self._tell.seen(sent, begin_ms + 16_000, internal=True)))
            planned.append(Planned(self._tell.step("confirmed", begin_ms + 600_000, sent)))
        return planned

    def _wallet_event(self, phase: WalletEventPhase, at_ms: int) -> list[Planned]:
        event: Value = {"wallet_id": phase.wallet_id, "action": phase.event, "provider_id": _WALLETS[phase.wallet_id].provider_id}
        event |= {name: told for name, told in (("actor", phase.actor), ("detail", phase.detail)) if told is not None}
        times = moments(phase.count, phase.over_seconds, self.cast.rng)
        return [Planned(self._tell.record("wallet-events", phase.wallet_id, at_ms + after_ms, event)) for after_ms in times]

    def _account_event(self, phase: AccountEventPhase, at_ms: int) -> list[Planned]:
        members = self.cast.gather(phase.group, phase.count, self._asset_of_group(phase.group), new=phase.accounts == "new")
        changes = Changes(phase.device, phase.network, phase.api_key, phase.country)
        times = moments(phase.count, phase.over_seconds, self.cast.rng)
        dressed = [self.cast.dressed(member, changes) for member in members]
        return [
            Planned(self._tell.account_event(phase.event, member.account_id, facts, at_ms + after_ms))
            for member, facts, after_ms in zip(members, dressed, times, strict=True)
        ]

    def _asset_of_group(self, group: str | None) -> str:
        """The asset that the group's other phases are about: its accounts must have some."""
        for phase in self.scenario.phases:
            if group is not None and isinstance(phase, WithdrawalsPhase | PostingsPhase) and phase.group == group:
                return phase.asset
        return ASSETS[0].asset


def _taken_minor(phase: TransferPhase) -> int:
    """What a transfer takes: all that is sent, but only the excess where no more than the amount was changed."""
    asked_minor = minor_of(phase.asset, phase.amount)
    if phase.paid_amount is None:
        return asked_minor
    paid_minor = minor_of(phase.asset, phase.paid_amount)
    return paid_minor - asked_minor if phase.paid_to is None and paid_minor > asked_minor else paid_minor
