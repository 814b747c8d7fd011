"""The decoder: any bytes whatever and their key become an event, or a rejection with its reason; it never raises on them.

The order of the checks is that of `monitor.reasons`. The way of a good record is short: one typed decode proves syntax and types, and
what else could be wrong is proven absent by a few counts; only where they leave a doubt, `monitor.raw_json` looks exactly.
Called by `monitor.intake`; knows nothing of journals.
"""

import re
from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Final

import msgspec
from msgspec.structs import astuple

from monitor import raw_json
from monitor.contracts.base import Event
from monitor.contracts.topics import INPUTS, InputTopic
from monitor.money import AMOUNT_MINOR_MAX, PRICE_DECIMALS_MAX, parse_amount
from monitor.policy import Asset
from monitor.reasons import Reason, Rejection

DETAIL_CHARACTERS_MAX = 200
DECIMALS_WITHOUT_ASSET = 24  # an amount without an asset (feedback) is only looked at for its form
Refusal = tuple[Reason, str]
AmountRule = tuple[Callable[[Event], str | None], Callable[[str], object], Callable[[str], Refusal | None]]
_BACKSLASH, _DELETE = 0x5C, 0x7F
_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_unprintable = re.compile(r"[^\x20-\x7e]")
_whole_number = re.compile(rb"-?[0-9]+").fullmatch


class IntakeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the intake settings that deciding on a record needs, under the same names and with the same defaults."""

    record_bytes_max: int = 262_144
    nesting_max: int = 32
    time_future_max_ms: int = 600_000
    time_past_max_ms: int = 366 * 86_400_000
    dead_letter_value_bytes_max: int = 900_000


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """An accepted event; `time_replaced`: its own time is absurd and intake's clock stands in for it (outflows only)."""

    event: Event
    time_replaced: bool = False


class Decoder:
    """Decodes records of every input topic. No state but its tables; construct once per configuration."""

    def __init__(self, assets: Mapping[str, Asset], limits: IntakeLimits) -> None:
        self._topics = {topic.name: TopicDecoder(topic, assets, limits) for topic in INPUTS}

    def decode(self, topic: InputTopic, key: bytes | None, value: bytes | None, clock_ms: int) -> Decoded | Rejection:
        """The event of one record of that topic, or why it is refused. `clock_ms`: intake's clock."""
        return self._topics[topic.name].decode(key, value, clock_ms)

    def of(self, topic: str) -> "TopicDecoder":
        """The decoder of one topic, for many records of it; raises KeyError if it is no input topic."""
        return self._topics[topic]


