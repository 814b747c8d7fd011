"""The one list of reasons for refusing a record. A refusal is a value; it is counted, kept and shown under its name.

Order of the checks (`monitor.decode`): null, size, encoding, depth, syntax, duplicates, version, type and field, control
characters, then meaning: key, asset, amounts, times. Depth comes before syntax, so that no parser meets a deep text.
"""

import enum

import msgspec


class Reason(enum.StrEnum):
    """Why a record was refused."""

    NULL_VALUE = "null_value"
    NULL_KEY = "null_key"
    KEY_MISMATCH = "key_mismatch"
    TOO_LARGE = "too_large"
    BAD_ENCODING = "bad_encoding"
    BAD_JSON = "bad_json"
    TOO_DEEP = "too_deep"
    DUPLICATE_KEY = "duplicate_key"
    UNKNOWN_VERSION = "unknown_version"
    BAD_FIELD = "bad_field"
    CONTROL_CHARACTER = "control_character"
    UNKNOWN_ASSET = "unknown_asset"
    BAD_AMOUNT = "bad_amount"
    AMOUNT_NOT_POSITIVE = "amount_not_positive"
    AMOUNT_TOO_PRECISE = "amount_too_precise"
    AMOUNT_TOO_LARGE = "amount_too_large"
    TIME_IN_FUTURE = "time_in_future"
    TIME_IN_PAST = "time_in_past"
    UNKNOWN_TOPIC = "unknown_topic"
    BAD_RETRY = "bad_retry"


class Rejection(msgspec.Struct, frozen=True):
    """A refusal with its reason; ids as far as a lenient look at the bytes gives them."""

    reason: Reason
    detail: str
    withdrawal_id: str | None = None
    account_id: str | None = None
