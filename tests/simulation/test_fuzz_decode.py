"""Over 100,000 damaged records: the decoder never raises, and its verdict on each is the slow oracle's, in both directions."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from monitor.contracts.examples import EXAMPLES
from monitor.contracts.journal import JournalEntry
from monitor.contracts.topics import INPUT_BY_NAME
from monitor.decode import Decoded, Decoder, IntakeLimits
from monitor.intake import Intake, embedded_value
from monitor.policy import Asset
from monitor.reasons import Reason, Rejection
from tests.simulation import oracle_of_records
from tests.simulation.oracle_of_records import KEYS, Rules

SEEDS = 11
RECORDS_PER_SEED = 10_000
THROUGH_INTAKE_EVERY = 7
CLOCK_MS = 1_760_000_001_000
ASSETS = {"BTC": Asset(decimals=8), "JPY": Asset(decimals=0), "ETH": Asset(decimals=18)}
LIMITS = IntakeLimits(record_bytes_max=8_192, nesting_max=12)
RULES = Rules({name: asset.decimals for name, asset in ASSETS.items()}, 8_192, 12, LIMITS.time_future_max_ms, LIMITS.time_past_max_ms)
STRINGS = [
    "", "0", "0.0", "-1", "1e9", "NaN", ".", "1.", ".5", "0.123456789", "1" * 29, "9" * 60, "1" + "0" * 36, "BTC", "ETH", "USD", "x" * 129, "é", "日本",
    "\u0000", "a\nb", "\u007f", "\u0085", "\u2028", "\U0001f4a9", "\ud83d", "\udca9x", 'a"b', "a\\b", "a:b", '":', '"asset":"BTC"', "{[", "requested", "\uff11",
]  # fmt: skip
NUMBERS = [
    "0",
    "-0",
    "1",
    "2",
    "-1",
    "1.0",
    "1e400",
    "-1e400",
    "1E5",
    "NaN",
    "-Infinity",
    "01",
    "1.",
    str(2**63),
    str(2**64),
    str(10**40),
    "9" * 5_000,
]
OTHERS = ["null", "true", "false", "{}", "[]", '{"asset":"BTC"}', '[{"amount":1}]', "[1,", "}", "tru"]
TOKENS = [
    '"',
    "\\",
    ":",
    ",",
    "{",
    "}",
    "[",
    "]",
    "\\u0000",
    "\\ud800",
    "\\u003a",
    " ",
    "\n",
    "\t",
    "\x00",
    "\x1f",
    "\x7f",
    "\u0085",
    "\ufeff",
    "\u00e9",
]


class Case(NamedTuple):
    """A record to be judged."""

    topic: str
    key: bytes | None
    value: bytes | None


class Record(NamedTuple):
    """A record as intake takes it."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = CLOCK_MS
    headers: tuple[tuple[str, bytes | None], ...] = ()


def flip(chance: random.Random, value: bytes) -> bytes:
    at = chance.randrange(len(value) + 1)
    return value[:at] + bytes([chance.randrange(256)]) + value[at + 1 :]


def flip_bit(chance: random.Random, value: bytes) -> bytes:
    if not value:
        return b"\x01"
    at = chance.randrange(len(value))
    return value[:at] + bytes([value[at] ^ 1 << chance.randrange(8)]) + value[at + 1 :]


def truncate(chance: random.Random, value: bytes) -> bytes:
    return value[: chance.randrange(len(value) + 1)]


def insert_token(chance: random.Random, value: bytes) -> bytes:
    at = chance.randrange(len(value) + 1)
    return value[:at] + chance.choice(TOKENS).encode() + value[at:]


def insert_bytes(chance: random.Random, value: bytes) -> bytes:
    at = chance.randrange(len(value) + 1)
    return value[:at] + chance.randbytes(chance.randrange(1, 9)) + value[at:]


def duplicate_piece(chance: random.Random, value: bytes) -> bytes:
    first, last = sorted((chance.randrange(len(value) + 1), chance.randrange(len(value) + 1)))
    at = chance.randrange(len(value) + 1)
    return value[:at] + value[first:last] + value[at:]


