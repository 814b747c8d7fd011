"""Signs the heads of the audit trail as they are sent: the Ed25519 signature and the key's name become headers of the record.

The key is a secret by reference. Made at the worker's start; called by `streams.rounds`.
"""

import base64

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.signatures import KEY_BYTES
from monitor.trail import message
from streams.outputs import Headers
from streams.refusals import RefusedError
from streams.secrets import Secrets
from streams.settings import AuditSettings
from streams.signing_keys import private_key

SIGNATURE_HEADER = "signature"
KEY_HEADER = "key"


class HeadFacts(msgspec.Struct, tag_field="what", tag="head"):
    """What of a published head is signed, with the journal's id."""

    last_offset: int
    head_sha256: str
    prints: str


_decode = msgspec.json.Decoder(HeadFacts).decode


class HeadSigner:
    """Signs with one key."""

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self._name = name.encode()
        self._key = key

    def headers(self, journal_id: str, value: bytes) -> Headers:
        """The headers that sign a record of `audit`; none if it isn't a head."""
        if b'"what":"head"' not in value:
            return []
        head = _decode(value)
        signature = self._key.sign(message(journal_id, head.last_offset, head.head_sha256, head.prints))
        return [(SIGNATURE_HEADER, base64.b64encode(signature)), (KEY_HEADER, self._name)]


def head_signer(settings: AuditSettings, secrets: Secrets) -> HeadSigner | None:
    """The signer that the settings ask for, if they ask for one. Raises RefusedError (a secret that is missing, or no key)."""
    if settings.signing_key is None:
        return None
    key = private_key(secrets.resolve(settings.signing_key))
    if key is None:
        raise RefusedError(f"The secret {settings.signing_key} (audit.signing_key) isn't an Ed25519 private key, {KEY_BYTES} bytes in base64 or PEM.")
    return HeadSigner(settings.key_name, key)
