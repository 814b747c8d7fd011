"""A slow second opinion on records, sharing no code with the decoder: Python's json with pairs kept, the checked-in schemas, Decimal.

`allowed` gives every reason that the documented order of checks allows for a record; {None} if it must be accepted.
"""

import json
import pathlib
import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any, NamedTuple

from monitor.reasons import Reason

SCHEMAS = pathlib.Path(__file__).parents[2] / "deploy" / "schemas"
KEYS = {
    "withdrawals": "account_id", "outflows": "wallet_id", "account-events": "account_id", "wallet-events": "wallet_id", "postings": "account_id",
    "holdings": "account_id", "balances": "wallet_id", "prices": "asset", "reserves": "layer_id", "providers": "provider_id", "feedback": "subject_id",
}  # fmt: skip
ABOVE_ZERO = {
    "withdrawals": ["amount"],
    "outflows": ["amount"],
    "postings": ["amount"],
    "reserves": ["amount"],
    "feedback": ["amount"],
    "prices": ["price"],
}
OR_ZERO = {"withdrawals": ["fee", "balance_before"], "balances": ["amount"], "holdings": ["quantity"]}
FREE_TEXT = {"reason", "detail", "argument"}
ASSETS = {
    "withdrawals": "asset",
    "outflows": "asset",
    "postings": "asset",
    "holdings": "asset",
    "balances": "asset",
    "prices": "asset",
    "reserves": "unit",
}
OTHER_TIMES = {"withdrawals": ["second_factor_changed_at_ms"], "providers": ["since_ms"]}
SURROGATES = {chr(code) for code in range(0xD800, 0xE000)}
CONTROLS = {chr(code) for code in range(0x100) if unicodedata.category(chr(code)) == "Cc"}
LINES = {"\t", "\n", "\r"}
LARGEST_MINOR = 10**36
DIGITS_OF_INTEGERS_MAX = 4_300


class Rules(NamedTuple):
    """What the oracle is told of the configuration."""

    decimals: dict[str, int]
    bytes_max: int
    nesting_max: int
    future_max_ms: int
    past_max_ms: int


class Pairs(list[tuple[str, Any]]):
    """An object with all its members."""


class Integer(str):
    """The text of a JSON number without fraction or exponent."""

    __slots__ = ()


class Float(str):
    """The text of any other JSON number."""

    __slots__ = ()


def _properties(topic: str) -> tuple[dict[str, Any], set[str]]:
    document = json.loads((SCHEMAS / f"{topic}.schema.json").read_bytes())
    definition = document["$defs"][document["$ref"].rpartition("/")[2]]
    return definition["properties"], set(definition["required"])


SCHEMA_OF = {topic: _properties(topic) for topic in KEYS}


def allowed(topic: str, key: bytes | None, value: bytes | None, clock_ms: int, rules: Rules) -> set[Reason | None]:
    """The reasons that the record may be refused for; {None} if it must be accepted."""
    if value is None:
        return {Reason.NULL_VALUE}
    if key is None:
        return {Reason.NULL_KEY}
    if len(value) > rules.bytes_max:
        return {Reason.TOO_LARGE}
    parsed, reasons = _parse(value, rules.nesting_max)
    return reasons or {_judge_form(topic, parsed)} - {None} or _judge_meaning(topic, key, dict(parsed), clock_ms, rules) or {None}


def _parse(value: bytes, nesting_max: int) -> tuple[Any, set[Reason | None]]:
    try:
        text = value.decode("utf-8", "strict")
        parsed = json.loads(text, object_pairs_hook=Pairs, parse_int=Integer, parse_float=Float, parse_constant=_no_constant)
    except UnicodeDecodeError:
        return None, {Reason.BAD_ENCODING}
    except RecursionError:
        return None, {Reason.TOO_DEEP}
    except ValueError:
        # How deep a broken text is, is a matter of opinion.
        return None, {Reason.BAD_JSON, Reason.TOO_DEEP} if text.count("[") + text.count("{") > nesting_max else {Reason.BAD_JSON}
    if _depth(parsed) > nesting_max:
        return None, {Reason.TOO_DEEP}
    if not SURROGATES.isdisjoint("".join(_strings(parsed))):
        return None, {Reason.CONTROL_CHARACTER}
    return parsed, set()


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _depth(content: Any) -> int:
    if isinstance(content, Pairs):
        return 1 + max((_depth(inner) for _, inner in content), default=0)
    if isinstance(content, list):
        return 1 + max((_depth(inner) for inner in content), default=0)
    return 0


