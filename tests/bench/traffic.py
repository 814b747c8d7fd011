"""Input records for the benchmark: whole life cycles of withdrawals and a little of every other topic, from a seed.

Values are bytes put together from templates, so that making a record costs about as much as sending it. Never judges anything;
used by every figure of the benchmark, ours and the peers'.
"""

import zlib
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

STEPS = (b"requested", b"approved", b"signed", b"broadcast", b"confirmed")
STEP_LAGS = (0, 2, 8, 30, 200)
"""Slots between the request and each step: at any time 200 withdrawals are on their way."""
CYCLE_RECORDS = len(STEPS)
ODD_SHARE = 0.0016
"""Withdrawals made odd on purpose, in turn: two that are large and go to a fresh address, one that takes more than is held, one that is
broadcast to another address than was requested. Honest ones reach WATCH by chance as well: the report says what came out."""
ODD_FACTOR = 60.0
POPULAR_SHARE = 0.05
"""Withdrawals to one of POPULAR_ADDRESSES: deposit addresses of other exchanges, which everybody pays to. They are known since SEASONING_MS."""
POPULAR_ADDRESSES = 48
SEASONING_MS = 5 * 86_400_000
UNITS = 1_000_000
"""Amounts have six decimals; every asset of the benchmark has at least as many."""


class Market(NamedTuple):
    """One asset of the benchmark: its network and hot wallet, its decimals, and its price in JPY."""

    asset: str
    network: str
    wallet_id: str
    decimals: int
    price: int


MARKETS = (
    Market("BTC", "bitcoin", "hot-btc-1", 8, 15_000_000),
    Market("ETH", "ethereum", "hot-eth-1", 18, 500_000),
    Market("XRP", "xrpl", "hot-xrp-1", 6, 350),
    Market("USDT", "tron", "hot-usdt-1", 6, 150),
)
PROVIDER_ID = "custodian-1"
LAYERS = (("guarantee-btc", "BTC", "400"), ("cash", "JPY", "6000000000"))


