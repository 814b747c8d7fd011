"""The decoder: the right reason for each kind of bad record, in the documented order; doubt is settled exactly, never by refusing."""

import json
from typing import Any

import pytest

from monitor.contracts.examples import EXAMPLES
from monitor.contracts.topics import INPUT_BY_NAME
from monitor.decode import Decoded, Decoder, IntakeLimits
from monitor.policy import Asset
from monitor.reasons import Reason, Rejection

CLOCK_MS = 1_760_000_001_000
LIMITS = IntakeLimits(record_bytes_max=4_096, nesting_max=8)
DECODER = Decoder({"BTC": Asset(decimals=8), "JPY": Asset(decimals=0)}, LIMITS)
WITHDRAWAL = EXAMPLES["withdrawals"].full
TOPICS = sorted(EXAMPLES)


def key_of(topic: str, event: dict[str, Any]) -> bytes:
    return str(event[INPUT_BY_NAME[topic].key]).encode()


def decode(value: bytes | None, key: bytes | None = b"acct-1", topic: str = "withdrawals") -> Decoded | Rejection:
    return DECODER.decode(INPUT_BY_NAME[topic], key, value, CLOCK_MS)


def decode_event(topic: str = "withdrawals", **changes: Any) -> Decoded | Rejection:
    """The full example of the topic, changed; a change to ... takes the member away."""
    event = {name: content for name, content in (EXAMPLES[topic].full | changes).items() if content is not ...}
    return decode(json.dumps(event).encode(), key_of(topic, event), topic)


def reason_of(outcome: Decoded | Rejection) -> Reason | None:
    return outcome.reason if isinstance(outcome, Rejection) else None


def spliced(text: str) -> bytes:
    """The full withdrawal with members more, as JSON text."""
    return (json.dumps(WITHDRAWAL)[:-1] + ", " + text + "}").encode()


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("form", ["minimal", "full"])
def test_examples_are_accepted(topic: str, form: str) -> None:
    event = getattr(EXAMPLES[topic], form)
    for text in (json.dumps(event), json.dumps(event, indent=2) + "\n", json.dumps(event, separators=(",", ":"))):
        outcome = decode(text.encode(), key_of(topic, event), topic)
        assert isinstance(outcome, Decoded), outcome
        assert {name: getattr(outcome.event, name) for name in event} == {
            name: tuple(content) if isinstance(content, list) else content for name, content in event.items()
        }
        assert not outcome.time_replaced


@pytest.mark.parametrize("topic", TOPICS)
def test_the_key_must_be_the_events(topic: str) -> None:
    event = EXAMPLES[topic].minimal
    value = json.dumps(event).encode()
    assert reason_of(decode(value, None, topic)) is Reason.NULL_KEY
    assert reason_of(decode(value, b"", topic)) is Reason.KEY_MISMATCH
    assert reason_of(decode(value, b"\xff", topic)) is Reason.KEY_MISMATCH
    assert reason_of(decode(value, key_of(topic, event) + b"x", topic)) is Reason.KEY_MISMATCH
    assert reason_of(decode(None, key_of(topic, event), topic)) is Reason.NULL_VALUE


@pytest.mark.parametrize("topic", TOPICS)
def test_every_required_field_is_required_and_every_other_may_be_null(topic: str) -> None:
    example = EXAMPLES[topic]
    for name in example.full:
        missing = {other: content for other, content in example.full.items() if other != name}
        outcome = decode(json.dumps(missing).encode(), key_of(topic, example.full), topic)
        assert reason_of(outcome) is (Reason.BAD_FIELD if name in example.minimal else None), name


