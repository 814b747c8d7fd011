"""Exact, slower looks at the bytes of a record, for what a typed decode can't tell: depth, duplicate names, ids of what is refused.

Every look takes linear time and bounded memory whatever the bytes; none raises. Called by `monitor.decode` only, for doubtful records.
"""

import json
import re
from typing import NoReturn

import msgspec

LENIENT_LOOK_BYTES = 65_536
"""Ids stand near the start of an event; a larger record isn't read through for them."""

_ID_CHARACTERS_MAX = 128
_string_or_rest = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)  # an open string ends with the bytes: never reads twice
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_SQUARE = bytes.maketrans(b"{}", b"[]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_IN_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # line ends and tabs are what free text is made of
_id_member = {
    name: re.compile(rb'(?<!\\)"' + name.encode() + rb'"[ \t\r\n]{0,16}:[ \t\r\n]{0,16}("(?:[^"\\\x00-\x1f]|\\.){1,1600}+")')
    for name in ("withdrawal_id", "account_id")
}
_decode_string = msgspec.json.Decoder(str).decode
_skip = msgspec.json.Decoder(msgspec.Raw).decode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def is_too_deep(value: bytes, nesting_max: int) -> bool:
    """Whether objects and arrays are nested deeper than that; brackets inside strings don't count."""
    if value.count(b"{") + value.count(b"[") <= nesting_max:
        return False
    brackets = _string_or_rest.sub(b"", value).translate(_SQUARE, _NO_BRACKETS)
    for _ in range(nesting_max):  # each pass takes the innermost level away
        brackets = brackets.replace(b"[]", b"")
    return b"[]" in brackets or brackets.count(b"[") > nesting_max


def syntax_error(value: bytes) -> str | None:
    """What is wrong with the JSON text as a whole, or none. `value` is UTF-8 and not too deep."""
    try:
        _skip(value)
    except (msgspec.DecodeError, RecursionError) as error:
        return str(error)
    return None


def has_lone_surrogate(value: bytes) -> bool:
    r"""Whether the only thing wrong with it is an escape such as \ud800 without its other half. `value` is UTF-8 and not too deep."""
    try:
        json.loads(value.decode(), parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return False
    return True


def members(value: bytes) -> dict[str, msgspec.Raw]:
    """The members of a JSON object as raw bytes, the last of equal names. `value` is valid JSON in UTF-8; not an object: empty."""
    try:
        return _members(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def duplicate_name(value: bytes, names: frozenset[str]) -> str | None:
    """The first of `names` that stands twice in the outermost object, or none. `value` is valid JSON in UTF-8 and not too deep.

    Every member has its colon: if the colons are those of distinct members and those within their values, no name stands twice.
    """
    distinct = members(value)
    if not distinct:
        return None
    if value.count(b":") == len(distinct) + b"".join(distinct.values()).count(b":"):
        return None
    outermost: list[str] = []

    def keep_names(pairs: list[tuple[str, object]]) -> None:
        outermost[:] = [name for name, _ in pairs]  # the outermost object is the last to end

    json.loads(value.decode(), object_pairs_hook=keep_names, parse_int=str, parse_float=str)
    seen: set[str] = set()
    for name in outermost:
        if name in seen and name in names:
            return name
        seen.add(name)
    return None


def has_control_character(text: str, *, is_free: bool) -> bool:
    """C0, DEL or C1; in free text line ends and tabs are allowed."""
    return (_CONTROL_IN_TEXT if is_free else _CONTROL).search(text) is not None


def lenient_id(value: bytes, name: str) -> str | None:
    """The first string member of that name near the start, if it would do as an id; the bytes need not be JSON at all."""
    match = _id_member[name].search(value, 0, LENIENT_LOOK_BYTES)
    if match is None:
        return None
    try:
        return usable_id(_decode_string(match[1]))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def usable_id(text: str | bytes | None) -> str | None:
    """The text, or bytes in UTF-8, if it would do as an id."""
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError:
            return None
    return text if text and len(text) <= _ID_CHARACTERS_MAX and not has_control_character(text, is_free=False) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)
