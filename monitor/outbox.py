"""Output records in the order in which they are decided, each with its place: the journal offset that caused it, and a running index.

Called by `monitor.decisions` and `monitor.engine`; the shell sends what is in it.
"""

import msgspec

from monitor.contracts.outputs import Output

_encode = msgspec.json.Encoder().encode


class OutputRecord(msgspec.Struct, frozen=True, gc=False):
    """One record for an output topic. Without a key it goes to every partition of its topic."""

    topic: str
    key: bytes | None
    value: bytes
    offset: int
    index: int


class Outbox:
    """What one call of the fold puts out."""

    def __init__(self) -> None:
        self.records: list[OutputRecord] = []
        self.offset = 0
        self.index = 0

    def at(self, offset: int) -> None:
        """What comes next is caused by the entry at that offset, and follows what it has caused so far."""
        if offset != self.offset:
            self.offset = offset
            self.index = 0

    def put(self, topic: str, key: str | None, record: Output) -> None:
        """Add one record."""
        self.records.append(OutputRecord(topic, None if key is None else key.encode(), _encode(record), self.offset, self.index))
        self.index += 1

    def take(self) -> list[OutputRecord]:
        """Give the records away."""
        records, self.records = self.records, []
        return records