@pytest.mark.parametrize("name", WITHDRAWAL)
def test_wrong_types_are_refused(name: str) -> None:
    for content in ({"a": 1}, [WITHDRAWAL[name]], True, 0.5):
        assert reason_of(decode(json.dumps(WITHDRAWAL | {name: content}).encode())) is Reason.BAD_FIELD, content


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", Reason.BAD_JSON),
        (b"{", Reason.BAD_JSON),
        (b"not json", Reason.BAD_JSON),
        (b"\xef\xbb\xbf{}", Reason.BAD_JSON),
        (b"{}\x00", Reason.BAD_JSON),
        (b"{} {}", Reason.BAD_JSON),
        (b'{"amount": NaN}', Reason.BAD_JSON),
        (b'{"amount": Infinity}', Reason.BAD_JSON),
        (b'{"amount": 01}', Reason.BAD_JSON),
        (b'{"amount": "1", }', Reason.BAD_JSON),
        (b"{'amount': 1}", Reason.BAD_JSON),
        (b'{"amount": 1 "asset": 2}', Reason.BAD_JSON),
        (b'{"tag": "a\x01b"}', Reason.BAD_JSON),
        (b'{"tag": "\\x41"}', Reason.BAD_JSON),
        (b"null", Reason.BAD_FIELD),
        (b"[]", Reason.BAD_FIELD),
        (b'[{"asset": 1, "asset": 2}]', Reason.BAD_FIELD),
        (b'"text"', Reason.BAD_FIELD),
        (b"17", Reason.BAD_FIELD),
        (b"1e400", Reason.BAD_FIELD),
        (b"{}", Reason.BAD_FIELD),
        (b"\xff\xfe{\x00}\x00", Reason.BAD_ENCODING),
        (b"\x80", Reason.BAD_ENCODING),
        (b'{"tag": "\xed\xa0\x80"}', Reason.BAD_ENCODING),
        (b'{"unknown": "\xff"}', Reason.BAD_ENCODING),
        (b"[" * 3_000, Reason.TOO_DEEP),
        (b'{"a":' * 500, Reason.TOO_DEEP),
        (b"[" * 8 + b"]" * 8, Reason.BAD_FIELD),
        (b"[" * 9 + b"]" * 9, Reason.TOO_DEEP),
        (b"]" * 3_000, Reason.BAD_JSON),
        (b'"' + b"\\" * 3_000, Reason.BAD_JSON),
        (b" " * 4_097, Reason.TOO_LARGE),
    ],
)
def test_what_is_no_event(text: bytes, reason: Reason) -> None:
    assert reason_of(decode(text)) is reason


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ('"unknown": 1', None),
        ('"unknown": {"asset": "ETH", "amount": 5}', None),
        ('"unknown": [1, "a:b", null, {"x": {"y": []}}]', None),
        ('"unknown": 1, "unknown": 2', None),
        ('"unknown": {"a": 1, "a": 2}', None),
        ('"un:known": 1', None),
        ('"unknown": "\\"asset\\": \\"ETH\\""', None),
        ('"unknown": "\\u0000"', None),
        ('"unknown": 1e400', None),
        ('"unknown": ' + "9" * 1_500, None),
        ('"unknown": ' + "[" * 7 + "]" * 7, None),
        ('"unknown": ' + "[" * 8 + "]" * 8, Reason.TOO_DEEP),
        ('"unknown": "' + "[{" * 200 + '"', None),
        ('"unknown": NaN', Reason.BAD_JSON),
        ('"asset": "BTC"', Reason.DUPLICATE_KEY),
        ('"asset":"BTC"', Reason.DUPLICATE_KEY),
        ('"asset" : "BTC"', Reason.DUPLICATE_KEY),
        ('"\\u0061sset": "BTC"', Reason.DUPLICATE_KEY),
        ('"asset": 5', Reason.DUPLICATE_KEY),
        ('"unknown": 1, "tag": null', Reason.DUPLICATE_KEY),
        ('"owner": "customer"', Reason.DUPLICATE_KEY),
        ('"schema_version": 1', Reason.DUPLICATE_KEY),
    ],
)
def test_members_more(members: str, reason: Reason | None) -> None:
    outcome = decode(spliced(members))
    assert reason_of(outcome) is reason, outcome


def test_an_escaped_colon_hides_no_duplicate() -> None:
    event = EXAMPLES["withdrawals"].minimal | {"tag": "a:b:c"}
    text = json.dumps(event)
    assert reason_of(decode(text.encode())) is None
    assert reason_of(decode(text.replace("a:b:c", "a\\u003ab:c").replace('"amount"', '"asset": "BTC", "amount"').encode())) is Reason.DUPLICATE_KEY


def test_colons_in_strings_hide_no_duplicate() -> None:
    event = EXAMPLES["withdrawals"].minimal | {"ip": "2001:db8::1", "tag": '"x":'}
    text = json.dumps(event)
    assert reason_of(decode(text.encode())) is None
    for more in ('"asset": "BTC"', '"ip": "2001:db8::1"', '"ip": "::"', '"tag": null', '"address": "a"'):
        assert reason_of(decode((text[:-1] + f", {more}}}").encode())) is Reason.DUPLICATE_KEY
        assert reason_of(decode(("{" + more + ", " + text[1:]).encode())) is Reason.DUPLICATE_KEY


