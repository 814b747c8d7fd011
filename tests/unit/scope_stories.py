"""A seeded exchange for the scope monitors' tests: honest traffic with what looks like an attack and isn't, and attacks on top of it.

Assumed, not measured: three withdrawals a minute with a day's cycle; 15 % to addresses that are the account's own and new, 10 % to new deposit
addresses of exchanges and processors that hundreds pay into; a tenth on a network new to the account, carriers' networks shared by thousands. Of the
accounts' own detector only its p-value is simulated: uniform, but odder for new destinations; a takeover's has a mean of 5.5 nats (1 in 250).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, Detector, Floats, Run, observations
from detectors.scope_inputs import ScopeInputs

NAMES = ("amount", "new_pair", "young_address", "new_device", "new_network", "new_api_key", "account_p_value")
INPUTS = ScopeInputs(NAMES)
ROWS = {"account": 12_000, "address": 150_000, "asset": 6, "wallet": 6, "provider": 2}
START_MS = 1_700_000_000_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
ACCOUNTS, NETWORKS = 10_000, 300
TREASURY = ACCOUNTS + 1
COLD = 149_990
SIGNED_EVERY_MS = 600_000
MEAN_GAP_MS = 20_000.0


class Event(NamedTuple):
    """One withdrawal as the story has it; `odd` are the nats of its account's p-value."""

    time_ms: int
    account: int
    address: int
    log_level: float
    odd: float
    asset: int = 0
    device: int = 0
    network: int = 0
    api_key: int = 0
    batch: int = -1
    attack: bool = False


class Story(NamedTuple):
    """Observations with their inputs; which belong to the attack."""

    run: Run
    inputs: Floats
    attack: np.ndarray[tuple[int], np.dtype[np.bool_]]


class Exchange:
    """Remembers what the observer would: pairs, ages of addresses, uses of devices, networks and keys."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.pairs: dict[tuple[str, int, int], int] = {}
        self.first_ms: dict[int, int] = {}
        self.addresses = ACCOUNTS * 2
        self.deposits: list[int] = []
        self.now_ms = START_MS
        for account in range(ACCOUNTS):  # the address books of a stream that is older than the story
            for address in (2 * account, 2 * account + 1):
                self.first_ms[address] = START_MS - 60 * DAY_MS
                self.pairs["pair", account, address] = 3

    def copy(self, seed: int) -> "Exchange":
        """The same exchange, going on by itself."""
        other = Exchange(seed)
        other.pairs, other.first_ms, other.addresses = dict(self.pairs), dict(self.first_ms), self.addresses
        other.deposits, other.now_ms = list(self.deposits), self.now_ms
        return other

    def new_address(self) -> int:
        self.addresses += 1
        return self.addresses

    def honest(self, lasts_ms: int, *, pace: float = 1.0, fresh: float = 0.15, larger: float = 0.0, odder: float = 1.0) -> list[Event]:
        """Ordinary traffic for so long; `pace` times as fast, `larger` in log levels, p-values to that power."""
        random = self.random
        events: list[Event] = []
        end_ms = self.now_ms + lasts_ms
        while True:
            hour = self.now_ms / HOUR_MS % 24.0
            self.now_ms += int(random.exponential(MEAN_GAP_MS / (pace * (1.0 + 0.6 * math.sin(hour * math.pi / 12.0))))) + 1
            if self.now_ms >= end_ms:
                self.now_ms = end_ms
                return events
            if random.random() < 0.0006:
                events.append(Event(self.now_ms, TREASURY, COLD + int(random.integers(4)), random.normal(6.5, 0.3), 0.1, int(random.integers(6))))
                continue
            account = int(random.integers(ACCOUNTS))
            kind = random.random()
            if random.random() < 0.0015 or not self.deposits:
                self.deposits = [self.new_address(), *self.deposits[:39]]
            if kind < fresh:
                address = self.new_address()
            elif kind < fresh + 0.1:
                address = self.deposits[min(int(random.exponential(8.0)), len(self.deposits) - 1)]
            else:
                address = 2 * account + int(random.integers(2))
            known = kind >= fresh + 0.1
            odd = float(random.exponential(0.9 if known else 1.5)) * odder
            device = 1 + account if random.random() < 0.98 else int(random.integers(10**6, 10**9))
            if random.random() < 0.003:
                device = 1 + int(random.integers(ACCOUNTS))
            home = account % 40 if account % 2 else account % NETWORKS
            network = 1 + (home if random.random() < 0.9 else int(random.integers(NETWORKS)))
            key = 1 + account if account % 20 == 0 else 0
            level = random.normal(0.0, 1.4) + larger + (random.exponential(1.0) if random.random() < 0.05 else 0.0)
            events.append(Event(self.now_ms, account, address, level, odd, account % 6, device, network, key))

    def story(self, events: list[Event]) -> Story:
        """Observations in the order of time with their inputs, filled up to a whole number of blocks."""
        events = sorted(events, key=lambda event: event.time_ms)
        while len(events) % BLOCK_OBSERVATIONS:
            events.append(Event(events[-1].time_ms + 1_000, TREASURY, COLD, 0.0, 0.1))
        rows = [self._row(event) for event in events]
        each = list(zip(*events, strict=True))
        batch = [
            (time_ms // SIGNED_EVERY_MS * 8 + asset if asset < 3 else 0) if batch < 0 else batch
            for time_ms, asset, batch in zip(each[0], each[5], each[9], strict=True)
        ]
        level = np.array(each[3])
        run = observations(
            len(events), time_ms=each[0], amount=1.0, amount_base=np.exp(level), account=each[1], address=each[2], asset=each[5], wallet=each[5],
            provider=np.array(each[5]) % 2, device=each[6], network=each[7], api_key=each[8], batch=batch,
            wallet_share=np.minimum(np.exp(level) / 5_000.0, 1.0),
        )  # fmt: skip
        return Story(run, np.array(rows), np.array(each[10]))

    def _row(self, event: Event) -> tuple[float, ...]:
        first = self.first_ms.setdefault(event.address, event.time_ms)
        squashed = 0.5 + 0.5 * event.log_level / (4.0 + abs(event.log_level))
        news = [self._use("pair", event.account, event.address)]
        young = min(math.exp(-max(event.time_ms - first, 0) / (7.0 * DAY_MS)), 0.99999)
        for kind, used in (("device", event.device), ("network", event.network), ("api_key", event.api_key)):
            news.append(self._use(kind, event.account, used) if used else 0.0)
        return squashed, news[0], young, *news[1:], max(math.exp(-event.odd), 1e-9)

    def _use(self, kind: str, account: int, used: int) -> float:
        before = self.pairs.get((kind, account, used), 0)
        self.pairs[kind, account, used] = before + 1
        return min(1.0 / (1.0 + before), 0.99999)


class Heard(NamedTuple):
    """What a detector said of a story."""

    p_values: Floats
    parts: Floats


def tell(detector: Detector, story: Story) -> Heard:
    """Fold and teach a story block by block; what is below 1 in 100,000 is held and doesn't teach."""
    p_values, parts = [], []
    for start in range(0, len(story.run), BLOCK_OBSERVATIONS):
        piece = slice(start, start + BLOCK_OBSERVATIONS)
        scores = detector.fold(story.run[piece], story.inputs[piece])
        detector.learn(story.run[piece], story.inputs[piece], scores.p_value > 1e-5)
        p_values.append(scores.p_value)
        parts.append(scores.parts)
    return Heard(np.concatenate(p_values), np.concatenate(parts))


