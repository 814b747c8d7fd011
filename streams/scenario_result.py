"""What a scenario's run came to, as values: `--json` is this, and `scenario_report` prints it. Times in seconds from the first provable loss.

Amounts are decimal strings in the base currency; shares are of the loss's value, 0 to 1.
"""

from typing import Literal, NamedTuple

import msgspec


class Page(NamedTuple):
    """Somebody was woken."""

    after_seconds: float
    title: str
    summary: str
    rules: tuple[str, ...]


class VerdictShown(NamedTuple):
    """The newest verdict on one of the incident's withdrawals."""

    withdrawal_id: str
    verdict: str
    too_late: bool
    after_seconds: float
    reasons: list[str]


class MonitorIncident(NamedTuple):
    """One of the monitor's incidents that the played incident caused."""

    incident_id: str
    severity: str
    cause: str
    title: str
    summary: str
    rules: tuple[str, ...]
    opened_after_seconds: float
    withdrawals: int
    accounts: int
    marked_base_amount: str


class Criterion(NamedTuple):
    """One thing that must be true of a run."""

    name: str
    met: bool
    what: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One run of one scenario over one seed's history."""

    scenario: str
    name: str
    seed: int
    hold: Literal["on", "off"]
    history_days: float
    history_records: int
    entries: int
    refused: dict[str, int]
    first_loss_at_ms: int
    loss_base_amount: str
    losses: int
    losses_stopped: int
    page_after_seconds: float | None
    page: Page | None
    gone_by_page_share: float | None
    hold_after_seconds: float | None
    gone_by_hold_share: float | None
    gone_share: float
    gone_base_amount: str
    saved_base_amount: str
    verdicts: dict[str, int]
    held: list[VerdictShown]
    incidents: list[MonitorIncident]
    marks: int
    marked_base_amount: str
    coverage: list[tuple[float, str, str, str]]
    pages: list[Page]
    pages_count: int
    notices: int
    false_pages_history: list[Page]
    false_pages_history_count: int
    false_pages_before: list[Page]
    false_pages_after: list[Page]
    reviews_history: int
    reviews_before: int
    reviews_after: int
    noticed_after_seconds: float | None
    shortened: list[str]
    criteria: list[Criterion]

    @property
    def passed(self) -> bool:
        """Whether all criteria are met."""
        return all(criterion.met for criterion in self.criteria)

    @property
    def misses(self) -> list[str]:
        """What isn't met, and why."""
        return [f"{criterion.name}: {criterion.what}" for criterion in self.criteria if not criterion.met]