class TopicDecoder:
    """Decodes the records of one topic."""

    def __init__(self, topic: InputTopic, assets: Mapping[str, Asset], limits: IntakeLimits) -> None:
        self._topic: Final = topic
        self._limits: Final = limits
        self._typed = msgspec.json.Decoder(topic.event).decode
        checks = _checks(topic.event)
        self._key_of: Callable[[Event], str] = attrgetter(topic.key)
        asset_fields = checks["asset"]
        self._asset_of: Callable[[Event], str] | None = attrgetter(asset_fields[0]) if asset_fields else None
        self._amounts_of = {name: _amount_rules(checks, asset.decimals) for name, asset in assets.items()}
        self._amounts_without_asset = _amount_rules(checks, DECIMALS_WITHOUT_ASSET)
        self._times = tuple((name, attrgetter(name)) for name in checks["time"] if name != "occurred_at_ms")
        self._free_text = frozenset(checks["text"])
        fields = msgspec.structs.fields(topic.event)
        self._names = frozenset(field.encode_name for field in fields)
        self._defaulted = tuple(f'"{field.encode_name}":'.encode() for field in fields if not field.required and field.default is not None)
        self._certain_max = len(fields) - len(self._defaulted)
        self._first_nullable = next((index for index, field in enumerate(fields) if field.default is None), len(fields))
        self._time_is_replaced = topic.name == "outflows"  # an outflow is a fact on chain, whatever clock dates it

    def decode(self, key: bytes | None, value: bytes | None, clock_ms: int) -> Decoded | Rejection:
        """The event of one record, or why it is refused. `clock_ms`: intake's clock."""
        if value is None or key is None or len(value) > self._limits.record_bytes_max:
            return self._refuse_unread(key, value)
        try:
            event = self._typed(value)
        except _DECODE_ERRORS as error:
            return self._refuse_undecoded(key, value, str(error))
        refusal = None
        is_plain = value.isascii() and _BACKSLASH not in value and _DELETE not in value
        if not is_plain or self._has_unexplained_colon(event, value):
            refusal = self._look_exactly(event, value, is_plain=is_plain)
        if refusal is None:
            refusal = self._judge_meaning(event, key, clock_ms)
        if refusal is not None:
            return self._refuse(key, value, *refusal, event)
        if clock_ms - self._limits.time_past_max_ms <= event.occurred_at_ms <= clock_ms + self._limits.time_future_max_ms:
            return Decoded(event)
        if self._time_is_replaced:
            return Decoded(event, time_replaced=True)
        return self._refuse(key, value, *_odd_time("occurred_at_ms", event.occurred_at_ms, clock_ms), event)

    def _has_unexplained_colon(self, event: Event, value: bytes) -> bool:
        """False proves that the bytes have no member but known ones, each once: so no duplicates, no unknown fields, no depth.

        Every member has its colon. A field that isn't null has its member, but for one with a default, which is looked for: where
        the bytes have no backslash, its quoted name before a colon can be nothing else. What is left may stand in strings, as in an
        IPv6 address.
        """
        fields = astuple(event)
        unexplained = value.count(b":") - self._certain_max + fields[self._first_nullable :].count(None)
        for member in self._defaulted:
            if unexplained and value.find(member) >= 0:
                unexplained -= 1
        if unexplained:
            unexplained -= "".join([content for content in fields if type(content) is str]).count(":")
        return unexplained != 0

    def _judge_meaning(self, event: Event, key: bytes, clock_ms: int) -> Refusal | None:
        """Key, asset, amounts, and times other than the event's own."""
        if self._key_of(event).encode() != key:
            return Reason.KEY_MISMATCH, f"the record's key is not the event's {self._topic.key}"
        amounts = self._amounts_without_asset
        if self._asset_of is not None:
            known = self._amounts_of.get(self._asset_of(event))
            if known is None:
                return Reason.UNKNOWN_ASSET, f"the policy has no asset {self._asset_of(event)}"
            amounts = known
        for amount_of, is_usual, judge in amounts:
            text = amount_of(event)
            if text is not None and is_usual(text) is None:
                refusal = judge(text)
                if refusal is not None:
                    return refusal
        for name, time in self._times:
            time_ms = time(event)
            if time_ms is not None and not 0 <= time_ms <= clock_ms + self._limits.time_future_max_ms:
                return _odd_time(name, time_ms, clock_ms)
        return None

    def _look_exactly(self, event: Event, value: bytes, *, is_plain: bool) -> Refusal | None:
        """What the typed decode of valid JSON lets pass: bad UTF-8 where it didn't read, depth, duplicates, control characters."""
        return self._judge_bytes(value) or self._judge_duplicates(value) or (None if is_plain else self._judge_characters(event))

    def _judge_bytes(self, value: bytes) -> Refusal | None:
        try:
            value.decode()
        except UnicodeDecodeError as error:
            return Reason.BAD_ENCODING, f"not UTF-8 at byte {error.start}"
        if raw_json.is_too_deep(value, self._limits.nesting_max):
            return Reason.TOO_DEEP, f"nested deeper than {self._limits.nesting_max}"
        return None

    def _judge_duplicates(self, value: bytes) -> Refusal | None:
        name = raw_json.duplicate_name(value, self._names)
        return None if name is None else (Reason.DUPLICATE_KEY, f"{name} stands more than once")

    def _judge_characters(self, event: Event) -> Refusal | None:
        texts = [(name, text) for name, content in zip(event.__struct_fields__, astuple(event), strict=True) for text in _texts(content)]
        if "".join([text for _, text in texts]).isprintable():
            return None
        for name, text in texts:
            if raw_json.has_control_character(text, is_free=name in self._free_text):
                return Reason.CONTROL_CHARACTER, f"{name} has a control character"
        return None

    def _refuse_unread(self, key: bytes | None, value: bytes | None) -> Rejection:
        """Null or too large: nothing of it is decoded."""
        if value is None:
            return self._refuse(key, b"", Reason.NULL_VALUE, "the record has no value")
        if key is None:
            return self._refuse(key, value, Reason.NULL_KEY, f"the record has no key; it must be the event's {self._topic.key}")
        return self._refuse(key, value, Reason.TOO_LARGE, f"{len(value)} bytes, at most {self._limits.record_bytes_max}")

    def _refuse_undecoded(self, key: bytes, value: bytes, error: str) -> Rejection:
        """The typed decode failed, at the first thing that it met: finds the first thing in the order of the checks."""
        refusal = self._judge_bytes(value)
        if refusal is None:
            syntax_error = raw_json.syntax_error(value)
            if syntax_error is not None:
                reason = Reason.CONTROL_CHARACTER if raw_json.has_lone_surrogate(value) else Reason.BAD_JSON
                refusal = reason, syntax_error
        refusal = refusal or self._judge_duplicates(value) or _judge_version(value) or (Reason.BAD_FIELD, error)
        return self._refuse(key, value, *refusal)

    def _refuse(self, key: bytes | None, value: bytes, reason: Reason, detail: str, event: Event | None = None) -> Rejection:
        """The rejection, with the ids that the event has, or a lenient look at the bytes, or the key."""
        ids = {}
        for name in ("withdrawal_id", "account_id"):
            ids[name] = raw_json.lenient_id(value, name) if event is None else raw_json.usable_id(getattr(event, name, None))
        if ids["account_id"] is None and self._topic.key == "account_id":
            ids["account_id"] = raw_json.usable_id(key)
        return Rejection(reason=reason, detail=_unprintable.sub("?", detail[:DETAIL_CHARACTERS_MAX]), **ids)