def heir(make: Callable[[], Detector], seasoned: Detector) -> Detector:
    """A detector that goes on from another's state."""
    detector = make()
    detector.restore(seasoned.arrays())
    detector.reserve(ROWS)
    return detector


def episodes(story: Story, heard: Heard, alarm: float, apart_ms: int = 6 * HOUR_MS) -> int:
    """Alarms before the attack, or without one, counted once in six hours."""
    count, last_ms = 0, -apart_ms
    times = story.run["time_ms"]
    before = times < times[story.attack].min() if story.attack.any() else np.ones(len(times), np.bool_)
    for time_ms in times[(heard.p_values <= alarm) & before].tolist():
        if time_ms - last_ms >= apart_ms:
            count += 1
            last_ms = time_ms
    return count


def found_after_min(story: Story, heard: Heard, alarm: float) -> float | None:
    """Minutes from the attack's first withdrawal to the first alarm on one of its own; None if there is none."""
    hits = story.run["time_ms"][story.attack & (heard.p_values <= alarm)]
    return float(hits[0] - story.run["time_ms"][story.attack][0]) / MINUTE_MS if len(hits) else None


def spread(random: np.random.Generator, start_ms: int, lasts_ms: int, n: int) -> list[int]:
    """N times, spread at random."""
    return sorted((start_ms + random.integers(0, lasts_ms, n)).tolist())


def takeover(
    exchange: Exchange, *, accounts: int, addresses: int, lasts_ms: int, odd: float = 5.5, shared: str = "", batch: int = -1, log_level: float = 1.0,
) -> list[Event]:  # fmt: skip
    """So many accounts pay to so many new addresses; `shared` is what they have in common."""
    random = exchange.random
    to = [exchange.new_address() for _ in range(addresses)]
    victims = random.choice(ACCOUNTS, accounts, replace=False).tolist()
    times = spread(random, exchange.now_ms, lasts_ms, accounts)
    common = {"device": 77_777_777, "network": 88_888_888, "api_key": 99_999_999}
    events = []
    for k, (victim, time_ms) in enumerate(zip(victims, times, strict=True)):
        own = {"device": 10**10 + victim, "network": 1 + int(random.integers(NETWORKS)), "api_key": 0}
        origin = {kind: common[kind] if kind == shared else value for kind, value in own.items()}
        level = random.normal(log_level, 1.0)
        events.append(
            Event(time_ms, victim, to[k % addresses], level, float(random.gamma(2.0, odd / 2.0)), victim % 6, batch=batch, attack=True, **origin)
        )
    return events


def drain(exchange: Exchange, *, payouts: int, lasts_ms: int, log_level: float, wallet: int, addresses: int = 5, test: bool = False) -> list[Event]:
    """Payouts of one wallet (and asset) by accounts that look ordinary, to new addresses, each after a small test if `test`."""
    random = exchange.random
    to = [exchange.new_address() for _ in range(addresses)]
    times = spread(random, exchange.now_ms + (10 * MINUTE_MS if test else 0), lasts_ms, payouts)
    events = [Event(exchange.now_ms + k, 6 * k + wallet, address, -4.0, 1.0, wallet, attack=True) for k, address in enumerate(to)] if test else []
    for k, time_ms in enumerate(times):
        account = 6 * int(random.integers(ACCOUNTS // 6)) + wallet
        events.append(Event(time_ms, account, to[k % addresses], random.normal(log_level, 0.3), 1.0, wallet, 1 + account, attack=True))
    return events


def signed_elsewhere(exchange: Exchange, *, provider: int, lasts_ms: int) -> list[Event]:
    """Ordinary traffic in which all that one provider signs goes to fresh addresses."""
    return [
        event._replace(address=exchange.new_address(), attack=True) if event.asset % 2 == provider else event for event in exchange.honest(lasts_ms)
    ]
