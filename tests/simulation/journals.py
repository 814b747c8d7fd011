"""Journals made from the simulated exchange, for tests of the fold: own code instead of the intake's, so that it is a second witness."""

import json
import random
from collections.abc import Iterable, Iterator
from typing import Any

from monitor import entries
from monitor.contracts.topics import INPUT_BY_NAME
from monitor.policy import Asset, Layer, Limits, Policy, Thresholds
from monitor.version import ENGINE_VERSION
from streams.simulation.exchange import Exchange, ExchangeParameters, Record

START_MS = 1_700_000_000_000
ASSETS = {"JPY": 0, "BTC": 8, "ETH": 18, "XRP": 6, "SOL": 9, "USDC": 6, "LTC": 8, "BCH": 8, "XEM": 6, "MONA": 8, "stETH": 18, "mETH": 18, "cmETH": 18}
PARTITIONS = dict.fromkeys(INPUT_BY_NAME, 1) | {"retries": 1}


def policy(**changes: object) -> Policy:
    """A small policy with layers in kind and in yen."""
    facts: dict[str, object] = {
        "assets": {asset: Asset(decimals) for asset, decimals in ASSETS.items()},
        "layers": (Layer("guarantee-btc", "BTC", kind="guarantee"), Layer("liability-reserve", "JPY")),
        "thresholds": Thresholds(),
        "limits": Limits(),
    }
    return Policy(**(facts | changes))  # type: ignore[arg-type]


def term(clock_ms: int = START_MS, name: str = "term-1", **changes: object) -> bytes:
    """A term entry."""
    return entries.term(name, ENGINE_VERSION, policy(**changes), PARTITIONS, clock_ms)


class Writer:
    """Numbers events per topic, as an intake that reads one partition of each does."""

    def __init__(self) -> None:
        self.next: dict[str, int] = {}

    def event(self, topic: str, value: dict[str, object], clock_ms: int, **facts: object) -> bytes:
        """The entry of the topic's next record."""
        offset = self.next.get(topic, 0)
        self.next[topic] = offset + 1
        head = {"kind": INPUT_BY_NAME[topic].entry_kind, "source": f"{topic}/0", "start": offset, "offset": offset, "clock_ms": clock_ms, **facts}
        return json.dumps({**head, "event": value}, separators=(",", ":")).encode()

    def opened(self, clock_ms: int) -> Iterator[bytes]:
        """Every source is opened at its beginning."""
        for topic in PARTITIONS:
            yield entries.source_opened(f"{topic}/0", 0, 0, 0, "first", "test", None, clock_ms)

    def progress(self, clock_ms: int) -> Iterator[bytes]:
        """Every source's reader stands at its end."""
        for topic in PARTITIONS:
            position = self.next.get(topic, 0)
            yield entries.progress(f"{topic}/0", position, position, clock_ms)


def journal(records: Iterable[Record], **changes: Any) -> list[bytes]:
    """A whole journal: a term, sources opened, events with their records' times as clocks, progress and a Tick a second."""
    writer = Writer()
    lines = [term(**changes), *writer.opened(START_MS)]
    second = START_MS // 1000
    for record in records:
        while record.timestamp_ms // 1000 > second:
            second += 1
            lines.extend(writer.progress(second * 1000))
            lines.append(entries.tick("term-1", second * 1000))
        lines.append(writer.event(record.topic, dict(record.value), record.timestamp_ms))
    for later in range(1, 6):
        lines.extend(writer.progress((second + later) * 1000))
        lines.append(entries.tick("term-1", (second + later) * 1000))
    return lines


def honest(seconds: float, rate: float, seed: int, accounts: int = 200) -> Iterator[Record]:
    """Records of the simulated exchange; life cycles that take longer than `seconds` stay open."""
    return Exchange(ExchangeParameters(start_ms=START_MS, seconds=seconds, requests_per_second=rate, accounts=accounts, seed=seed)).records()


def altered(records: Iterable[Record], seed: int, share: float = 0.02) -> Iterator[Record]:
    """The same with things that are wrong: redirected, enlarged, paid twice, unasked outflows, repeats and conflicts."""
    rng = random.Random(seed)
    for record in records:
        value = dict(record.value)
        changed = rng.random() < share
        if changed and record.topic == "withdrawals" and value["status"] in ("broadcast", "confirmed"):
            kind = rng.choice(("address", "amount", "tx_id", "event"))
            if kind == "event":
                value["event_id"] = "one-event-id"
            else:
                value[kind] = {"address": "thief", "amount": f"1{value['amount']}", "tx_id": f"tx-{rng.random()}"}[kind]
        elif changed and record.topic == "outflows":
            value["withdrawal_id"] = None
            value["tx_id"] = f"unasked-{rng.random()}"
        yield record._replace(value=value)
        if changed and rng.random() < 0.5:
            yield record._replace(value=value)


def troubled(records: Iterable[Record], seed: int, share: float = 0.02) -> Iterator[Record]:
    """The same with trouble that the exact rules look for, from every topic that they read."""
    rng = random.Random(seed)
    number = 0
    for record in records:
        yield record
        if rng.random() >= (0.3 if record.topic == "balances" else share):  # balances are few
            continue
        number += 1
        for topic, key, facts in _trouble(record, rng):
            value: dict[str, object] = {"event_id": f"trouble-{number}-{topic}", "occurred_at_ms": record.timestamp_ms, **facts}
            yield Record(topic, key, value, record.timestamp_ms)


def _trouble(record: Record, rng: random.Random) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Further events because of one: topic, key, and what the event says beyond its id and time."""
    value, key = {name: fact for name, fact in record.value.items() if name not in ("event_id", "occurred_at_ms")}, record.key
    wallet_id = str(value.get("wallet_id", "wallet-btc-hot"))
    if record.topic == "withdrawals":
        replayed: dict[str, object] = {"withdrawal_id": f"again-{value['withdrawal_id']}"}
        requested: dict[str, object] = replayed if rng.random() < 0.5 else {"status": "signed"}
        again: dict[str, dict[str, object]] = {"requested": requested, "broadcast": {"status": "signed", "tx_id": None}}
        if rng.random() < 0.5:
            yield "withdrawals", key, value | again.get(str(value["status"]), {"status": rng.choice(("approved", "failed", "signed"))})
        else:
            yield "holdings", key, {"account_id": key, "asset": value["asset"], "quantity": rng.choice(("0", value["amount"], "100000"))}
    elif record.topic == "account-events":
        yield "account-events", key, value | {"action": rng.choice(("password_changed", "device_added", "api_key_created"))}
    elif record.topic == "postings":
        yield "postings", key, value | {"amount": f"1{value['amount']}"}
    elif record.topic == "balances":
        yield "balances", key, value | {"amount": str(int(float(str(value["amount"])) / 3))}
    else:
        action = rng.choice(("authority_changed", "signer_changed", "send_error", "send_error", "node_trouble", "frozen", "unfrozen"))
        yield "wallet-events", wallet_id, {"wallet_id": wallet_id, "action": action}
