"""A fold that is told short lines, and its records in a few words. For the stories and for the tests of terms, prices and sources."""

import json
from hashlib import sha256
from typing import Any

from monitor import entries
from monitor.engine import Engine
from monitor.policy import Layer
from tests.simulation.journals import START_MS, Writer, term


class Story:
    """A fold that is fed one line at a time."""

    def __init__(self, **changes: Any) -> None:
        self.writer = Writer()
        self.now_ms = START_MS
        self.offset = 0
        self.numbers = 0
        first = term(**{"layers": (Layer("kind", "BTC", kind="guarantee"), Layer("reserve", "JPY"))} | changes)
        self.engine = Engine(sha256(first).hexdigest())
        self.feed(first)
        for entry in self.writer.opened(START_MS):
            self.feed(entry)

    def feed(self, entry: bytes) -> list[dict[str, object]]:
        """Records that an entry causes, each with its topic."""
        records = self.engine.fold(self.offset, [entry])
        self.offset += 1
        return [{"topic": record.topic, **json.loads(record.value)} for record in records]

    def tell(self, line: str) -> list[dict[str, object]]:
        """`topic field=value ...`, with the usual fields filled in; `progress` and `tick` are themselves."""
        topic, *words = line.split()
        self.now_ms += 1_000
        if topic == "tick":
            return self.feed(entries.tick("term-1", self.now_ms))
        if topic == "progress":
            return [record for entry in self.writer.progress(self.now_ms) for record in self.feed(entry)]
        self.numbers += 1
        facts: dict[str, object] = {"event_id": f"e{self.numbers}", "occurred_at_ms": self.now_ms}
        facts |= USUAL.get(topic, {})
        for name, text in (word.split("=", 1) for word in words):
            facts[name] = {"occurred_at_ms": int, "since_ms": int, "seen_version": int, "internal": bool, "output_index": int}.get(name, str)(text)
        return self.feed(self.writer.event(topic, facts, self.now_ms))


USUAL: dict[str, dict[str, object]] = {
    "withdrawals": {
        "withdrawal_id": "w",
        "account_id": "a",
        "asset": "BTC",
        "network": "bitcoin",
        "amount": "1",
        "address": "home",
        "wallet_id": "hot",
    },
    "outflows": {"wallet_id": "hot", "asset": "BTC", "network": "bitcoin", "amount": "1", "address": "home"},
    "balances": {"wallet_id": "hot", "asset": "BTC", "temperature": "hot"},
    "prices": {"asset": "BTC", "price_source": "test"},
    "postings": {"posting_id": "p", "account_id": "a", "kind": "credit", "asset": "BTC"},
    "reserves": {"action": "fund"},
    "wallet-events": {"wallet_id": "hot"},
    "account-events": {"account_id": "a"},
    "providers": {"name": "Provider", "role": "custodian", "standing": "registered"},
    "holdings": {"account_id": "a", "asset": "BTC"},
}


def short(record: dict[str, object]) -> str:
    """A record in a few words; coverage, heartbeats and dates left out."""
    if record["topic"] == "verdicts" and "verdict" in record:
        reasons = ",".join(reason["rule"] for reason in record["reasons"])  # type: ignore[attr-defined]
        return f"verdict {record['verdict']}{' late' if record['too_late'] else ''}{f' {reasons}' if reasons else ''}"
    if record["topic"] == "marks":
        return f"mark {record['state']} {record['amount']} {record['asset']}"
    if record["topic"] == "alerts":
        return f"{record['kind']}"
    if record["topic"] == "audit":
        return f"audit {record['what']}"
    return ""