@pytest.mark.parametrize("character", ["\x7f", "\x80", "\x9f"])
def test_control_characters_that_json_need_not_escape(character: str) -> None:
    text = json.dumps(EXAMPLES["withdrawals"].minimal | {"tag": character}, ensure_ascii=False, separators=(",", ":"))
    assert reason_of(decode(text.encode())) is Reason.CONTROL_CHARACTER


def test_depth_is_counted_by_levels_not_brackets() -> None:
    assert reason_of(decode(spliced('"unknown": [' + ", ".join(["[[[[[[]]]]]]"] * 20) + "]"))) is None
    assert reason_of(decode(spliced('"unknown": [' + ", ".join(["[[[[[[]]]]]]"] * 20) + ", [[[[[[[]]]]]]]]"))) is Reason.TOO_DEEP


def test_a_default_that_is_not_said_hides_no_duplicate() -> None:
    text = json.dumps(EXAMPLES["withdrawals"].minimal)
    for absent in ("owner", "schema_version"):
        assert absent not in text
    assert reason_of(decode((text[:-1] + ', "asset": "BTC"}').encode())) is Reason.DUPLICATE_KEY
    assert reason_of(decode((text[:-1] + ', "tag": "owner", "asset": "BTC"}').encode())) is Reason.DUPLICATE_KEY
    assert reason_of(decode((text[:-1] + ', "unknown": {"owner": "x"}, "asset": "BTC"}').encode())) is Reason.DUPLICATE_KEY
    assert reason_of(decode((text[:-1] + ', "tag": null, "fee": null}').encode())) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": 2}, Reason.UNKNOWN_VERSION),
        ({"schema_version": 0}, Reason.UNKNOWN_VERSION),
        ({"schema_version": 10**30}, Reason.UNKNOWN_VERSION),
        ({"schema_version": 2, "amount": 5, "status": ...}, Reason.UNKNOWN_VERSION),
        ({"schema_version": "1"}, Reason.BAD_FIELD),
        ({"schema_version": 1.0}, Reason.BAD_FIELD),
        ({"schema_version": None}, Reason.BAD_FIELD),
        ({"status": "REQUESTED"}, Reason.BAD_FIELD),
        ({"event_id": ""}, Reason.BAD_FIELD),
        ({"event_id": "e" * 129}, Reason.BAD_FIELD),
        ({"event_id": "e" * 128}, None),
        ({"tag": "日" * 128}, None),
        ({"tag": "日" * 129}, Reason.BAD_FIELD),
        ({"amount": "1" * 65}, Reason.BAD_FIELD),
        ({"amount": 10**400}, Reason.BAD_FIELD),
        ({"tag": "é ö 日本 ̈"}, None),
        ({"tag": "\U0001f600"}, None),
        ({"tag": "a\u00a0b"}, None),
        ({"tag": "\u0000"}, Reason.CONTROL_CHARACTER),
        ({"tag": "a\nb"}, Reason.CONTROL_CHARACTER),
        ({"tag": "a\u001f"}, Reason.CONTROL_CHARACTER),
        ({"tag": "\u007f"}, Reason.CONTROL_CHARACTER),
        ({"tag": "\u0080"}, Reason.CONTROL_CHARACTER),
        ({"tag": "\u009f"}, Reason.CONTROL_CHARACTER),
        ({"tag": "\ud800"}, Reason.CONTROL_CHARACTER),
        ({"tag": "a\udfffb"}, Reason.CONTROL_CHARACTER),
        ({"account_id": "a\u0007"}, Reason.CONTROL_CHARACTER),
        ({"asset": "ETH"}, Reason.UNKNOWN_ASSET),
        ({"asset": "btc"}, Reason.UNKNOWN_ASSET),
        ({"amount": "0"}, Reason.AMOUNT_NOT_POSITIVE),
        ({"amount": "0.000"}, Reason.AMOUNT_NOT_POSITIVE),
        ({"amount": "-1"}, Reason.BAD_AMOUNT),
        ({"amount": "1e3"}, Reason.BAD_AMOUNT),
        ({"amount": "."}, Reason.BAD_AMOUNT),
        ({"amount": " 1"}, Reason.BAD_AMOUNT),
        ({"amount": "\uff11"}, Reason.BAD_AMOUNT),
        ({"amount": ""}, Reason.BAD_FIELD),
        ({"amount": 0.25}, Reason.BAD_FIELD),
        ({"amount": 1}, Reason.BAD_FIELD),
        ({"amount": "0.123456789"}, Reason.AMOUNT_TOO_PRECISE),
        ({"asset": "JPY", "amount": "1.0"}, Reason.AMOUNT_TOO_PRECISE),
        ({"amount": "9" * 28}, None),
        ({"amount": "1" + "0" * 28}, None),
        ({"amount": "1" + "0" * 28 + ".00000001"}, Reason.AMOUNT_TOO_LARGE),
        ({"amount": "9" * 60}, Reason.AMOUNT_TOO_LARGE),
        ({"amount": "0" * 50 + "7"}, None),
        ({"fee": "0", "balance_before": "0.0"}, None),
        ({"fee": "-0.1"}, Reason.BAD_AMOUNT),
        ({"balance_before": "0.123456789"}, Reason.AMOUNT_TOO_PRECISE),
        ({"occurred_at_ms": CLOCK_MS + LIMITS.time_future_max_ms}, None),
        ({"occurred_at_ms": CLOCK_MS + LIMITS.time_future_max_ms + 1}, Reason.TIME_IN_FUTURE),
        ({"occurred_at_ms": CLOCK_MS * 1_000}, Reason.TIME_IN_FUTURE),
        ({"occurred_at_ms": 10**300}, Reason.TIME_IN_FUTURE),
        ({"occurred_at_ms": CLOCK_MS - LIMITS.time_past_max_ms}, None),
        ({"occurred_at_ms": CLOCK_MS - LIMITS.time_past_max_ms - 1}, Reason.TIME_IN_PAST),
        ({"occurred_at_ms": -(10**30)}, Reason.TIME_IN_PAST),
        ({"second_factor_changed_at_ms": 0}, None),
        ({"second_factor_changed_at_ms": -1}, Reason.TIME_IN_PAST),
        ({"second_factor_changed_at_ms": 2**64}, Reason.TIME_IN_FUTURE),
    ],
)
def test_meaning(changes: dict[str, Any], reason: Reason | None) -> None:
    outcome = decode_event(**changes) if "account_id" not in changes else decode(json.dumps(WITHDRAWAL | changes).encode())
    assert reason_of(outcome) is reason, outcome


