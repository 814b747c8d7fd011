"""Intake: one entry per record, in order, the event's bytes untouched; what is refused is a dead letter and a rejected entry."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor import entries
from monitor.contracts.dead_letters import DeadLetter
from monitor.contracts.examples import EXAMPLES
from monitor.contracts.journal import JournalEntry, OutflowEntry, RejectedEntry, Sourced
from monitor.contracts.topics import INPUT_BY_NAME, INPUTS
from monitor.decode import IntakeLimits
from monitor.intake import KEY_BYTES_MAX, Intake, Taken, digest, embedded_value
from monitor.policy import Asset, Policy
from monitor.reasons import Reason

CLOCK_MS = 1_760_000_001_000
ASSETS = {"BTC": Asset(decimals=8), "JPY": Asset(decimals=0)}
INTAKE = Intake(ASSETS, IntakeLimits(dead_letter_value_bytes_max=1_024), "JPY")
GOOD = json.dumps(EXAMPLES["withdrawals"].full).encode()
journal_entry = msgspec.json.Decoder(JournalEntry).decode


class Record(NamedTuple):
    offset: int
    value: bytes | None = GOOD
    key: bytes | None = b"acct-1"
    timestamp: int = 1_760_000_000_500
    headers: Sequence[tuple[str, bytes | None]] = ()


def take(*records: Record, topic: str = "withdrawals", partition: int = 3, start: int = 0) -> Taken:
    return INTAKE.take(topic, partition, start, records, CLOCK_MS)


def decoded(taken: Taken) -> list[Any]:
    return [journal_entry(entry) for entry in taken.entries]


def retry(offset: int = 0, topic: str = "withdrawals", value: bytes | None = GOOD, key: bytes = b"acct-1", **headers: bytes | None) -> Record:
    named = {"x-topic": topic.encode(), "x-partition": b"3", "x-offset": b"17"} | {name.replace("_", "-"): given for name, given in headers.items()}
    return Record(offset, value, key, headers=[(name, given) for name, given in named.items() if given != b"absent"])


@pytest.mark.parametrize("topic", INPUTS, ids=lambda topic: topic.name)
@pytest.mark.parametrize("indent", [None, 2])
def test_an_entry_decodes_to_the_event_that_came(topic: Any, indent: int | None) -> None:
    event = EXAMPLES[topic.name].full
    value = f" {json.dumps(event, indent=indent, ensure_ascii=False)}\r\n".encode()
    taken = take(Record(7, value, str(event[topic.key]).encode()), topic=topic.name, start=5)
    (entry,) = decoded(taken)
    assert entry.event == msgspec.json.decode(value, type=topic.event)
    assert (entry.source, entry.start, entry.offset, entry.clock_ms, entry.retry_of) == (f"{topic.name}/3", 5, 7, CLOCK_MS, None)
    assert type(entry).__struct_config__.tag == topic.entry_kind
    assert embedded_value(taken.entries[0]) == value
    assert taken == Taken(taken.entries, [], int(topic.name == "withdrawals"), {}, 8)
    assert json.loads(taken.entries[0])["event"] == event


def test_starts_follow_the_records_before() -> None:
    taken = take(Record(10), Record(11, b"bad"), Record(15), Record(16), start=4)
    assert [(entry.start, entry.offset) for entry in decoded(taken)] == [(4, 10), (11, 11), (12, 15), (16, 16)]
    assert (taken.withdrawals, taken.rejected, taken.next_offset) == (3, {Reason.BAD_JSON: 1}, 17)


def test_nothing_read_is_nothing_taken() -> None:
    assert take(start=9) == Taken([], [], 0, {}, 9)


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([GOOD, b"bad", None, b"\xff", GOOD + b"\n"])), max_size=12), st.integers(0, 12))
def test_the_cut_into_runs_never_shows(steps: list[tuple[int, bytes | None]], cut: int) -> None:
    records, offset = [], 100
    for skipped, value in steps:
        records.append(Record(offset + skipped, value))
        offset += skipped + 1
    whole = take(*records, start=100)
    first = take(*records[:cut], start=100)
    second = take(*records[cut:], start=first.next_offset)
    assert first.entries + second.entries == whole.entries
    assert first.dead_letters + second.dead_letters == whole.dead_letters
    assert second.next_offset == whole.next_offset
    covered = [place for entry in decoded(whole) for place in range(entry.start, entry.offset + 1)]
    assert covered == list(range(100, whole.next_offset))


def test_a_rejection_is_kept_with_its_facts() -> None:
    value = GOOD.replace(b'"0.25"', b'"-0.25"')
    taken = take(Record(12, value), start=11)
    (entry,) = decoded(taken)
    sha256 = hashlib.sha256(value).hexdigest()
    assert isinstance(entry, RejectedEntry)
    assert entry == RejectedEntry(
        clock_ms=CLOCK_MS, source="withdrawals/3", start=11, offset=12, reason="bad_amount", detail="amount -0.25: at most 8 decimals",
        value_sha256=sha256, value_bytes=len(value), withdrawal_id="wd-1001", account_id="acct-1",
    )  # fmt: skip
    (letter,) = taken.dead_letters
    assert (letter.key, letter.value) == (b"acct-1", value)
    assert dict(letter.headers()) == {
        "x-topic": b"withdrawals", "x-partition": b"3", "x-offset": b"12", "x-timestamp-ms": b"1760000000500", "x-reason": b"bad_amount",
        "x-detail": b"amount -0.25: at most 8 decimals", "x-value-bytes": str(len(value)).encode(), "x-value-sha256": sha256.encode(),
    }  # fmt: skip


def test_large_and_null_values_and_large_keys() -> None:
    large, key = b"\x00" * 300_000, b"k" * 9_000
    entries_made = decoded(taken := take(Record(0, large), Record(1, None), Record(2, b"{}", None), Record(3, b"{}", key)))
    cut, null, keyless, long_key = taken.dead_letters
    assert (cut.reason, cut.value, cut.value_bytes) == ("too_large", large[:1_024], 300_000)
    assert cut.value_sha256 == hashlib.sha256(large).hexdigest() == entries_made[0].value_sha256
    assert (null.reason, null.value, null.value_bytes, null.value_sha256) == ("null_value", None, 0, None)
    assert dict(null.headers())["x-value-sha256"] == b""
    assert (keyless.reason, keyless.key) == ("null_key", None)
    assert (long_key.reason, long_key.key) == ("bad_field", key[:KEY_BYTES_MAX])
    assert [entry.account_id for entry in entries_made] == ["acct-1", "acct-1", None, None]


def test_an_outflow_of_an_absurd_time_is_flagged_not_refused() -> None:
    event = EXAMPLES["outflows"].full | {"occurred_at_ms": 5}
    taken = take(Record(0, json.dumps(event).encode(), b"hot-btc-1"), topic="outflows")
    (entry,) = decoded(taken)
    assert isinstance(entry, OutflowEntry)
    assert (entry.time_replaced, entry.event.occurred_at_ms, taken.withdrawals) == (True, 5, 0)
    assert embedded_value(taken.entries[0]) == json.dumps(event).encode()


def test_a_topic_that_is_none_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="no input topic"):
        take(topic="journal")
    with pytest.raises(ValueError, match="base currency"):
        Intake(ASSETS, IntakeLimits(), "USD")


@pytest.mark.parametrize("topic", INPUTS, ids=lambda topic: topic.name)
def test_a_retry_is_decoded_as_what_it_was(topic: Any) -> None:
    event = EXAMPLES[topic.name].full
    value = json.dumps(event).encode()
    taken = take(retry(4, topic.name, value, str(event[topic.key]).encode()), topic="retries", partition=1, start=2)
    (entry,) = decoded(taken)
    assert isinstance(entry, Sourced)
    assert (entry.source, entry.start, entry.offset, entry.retry_of) == ("retries/1", 2, 4, f"{topic.name}/3@17")
    assert embedded_value(taken.entries[0]) == value
    assert (taken.withdrawals, taken.next_offset) == (int(topic.name == "withdrawals"), 5)


def test_a_late_retry_of_an_outflow_is_flagged_like_the_outflow() -> None:
    value = json.dumps(EXAMPLES["outflows"].full | {"occurred_at_ms": 5}).encode()
    (entry,) = decoded(take(retry(0, "outflows", value, b"hot-btc-1"), topic="retries"))
    assert entry.time_replaced


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"x_topic": b"absent"}, Reason.BAD_RETRY),
        ({"x_partition": b"absent"}, Reason.BAD_RETRY),
        ({"x_offset": b"absent"}, Reason.BAD_RETRY),
        ({"x_offset": None}, Reason.BAD_RETRY),
        ({"x_offset": b""}, Reason.BAD_RETRY),
        ({"x_offset": b"-1"}, Reason.BAD_RETRY),
        ({"x_offset": b"1.0"}, Reason.BAD_RETRY),
        ({"x_offset": b"1" * 20}, Reason.BAD_RETRY),
        ({"x_offset": "\u0661".encode()}, Reason.BAD_RETRY),
        ({"x_partition": b'3","kind":"x'}, Reason.BAD_RETRY),
        ({"x_topic": b"retries"}, Reason.BAD_RETRY),
        ({"x_topic": b"withdrawals\xff"}, Reason.UNKNOWN_TOPIC),
        ({"x_topic": b"journal"}, Reason.UNKNOWN_TOPIC),
    ],
)
def test_a_retry_without_a_position_is_refused(headers: dict[str, bytes], reason: Reason) -> None:
    taken = take(retry(**headers), topic="retries", partition=0)  # type: ignore[arg-type]  # a table of headers
    (entry,) = decoded(taken)
    assert (entry.reason, entry.retry_of) == (reason, None)
    assert (taken.dead_letters[0].topic, taken.dead_letters[0].offset, taken.dead_letters[0].retry_of) == ("retries", 0, None)


def test_a_retry_that_is_refused_too_repairs_nothing_and_can_be_retried_again() -> None:
    taken = take(retry(8, value=b"bad"), topic="retries", partition=0)
    (entry,) = decoded(taken)
    (letter,) = taken.dead_letters
    assert (entry.reason, entry.retry_of) == ("bad_json", None)
    assert (letter.topic, letter.offset, dict(letter.headers())["x-retry-of"]) == ("retries", 8, b"withdrawals/3@17")


def test_the_last_of_equal_headers_counts_as_kafka_clients_read_them() -> None:
    record = retry()._replace(headers=[*retry().headers, ("x-offset", b"18")])
    assert decoded(take(record, topic="retries"))[0].retry_of == "withdrawals/3@18"


def test_digests() -> None:
    assert digest(None) is None
    assert digest(GOOD) == hashlib.sha256(GOOD).hexdigest()


def test_only_events_have_a_value_embedded() -> None:
    for entry in (*take(Record(0, b"bad")).entries, entries.tick("t-1", CLOCK_MS)):
        with pytest.raises(ValueError, match="not found"):
            embedded_value(entry)


def test_our_own_entries_say_what_they_were_told() -> None:
    policy = Policy(assets=ASSETS)
    told = [
        entries.source_opened("withdrawals/3", 5, 2, 9, "resumed", "worker-1", digest(GOOD), CLOCK_MS),
        entries.progress("withdrawals/3", 9, 9, CLOCK_MS),
        entries.source_accepted("withdrawals/3", 4, "operator-4", "topic was made anew", CLOCK_MS),
        entries.term("term-1", "0.1.0", policy, dict.fromkeys(INPUT_BY_NAME, 4), CLOCK_MS),
        entries.tick("term-1", CLOCK_MS),
    ]
    opened, progress, accepted, term, tick = (journal_entry(entry) for entry in told)
    assert (opened.position, opened.log_start, opened.log_end, opened.why, opened.writer) == (5, 2, 9, "resumed", "worker-1")
    assert opened.previous_sha256 == hashlib.sha256(GOOD).hexdigest()
    assert (progress.source, progress.position, progress.log_end) == ("withdrawals/3", 9, 9)
    assert (accepted.position, accepted.actor, accepted.reason) == (4, "operator-4", "topic was made anew")
    assert (term.term, term.engine_version, term.policy, term.partitions["prices"]) == ("term-1", "0.1.0", policy, 4)
    assert (tick.term, tick.clock_ms) == ("term-1", CLOCK_MS)


def test_a_dead_letter_has_the_headers_that_its_readers_know() -> None:
    letter = DeadLetter(
        topic="prices", partition=0, offset=1, timestamp_ms=2, key=None, value=None, value_bytes=0, value_sha256=None, reason="r", detail="d"
    )
    assert "x-retry-of" not in dict(letter.headers())
