"""Signs for a person at a terminal, with a key from a file. Reads the key and nothing else; called by the command line."""

import base64
import binascii
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.contracts.compensation import SignOff
from monitor.sign_offs import message
from monitor.signatures import KEY_BYTES
from streams.refusals import RefusedError


def private_key(path: Path) -> Ed25519PrivateKey:
    """The key in a file: 32 bytes in base64. Raises RefusedError; the message never shows what is in the file."""
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except OSError as error:
        raise RefusedError(f"The key file {path} can't be read: {error.strerror}.") from error
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise RefusedError(f"The file {path} holds no Ed25519 private key, {KEY_BYTES} bytes in base64.")
    return Ed25519PrivateKey.from_private_bytes(key)


def signed(incident_id: str, statement_sha256: str, actor: str, key: Ed25519PrivateKey) -> bytes:
    """A sign-off as the bytes of its file."""
    signature = base64.b64encode(key.sign(message(incident_id, statement_sha256, actor))).decode()
    return msgspec.json.encode(SignOff(actor=actor, incident_id=incident_id, statement_sha256=statement_sha256, signature=signature)) + b"\n"
