"""From what a customer wants to a withdrawal request: destination, amount, what is paid in before, from where it is asked. Called by `exchange`.

| what | distribution | source |
| --- | --- | --- |
| a new address is whitelisted | 4 in 5 withdraw to it within 20 s, the rest an hour to a day later, as exchanges make some wait | assumed |
| a first holding | the first amount and an exponential of mean 2 of it | assumed |
| a deposit | the shortage, and for those who don't pass everything through an exponential of mean 3 amounts on top | assumed |
| a business's payout | 5 to 40 payees from a list that grows slowly, lognormal amounts around 250,000 JPY, sent after 2 minutes as one batch | assumed |
| a run after bad news | half of those who come take all they have of an asset, the rest 30 to 100 % | assumed |
"""

import random

from monitor.money import print_amount
from streams.simulation.demand import Plan
from streams.simulation.habits import Habits
from streams.simulation.market import Market
from streams.simulation.payments import Order, Payments
from streams.simulation.population import Account, Destination, Population
from streams.simulation.records import Agenda, Value
from streams.simulation.treasury import Treasury
from streams.simulation.world import SimulatedAsset

FORM_MS = 20_000
"""A person needs so long at least from one request of the account, a program's too, to the next (assumed)."""
SETTLED_MS = 3_000
"""From a deposit's posting to the request that uses it."""
WAITS_AFTER_WHITELISTING = 0.2
FIRST_HOLDING_MEAN, DEPOSIT_MEAN = 2.0, 3.0
PAYEES = (5, 40)
PAYEE_JPY, PAYEE_SIGMA = 250_000.0, 0.5
PAYOUT_AFTER_MS = 120_000
TAKES_ALL = 0.5
TAKES_AT_LEAST = 0.3


