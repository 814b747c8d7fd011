"""Topic `dead-letter`, key as the original record's: a rejected record's bytes as value, the facts as headers.

Readers keep one per source position (`x-topic`, `x-partition`, `x-offset`) and drop repeats. A retry that is refused too stands under
its own position in `retries`; `x-retry-of` then names the record that it was to repair, which is the one to retry again.
"""

import msgspec


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A rejected record and why. `value` is cut at `dead_letter_value_bytes_max`; length and SHA-256 are of the whole value."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    value_bytes: int
    value_sha256: str | None
    reason: str
    detail: str
    retry_of: str | None = None

    def headers(self) -> list[tuple[str, bytes]]:
        """Kafka headers, UTF-8."""
        facts: dict[str, str | int] = {
            "x-topic": self.topic, "x-partition": self.partition, "x-offset": self.offset, "x-timestamp-ms": self.timestamp_ms,
            "x-reason": self.reason, "x-detail": self.detail, "x-value-bytes": self.value_bytes, "x-value-sha256": self.value_sha256 or "",
        }  # fmt: skip
        if self.retry_of is not None:
            facts["x-retry-of"] = self.retry_of
        return [(name, str(value).encode()) for name, value in facts.items()]
