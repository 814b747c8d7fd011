"""A small honest exchange as a stream of input records: opening, requests and all that follows from them, prices, balances, episodes.

Pure and seeded: same parameters, same records, in order of their timestamps; no clock but the simulated one. No attack happens
here (`scenario` lays incidents over it). Called by `simulate`, the demo, the benchmark and the tests.

| what | distribution | source |
| --- | --- | --- |
| requests | Poisson, at the rate of `demand` | assumed |
| new address of an exchange or processor | one every two days, joins the less used ones; episodes make busy ones | assumed |
| the chain watcher lags | twice a day, 1 to 5 minutes | assumed |
| signers are exchanged | once in ten days, at any wallet | assumed |
| a business's payout | 1 in 50 of its requests, 1 in 8 on pay days | assumed |
| a campaign | at noon in Japan 500 to 2,000 JPY are credited to up to 150 accounts, as one batch | assumed |
"""

import datetime as dt
import random
from collections.abc import Callable, Iterator
from typing import Annotated, Self

import msgspec
from msgspec import Meta

from streams.simulation.demand import HOUR_MS, Demand, Plan, pay_day_factor
from streams.simulation.episodes import Episode
from streams.simulation.habits import DAY_MS, Habits
from streams.simulation.market import Market
from streams.simulation.payments import Order, Payments
from streams.simulation.population import Account, Population, pick_asset
from streams.simulation.records import OUTFLOW_FIELDS, Agenda, Record, Value
from streams.simulation.requests import Requests
from streams.simulation.treasury import SWEEP_INTERVAL_MS, Treasury, minor
from streams.simulation.world import ASSETS, BASE_CURRENCY, LAYERS, PROVIDERS, WALLETS, SimulatedAsset

__all__ = ["OUTFLOW_FIELDS", "Exchange", "ExchangeParameters", "Record", "Value"]

JAPAN_OFFSET_MS = 9 * HOUR_MS
DESK_SHARE = 0.002
WALLET_RATE = 50
"""Requests a second that the wallets' openings are meant for; a busier exchange holds more, in whole multiples."""
WATCHER_LAGS_A_DAY = 2.0
NEW_SHARED_EVERY_DAYS, NEW_SIGNER_EVERY_DAYS = 2.0, 10.0
LOOKS_IN = 0.25
PAYOUT, PAYOUT_ON_PAY_DAY = 1 / 50, 1 / 8
CAMPAIGN_ACCOUNTS_MAX, AIRDROP_ACCOUNTS_MAX = 150, 2_000
AIRDROP_JPY = 3_000
AIRDROP_NEW_ADDRESS = 0.5
RECORDS_PER_REQUEST = 7.8
"""Records that a request leads to, measured over ten days at 2 records a second; prices and balances apart."""
PRICES_SHARE, BALANCES_SHARE = 0.08, 0.10
ACCOUNTS_PER_RECORD_RATE = 10_000


