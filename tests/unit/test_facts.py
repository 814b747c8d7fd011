"""What the detectors are told beyond a request: the same facts however the journal is cut; bounded, the oldest change forgotten first."""

from hashlib import sha256

import pytest

from monitor.contracts.account_events import AccountAction, AccountEvent
from monitor.engine import Engine
from monitor.scoring import Facts, Scoring
from monitor.security import Security
from tests.simulation.journals import START_MS, Writer, term


def change(account_id: str, at_ms: int, action: AccountAction = "password_changed") -> AccountEvent:
    return AccountEvent(event_id=f"{account_id}-{at_ms}", occurred_at_ms=at_ms, account_id=account_id, action=action)


def test_the_newest_change_counts_in_whatever_order_they_come() -> None:
    security = Security()
    for at_ms in (5, 9, 7):
        security.note(change("a", at_ms), 100)
    security.note(change("a", 50, "login"), 100)
    security.note(change("a", 60, "address_whitelisted"), 100)
    assert security.changed_at_ms == {"a": 9}


def test_the_accounts_whose_change_is_longest_ago_are_forgotten_first() -> None:
    security = Security()
    for number in range(64):
        security.note(change(f"a{number}", number), 64)
    security.note(change("a0", 100), 64)
    security.note(change("new", 101), 64)
    assert len(security.changed_at_ms) <= 64
    assert security.evicted == 65 - len(security.changed_at_ms)
    assert {"a0", "new"} <= security.changed_at_ms.keys()
    assert "a1" not in security.changed_at_ms


def lines() -> list[bytes]:
    writer, written = Writer(), [term()]
    written += writer.opened(START_MS)
    for number in range(40):
        at_ms = START_MS + number * 1_000
        event: dict[str, object] = {"event_id": f"e{number}", "occurred_at_ms": at_ms}
        if number % 4 == 0:
            written.append(writer.event("account-events", event | {"account_id": "a", "action": "device_added"}, at_ms))
        elif number % 4 == 2:
            balance = {"wallet_id": "hot", "asset": "BTC", "amount": f"{number}.5", "temperature": "hot"}
            written.append(writer.event("balances", event | balance, at_ms))
        else:
            request = {"status": "requested", "withdrawal_id": f"w{number}", "account_id": "a", "asset": "BTC", "network": "bitcoin"}
            request |= {"amount": "1", "address": f"h{number}", "wallet_id": "hot"}
            written.append(writer.event("withdrawals", event | request, at_ms))
    return written


@pytest.mark.parametrize("cut", [1, 3, 5_000])
def test_facts_are_those_of_the_entries_before(monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    told: list[Facts] = []
    gather = Scoring.gather

    def listen(scoring: Scoring, event: object, facts: Facts) -> None:
        told.append(facts)
        gather(scoring, event, facts)  # type: ignore[arg-type]

    monkeypatch.setattr(Scoring, "gather", listen)
    journal = lines()
    engine = Engine(sha256(journal[0]).hexdigest())
    for at in range(0, len(journal), cut):
        engine.fold(at, journal[at : at + cut])
    expected = []
    for number in range(1, 40, 2):
        changed_at_ms = START_MS + number // 4 * 4_000
        balance = None if number < 2 else (number - 2) // 4 * 4 + 2.5
        expected.append(Facts(None, changed_at_ms, balance))
    assert told == expected
