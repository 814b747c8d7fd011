"""One minimal and one full example event per input topic, for the schemas, the documentation and the tests.

The minimal one has the required fields only; the full one has every field. Called by `monitor.contracts.schema`.
"""

import itertools
from typing import Any, NamedTuple

_AT_MS = 1_760_000_000_000
_BITCOIN_ADDRESS = "bc1qxy2kgdygjrsqtzq2n0yrf2493p83kkfjhx0wlh"
_TX_ID = "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"

_REPLACED_TX_ID = "f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16"

_numbers = itertools.count(1_001, 2)


class Example(NamedTuple):
    """Two values of records of one topic; `full` repeats `minimal` and adds the optional fields."""

    minimal: dict[str, Any]
    full: dict[str, Any]


def _example(minimal: dict[str, Any], optional: dict[str, Any]) -> Example:
    number = next(_numbers)
    event = {"occurred_at_ms": _AT_MS}
    full = {"event_id": f"evt-{number + 1}"} | event | {"schema_version": 1} | minimal | optional
    return Example({"event_id": f"evt-{number}"} | event | minimal, full)


EXAMPLES: dict[str, Example] = {
    "withdrawals": _example(
        {
            "status": "requested", "withdrawal_id": "wd-1001", "account_id": "acct-1", "asset": "BTC", "network": "bitcoin",
            "amount": "0.25", "address": _BITCOIN_ADDRESS,
        },
        {
            "tag": "104582", "fee": "0.0001", "tx_id": _TX_ID, "wallet_id": "hot-btc-1", "provider_id": "custodian-1", "channel": "web",
            "ip": "203.0.113.7", "country": "JP", "device_id": "device-82", "api_key_id": "key-3", "second_factor": "totp",
            "second_factor_changed_at_ms": _AT_MS - 86_400_000, "balance_before": "1.5", "owner": "customer", "batch_id": "batch-9",
            "replaces_tx_id": _REPLACED_TX_ID, "idempotency_key": "request-77",
        },
    ),
    "outflows": _example(
        {"tx_id": _TX_ID, "wallet_id": "hot-btc-1", "asset": "BTC", "network": "bitcoin", "amount": "0.25", "address": _BITCOIN_ADDRESS},
        {"output_index": 0, "tag": "104582", "withdrawal_id": "wd-1001", "provider_id": "custodian-1", "owner": "customer", "internal": False},
    ),
    "account-events": _example(
        {"account_id": "acct-1", "action": "device_added"},
        {"device_id": "device-82", "ip": "203.0.113.7", "country": "JP", "api_key_id": "key-3", "address": _BITCOIN_ADDRESS},
    ),
    "wallet-events": _example(
        {"wallet_id": "hot-btc-1", "action": "send_error"},
        {"provider_id": "custodian-1", "withdrawal_id": "wd-1001", "actor": "operator-4", "detail": "node refused: mempool full"},
    ),
    "postings": _example(
        {"posting_id": "post-5", "account_id": "acct-1", "kind": "credit", "asset": "JPY", "amount": "620000"},
        {"owner": "customer", "actor": "operator-4", "batch_id": "batch-9", "reason": "campaign reward"},
    ),
    "holdings": _example({"account_id": "acct-1", "asset": "BTC", "quantity": "1.5"}, {}),
    "balances": _example(
        {"wallet_id": "hot-btc-1", "asset": "BTC", "amount": "120.5", "temperature": "hot"}, {"owner": "customer", "provider_id": "custodian-1"}
    ),
    "prices": _example({"asset": "BTC", "price": "17250000.5", "price_source": "index-1"}, {}),
    "reserves": _example(
        {"layer_id": "liability-reserve", "action": "fund", "unit": "JPY", "amount": "5000000000"}, {"reason": "yearly funding"}
    ),
    "providers": _example(
        {"provider_id": "custodian-1", "name": "Custodian One", "role": "custodian", "standing": "registered"},
        {"registration_number": "00012", "since_ms": 1_600_000_000_000, "wallet_ids": ["hot-btc-1"], "signing_wallet_ids": ["hot-btc-1"]},
    ),
    "feedback": _example(
        {"journal_id": "3b" * 32, "subject": "withdrawal", "subject_id": "wd-1001", "command": "release", "actor": "operator-4", "reason": "the customer confirmed by phone", "seen_version": 2},
        {"approves": "decision-41", "amount": "0.25", "argument": "call 118", "time_ms": _AT_MS, "signature": "ZWQyNTUxOSBzaWduYXR1cmU"},
    ),
}  # fmt: skip
