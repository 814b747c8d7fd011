"""Snoozes: a rule that tells nobody of one value until a time. It mutes the telling alone: findings join incidents and losses are marked all the same.

Pure state over `monitor.decided`; `monitor.decisions` asks before it tells. What is severe is never muted; what was muted is counted.
"""

import msgspec

from monitor.findings import Finding


class Snooze(msgspec.Struct, frozen=True):
    """One rule and value: by whom, until when, and how many findings it muted."""

    rule: str
    value: str
    actor: str
    until_ms: int
    muted: int = 0


class Snoozes:
    """Snoozes by rule and value."""

    def __init__(self) -> None:
        self.by_key: dict[str, Snooze] = {}
        self.muted = 0

    def put(self, snooze: Snooze, now_ms: int, limit: int) -> str | None:
        """Snooze a rule, or change until when; why it is refused, or None."""
        key = f"{snooze.rule} {snooze.value}"
        self._forget(now_ms)
        known = self.by_key.get(key)
        if known is None and len(self.by_key) >= limit:
            return f"{limit} rules are snoozed already"
        self.by_key[key] = snooze if known is None else msgspec.structs.replace(snooze, muted=known.muted)
        return None

    def mutes(self, finding: Finding, now_ms: int) -> bool:
        """Whether nobody is to be told of this finding; asking counts it."""
        if not self.by_key:
            return False
        for value in finding.keys:
            key = f"{finding.rule} {value}"
            snooze = self.by_key.get(key)
            if snooze is not None and snooze.until_ms > now_ms:
                self.by_key[key] = msgspec.structs.replace(snooze, muted=snooze.muted + 1)
                self.muted += 1
                return True
        return False

    def _forget(self, now_ms: int) -> None:
        for key in [key for key, snooze in self.by_key.items() if snooze.until_ms <= now_ms]:
            del self.by_key[key]