class ExchangeParameters(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides the stream. Each request makes about seven records; `finish` lets open life cycles end after the last second."""

    start_ms: int
    seconds: Annotated[float, Meta(gt=0)]
    requests_per_second: Annotated[float, Meta(gt=0)] = 5.0
    accounts: Annotated[int, Meta(ge=7)] = 1_000
    seed: int = 1
    finish: bool = False
    price_interval_seconds: Annotated[float, Meta(ge=0.001)] = 10.0
    balance_interval_seconds: Annotated[float, Meta(ge=0.001)] = 30.0
    episodes: tuple[Episode, ...] = ()

    @classmethod
    def at_rate(
        cls,
        records_per_second: float,
        *,
        start_ms: int,
        seconds: float,
        seed: int = 1,
        episodes: tuple[Episode, ...] = (),
        accounts: int | None = None,
    ) -> Self:
        """An exchange that tells so many records a second on average over all topics, episodes apart; a fifth of them prices and balances.

        Without `accounts` there are 10,000 for each record a second, so that an active account has several withdrawals in ten days.
        """
        return cls(
            start_ms=start_ms,
            seconds=seconds,
            requests_per_second=records_per_second * (1.0 - PRICES_SHARE - BALANCES_SHARE) / RECORDS_PER_REQUEST,
            accounts=max(50, round(ACCOUNTS_PER_RECORD_RATE * records_per_second)) if accounts is None else accounts,
            seed=seed,
            price_interval_seconds=len(ASSETS) / (PRICES_SHARE * records_per_second),
            balance_interval_seconds=len(WALLETS) / (BALANCES_SHARE * records_per_second),
            episodes=episodes,
        )


class Exchange:
    """One run of the simulated exchange; `records()` yields it once. Raises ValueError for parameters that make no exchange."""

    def __init__(self, parameters: ExchangeParameters) -> None:
        self._assets = {row.asset: row for row in ASSETS}
        for episode in parameters.episodes:
            if episode.asset is not None and episode.asset not in self._assets:
                raise ValueError(f"the simulated exchange has no asset {episode.asset}")
        self._parameters = parameters
        start_ms = parameters.start_ms
        self._end_ms = start_ms + round(parameters.seconds * 1_000)
        self._rng = rng = random.Random(parameters.seed)  # noqa: S311  # a simulation
        self._agenda = agenda = Agenda(f"{parameters.seed:x}.{start_ms:x}", parameters.seed)
        self._population = Population(parameters.accounts, rng)
        self._demand = Demand(start_ms, parameters.requests_per_second, parameters.episodes)
        self._market = Market(agenda, rng, start_ms, parameters.episodes)
        self._habits = Habits(agenda, rng, self._population, self._later)
        fees_minor = {row.asset: minor(row.fee, row.decimals) for row in ASSETS}
        self._payments = Payments(agenda, rng, self._demand, self._market, self._again, fees_minor)
        scale = max(1, round(parameters.requests_per_second / WALLET_RATE))
        self._treasury = Treasury(agenda, rng, scale, self._payments.begin_desk)
        self._payments.use(self._treasury)
        self._requests = Requests(agenda, rng, self._population, self._market, self._treasury, self._payments, fees_minor, self._end_ms)
        self._processors: dict[Episode, tuple[SimulatedAsset, str]] = {}

    def records(self) -> Iterator[Record]:
        """The opening, then everything in order of time."""
        parameters, start_ms = self._parameters, self._parameters.start_ms
        self._open(start_ms)
        self._every(round(parameters.price_interval_seconds * 1_000), self._market.move)
        self._every(round(parameters.balance_interval_seconds * 1_000), self._treasury.tell)
        self._every(SWEEP_INTERVAL_MS, lambda _now_ms: self._treasury.sweep_deposits())
        self._next_visit(start_ms)
        self._sometimes(WATCHER_LAGS_A_DAY, start_ms, lambda now_ms: self._agenda.watcher_lags(now_ms + self._rng.randrange(60_000, 300_000)))
        self._sometimes(1.0 / NEW_SHARED_EVERY_DAYS, start_ms, lambda _now_ms: self._population.open_shared(pick_asset(self._rng)))
        self._sometimes(1.0 / NEW_SIGNER_EVERY_DAYS, start_ms, self._new_signer)
        noon_ms = (start_ms + JAPAN_OFFSET_MS) // DAY_MS * DAY_MS + DAY_MS // 2 - JAPAN_OFFSET_MS
        for day_ms in range(noon_ms, self._end_ms, DAY_MS):
            if day_ms >= start_ms:
                self._agenda.at(day_ms, self._campaign)
        for episode in parameters.episodes:
            self._schedule(episode, start_ms + round(episode.start_seconds * 1_000))
        yield from self._agenda.records(None if parameters.finish else self._end_ms)

    def _every(self, interval_ms: int, deed: Callable[[int], None]) -> None:
        """Do something at fixed intervals until the end."""

        def again(now_ms: int) -> None:
            deed(now_ms)
            if now_ms + interval_ms < self._end_ms:
                self._agenda.at(now_ms + interval_ms, again)

        if self._parameters.start_ms + interval_ms < self._end_ms:
            self._agenda.at(self._parameters.start_ms + interval_ms, again)

    def _sometimes(self, times_a_day: float, from_ms: int, deed: Callable[[int], object]) -> None:
        """Do something at random times until the end."""

        def happen(now_ms: int) -> None:
            deed(now_ms)
            self._sometimes(times_a_day, now_ms, deed)

        at_ms = from_ms + int(DAY_MS / times_a_day * self._rng.expovariate(1.0))
        if at_ms < self._end_ms:
            self._agenda.at(at_ms, happen)

    def _schedule(self, episode: Episode, begin_ms: int) -> None:
        """What an episode needs at its beginning."""
        if begin_ms >= self._end_ms:
            return
        if episode.kind == "watcher_lag":
            end_ms = begin_ms + round(episode.seconds * 1_000)
            self._agenda.at(begin_ms, lambda _now_ms: self._agenda.watcher_lags(end_ms))
        elif episode.kind == "airdrop":
            self._agenda.at(begin_ms, lambda now_ms: self._airdrop(episode, now_ms))
        elif episode.kind == "new_processor":
            self._agenda.at(begin_ms, lambda _now_ms: self._open_processor(episode))
        elif episode.kind == "node_trouble":
            wallet = self._treasury.hot(self._asset_of(episode).asset)
            event: Value = {"wallet_id": wallet.wallet_id, "action": "node_trouble", "provider_id": wallet.provider_id}
            self._agenda.at(begin_ms, lambda now_ms: self._agenda.tell("wallet-events", wallet.wallet_id, now_ms, event))

    def _new_signer(self, at_ms: int) -> None:
        wallet = self._rng.choice(WALLETS)
        event: Value = {"wallet_id": wallet.wallet_id, "action": "signer_changed", "provider_id": wallet.provider_id, "actor": "key-ceremony"}
        self._agenda.tell("wallet-events", wallet.wallet_id, at_ms, event | {"detail": "planned exchange of a signer"})

    def _asset_of(self, episode: Episode) -> SimulatedAsset:
        return self._assets[episode.asset] if episode.asset is not None else ASSETS[0]

    def _open_processor(self, episode: Episode) -> None:
        asset = self._asset_of(episode)
        self._processors[episode] = asset, self._population.open_shared(asset)

    def _open(self, at_ms: int) -> None:
        tell = self._agenda.tell
        for layer in LAYERS:
            event: Value = {"layer_id": layer.layer_id, "action": "fund", "unit": layer.unit, "amount": layer.funded, "reason": "opening"}
            tell("reserves", layer.layer_id, at_ms, event)
        self._market.tell(at_ms)
        self._treasury.tell(at_ms)
        for row in PROVIDERS:
            served = [wallet.wallet_id for wallet in WALLETS if wallet.provider_id == row.provider_id]
            event = {"provider_id": row.provider_id, "name": row.name, "role": row.role, "standing": row.standing, "wallet_ids": served}
            if row.signs:
                event["signing_wallet_ids"] = served
            if row.registration_number is not None:
                event["registration_number"] = row.registration_number
            tell("providers", row.provider_id, at_ms, event)

    def _next_visit(self, from_ms: int) -> None:
        """The next request comes after an exponential time; where the rate changes before it, the rest is drawn anew."""
        at_ms = from_ms
        while at_ms < self._end_ms:
            plan = self._demand.at(at_ms)
            gap_ms = int(1_000 * self._rng.expovariate(plan.requests_per_second))
            if at_ms + gap_ms < plan.until_ms:
                break
            at_ms, gap_ms = plan.until_ms, 0
        else:
            return
        if at_ms + gap_ms < self._end_ms:
            self._agenda.at(at_ms + gap_ms, self._visit)

    def _visit(self, at_ms: int) -> None:
        """Somebody comes: the desk, a customer on an everyday errand, or one of an episode's crowd."""
        rng, population = self._rng, self._population
        plan = self._demand.at(at_ms)
        self._next_visit(at_ms)
        crowd = plan.crowd(rng.random() * plan.requests_per_second)
        if crowd is None or crowd.kind == "price_shock":
            self._everyday(plan, at_ms)
        elif crowd.kind == "bad_news_run":
            account = population.anyone()
            self._requests.ask_in_part(self._habits, account, population.asset_for(account), at_ms, plan)
        elif crowd.kind == "airdrop":
            account, asset = population.pick(plan.kind_bounds)[0], self._asset_of(crowd)
            self._requests.ask(self._habits, account, asset, at_ms, plan, new_address=rng.random() < AIRDROP_NEW_ADDRESS)
        else:
            account = population.new_customer()
            self._requests.ask(self._habits, account, population.asset_for(account), at_ms, plan, logs_in=True)

    def _everyday(self, plan: Plan, at_ms: int) -> None:
        rng, requests = self._rng, self._requests
        share = rng.random()
        if share < DESK_SHARE:
            self._treasury.unasked(pick_asset(rng), at_ms)
            return
        account, is_new = self._population.pick(plan.kind_bounds)
        if share < LOOKS_IN:
            self._habits.look_in(account, at_ms)
        for episode, processor_share in plan.processors:
            if rng.random() < processor_share and episode in self._processors:
                asset, address = self._processors[episode]
                requests.ask(self._habits, account, asset, at_ms, plan, logs_in=is_new, shared=address)
                return
        if account.kind.profile == "office" and rng.random() < self._payout_share(account, at_ms):
            requests.pay_out(account, at_ms, plan)
            return
        requests.ask(self._habits, account, self._population.asset_for(account), at_ms, plan, logs_in=is_new)

    def _payout_share(self, account: Account, at_ms: int) -> float:
        day = dt.date(1970, 1, 1) + dt.timedelta(milliseconds=at_ms + JAPAN_OFFSET_MS)
        return PAYOUT_ON_PAY_DAY if pay_day_factor(account.kind, day) > 1.0 else PAYOUT

    def _later(self, account: Account, at_ms: int) -> None:
        """The account withdraws at that time, if the exchange runs so long."""

        def ask(now_ms: int) -> None:
            self._requests.ask(self._habits, account, self._population.asset_for(account), now_ms, self._demand.at(now_ms))

        if at_ms < self._end_ms:
            self._agenda.at(at_ms, ask)

    def _again(self, order: Order, at_ms: int) -> None:
        self._requests.ask_again(order, at_ms)

    def _campaign(self, at_ms: int) -> None:
        """A few hundred yen for many accounts, as one batch of credits."""
        rng, batch_id = self._rng, f"campaign-{at_ms // DAY_MS}"
        for _ in range(min(CAMPAIGN_ACCOUNTS_MAX, self._parameters.accounts // 20)):
            amount = str(100 * rng.randint(5, 20))
            self._requests.post(self._population.anyone().account_id, BASE_CURRENCY, amount, at_ms + rng.randrange(60_000), "campaign", batch_id)

    def _airdrop(self, episode: Episode, at_ms: int) -> None:
        """An asset is credited to many who hold it, as one batch over ten minutes."""
        rng, asset, batch_id = self._rng, self._asset_of(episode), f"airdrop-{at_ms}"
        for _ in range(min(AIRDROP_ACCOUNTS_MAX, self._parameters.accounts // 4)):
            account, worth_jpy = self._population.anyone(), AIRDROP_JPY * rng.lognormvariate(0.0, 1.0)
            amount_minor = self._population.steps_minor(asset, worth_jpy, self._market.prices[asset.asset])
            self._agenda.at(at_ms + rng.randrange(600_000), self._drop(account, asset, amount_minor, batch_id))

    def _drop(self, account: Account, asset: SimulatedAsset, amount_minor: int, batch_id: str) -> Callable[[int], None]:
        return lambda now_ms: self._requests.credit(account, asset, amount_minor, now_ms, "airdrop", batch_id)
