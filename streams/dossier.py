"""What was published about incidents while a journal was folded, with the entries behind it: the material of compensation files and reports.

Keeps records as they came and decodes what is asked for; one mark's versions are kept as long as the dossier is. Called by `streams.compensation`,
`streams.scenario_people` and the command line.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from monitor.contracts.outputs import Alert, Audit, Coverage, Incident, Mark
from monitor.engine import Engine, OutputRecord
from monitor.version import ENGINE_VERSION
from streams.refusals import RefusedError
from streams.replay import Progress, ReplayFailedError, fold_file, journal_of, left_out
from streams.settings import Settings

DECISIONS = (b'"what":"decided"', b'"what":"awaits-second"', b'"what":"refused"', b'"what":"expired"', b'"what":"void"')
Entries = Callable[[], Iterator[tuple[int, bytes]]]
"""Gives the journal's entries with their offsets, from the beginning, as often as it is called."""

_alert = msgspec.json.Decoder(Alert).decode
_audit = msgspec.json.Decoder(Audit).decode
_coverage = msgspec.json.Decoder(Coverage).decode
_incident = msgspec.json.Decoder(Incident).decode
_mark = msgspec.json.Decoder(Mark).decode


class Version(NamedTuple):
    """One version of a mark, the offset of the entry that caused it, and the newest coverage before it."""

    value: bytes
    offset: int
    coverage_before: bytes | None

    @property
    def mark(self) -> Mark:
        """The version, decoded."""
        return _mark(self.value)


class Accepted:
    """Which events had their effect in the fold, as its engine's witness is told: one bit an entry, by offset."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def __contains__(self, offset: int) -> bool:
        """Whether the event at that offset had its effect."""
        place = offset >> 3
        return place < len(self._bits) and bool(self._bits[place] >> (offset & 7) & 1)

    def witness(self, offset: int) -> None:
        """An event had its effect."""
        place = offset >> 3
        if place >= len(self._bits):
            self._bits.extend(bytes(place + 1 - len(self._bits)))
        self._bits[place] |= 1 << (offset & 7)


class Dossier:
    """Everything published about incidents, by incident, mark and subject."""

    def __init__(self) -> None:
        self.versions: dict[str, list[Version]] = {}
        self.incidents: dict[str, Incident] = {}
        self.decisions: list[Audit] = []
        self.alerts: list[Alert] = []
        self.accepted = Accepted()
        self._coverage: bytes | None = None
        self._whole: bytes | None = None

    def attend(self, engine: Engine) -> None:
        """Be told what an engine takes from now on, beside what it puts out."""
        engine.witness = self.accepted.witness

    def take(self, records: Iterable[OutputRecord]) -> None:
        """The next outputs of the fold."""
        for record in records:
            if record.topic == "coverage":
                self._coverage = record.value
                if b'"scope":"whole"' in record.value:
                    self._whole = record.value
            elif record.topic == "marks":
                version = Version(record.value, record.offset, self._whole or self._coverage)
                self.versions.setdefault((record.key or b"").decode(), []).append(version)
            elif record.topic == "incidents":
                incident = _incident(record.value)
                self.incidents[incident.incident_id] = incident
            elif record.topic == "alerts":
                self.alerts.append(_alert(record.value))
            elif record.topic == "audit" and any(what in record.value for what in DECISIONS):
                self.decisions.append(_audit(record.value))

    def incident(self, incident_id: str) -> Incident:
        """The newest version of an incident. Raises RefusedError if there is none, or if it is part of another."""
        found = self.incidents.get(incident_id)
        if found is None:
            known = ", ".join(list(self.incidents)[-3:]) or "none"
            raise RefusedError(f"There is no incident {incident_id} in this journal (the newest: {known}).")
        if found.merged_into is not None:
            raise RefusedError(f"Incident {incident_id} is part of incident {found.merged_into}: ask for that.")
        return found

    def absorbed(self, incident_id: str) -> set[str]:
        """An incident and all that became part of it."""
        names = {incident_id}
        while more := {one.incident_id for one in self.incidents.values() if one.merged_into in names} - names:
            names |= more
        return names

    def marks_of(self, incident_id: str) -> dict[str, list[Version]]:
        """The versions of the marks that are the incident's in their newest version, cleared ones too."""
        wanted = f'"incident_id":{msgspec.json.encode(incident_id).decode()}'.encode()
        found = {name: versions for name, versions in self.versions.items() if wanted in versions[-1].value}
        return {name: versions for name, versions in found.items() if versions[-1].mark.incident_id == incident_id}

    def marks_beside(self, incident_id: str, assets: Container[str]) -> dict[str, list[Version]]:
        """The versions of marks of other incidents that are of some assets and stand or were paid in their newest version."""
        found = {}
        for name, versions in self.versions.items():
            mark = versions[-1].mark
            if mark.incident_id != incident_id and mark.asset in assets and mark.state != "cleared":
                found[name] = versions
        return found

    def coverage_before(self, incident_id: str) -> Coverage | None:
        """The newest coverage before the first of an incident's marks was made; none if nothing was published by then."""
        firsts = [versions[0] for versions in self.marks_of(incident_id).values()]
        value = min(firsts, key=lambda version: version.offset).coverage_before if firsts else None
        return None if value is None else _coverage(value)

    def coverage_after(self) -> Coverage | None:
        """The newest coverage."""
        return None if self._coverage is None else _coverage(self._coverage)


class Folded(NamedTuple):
    """A folded journal: the dossier, the engine as it stands after the last entry, the entries to read again, and what of a file was left out."""

    dossier: Dossier
    engine: Engine
    entries: Entries
    left_out: str | None = None

    @property
    def engine_version(self) -> str:
        """Which engine has folded it."""
        return ENGINE_VERSION

    def told(self, kinds: bytes) -> Iterator[tuple[int, bytes]]:
        """The entries that begin so, of events that had their effect in the fold."""
        accepted = self.dossier.accepted
        for offset, entry in self.entries():
            if entry.startswith(kinds) and offset in accepted:
                yield offset, entry


def fold_journal(path: Path, settings: Settings, progress: Progress | None = None) -> Folded:
    """Fold a kept journal, or the journal that a file of input records makes under the settings' policy.

    Raises
    ------
    FileRefusedError
        The file can't be read, or isn't what it should be.
    RefusedError
        The fold fails.
    """
    dossiers: list[Dossier] = []

    def hearer() -> Callable[[list[OutputRecord]], None]:
        dossiers.append(Dossier())
        return dossiers[-1].take

    def attended(engine: Engine) -> None:
        dossiers[-1].attend(engine)

    try:
        fold, read = fold_file(path, settings, hearers=hearer, prepare=attended, progress=progress)
    except ReplayFailedError as error:
        raise RefusedError(f"{error} (withdrawal-monitor replay says more)") from error
    return Folded(dossiers[-1], fold.engine, lambda: enumerate(journal_of(path, settings)), left_out(read, path))