class Record(NamedTuple):
    """One record for Kafka. `requested` is the withdrawal's id if the record asks for one, else none."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    requested: bytes | None


def _market(account: int) -> Market:
    """Every account withdraws one asset; each partition has accounts of every asset."""
    return MARKETS[account // 4 % len(MARKETS)]


class Underway(NamedTuple):
    """A withdrawal whose steps are still to come. `paid` is what its broadcast and confirmation say, equal to `asked` if it is honest."""

    account: int
    name: bytes
    asked: bytes
    paid: bytes


class Traffic:
    """An endless exchange with `accounts` accounts and `addresses` addresses; the caller says what time it is.

    Account a pays to address a and, in turn with it, to address accounts + a if that is one of the addresses; five in a hundred
    payments go to a popular address. Records of an account are in partition a % partitions.
    """

    def __init__(self, accounts: int, addresses: int, partitions: int, seed: int = 1, name: str = "w") -> None:
        self.accounts = accounts
        self.addresses = addresses
        self.partitions = partitions
        self.withdrawals = 0
        self.odd = 0
        self._name = name
        generator = np.random.default_rng(seed)
        self._mean_jpy: list[float] = np.exp(generator.normal(11.5, 1.0, accounts)).tolist()
        self._generator = generator
        self._on_their_way: deque[Underway] = deque(maxlen=STEP_LAGS[-1] + 1)
        self._draws: Iterator[tuple[int, float, float, float]] = iter(())
        self._other = 0

    def setup(self, time_ms: int) -> list[Record]:
        """What must be there before: provider, prices, reserve layers, balances, some holdings; first payments to popular addresses."""
        wallets = ",".join(f'"{market.wallet_id}"' for market in MARKETS)
        provider = f'"provider_id":"{PROVIDER_ID}","name":"Custodian One","role":"custodian","standing":"registered","wallet_ids":[{wallets}]'
        records = [self._event("providers", PROVIDER_ID, time_ms, provider)]
        for layer_id, unit, amount in LAYERS:
            body = f'"layer_id":"{layer_id}","action":"fund","unit":"{unit}","amount":"{amount}","reason":"opening"'
            records.append(self._event("reserves", layer_id, time_ms, body))
        for market in MARKETS:
            records.extend((self._price(market, time_ms), self._balance(market, time_ms)))
        records.extend(self._holding(account, time_ms) for account in range(0, self.accounts, max(1, self.accounts // 500)))
        for address in range(POPULAR_ADDRESSES):
            self._draws = iter([(address * len(MARKETS), 0.0, 1.0, (address + 0.5) * POPULAR_SHARE / POPULAR_ADDRESSES)])
            records.extend(self.slot(time_ms - SEASONING_MS))
        return records

    def slot(self, time_ms: int, account: int | None = None) -> list[Record]:
        """One new request, of `account` if it is given, and the steps that are due of those before it; now and then another topic's event."""
        draw, deviate, odd, popular = next(self._draws, None) or self._draw()
        chosen = draw if account is None else account
        number = self.withdrawals
        self.withdrawals = number + 1
        asked = self._body(number, chosen, deviate, odd < ODD_SHARE, popular, time_ms)
        paid = asked.replace(b'"address":"', b'"address":"not-', 1) if odd < ODD_SHARE and self.odd % 4 == 3 else asked
        name = b"%b-%09d" % (self._name.encode(), number)
        way = self._on_their_way
        way.append(Underway(chosen, name, asked, paid))
        records = [self._step(0, way[-1], time_ms)]
        for step in range(1, CYCLE_RECORDS):
            lag = STEP_LAGS[step]
            if lag < len(way):
                records.append(self._step(step, way[-1 - lag], time_ms))
        if number % 50 == 0:
            records.append(self._occasional(number // 50, chosen, time_ms))
        return records

    def robbed(self, time_ms: int) -> list[Record]:
        """A payout of a wallet whose keys are stolen: the next customer asks for it, and it is paid to another address than asked."""
        number, account = self.withdrawals, self.withdrawals % self.accounts
        self.withdrawals += 1
        asked = self._body(number, account, 0.0, False, 1.0, time_ms)
        paid = asked.replace(b'"address":"', b'"address":"thief-%09d-' % number, 1)
        underway = Underway(account, b"%b-%09d" % (self._name.encode(), number), asked, paid)
        return [self._step(step, underway, time_ms) for step in (0, 3)]

    def drain(self, time_ms: int) -> list[Record]:
        """The steps still missing of all that is on its way; afterwards nothing is."""
        way = list(self._on_their_way)
        self._on_their_way.clear()
        records: list[Record] = []
        for age, underway in enumerate(reversed(way)):
            records.extend(self._step(step, underway, time_ms) for step in range(1, CYCLE_RECORDS) if STEP_LAGS[step] > age)
        return records

    def last(self, time_ms: int) -> list[Record]:
        """One request per partition. Its verdict shows that all before it in that partition was taken."""
        records = []
        for partition in range(self.partitions):
            name = b"%b-%09d" % (self._name.encode(), self.withdrawals)
            body = self._body(self.withdrawals, partition, 0.0, False, 1.0, time_ms)
            self.withdrawals += 1
            records.append(self._step(0, Underway(partition, name, body, body), time_ms))
        return records

    def _draw(self) -> tuple[int, float, float, float]:
        many = 8_192
        accounts = self._generator.integers(0, self.accounts, many).tolist()
        deviates = self._generator.normal(0.0, 0.5, many).tolist()
        odd, popular = self._generator.random((2, many)).tolist()
        self._draws = iter(zip(accounts, deviates, odd, popular, strict=True))
        return next(self._draws)

    def _body(self, number: int, account: int, deviate: float, odd: bool, popular: float, time_ms: int) -> bytes:
        market = _market(account)
        value = self._mean_jpy[account] * (1.0 + deviate * deviate + deviate)
        address = b"%b-%034d" % (market.network.encode(), self._address(account, number, popular))
        device, country, ip = account, b"JP", b"203.0.%d.%d" % (account % 251, account // 251 % 251)
        if odd:
            self.odd += 1
            device, country, ip = account + 7_000_000, b"ZZ", b"198.51.100.%d" % (self.odd % 250)
            if self.odd % 4 < 2:
                value *= ODD_FACTOR
                address = b"%b-fresh-%028d" % (market.network.encode(), self.odd // 4)
        amount = max(1, int(value * UNITS / market.price))
        held = amount * 3 + 5 * UNITS if not odd or self.odd % 4 != 2 else amount // 2
        return (
            b'"withdrawal_id":"%b-%09d","account_id":"acct-%08d","asset":"%b","network":"%b","amount":"%d.%06d","fee":"0.0005",'
            b'"address":"%b","wallet_id":"%b","provider_id":"custodian-1","channel":"app","ip":"%b","country":"%b","device_id":"device-%08d",'
            b'"second_factor":"totp","second_factor_changed_at_ms":%d,"balance_before":"%d.%06d","owner":"customer"'
            % (
                self._name.encode(), number, account, market.asset.encode(), market.network.encode(), amount // UNITS, amount % UNITS,
                address, market.wallet_id.encode(), ip, country, device, time_ms - 40_000_000 - account, held // UNITS, held % UNITS,
            )
        )  # fmt: skip

    def _address(self, account: int, number: int, popular: float) -> int:
        if popular < POPULAR_SHARE:
            drawn = int(popular / POPULAR_SHARE * POPULAR_ADDRESSES)
            return drawn - drawn % len(MARKETS) + MARKETS.index(_market(account))  # one that is on the account's network
        second = self.accounts + account
        return second if second < self.addresses and number & 1 else account

    def _step(self, step: int, underway: Underway, time_ms: int) -> Record:
        account, name, asked, paid = underway
        tx, body = (b'"tx_id":"tx-%b",' % name, paid) if step >= 3 else (b"", asked)
        value = b'{"event_id":"%b-%d","occurred_at_ms":%d,"status":"%b",%b%b}' % (name, step, time_ms, STEPS[step], tx, body)
        return Record("withdrawals", account % self.partitions, b"acct-%08d" % account, value, None if step else name)

    def _occasional(self, turn: int, account: int, time_ms: int) -> Record:
        kind = turn % 8
        market = MARKETS[turn // 8 % len(MARKETS)]
        owner = f"acct-{account:08}"
        if kind == 0:
            record = self._price(market, time_ms)
        elif kind == 1:
            record = self._balance(market, time_ms)
        elif kind == 2:
            record = self._holding(account, time_ms)
        elif kind in {3, 4}:
            record = self._outflow(time_ms)
        elif kind == 5:
            body = f'"wallet_id":"{market.wallet_id}","action":"send_error","provider_id":"{PROVIDER_ID}","detail":"fee too low, sent again"'
            record = self._event("wallet-events", market.wallet_id, time_ms, body)
        elif kind == 6:
            body = f'"posting_id":"p-{turn}","account_id":"{owner}","kind":"credit","asset":"{market.asset}","amount":"1.5","reason":"deposit"'
            record = self._event("postings", owner, time_ms, body)
        else:
            body = f'"account_id":"{owner}","action":"login","device_id":"device-{account:08}","ip":"203.0.113.7","country":"JP"'
            record = self._event("account-events", owner, time_ms, body)
        return record

    def _outflow(self, time_ms: int) -> Record:
        """What the chain shows of the withdrawal that was broadcast last; its fields are cut out of the withdrawal's."""
        way = self._on_their_way
        account, name, _, body = way[-1 - STEP_LAGS[3]] if len(way) > STEP_LAGS[3] else way[0]
        market = _market(account)
        amount, address = (body.split(b'"%b":"' % field, 1)[1].split(b'"', 1)[0].decode() for field in (b"amount", b"address"))
        facts = f'"tx_id":"tx-{name.decode()}","wallet_id":"{market.wallet_id}","asset":"{market.asset}","network":"{market.network}"'
        served = f'"amount":"{amount}","address":"{address}","withdrawal_id":"{name.decode()}","provider_id":"{PROVIDER_ID}"'
        return self._event("outflows", market.wallet_id, time_ms, f"{facts},{served}")

    def _price(self, market: Market, time_ms: int) -> Record:
        return self._event("prices", market.asset, time_ms, f'"asset":"{market.asset}","price":"{market.price}","price_source":"bench"')

    def _balance(self, market: Market, time_ms: int) -> Record:
        body = f'"wallet_id":"{market.wallet_id}","asset":"{market.asset}","amount":"900000000","temperature":"hot","provider_id":"{PROVIDER_ID}"'
        return self._event("balances", market.wallet_id, time_ms, body)

    def _holding(self, account: int, time_ms: int) -> Record:
        asset = _market(account).asset
        body = f'"account_id":"acct-{account:08}","asset":"{asset}","quantity":"900000000"'
        return self._event("holdings", f"acct-{account:08}", time_ms, body)

    def _event(self, topic: str, key: str, time_ms: int, body: str) -> Record:
        self._other += 1
        value = f'{{"event_id":"{self._name}-{topic}-{self._other}","occurred_at_ms":{time_ms},{body}}}'
        return Record(topic, zlib.crc32(key.encode()) % self.partitions, key.encode(), value.encode(), None)
