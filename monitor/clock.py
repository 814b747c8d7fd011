"""The core's time, which entries bring: no clock is read here, so that a replay has the same.

Part of `monitor.state`; what a wrong clock can do is bounded where it is used.
"""

import msgspec


class Clock(msgspec.Struct):
    """The core's time: from Ticks and from the clocks of entries; it never goes back."""

    now_ms: int = 0
    tick_ms: int = 0
    intake_ms: int = 0

    def heard(self, clock_ms: int) -> None:
        """The clock of an entry's writer."""
        if clock_ms > self.intake_ms:
            self.intake_ms = clock_ms
            self.now_ms = max(self.now_ms, clock_ms)
