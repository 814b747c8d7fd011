"""Snoozes: a rule that tells nobody of one value until a time. It mutes the telling alone: findings join incidents and losses are marked all the same.

Pure state over `monitor.decided`; `monitor.decisions` asks before it tells. What is severe is never muted; what was muted is counted.
"""

import msgspec

from monitor.findings import Finding, ties


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

    def full(self, rule: str, value: str, now_ms: int, limit: int) -> bool:
        """Whether no further one may be put; those that are over don't count."""
        standing = sum(snooze.until_ms > now_ms for snooze in self.by_key.values())
        return f"{rule} {value}" not in self.by_key and standing >= limit

    def put(self, snooze: Snooze, now_ms: int) -> None:
        """Snooze a rule for a value, or change until when. Those that are over are forgotten."""
        key = f"{snooze.rule} {snooze.value}"
        known = self.by_key.get(key)
        self.by_key = {name: each for name, each in self.by_key.items() if each.until_ms > now_ms}
        self.by_key[key] = snooze if known is None else msgspec.structs.replace(snooze, muted=known.muted)

    def mutes(self, finding: Finding, now_ms: int) -> bool:
        """Whether nobody is to be told of this finding; asking counts it."""
        if not self.by_key:
            return False
        for value in ties(finding):
            key = f"{finding.rule} {value}"
            snooze = self.by_key.get(key)
            if snooze is not None and snooze.until_ms > now_ms:
                self.by_key[key] = msgspec.structs.replace(snooze, muted=snooze.muted + 1)
                self.muted += 1
                return True
        return False
