"""The decoder: any bytes whatever and their key become an event or a rejection with its reason; it never raises on them."""

from collections.abc import Mapping

import msgspec

from monitor.contracts.base import Event
from monitor.contracts.topics import InputTopic
from monitor.policy import Asset
from monitor.reasons import Rejection


class IntakeLimits(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the intake settings that deciding on a record needs, under the same names and with the same defaults."""

    record_bytes_max: int = 262_144
    nesting_max: int = 32
    time_future_max_ms: int = 600_000
    time_past_max_ms: int = 366 * 86_400_000
    dead_letter_value_bytes_max: int = 900_000


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """An accepted event; `time_replaced`: its own time is absurd and intake's clock stands in for it (outflows only)."""

    event: Event
    time_replaced: bool = False


class Decoder:
    """Decodes records of every input topic. Stateless but for its tables."""

    def __init__(self, assets: Mapping[str, Asset], limits: IntakeLimits) -> None:
        self._assets = assets
        self._limits = limits

    def decode(self, topic: InputTopic, key: bytes | None, value: bytes | None, clock_ms: int) -> Decoded | Rejection:
        """The event of one record of that topic, or why it is refused."""
        raise NotImplementedError
