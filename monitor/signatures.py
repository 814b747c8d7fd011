"""Signatures under people's decisions: Ed25519 (RFC 8032) over what is decided, checked against the policy's public keys; and under heads.

Kafka doesn't tell a consumer who produced a record, so an unsigned decision is nobody's. Pure; called by `monitor.decided`
and `monitor.trail_check`.
"""

import base64
import binascii

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from monitor.contracts.feedback import Feedback

KEY_BYTES = 32


def message(decision: Feedback) -> bytes:
    """What is signed: a JSON array, without spaces, of everything decided; its order and the nulls are part of the contract."""
    return msgspec.json.encode([
        decision.event_id, decision.occurred_at_ms, decision.subject, decision.subject_id, decision.command, decision.actor,
        decision.seen_version, decision.amount, decision.argument, decision.time_ms, decision.reason,
    ])  # fmt: skip


def public_key(text: str) -> bytes | None:
    """The 32 bytes of a public key in base64; None if it is none."""
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def is_signed(decision: Feedback, key: bytes) -> bool:
    """Whether the decision carries the signature of that key's owner."""
    return is_signature(decision.signature, message(decision), key)


def is_signature(text: str | None, signed: bytes, key: bytes) -> bool:
    """Whether `text` is a signature, in base64, of the owner of a public key under `signed`."""
    if text is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(base64.b64decode(text, validate=True), signed)
    except (binascii.Error, ValueError, InvalidSignature):
        return False
    return True
