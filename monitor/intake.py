"""Intake: a run of one source's records becomes journal entries and dead letters, in the order of the records.

Pure and stateless: what was read before comes in as `start`. An event's bytes go into its entry as they came, so that the archive
holds what was said and nothing is encoded twice. Called by the intake's shell, by `replay` and by the simulation.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from monitor.contracts.dead_letters import DeadLetter
from monitor.contracts.journal import RejectedEntry
from monitor.contracts.topics import INPUT_BY_NAME, RETRIES
from monitor.decode import Decoded, Decoder, IntakeLimits, TopicDecoder
from monitor.policy import Asset
from monitor.reasons import Reason, Rejection

KEY_BYTES_MAX = 4_096
"""A dead letter's key is cut here; a good key has at most 128 characters."""

_EVENT = b',"event":'
_OFFSET_DIGITS_MAX = 19
_encode = msgspec.json.Encoder().encode


class SourceRecord(Protocol):
    """A record as aiokafka gives it."""

    @property
    def offset(self) -> int:
        """Where it stands in its partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since 1970-01-01T00:00:00Z, by its producer or broker."""

    @property
    def key(self) -> bytes | None:
        """As it came."""

    @property
    def value(self) -> bytes | None:
        """As it came."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Name and value of each."""


class Taken(NamedTuple):
    """What a run of records became: an entry per record, in order; a dead letter per rejection; where reading goes on."""

    entries: list[bytes]
    dead_letters: list[DeadLetter]
    withdrawals: int
    rejected: dict[Reason, int]
    next_offset: int


class _Original(NamedTuple):
    """What a retry's headers name: how to decode it, and the position that it repairs."""

    decoder: TopicDecoder
    kind: str
    retry_of: str


