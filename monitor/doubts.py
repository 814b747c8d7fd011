"""What looks wrong now and may be explained by an event that is still to be read: judged by progress of its topics, never by the clock.

Pure facts, bounded; `monitor.funds`, `monitor.wallet_rules` and `monitor.provider_rules` make doubts and judge them. Beside it `monitor.outflows` keeps outflows that wait.
"""

from typing import Literal

import msgspec

Kind = Literal["frozen", "holding", "balance", "provider"]
TOPICS: dict[Kind, tuple[str, ...]] = {
    "frozen": ("wallet-events", "outflows"),
    "holding": ("postings", "holdings"),
    "balance": ("outflows", "withdrawals"),
    "provider": ("providers",),
}
"""What could explain a doubt: every partition of these must be read past its time."""
DOUBTS_MAX = 4_096


class Doubt(msgspec.Struct, frozen=True):
    """One thing to be judged once everything up to `due_ms` is read. `name` is the wallet's, the account's or the provider's."""

    kind: Kind
    due_ms: int
    name: str
    asset: str
    at_ms: int
    amount_minor: int
    withdrawal_id: str | None = None


class Doubts:
    """Doubts in the order in which they arose."""

    def __init__(self) -> None:
        self.waiting: list[Doubt] = []
        self.dropped = 0

    def add(self, doubt: Doubt) -> bool:
        """Keep a doubt; says whether. Where too many wait, the new one is dropped and counted: their cause is one and is found by those before it."""
        kept = len(self.waiting) < DOUBTS_MAX
        if kept:
            self.waiting.append(doubt)
        else:
            self.dropped += 1
        return kept

    def due(self, until_ms: dict[Kind, int]) -> list[Doubt]:
        """Those whose topics were read past their time; they wait no longer."""
        ripe = [doubt for doubt in self.waiting if doubt.due_ms <= until_ms[doubt.kind]]
        if ripe:
            self.waiting = [doubt for doubt in self.waiting if doubt.due_ms > until_ms[doubt.kind]]
        return ripe
