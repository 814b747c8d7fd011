"""Ed25519 private keys: read from PEM or base64 behind a secret's reference, made anew, kept in files that only their owner can read.

Signs nothing. Called by `streams.head_signer` and the command line.
"""

import base64
import binascii
import os
import stat
from collections.abc import Callable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from monitor.signatures import KEY_BYTES
from streams.refusals import RefusedError
from streams.secrets import Secrets

PEM_BEGIN = "-----BEGIN"
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def private_key(text: str, passphrase: Callable[[], str | None] = lambda: None) -> Ed25519PrivateKey | None:
    """The key of a PEM text or of 32 bytes in base64; None if it is none. `passphrase` is asked for if the PEM is encrypted."""
    if not text.lstrip().startswith(PEM_BEGIN):
        try:
            key = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            return None
        return Ed25519PrivateKey.from_private_bytes(key) if len(key) == KEY_BYTES else None
    try:
        try:
            found = load_pem_private_key(text.encode(), None)
        except TypeError:  # the library's word for an encrypted one
            found = load_pem_private_key(text.encode(), (passphrase() or "").encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return None
    return found if isinstance(found, Ed25519PrivateKey) else None


def own_key(reference: str, secrets: Secrets, passphrase: Callable[[], str | None] = lambda: None) -> Ed25519PrivateKey:
    """A person's key: a file, which others may not read, `file:PATH`, or `env:NAME`. Raises RefusedError."""
    if not reference.startswith("env:"):
        path = reference.removeprefix("file:")
        reference = f"file:{path}"
        if (mode := _mode(path)) & OTHERS:
            raise RefusedError(
                f"The key file {path} can be read by others (mode {mode:03o}); who can read it can decide in your name: chmod 600 {path}."
            )
    key = private_key(secrets.resolve(reference), passphrase)
    if key is None:
        raise RefusedError(f"{reference} holds no Ed25519 private key that can be read (PEM, or 32 bytes in base64).")
    return key


def _mode(path: str) -> int:
    """Rights of a file; 0 if it isn't there, which is told when it is read."""
    try:
        return stat.S_IMODE(Path(path).stat().st_mode)
    except OSError:
        return 0


def public_text(key: Ed25519PrivateKey) -> str:
    """The public key in base64, as the policy and `audit verify` want it."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def base64_text(key: Ed25519PrivateKey) -> str:
    """The private key's 32 bytes in base64."""
    return base64.b64encode(key.private_bytes_raw()).decode() + "\n"


def pem_text(key: Ed25519PrivateKey) -> str:
    """The private key as PEM (PKCS #8), not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def make_key(out: Path, written: Callable[[Ed25519PrivateKey], str]) -> str:
    """Make a key, write it to a new file that only its owner can read; gives the public one. Raises RefusedError."""
    key = Ed25519PrivateKey.generate()
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise RefusedError(f"The file {out} can't be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(written(key))
    return public_text(key)