def cut_piece(chance: random.Random, value: bytes) -> bytes:
    first = chance.randrange(len(value) + 1)
    return value[:first] + value[first + chance.randrange(12) :]


def nest(chance: random.Random, value: bytes) -> bytes:
    levels = chance.choice([2, 10, 11, 12, 13, 100, 3_000])
    opening, closing = chance.choice([(b"[", b"]"), (b'{"a":', b"}")])
    deep = opening * levels + chance.choice([b"1", b'"]"']) + closing * (levels if chance.random() < 0.8 else levels - 1)
    return deep if chance.random() < 0.1 else value.replace(b"{", b'{"deep":' + deep + b",", 1)


def pad(chance: random.Random, value: bytes) -> bytes:
    return value + b" " * chance.choice([1, LIMITS.record_bytes_max - len(value), LIMITS.record_bytes_max - len(value) + 1])


def repeat_member(chance: random.Random, value: bytes) -> bytes:
    """A member more: of a known or unknown name, at the outermost level or not, the name escaped or not."""
    name = chance.choice(["asset", "amount", "event_id", "tag", "unknown", "deep", "schema_version", "owner", "un:known"])
    if chance.random() < 0.3:
        name = f"\\u{ord(name[0]):04x}{name[1:]}"
    member = f'"{name}"{chance.choice(["", " ", chr(10)])}:{chance.choice(NUMBERS[:6] + OTHERS[:7] + [json.dumps("BTC"), json.dumps("0.5")])}'
    if chance.random() < 0.2:
        member = f'"inner":{{{member}}}'
    return value.replace(b"{", b"{" + member.encode() + b",", 1) if chance.random() < 0.5 else value.rstrip()[:-1] + b"," + member.encode() + b"}"


def swap_value(chance: random.Random, value: bytes) -> bytes:
    """Another value for one member, of the same or another type; the rest stays good."""
    try:
        event = json.loads(value)
        name = chance.choice(list(event))
        before, after = json.dumps({name: event[name]})[1:-1], json.dumps(name)
    except (ValueError, TypeError, IndexError, RecursionError):
        return value
    kind = chance.random()
    new = json.dumps(chance.choice(STRINGS)) if kind < 0.6 else chance.choice(NUMBERS if kind < 0.8 else OTHERS)
    return json.dumps(event).replace(before, f"{after}: {new}", 1).encode()


def swap_amount(chance: random.Random, value: bytes) -> bytes:
    """Another amount: around the limits on size and decimals of the assets."""
    whole, fraction = (
        "9" * chance.choice([1, 12, 13, 18, 19, 28, 29, 36, 37, 40]),
        chance.choice(["", ".", ".0", ".5", "." + "1" * chance.randrange(1, 26)]),
    )
    amount = chance.choice(["0", "1" + "0" * len(whole), "0" * 30 + "1", whole]) + fraction
    return re.sub(rb'"(amount|fee|balance_before|quantity|price)"(\s*:\s*)"[^"]*"', rb'"\1"\2"' + amount.encode() + b'"', value, count=1)


def move_time(chance: random.Random, value: bytes) -> bytes:
    edge = chance.choice([CLOCK_MS + LIMITS.time_future_max_ms, CLOCK_MS - LIMITS.time_past_max_ms, 0, 2**63, 10**30])
    return value.replace(b"1760000000000", str(edge + chance.choice([-1, 0, 1])).encode())


def leave(chance: random.Random, value: bytes) -> bytes:
    return value


MUTATIONS: list[Callable[[random.Random, bytes], bytes]] = [
    flip, flip_bit, truncate, insert_token, insert_bytes, duplicate_piece, cut_piece, nest, pad, repeat_member, repeat_member, swap_value, swap_value,
    swap_value, swap_amount, swap_amount, move_time, leave, leave, leave,
]  # fmt: skip