def _checks(event: type[Event]) -> dict[str, list[str]]:
    """The names of the fields by what their type asks to be checked (`extra` in `monitor.contracts.base`)."""
    names: dict[str, list[str]] = {check: [] for check in ("asset", "amount", "amount_or_zero", "price", "text", "time")}
    described = msgspec.inspect.type_info(event)
    for field in described.fields if isinstance(described, msgspec.inspect.StructType) else ():
        types: list[msgspec.inspect.Type] = [field.type]
        for kind in types:
            if isinstance(kind, msgspec.inspect.Metadata):
                if kind.extra:
                    names[kind.extra["check"]].append(field.name)
                else:
                    types.append(kind.type)
            elif isinstance(kind, msgspec.inspect.UnionType):
                types.extend(kind.types)
    return names


def _amount_rules(checks: Mapping[str, list[str]], decimals: int) -> tuple[AmountRule, ...]:
    """For each amount of an event whose asset has so many decimals: how to get it, what the usual good one matches, how to judge another."""
    rules = []
    for check, minor_min in (("amount", 1), ("amount_or_zero", 0), ("price", 1)):
        own_decimals = PRICE_DECIMALS_MAX if check == "price" else decimals
        # Above the maximum there are more digits before the point than this takes.
        form = f"[0-9]{{1,{len(str(AMOUNT_MINOR_MAX)) - 1 - own_decimals}}}" + (rf"(?:\.[0-9]{{1,{own_decimals}}})?" if own_decimals else "")
        is_usual = re.compile(("(?=[0.]*[1-9])" if minor_min else "") + form).fullmatch
        rules += [(attrgetter(name), is_usual, partial(_judge_amount, name, own_decimals, minor_min)) for name in checks[check]]
    return tuple(rules)


def _judge_amount(name: str, decimals: int, minor_min: int, text: str) -> Refusal | None:
    minor = parse_amount(text, decimals)
    if isinstance(minor, int) and minor >= minor_min:
        return None
    reason = minor if isinstance(minor, Reason) else Reason.AMOUNT_NOT_POSITIVE
    return reason, f"{name} {text}: at most {decimals} decimals"


def _texts(content: object) -> tuple[str, ...]:
    if isinstance(content, str):
        return (content,)
    return content if isinstance(content, tuple) else ()


def _judge_version(value: bytes) -> Refusal | None:
    raw = raw_json.members(value).get("schema_version")
    if raw is None or _whole_number(bytes(raw)) is None or bytes(raw) == b"1":
        return None
    return Reason.UNKNOWN_VERSION, f"schema_version {bytes(raw)[:20].decode()}, known is 1"


def _odd_time(name: str, time_ms: int, clock_ms: int) -> Refusal:
    shown = str(time_ms) if time_ms.bit_length() < 64 else f"a number of {time_ms.bit_length()} bits"
    return Reason.TIME_IN_FUTURE if time_ms > clock_ms else Reason.TIME_IN_PAST, f"{name} is {shown}, the clock {clock_ms}"