def _strings(content: Any) -> list[str]:
    if isinstance(content, Pairs):
        return [string for name, inner in content for string in (name, *_strings(inner))]
    if isinstance(content, list):
        return [string for inner in content for string in _strings(inner)]
    return [content] if isinstance(content, str) else []


def _judge_form(topic: str, parsed: Any) -> Reason | None:
    properties, required = SCHEMA_OF[topic]
    if not isinstance(parsed, Pairs):
        return Reason.BAD_FIELD
    names = [name for name, _ in parsed if name in properties]
    if len(names) != len(set(names)):
        return Reason.DUPLICATE_KEY
    members = dict(parsed)
    version = members.get("schema_version")
    if isinstance(version, Integer) and version != "1":
        return Reason.UNKNOWN_VERSION
    if not required <= set(names) or not all(_fits(members[name], properties[name]) for name in names):
        return Reason.BAD_FIELD
    for name in names:
        for string in members[name] if isinstance(members[name], list) else [members[name]]:
            if isinstance(string, str) and not (CONTROLS - LINES if name in FREE_TEXT else CONTROLS).isdisjoint(string):
                return Reason.CONTROL_CHARACTER
    return None


def _fits(content: Any, schema: dict[str, Any]) -> bool:
    """The few words of JSON Schema that the input schemas use; numbers by their text, so that 1.0 is no integer."""
    if "anyOf" in schema:
        return any(_fits(content, option) for option in schema["anyOf"])
    if "enum" in schema:
        return (str(content) if isinstance(content, Integer) else content) in [str(option) for option in schema["enum"]] and (
            isinstance(content, Integer) == isinstance(schema["enum"][0], int)
        )
    return _FITS[schema["type"]](content, schema)


def _fits_string(content: Any, schema: dict[str, Any]) -> bool:
    is_text = isinstance(content, str) and not isinstance(content, Integer | Float)
    return is_text and schema.get("minLength", 0) <= len(content) <= schema.get("maxLength", 10**9)


def _fits_integer(content: Any, schema: dict[str, Any]) -> bool:
    is_number = isinstance(content, Integer) and len(content.lstrip("-")) <= DIGITS_OF_INTEGERS_MAX
    return is_number and schema.get("minimum", int(content)) <= int(content) <= schema.get("maximum", int(content))


def _fits_array(content: Any, schema: dict[str, Any]) -> bool:
    return isinstance(content, list) and not isinstance(content, Pairs) and all(_fits(inner, schema["items"]) for inner in content)


_FITS: dict[str, Callable[[Any, dict[str, Any]], bool]] = {
    "string": _fits_string,
    "integer": _fits_integer,
    "boolean": lambda content, _: isinstance(content, bool),
    "array": _fits_array,
    "null": lambda content, _: content is None,
}


def _judge_meaning(topic: str, key: bytes, event: dict[str, Any], clock_ms: int, rules: Rules) -> set[Reason | None]:
    if event[KEYS[topic]].encode() != key:
        return {Reason.KEY_MISMATCH}
    asset = event[ASSETS[topic]] if topic in ASSETS else None
    if asset is not None and asset not in rules.decimals:
        return {Reason.UNKNOWN_ASSET}
    decimals = 18 if topic == "prices" else 24 if asset is None else rules.decimals[asset]
    reasons = {_judge_amount(event.get(name), decimals, may_be_zero=False) for name in ABOVE_ZERO.get(topic, ())}
    reasons |= {_judge_amount(event.get(name), decimals, may_be_zero=True) for name in OR_ZERO.get(topic, ())}
    if reasons - {None}:
        return reasons - {None}
    last_ms = clock_ms + rules.future_max_ms
    others = [int(event[name]) for name in OTHER_TIMES.get(topic, ()) if event.get(name) is not None]
    own_ms = int(event["occurred_at_ms"])
    odd = {time_ms > last_ms for time_ms in others if not 0 <= time_ms <= last_ms}
    if not odd and topic != "outflows" and not clock_ms - rules.past_max_ms <= own_ms <= last_ms:
        odd = {own_ms > last_ms}
    return {Reason.TIME_IN_FUTURE if is_future else Reason.TIME_IN_PAST for is_future in odd}


def _judge_amount(text: str | None, decimals: int, *, may_be_zero: bool) -> Reason | None:
    if text is None:
        return None
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) is None:
        return Reason.BAD_AMOUNT
    if len(text.partition(".")[2]) > decimals:
        return Reason.AMOUNT_TOO_PRECISE
    with localcontext(prec=200):
        minor = Decimal(text).scaleb(decimals)
    if minor > LARGEST_MINOR:
        return Reason.AMOUNT_TOO_LARGE
    return None if minor > 0 or may_be_zero else Reason.AMOUNT_NOT_POSITIVE