class Intake:
    """Turns records into entries; construct once per configuration. Raises ValueError if the base currency is not among the assets."""

    def __init__(self, assets: Mapping[str, Asset], limits: IntakeLimits, base_currency: str) -> None:
        if base_currency not in assets:
            raise ValueError(f"the base currency {base_currency} is not among the policy's assets")
        self._limits = limits
        self._decoder = Decoder(assets, limits)

    def take(self, topic: str, partition: int, start: int, records: Sequence[SourceRecord], clock_ms: int) -> Taken:
        """Entries of the records of "topic/partition" (name without the prefix), read from offset `start` on.

        `withdrawals` counts accepted withdrawal events. Raises ValueError for a topic that is neither an input topic nor `retries`.
        """
        if topic == RETRIES:
            return self._take_retries(partition, start, records, clock_ms)
        if topic not in INPUT_BY_NAME:
            raise ValueError(f"{topic} is no input topic")
        taken = Taken([], [], 0, {}, start)
        source = f"{topic}/{partition}"
        head = f'{{"kind":"{INPUT_BY_NAME[topic].entry_kind}","source":"{source}","start":'
        tail = f',"clock_ms":{clock_ms},"event":'
        decode, append = self._decoder.of(topic).decode, taken.entries.append
        for record in records:
            offset, value = record.offset, record.value
            outcome = decode(record.key, value, clock_ms)
            if type(outcome) is Decoded and value is not None:
                flag = ',"time_replaced":true' if outcome.time_replaced else ""
                append(f'{head}{start},"offset":{offset}{flag}{tail}'.encode() + value + b"}")
            elif type(outcome) is Rejection:
                self._reject(taken, source, start, record, clock_ms, outcome)
            start = offset + 1
        accepted = len(taken.entries) - len(taken.dead_letters)
        return taken._replace(withdrawals=accepted if topic == "withdrawals" else 0, next_offset=start)

    def _take_retries(self, partition: int, start: int, records: Sequence[SourceRecord], clock_ms: int) -> Taken:
        """Each record is decoded as of the topic that its headers name; withdrawals count as such."""
        taken = Taken([], [], 0, {}, start)
        source = f"{RETRIES}/{partition}"
        withdrawals = 0
        for record in records:
            original = self._original(record.headers)
            outcome = original if isinstance(original, Rejection) else original.decoder.decode(record.key, record.value, clock_ms)
            if isinstance(original, _Original) and isinstance(outcome, Decoded) and record.value is not None:
                flag = ',"time_replaced":true' if outcome.time_replaced else ""
                head = f'{{"kind":"{original.kind}","source":"{source}","start":{start},"offset":{record.offset},"retry_of":"{original.retry_of}"'
                taken.entries.append(f'{head}{flag},"clock_ms":{clock_ms},"event":'.encode() + record.value + b"}")
                withdrawals += original.kind == "withdrawal"
            elif isinstance(outcome, Rejection):
                retry_of = original.retry_of if isinstance(original, _Original) else None
                self._reject(taken, source, start, record, clock_ms, outcome, retry_of)
            start = record.offset + 1
        return taken._replace(withdrawals=withdrawals, next_offset=start)

    def _original(self, headers: Sequence[tuple[str, bytes | None]]) -> _Original | Rejection:
        """The record that a retry's headers name, or what is wrong with them; of equal headers the last counts."""
        given = {name: value for name, value in headers if value is not None}
        topic, partition, offset = (given.get(name, b"") for name in ("x-topic", "x-partition", "x-offset"))
        for name, number in (("x-partition", partition), ("x-offset", offset)):
            if not number.isdigit() or len(number) > _OFFSET_DIGITS_MAX:
                return Rejection(Reason.BAD_RETRY, f"the header {name} is missing or no whole number")
        if topic == RETRIES.encode():
            return Rejection(Reason.BAD_RETRY, "the header x-topic names a retry; name the record that it was to repair")
        known = next((known for known in INPUT_BY_NAME.values() if known.name.encode() == topic), None)
        if known is None:
            return Rejection(Reason.UNKNOWN_TOPIC if topic else Reason.BAD_RETRY, "the header x-topic names no input topic")
        return _Original(self._decoder.of(known.name), known.entry_kind, f"{known.name}/{int(partition)}@{int(offset)}")

    def _reject(
        self, taken: Taken, source: str, start: int, record: SourceRecord, clock_ms: int, rejection: Rejection, retry_of: str | None = None
    ) -> None:
        """Its entry has no `retry_of`: a refused retry repairs nothing, and the record can be retried again."""
        sha256 = digest(record.value)
        value_bytes = 0 if record.value is None else len(record.value)
        entry = RejectedEntry(
            clock_ms=clock_ms, source=source, start=start, offset=record.offset, reason=rejection.reason, detail=rejection.detail,
            value_sha256=sha256, value_bytes=value_bytes, withdrawal_id=rejection.withdrawal_id, account_id=rejection.account_id,
        )  # fmt: skip
        topic, _, partition = source.rpartition("/")
        letter = DeadLetter(
            topic=topic, partition=int(partition), offset=record.offset, timestamp_ms=record.timestamp,
            key=record.key and record.key[:KEY_BYTES_MAX], value=record.value and record.value[: self._limits.dead_letter_value_bytes_max],
            value_bytes=value_bytes, value_sha256=sha256, reason=rejection.reason, detail=rejection.detail, retry_of=retry_of,
        )  # fmt: skip
        taken.entries.append(_encode(entry))
        taken.dead_letters.append(letter)
        taken.rejected[rejection.reason] = taken.rejected.get(rejection.reason, 0) + 1


def digest(value: bytes | None) -> str | None:
    """SHA-256 of a record's value, hexadecimal, as in `previous_sha256` and `value_sha256`; none for a null value."""
    return None if value is None else hashlib.sha256(value).hexdigest()


def embedded_value(entry: bytes) -> bytes:
    """The record's value as it came, out of the bytes of an event's entry; raises ValueError if the entry has none.

    What stands before `event` is ours and holds no such bytes; the value ends before the entry's own closing brace.
    """
    return entry[entry.index(_EVENT) + len(_EVENT) : -1]