@pytest.mark.parametrize(
    ("topic", "changes", "reason"),
    [
        ("balances", {"amount": "0"}, None),
        ("holdings", {"quantity": "0.00"}, None),
        ("holdings", {"quantity": "0.000000001"}, Reason.AMOUNT_TOO_PRECISE),
        ("outflows", {"amount": "0"}, Reason.AMOUNT_NOT_POSITIVE),
        ("postings", {"amount": "0"}, Reason.AMOUNT_NOT_POSITIVE),
        ("postings", {"reason": "two\nlines\tand a tab\r"}, None),
        ("postings", {"reason": "a bell \u0007"}, Reason.CONTROL_CHARACTER),
        ("postings", {"reason": ""}, None),
        ("postings", {"reason": "x" * 1_025}, Reason.BAD_FIELD),
        ("postings", {"actor": "two\nlines"}, Reason.CONTROL_CHARACTER),
        ("reserves", {"unit": "EUR"}, Reason.UNKNOWN_ASSET),
        ("reserves", {"amount": "0"}, Reason.AMOUNT_NOT_POSITIVE),
        ("prices", {"price": "0"}, Reason.AMOUNT_NOT_POSITIVE),
        ("prices", {"price": "0.000000000000000001"}, None),
        ("prices", {"asset": "JPY", "price": "0.0000000000000000001"}, Reason.AMOUNT_TOO_PRECISE),
        ("providers", {"wallet_ids": []}, None),
        ("providers", {"wallet_ids": ["hot\u0000"]}, Reason.CONTROL_CHARACTER),
        ("providers", {"wallet_ids": [["hot"]]}, Reason.BAD_FIELD),
        ("feedback", {"amount": "0.5e1"}, Reason.BAD_AMOUNT),
        ("feedback", {"reason": ""}, Reason.BAD_FIELD),
        ("feedback", {"reason": "?"}, None),
        ("feedback", {"seen_version": -1}, Reason.BAD_FIELD),
        ("feedback", {"seen_version": 2**64}, Reason.BAD_FIELD),
        ("account-events", {"occurred_at_ms": 0}, Reason.TIME_IN_PAST),
    ],
)
def test_meaning_on_other_topics(topic: str, changes: dict[str, Any], reason: Reason | None) -> None:
    outcome = decode_event(topic, **changes)
    assert reason_of(outcome) is reason, outcome


@pytest.mark.parametrize("time_ms", [0, -1, -(10**40), CLOCK_MS * 1_000, 2**63, 10**400])
def test_an_outflow_is_never_refused_for_its_time(time_ms: int) -> None:
    outcome = decode_event("outflows", occurred_at_ms=time_ms)
    assert isinstance(outcome, Decoded)
    assert outcome.time_replaced


