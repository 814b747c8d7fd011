"""What an account can have of an asset at most: its newest holding, plus credits since, against what it asked for since.

Pure facts; bounded, the holdings told longest ago go first. Called by `monitor.funds` and `monitor.requests`.
"""

from itertools import islice

import msgspec

from monitor.entities import EVICTED_SHARE


class HoldingState(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One account's holding of one asset as last told, and what came and was asked for since; minor units."""

    quantity_minor: int
    at_ms: int
    credited_minor: int = 0
    asked_minor: int = 0

    @property
    def exceeded(self) -> bool:
        """Whether more was asked for than can be there."""
        return self.asked_minor > self.quantity_minor + self.credited_minor


class Holdings:
    """Holdings by "account asset"."""

    def __init__(self) -> None:
        self.by_key: dict[str, HoldingState] = {}
        self.evicted = 0

    def tell(self, key: str, quantity_minor: int, at_ms: int, limit: int) -> None:
        """The newest word on a holding: what was asked for and credited before it is in it."""
        known = self.by_key.get(key)
        if known is not None and at_ms < known.at_ms:
            return
        self.by_key.pop(key, None)
        self.by_key[key] = HoldingState(quantity_minor, at_ms)
        if len(self.by_key) > limit:
            for old in list(islice(self.by_key, len(self.by_key) - limit + limit // EVICTED_SHARE)):
                del self.by_key[old]
                self.evicted += 1

    def credit(self, key: str, amount_minor: int, at_ms: int) -> None:
        """A credit after the holding was told, or with a minus a debit. One of the same moment may be in it already: then the bound is only looser."""
        known = self.by_key.get(key)
        if known is not None and at_ms >= known.at_ms:
            self.by_key[key] = msgspec.structs.replace(known, credited_minor=known.credited_minor + amount_minor)

    def ask(self, key: str, amount_minor: int, at_ms: int, fresh_ms: int) -> bool:
        """A withdrawal is asked for, or with a minus given up. Says whether more is asked for than a fresh holding and its credits allow."""
        known = self.by_key.get(key)
        if known is None or at_ms <= known.at_ms:
            return False
        known = self.by_key[key] = msgspec.structs.replace(known, asked_minor=known.asked_minor + amount_minor)
        return known.exceeded and at_ms - known.at_ms <= fresh_ms
