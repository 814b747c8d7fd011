"""One SHA-256 over all outputs of a journal, in the order of the fold; the same for a replay, a refold and what was published live.

Only the outputs' own facts enter: journal id, engine version, then topic, key, offset, index and value of each record.
Called by `streams.replay` and `streams.replay_kafka`.
"""

import hashlib
import struct

from monitor.outbox import OutputRecord
from monitor.version import ENGINE_VERSION

_place = struct.Struct(">qqiii")


def record_digest(record: OutputRecord) -> bytes:
    """SHA-256 of one record: its lengths and place, then topic, key and value."""
    topic = record.topic.encode()
    key = record.key or b""
    key_length = -1 if record.key is None else len(key)
    head = _place.pack(record.offset, record.index, len(topic), key_length, len(record.value))
    return hashlib.sha256(head + topic + key + record.value).digest()


class OutputHash:
    """Takes the digests of the records in order of (offset, index); records without a key count once, not per partition."""

    def __init__(self, journal_id: str) -> None:
        self._hash = hashlib.sha256(f"{journal_id} {ENGINE_VERSION}\n".encode())

    def add(self, digest: bytes) -> None:
        """Take the next record's digest."""
        self._hash.update(digest)

    def hexdigest(self) -> str:
        """The hash over all so far."""
        return self._hash.hexdigest()