@pytest.mark.parametrize(
    ("value", "withdrawal_id", "account_id"),
    [
        (json.dumps(WITHDRAWAL | {"amount": "-1"}).encode(), "wd-1001", "acct-1"),
        (json.dumps(WITHDRAWAL | {"amount": 1}).encode(), "wd-1001", "acct-1"),
        (json.dumps(WITHDRAWAL).encode()[:200], "wd-1001", "acct-1"),
        (json.dumps({"payload": WITHDRAWAL}).encode(), "wd-1001", "acct-1"),
        (json.dumps(WITHDRAWAL | {"account_id": "acct-2"}).encode(), "wd-1001", "acct-2"),
        (json.dumps(WITHDRAWAL | {"withdrawal_id": "wd\u0000"}).encode(), None, "acct-1"),
        (json.dumps(WITHDRAWAL | {"withdrawal_id": "w" * 129}).encode(), None, "acct-1"),
        (json.dumps(WITHDRAWAL | {"withdrawal_id": 5}).encode(), None, "acct-1"),
        (json.dumps(WITHDRAWAL | {"withdrawal_id": "引出", "amount": ""}).encode(), "引出", "acct-1"),
        (json.dumps(WITHDRAWAL | {"withdrawal_id": "引出", "amount": ""}, ensure_ascii=False).encode(), "引出", "acct-1"),
        (b'{"withdrawal_id": "wd-1\xff", "account_id":"acct-9"', None, "acct-9"),
        (b'{"tag": "\\"withdrawal_id\\": \\"wd-2\\"", "withdrawal_id"\t:\n"wd-3"', "wd-3", "acct-1"),
        (b'{"withdrawal_id": "wd-1", ' + b" " * 5_000, "wd-1", "acct-1"),
        (b" " * 70_000 + b'{"withdrawal_id": "wd-1"}', None, "acct-1"),
        (b"\x00\x01\x02", None, "acct-1"),
        (None, None, "acct-1"),
    ],
)
def test_a_lenient_look_finds_ids(value: bytes | None, withdrawal_id: str | None, account_id: str | None) -> None:
    outcome = decode(value)
    assert isinstance(outcome, Rejection)
    assert (outcome.withdrawal_id, outcome.account_id) == (withdrawal_id, account_id)


def test_a_key_stands_for_the_account_only_where_it_is_one() -> None:
    for key in (None, b"", b"\xff", b"a\nb", b"k" * 129):
        outcome = decode(b"?", key)
        assert isinstance(outcome, Rejection)
        assert outcome.account_id is None
    outcome = decode(b"?", b"hot-btc-1", "outflows")
    assert isinstance(outcome, Rejection)
    assert outcome.account_id is None


@pytest.mark.parametrize(
    "value", [b'{"status": "' + b"\xe6\x97\xa5" * 400 + b'"}', json.dumps(WITHDRAWAL | {"asset": "\u202e\x1b[2J" + "x" * 100}).encode()]
)
def test_details_are_short_and_printable(value: bytes) -> None:
    outcome = decode(value)
    assert isinstance(outcome, Rejection)
    assert outcome.detail.isascii()
    assert outcome.detail.isprintable()
    assert 0 < len(outcome.detail) <= 200


@pytest.mark.parametrize(
    "value",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"[]" * 5_000_000,
        b'"' * 10_000_000,
        b'"\\' * 5_000_000,
        b'{"withdrawal_id": "' + b"x" * 10_000_000,
        b'{"withdrawal_id":' * 600_000,
        b'{"amount": ' + b"9" * 10_000_000 + b"}",
        b"\x80" * 10_000_000,
    ],
    ids=lambda value: repr(value[:18]),
)
def test_ten_megabytes_are_judged_under_a_limit_that_takes_them(value: bytes) -> None:
    generous = Decoder({"BTC": Asset(decimals=8)}, IntakeLimits(record_bytes_max=20_000_000))
    outcome = generous.decode(INPUT_BY_NAME["withdrawals"], b"acct-1", value, CLOCK_MS)
    assert isinstance(outcome, Rejection)
    assert outcome.reason in {Reason.TOO_DEEP, Reason.BAD_JSON, Reason.BAD_FIELD, Reason.BAD_ENCODING}
    assert reason_of(DECODER.decode(INPUT_BY_NAME["withdrawals"], b"acct-1", value, CLOCK_MS)) is Reason.TOO_LARGE
