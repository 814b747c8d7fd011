"""Reading outputs without repeats: the highest (offset, index) per partition and journal is kept, what isn't higher is dropped.

Nothing of Kafka clients: headers in, yes or no out. Called by every reader of ours of an output topic.
"""

from collections.abc import Sequence

JOURNAL_ID_HEADER = "journal_id"
OFFSET_HEADER = "offset"
INDEX_HEADER = "index"


class PositionReader:
    """Says which records are new. One per reader; partitions are told apart by any hashable name, as ("alerts", 0).

    A writer sends a partition in order and stops at its first failure, so what is there is a prefix, then repeats: keeping the
    highest position suffices. A record of another journal starts afresh; one without the headers is not ours and never new.
    """

    def __init__(self) -> None:
        self._highest: dict[tuple[object, bytes], tuple[int, int]] = {}

    def is_new(self, partition: object, headers: Sequence[tuple[str, bytes]]) -> bool:
        """True for a record that this reader has not seen; remembers it."""
        facts = dict(headers)
        try:
            journal = facts[JOURNAL_ID_HEADER]
            position = (int(facts[OFFSET_HEADER]), int(facts[INDEX_HEADER]))
        except (KeyError, ValueError):
            return False
        if position <= self._highest.get((partition, journal), (-1, -1)):
            return False
        self._highest[partition, journal] = position
        return True