class Requests:
    """Customers' requests. `end_ms`: who would ask later doesn't ask."""

    def __init__(
        self,
        agenda: Agenda,
        rng: random.Random,
        population: Population,
        market: Market,
        treasury: Treasury,
        payments: Payments,
        fees_minor: dict[str, int],
        end_ms: int,
    ) -> None:
        self._agenda = agenda
        self._rng = rng
        self._population = population
        self._market = market
        self._treasury = treasury
        self._payments = payments
        self._fees_minor = fees_minor
        self._end_ms = end_ms
        self._payouts = 0

    def ask(
        self, habits: Habits, account: Account, asset: SimulatedAsset, at_ms: int, plan: Plan, *,
        logs_in: bool = False, new_address: bool = False, shared: str | None = None, share: float | None = None,
    ) -> None:  # fmt: skip
        """One request and what comes before it. `shared` is where it must go, `share` how much of the holding (None: an amount of the account's)."""
        rng = self._rng
        channel = rng.choice(account.kind.channels)
        at_ms = habits.before(account, channel, at_ms, logs_in=logs_in or rng.random() < account.kind.login)
        if shared is not None:
            destination, is_new = (shared, account.tag if asset.tagged else None), False
        else:
            destination, is_new = self._population.destination(account, asset, new=new_address)
        if is_new:
            habits.tell(account, "address_whitelisted", at_ms, address=destination[0])
            waits = rng.random() < WAITS_AFTER_WHITELISTING and not new_address
            at_ms += rng.randrange(3_600_000, 86_400_000) if waits else rng.randrange(2_000, 20_000)
        amount_minor = 0
        if share is None:
            worth_jpy = account.kind.median_jpy * plan.amount_factor
            amount_minor = self._population.amount_minor(account, asset, worth_jpy, self._market.prices[asset.asset])
        self._agenda.at(at_ms, lambda now_ms: self._place(account, asset, destination, amount_minor, share, channel, now_ms))

    def _place(
        self, account: Account, asset: SimulatedAsset, destination: Destination, amount_minor: int, share: float | None, channel: str, at_ms: int
    ) -> None:
        if at_ms >= self._end_ms:
            return
        if channel != "api" and at_ms < account.busy_until_ms:
            later_ms = account.busy_until_ms
            self._agenda.at(later_ms, lambda now_ms: self._place(account, asset, destination, amount_minor, share, channel, now_ms))
            return
        account.busy_until_ms = at_ms + FORM_MS
        most_minor = self._treasury.at_most(asset.asset)
        if share is not None:
            amount_minor = self._part(account, asset, share, at_ms)
        amount_minor = min(amount_minor, most_minor)
        take_minor = amount_minor + self._fees_minor[asset.asset]
        if not self._treasury.promise(asset.asset, take_minor):
            return
        before_minor = self._cover(account, asset, amount_minor, at_ms)
        withdrawal = self._withdrawal(account, asset, destination, amount_minor, before_minor, channel, at_ms)
        self._payments.begin(Order(account, asset, withdrawal, amount_minor, take_minor), at_ms + SETTLED_MS)

    def _part(self, account: Account, asset: SimulatedAsset, share: float, at_ms: int) -> int:
        """So much of what the account holds and can pay out, in steps that people type; an account without the asset has a usual amount of it."""
        if account.balances_minor.get(asset.asset, 0) <= 2 * self._fees_minor[asset.asset]:
            usual_minor = self._population.amount_minor(account, asset, account.kind.median_jpy, self._market.prices[asset.asset])
            usual_minor = min(usual_minor, self._treasury.at_most(asset.asset))
            self._cover(account, asset, usual_minor, at_ms)
            account.balances_minor[asset.asset] += usual_minor + self._fees_minor[asset.asset]
        step_minor: int = 10 ** (asset.decimals - asset.step_decimals)
        free_minor = account.balances_minor[asset.asset] - self._fees_minor[asset.asset]
        return max(step_minor, free_minor * round(1_000 * share) // 1_000 // step_minor * step_minor)

    def ask_in_part(self, habits: Habits, account: Account, asset: SimulatedAsset, at_ms: int, plan: Plan) -> None:
        """A customer who has read bad news."""
        rng = self._rng
        share = 1.0 if rng.random() < TAKES_ALL else rng.uniform(TAKES_AT_LEAST, 1.0)
        self.ask(habits, account, asset, at_ms, plan, logs_in=True, share=share)

    def ask_again(self, order: Order, at_ms: int) -> None:
        """What was cancelled is asked for once more, under another name."""
        account, asset, old = order.account, order.asset, order.withdrawal
        if account is not None and at_ms < self._end_ms:
            tag = old.get("tag")
            destination = str(old["address"]), None if tag is None else str(tag)
            self._place(account, asset, destination, order.amount_minor, None, str(old["channel"]), at_ms)

    def pay_out(self, account: Account, at_ms: int, plan: Plan) -> None:
        """A business pays its people: one batch, known to the exchange when it is asked for."""
        rng, asset = self._rng, account.main_asset
        self._payouts += 1
        payout_id = f"payout-{self._agenda.run}.{self._payouts:x}"
        for number, destination in enumerate(self._population.payees(account, rng.randint(*PAYEES))):
            worth_jpy = PAYEE_JPY * plan.amount_factor * rng.lognormvariate(0.0, PAYEE_SIGMA)
            amount_minor = self._population.steps_minor(asset, worth_jpy, self._market.prices[asset.asset])
            take_minor = amount_minor + self._fees_minor[asset.asset]
            if not self._treasury.promise(asset.asset, take_minor):
                return
            before_minor = self._cover(account, asset, amount_minor, at_ms)
            withdrawal = self._withdrawal(account, asset, destination, amount_minor, before_minor, "api", at_ms)
            order = Order(account, asset, withdrawal, amount_minor, take_minor)
            order.payout_id, order.payout_ms = payout_id, at_ms + PAYOUT_AFTER_MS
            self._payments.begin(order, at_ms + SETTLED_MS + 50 * number)

    def credit(self, account: Account, asset: SimulatedAsset, amount_minor: int, at_ms: int, reason: str, batch_id: str | None = None) -> None:
        """An amount comes onto an account's books; the exchange receives it on chain."""
        balances = account.balances_minor
        if asset.asset not in balances:
            balances[asset.asset] = 0
            self._tell_holding(account, asset, at_ms)
        balances[asset.asset] += amount_minor
        self._treasury.deposit(asset.asset, amount_minor)
        self.post(account.account_id, asset.asset, print_amount(amount_minor, asset.decimals), at_ms, reason, batch_id)

    def post(self, account_id: str, asset: str, amount: str, at_ms: int, reason: str, batch_id: str | None) -> None:
        """The record of a credit."""
        event: Value = {"posting_id": f"posting-{self._agenda.run}.{self._agenda.number():x}", "account_id": account_id, "kind": "credit"}
        event |= {"asset": asset, "amount": amount, "reason": reason}
        if batch_id is not None:
            event |= {"batch_id": batch_id, "actor": "campaigns"}
        self._agenda.tell("postings", account_id, at_ms, event)

    def _tell_holding(self, account: Account, asset: SimulatedAsset, at_ms: int) -> None:
        quantity = print_amount(account.balances_minor[asset.asset], asset.decimals)
        self._agenda.tell("holdings", account.account_id, at_ms, {"account_id": account.account_id, "asset": asset.asset, "quantity": quantity})

    def _cover(self, account: Account, asset: SimulatedAsset, amount_minor: int, at_ms: int) -> int:
        """Take the amount from the available balance, after a deposit if that is short; what was available before, in minor units."""
        balances, needed_minor = account.balances_minor, amount_minor + self._fees_minor[asset.asset]
        if asset.asset not in balances:
            balances[asset.asset] = needed_minor + int(amount_minor * FIRST_HOLDING_MEAN * self._rng.expovariate(1.0))
            self._tell_holding(account, asset, at_ms)
        if balances[asset.asset] < needed_minor:
            beyond = 0.0 if account.passes_through else DEPOSIT_MEAN * self._rng.expovariate(1.0)
            beyond_minor = min(int(amount_minor * beyond), self._treasury.at_most(asset.asset))
            self.credit(account, asset, needed_minor - balances[asset.asset] + beyond_minor, at_ms, "deposit")
        before_minor = balances[asset.asset]
        balances[asset.asset] -= needed_minor
        return before_minor

    def _withdrawal(
        self, account: Account, asset: SimulatedAsset, destination: Destination, amount_minor: int, before_minor: int, channel: str, at_ms: int
    ) -> Value:
        """All that the exchange knows when a customer asks."""
        withdrawal = self._payments.draft(account.account_id, asset, self._treasury.hot(asset.asset), destination[0], amount_minor)
        ip, country = self._population.where(account, channel, at_ms)
        withdrawal |= {"channel": channel, "ip": ip, "country": country, "balance_before": print_amount(before_minor, asset.decimals)}
        if destination[1] is not None:
            withdrawal["tag"] = destination[1]
        if channel == "api" and account.api_key_id is not None:
            withdrawal |= {"api_key_id": account.api_key_id, "second_factor": "none"}
        else:
            withdrawal |= {"device_id": account.device_id, "second_factor": account.second_factor}
        if account.second_factor_changed_at_ms is not None:
            withdrawal["second_factor_changed_at_ms"] = account.second_factor_changed_at_ms
        return withdrawal
