"""A journal of plain entries with its published heads, made by code of its own; for the tests of the audit trail."""

import base64
import hashlib
import json
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.published_heads import HeadCopy

BLOCK = 256
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def base64_of(value: bytes) -> str:
    return base64.b64encode(value).decode()


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def entries(count: int, name: str = "entry") -> list[bytes]:
    return [json.dumps({"kind": name, "number": number}).encode() for number in range(count)]


def heads(journal: Sequence[bytes], key: Ed25519PrivateKey | None = KEY, name: str = "core") -> list[HeadCopy]:
    """The heads of all whole blocks, computed as the contract says."""
    copies, head = [], bytes(32)
    journal_id = hashlib.sha256(journal[0]).hexdigest()
    for end in range(BLOCK, len(journal) + 1, BLOCK):
        digests = [hashlib.sha256(entry).digest() for entry in journal[end - BLOCK : end]]
        head = hashlib.sha256(b"".join([head, *digests])).digest()
        prints = base64_of(b"".join(digest[:4] for digest in digests))
        signed = json.dumps([journal_id, end - 1, head.hex(), prints], separators=(",", ":")).encode()
        signature = None if key is None else base64_of(key.sign(signed))
        copies.append(
            HeadCopy(
                journal_id=journal_id, last_offset=end - 1, head_sha256=head.hex(), prints=prints,
                key=None if key is None else name, signature=signature,
            )
        )  # fmt: skip
    return copies
