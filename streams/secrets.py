"""Secrets by reference: `env:NAME` or `file:PATH` in the settings, the value only where a connection is made.

Never prints a value and never writes one anywhere. Called by `streams.kafka` to resolve and by `streams.logs` to mask.
"""

import os
import pathlib
from collections.abc import Mapping

from streams.refusals import RefusedError

MASK = "***"
MASKED_LENGTH_MIN = 4  # a shorter value would blank out ordinary words of a log line


class SecretUnavailableError(RefusedError):
    """A reference can't be resolved; the message is one sentence and holds no value."""


class Secrets:
    """Resolves references and remembers what it resolved, so that it can be masked in logs."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._known: set[str] = set()

    def resolve(self, reference: str) -> str:
        """The value behind `env:NAME` or `file:PATH` (trailing line ends cut). Raises SecretUnavailableError."""
        kind, separator, name = reference.partition(":")
        if not separator or kind not in ("env", "file") or not name:
            raise SecretUnavailableError("A secret must be given by reference, as env:NAME or file:PATH.")
        value = self._from_environment(name) if kind == "env" else _from_file(name)
        if not value:
            raise SecretUnavailableError(f"The secret {reference} is empty.")
        self._known.add(value)
        return value

    def mask(self, text: str) -> str:
        """`text` with every secret that was resolved so far replaced by ***."""
        for value in self._known:
            if len(value) >= MASKED_LENGTH_MIN:
                text = text.replace(value, MASK)
        return text

    def _from_environment(self, name: str) -> str:
        value = self._environment.get(name)
        if value is None:
            raise SecretUnavailableError(f"The secret env:{name} is not set in the environment.")
        return value


def _from_file(path: str) -> str:
    try:
        return pathlib.Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SecretUnavailableError(f"The secret file:{path} can't be read: {why}.") from None