def good_event(chance: random.Random, topic: str) -> dict[str, Any]:
    """An example with some of its optional members, in any order, perhaps with unknown ones."""
    minimal, full = EXAMPLES[topic]
    event = {name: content for name, content in full.items() if name in minimal or chance.random() < 0.5}
    if chance.random() < 0.2:
        event["unknown"] = chance.choice([1, None, "a:b", {"asset": "x", "a": [1, {}]}, [{"amount": 0.5}], "\u0007"])
    for name in chance.sample(sorted(set(full) - set(minimal)), k=min(2, len(full) - len(minimal) - 1)) if len(full) - len(minimal) > 1 else ():
        if name in event and name not in {"schema_version", "owner", "internal", "wallet_ids"} and chance.random() < 0.2:
            event[name] = None
    names = list(event)
    if chance.random() < 0.3:
        chance.shuffle(names)
    return {name: event[name] for name in names}


def draw(chance: random.Random) -> Case:
    """One record: a good one, damaged up to three times, its key mostly right."""
    topic = "withdrawals" if chance.random() < 0.4 else chance.choice(sorted(EXAMPLES))
    event = good_event(chance, topic)
    separators = chance.choice([(",", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")])
    value: bytes | None = json.dumps(event, ensure_ascii=chance.random() < 0.5, separators=separators).encode("utf-8", "surrogatepass")
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        assert value is not None
        value = chance.choice(MUTATIONS)(chance, value)
    key: bytes | None = str(event[KEYS[topic]]).encode()
    odds = chance.random()
    if odds < 0.01:
        value = None
    elif odds < 0.02:
        key = None
    elif odds < 0.04:
        key = chance.choice([b"", b"\xff", b"acct-2", b"k" * 1_000, flip(chance, key or b"")])
    return Case(topic, key, value)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_decoder_agrees_with_the_oracle_on_damaged_records(seed: int) -> None:
    chance = random.Random(seed)
    decoder, intake = Decoder(ASSETS, LIMITS), Intake(ASSETS, LIMITS, "JPY")
    journal_entry = msgspec.json.Decoder(JournalEntry).decode
    met: Counter[str] = Counter()
    for number in range(RECORDS_PER_SEED):
        case = draw(chance)
        outcome = decoder.decode(INPUT_BY_NAME[case.topic], case.key, case.value, CLOCK_MS)
        allowed = oracle_of_records.allowed(case.topic, case.key, case.value, CLOCK_MS, RULES)
        reason = outcome.reason if isinstance(outcome, Rejection) else None
        assert reason in allowed, f"seed {seed} record {number}: {outcome} where the oracle allows {allowed}: {case}"
        met[reason or "accepted"] += 1
        if number % THROUGH_INTAKE_EVERY == 0:
            taken = intake.take(case.topic, 0, number, [Record(number, case.key, case.value)], CLOCK_MS)
            entry = journal_entry(taken.entries[0])
            if isinstance(outcome, Decoded):
                assert (entry.event, embedded_value(taken.entries[0])) == (outcome.event, case.value), f"seed {seed} record {number}: {case}"
            else:
                assert (entry.reason, taken.dead_letters[0].value_bytes) == (reason, len(case.value or b"")), f"seed {seed} record {number}: {case}"
    unmet = {reason.value for reason in Reason} - set(met) - {"unknown_topic", "bad_retry"}
    assert not unmet, f"seed {seed}: the mutations no longer meet {unmet}"
    assert met["accepted"] > RECORDS_PER_SEED / 10


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_never_an_event(seed: int) -> None:
    chance = random.Random(seed)
    decoder = Decoder(ASSETS, LIMITS)
    alphabets = [bytes(range(256)), b'{}[]":,\\ ', b'{"asset":}0.1u\\', b"[{", b'"\\']
    for number in range(2_000):
        value = bytes(chance.choices(chance.choice(alphabets), k=chance.randrange(600)))
        for topic in ("withdrawals", "outflows", "providers"):
            outcome = decoder.decode(INPUT_BY_NAME[topic], b"k", value, CLOCK_MS)
            allowed = oracle_of_records.allowed(topic, b"k", value, CLOCK_MS, RULES)
            assert isinstance(outcome, Rejection), f"seed {seed} record {number}: {value!r}"
            assert outcome.reason in allowed, f"seed {seed} record {number}: {outcome} where the oracle allows {allowed}: {value!r}"
