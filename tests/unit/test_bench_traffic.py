"""The benchmark's traffic and the peers' work: what its figures rest on."""

from collections import Counter

import msgspec

from monitor.contracts.topics import INPUT_BY_NAME
from monitor.contracts.withdrawals import Withdrawal
from tests.bench.peer_work import PeerWork, new_profile
from tests.bench.traffic import CYCLE_RECORDS, STEPS, Record, Traffic

START_MS = 1_790_000_000_000
ACCOUNTS = 1_000
SLOTS = 2_000


def traffic_and_records() -> tuple[Traffic, list[Record]]:
    traffic = Traffic(ACCOUNTS, 1_500, 4)
    records = traffic.setup(START_MS)
    for slot in range(SLOTS):
        records += traffic.slot(START_MS + slot)
    return traffic, records + traffic.drain(START_MS + SLOTS) + traffic.last(START_MS + SLOTS)


def withdrawals(records: list[Record]) -> list[Withdrawal]:
    return [msgspec.json.decode(record.value, type=Withdrawal) for record in records if record.topic == "withdrawals"]


def test_every_record_is_an_event_of_its_topic_under_its_key() -> None:
    _, records = traffic_and_records()
    for record in records:
        event = msgspec.json.decode(record.value, type=INPUT_BY_NAME[record.topic].event)
        assert getattr(event, INPUT_BY_NAME[record.topic].key) == record.key.decode()
    assert {record.topic for record in records} >= {"withdrawals", "outflows", "prices", "reserves", "balances", "holdings", "providers"}
    assert min(len(record.value) for record in records if record.topic == "withdrawals") > 400


def test_event_ids_are_unique() -> None:
    _, records = traffic_and_records()
    ids = Counter(msgspec.json.decode(record.value)["event_id"] for record in records)
    assert ids.most_common(1)[0][1] == 1


def test_every_withdrawal_lives_its_whole_life_in_order_but_the_last_of_each_partition() -> None:
    traffic, records = traffic_and_records()
    steps: dict[str, list[str]] = {}
    for event in withdrawals(records):
        steps.setdefault(event.withdrawal_id, []).append(event.status)
    lives = Counter(tuple(life) for life in steps.values())
    assert lives == {tuple(step.decode() for step in STEPS): traffic.withdrawals - traffic.partitions, ("requested",): traffic.partitions}
    assert sum(len(life) for life in steps.values()) == (traffic.withdrawals - traffic.partitions) * CYCLE_RECORDS + traffic.partitions


def test_the_last_records_of_the_partitions_ask_for_a_verdict() -> None:
    _, records = traffic_and_records()
    last = {record.partition: record.requested for record in records if record.topic == "withdrawals"}
    assert len(last) == 4
    assert all(last.values())


def test_odd_ones_are_few_and_of_three_kinds() -> None:
    _, records = traffic_and_records()
    events = withdrawals(records)
    asked = {event.withdrawal_id: event for event in events if event.status == "requested"}
    redirected = {event.withdrawal_id for event in events if event.address != asked[event.withdrawal_id].address}
    fresh = {event.withdrawal_id for event in events if "-fresh-" in event.address}
    unheld = {event.withdrawal_id for event in asked.values() if float(event.amount) > float(event.balance_before or 0)}
    for kind in (redirected, fresh, unheld):
        assert 0 < len(kind) < 0.01 * len(asked)


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert traffic_and_records()[1] == traffic_and_records()[1]


def test_a_peer_gives_one_verdict_for_each_withdrawal_or_for_every_record() -> None:
    _, records = traffic_and_records()
    values = [record.value for record in records if record.topic == "withdrawals"][:500]
    requested = sum(event.status == "requested" for event in withdrawals(records)[:500])
    for every_record, expected in ((False, requested), (True, len(values))):
        work = PeerWork(every_record)
        profile = new_profile()
        verdicts = [work.judge(profile, work.decode(value)) for value in values]
        assert sum(verdict is not None for verdict in verdicts) == expected
