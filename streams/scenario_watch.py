"""What people see while a scenario is folded: verdicts, pages, incidents, marks, coverage; and which of it is the incident's.

Takes output records in order; decides nothing. Bounded by what is odd, not by how long it runs. Used by the scenario runner.
"""

from collections.abc import Iterable, Mapping

import msgspec

from monitor.contracts.outputs import Alert, Coverage, Incident, Mark, Verdict
from monitor.outbox import OutputRecord
from streams.simulation.crowds import OWN_ADDRESSES
from streams.simulation.exchange import Record
from streams.simulation.play import Play
from streams.summary import HEARTBEAT, CoverageRow

CLEAR = b'"verdict":"CLEAR"'
ROWS_MAX = 2_000
TOUCH_MS = 120_000
"""A page about something honest traffic uses too (a wallet, a provider, an asset) is the incident's for so long after the incident used it."""

_verdict = msgspec.json.Decoder(Verdict)
_alert = msgspec.json.Decoder(Alert)
_incident = msgspec.json.Decoder(Incident)
_mark = msgspec.json.Decoder(Mark)
_coverage = msgspec.json.Decoder(Coverage)


class Watch:
    """Everything odd that came out so far."""

    def __init__(self) -> None:
        self.verdicts: dict[str, list[Verdict]] = {}
        self.held: set[str] = set()
        self.alerts: list[Alert] = []
        self.incidents: list[Incident] = []
        self.marks: list[Mark] = []
        self.coverage: list[CoverageRow] = []
        self._takers = {
            "verdicts": self._verdict, "alerts": self._alert, "incidents": self._incident, "marks": self._mark, "coverage": self._cover,
        }  # fmt: skip

    def take(self, records: Iterable[OutputRecord]) -> None:
        """The outputs of one fold."""
        for record in records:
            taker = self._takers.get(record.topic)
            if taker is not None:
                taker(record.value)

    def _verdict(self, value: bytes) -> None:
        if value.startswith(HEARTBEAT) or CLEAR in value:
            return
        verdict = _verdict.decode(value)
        self.verdicts.setdefault(verdict.withdrawal_id, []).append(verdict)
        if verdict.verdict == "HOLD" and (verdict.mode == "enforce" or verdict.too_late):
            self.held.add(verdict.withdrawal_id)

    def _alert(self, value: bytes) -> None:
        self.alerts.append(_alert.decode(value))

    def _incident(self, value: bytes) -> None:
        self.incidents.append(_incident.decode(value))

    def _mark(self, value: bytes) -> None:
        self.marks.append(_mark.decode(value))

    def _cover(self, value: bytes) -> None:
        if b'"scope":"changed"' not in value and self.coverage:
            return
        told = _coverage.decode(value)
        row = CoverageRow(
            told.decided_at_ms, told.marked_base_amount, told.uncovered_base_amount, told.available_base_amount, told.seconds_to_exhaustion
        )
        self.coverage.append(row)
        if len(self.coverage) > ROWS_MAX:
            del self.coverage[1:-1:2]

    @property
    def pages(self) -> list[Alert]:
        """Alerts that wake somebody."""
        return [alert for alert in self.alerts if alert.kind == "page"]

    def odd(self) -> dict[str, Verdict]:
        """By withdrawal, the first verdict that isn't CLEAR."""
        return {withdrawal_id: versions[0] for withdrawal_id, versions in self.verdicts.items()}

    def reviews(self) -> dict[str, Verdict]:
        """By withdrawal, the verdict for which a person is asked, within the budget."""
        asked: dict[str, Verdict] = {}
        for withdrawal_id, versions in self.verdicts.items():
            for verdict in versions:
                if verdict.review == "asked":
                    asked.setdefault(withdrawal_id, verdict)
        return asked


class Ties:
    """Which pages are the incident's, by what its records were about.

    Names that only the incident has (fresh addresses, devices, batches, its withdrawals, transactions and events) tie a monitor's incident to
    it from then on; wallets, accounts, providers and assets only for two minutes after it used them.
    """

    def __init__(self, play: Play) -> None:
        self._play = play
        self._own: set[str] = set()
        self._touched: dict[str, list[int]] = {}
        self.withdrawals: dict[str, None] = {}

    def note(self, record: Record) -> None:
        """One of the incident's records."""
        value = record.value
        for name in ("event_id", "posting_id", "batch_id", "tx_id"):
            if name in value:
                self._own.add(str(value[name]))
        fresh = self._play.cast.fresh
        self._own.update(name for name in map(str, value.values()) if name in fresh and name not in OWN_ADDRESSES)
        if "withdrawal_id" in value:
            self.withdrawals[str(value["withdrawal_id"])] = None
        for name in ("wallet_id", "account_id", "provider_id", "asset", "address", "device_id", "api_key_id"):
            if name in value:
                self._touched.setdefault(str(value[name]), []).append(record.timestamp_ms)
        if "ip" in value:
            self._touched.setdefault(str(value["ip"]).rpartition(".")[0], []).append(record.timestamp_ms)

    def _is_own(self, name: str) -> bool:
        """Whether only the incident has that name."""
        bare = name.partition(" ")[0]
        return bare in self._own or bare in self.withdrawals

    def pages(self, watch: Watch) -> list[Alert]:
        """The incident's pages, in order."""
        since = self._tied_since(watch)
        keys: dict[str, tuple[str, ...]] = {}
        for incident in watch.incidents:
            keys[incident.incident_id] = incident.keys
        return [
            page
            for page in watch.pages
            if page.incident_id is not None
            and (
                page.decided_at_ms >= since.get(page.incident_id, page.decided_at_ms + 1) or self._touches(keys, page.incident_id, page.decided_at_ms)
            )
        ]

    def _tied_since(self, watch: Watch) -> Mapping[str, int]:
        since: dict[str, int] = {}
        for withdrawal_id in self.withdrawals:
            for verdict in watch.verdicts.get(withdrawal_id, ()):
                if verdict.incident_id is not None:
                    since[verdict.incident_id] = min(verdict.decided_at_ms, since.get(verdict.incident_id, verdict.decided_at_ms))
        for mark in watch.marks:
            if (mark.withdrawal_id or "") in self.withdrawals or any(self._is_own(part) for part in mark.mark_id.partition(":")[2].split(" ")):
                since[mark.incident_id] = min(mark.decided_at_ms, since.get(mark.incident_id, mark.decided_at_ms))
        for incident in watch.incidents:
            if incident.incident_id not in since and any(self._is_own(key.partition(":")[2]) for key in incident.keys):
                since[incident.incident_id] = incident.decided_at_ms
            if incident.merged_into is not None and incident.incident_id in since:
                since[incident.merged_into] = min(incident.decided_at_ms, since.get(incident.merged_into, incident.decided_at_ms))
        return since

    def _touches(self, keys: Mapping[str, tuple[str, ...]], incident_id: str, at_ms: int) -> bool:
        for key in keys.get(incident_id, ()):
            for touched_ms in self._touched.get(key.partition(":")[2].partition(" ")[0], ()):
                if touched_ms <= at_ms <= touched_ms + TOUCH_MS:
                    return True
        return False

    def incidents(self, watch: Watch) -> list[Incident]:
        """The newest version of each of the monitor's incidents that is the incident's."""
        tied = set(self._tied_since(watch)) | {page.incident_id for page in self.pages(watch)}
        newest = {incident.incident_id: incident for incident in watch.incidents if incident.incident_id in tied}
        return [incident for incident in newest.values() if incident.state != "merged"]
