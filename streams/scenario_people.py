"""Plays the people of an incident: they acknowledge, decide about every mark, tell the clock sheet, compensate and close, two and two; then they sign.

Their keys are made for the run, from its seed. What they know is the scenario's truth and its facts, never the monitor's opinion. Called by
`streams.scenario_compensation`.
"""

import base64
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.contracts.feedback import Command, Feedback, SubjectKind
from monitor.contracts.outputs import Audit
from monitor.ledger import apportioned
from monitor.mark_state import MarkState
from monitor.money import print_amount
from monitor.policy import Actor, Policy
from monitor.signatures import message
from streams.scenario_run import Loop
from streams.simulation.directory import minor_of
from streams.simulation.phases import Aftermath
from streams.simulation.records import Record
from streams.simulation.scenario import ScenarioRefusedError
from streams.simulation.telling import Part
from streams.simulation.world import ASSETS, WALLETS

PEOPLE = ("first-lead", "second-lead")
OUTCOMES = {"unauthorized_access": "confirmed_unauthorized", "system_failure": "confirmed_system_failure", "undecided": "inconclusive"}
STEP_MS = 3_600_000
"""The clock rings once an hour while people are at it: nothing else happens."""
DECISION_MS = 1_000
HOLDING_WEIGHT_MAX = 1_000
ASK_AGAIN = "must be asked for again"
"""What the monitor says where a first approval no longer counts, since the incident has changed."""
_DECIMALS = {row.asset: row.decimals for row in ASSETS}
_audit = msgspec.json.Decoder(Audit).decode


def key_of(name: str, seed: int) -> Ed25519PrivateKey:
    """A person's key in the runs of a seed."""
    return Ed25519PrivateKey.from_private_bytes(sha256(f"{name}/{seed}".encode()).digest())


def with_people(policy: Policy, seed: int) -> Policy:
    """A policy in which the people of a run may decide."""
    actors = {name: Actor(base64.b64encode(key_of(name, seed).public_key().public_bytes_raw()).decode(), ("lead",)) for name in PEOPLE}
    return msgspec.structs.replace(policy, actors=policy.actors | actors)


def customers_holdings(assets: Iterable[str], customers: int, at_ms: int, name: str, seed: int) -> Iterator[Record]:
    """What customers hold of each asset: together what all wallets held at the opening, divided at random with a long tail."""
    wanted = set(assets)
    for asset in sorted(wanted):
        rng = random.Random(f"{name}/{seed}/{asset}")  # noqa: S311  # a simulation
        total = sum(minor_of(asset, wallet.opening) for wallet in WALLETS if wallet.asset == asset)
        accounts = [f"customer-{number:07}" for number in range(1, customers + 1)]
        weights = [rng.randint(1, HOLDING_WEIGHT_MAX) ** 3 for _ in accounts]
        quantities = apportioned([weight * total for weight in weights], sum(weights), accounts)
        for number, (account, quantity) in enumerate(zip(accounts, quantities, strict=True)):
            value = {
                "event_id": f"holding-{name}.{asset}.{number}", "occurred_at_ms": at_ms, "schema_version": 1, "account_id": account, "asset": asset,
                "quantity": print_amount(quantity, _DECIMALS[asset]),
            }  # fmt: skip
            yield Record("holdings", account, value, at_ms)


class People:
    """The people of one played incident. `lost` is what truly left, by withdrawal, outflow's event or posting."""

    def __init__(self, loop: Loop, seed: int, lost: Mapping[str, Part]) -> None:
        self._loop = loop
        self._seed = seed
        self._lost = lost
        self._number = 0

    # ---- what they know

    def is_lost(self, mark: MarkState) -> bool:
        """Whether a mark's loss truly happened."""
        kind, _, rest = mark.mark_id.partition(":")
        if mark.subject.withdrawal_id is not None and mark.subject.withdrawal_id in self._lost:
            return True
        return kind in {"outflow", "posting"} and rest.rpartition(" ")[2] in self._lost

    def incidents(self) -> list[str]:
        """The monitor's incidents that have marks of what truly left."""
        marks = self._loop.engine.state.marks.by_id.values()
        return list(dict.fromkeys(mark.incident_id for mark in marks if self.is_lost(mark)))

    def _marks(self, incident_id: str, fits: Callable[[MarkState], bool]) -> list[MarkState]:
        marks = self._loop.engine.state.marks
        return [marks.by_id[name] for name in marks.of_incident(incident_id) if fits(marks.by_id[name])]

    # ---- what they do

    def report(self) -> None:
        """Customers have told of withdrawals that weren't theirs and that nothing was suspected of."""
        state = self._loop.engine.state
        marked = {mark.subject.withdrawal_id for mark in state.marks.by_id.values()}
        for name in self._lost:
            if name in state.withdrawals.by_id and name not in marked:
                self.decide("confirm", "withdrawal", name)

    def handle(self, incident_id: str, aftermath: Aftermath, cause: str) -> None:
        """All of it, in the order of the clock. Raises ScenarioRefusedError if the monitor refuses a decision."""
        clock, begin_ms = aftermath.clock, self._loop.play.begin_ms
        if clock.acknowledged_seconds is not None:
            self._wait(begin_ms + round(clock.acknowledged_seconds * 1_000))
        if self._loop.engine.state.incidents.by_id[incident_id].stage == "new":
            self.decide("acknowledge", "incident", incident_id)
        self.decide("assign", "incident", incident_id, argument=PEOPLE[0])
        self._judge(incident_id, aftermath, cause)
        for back in aftermath.recovered:
            self._recover(incident_id, back.asset, minor_of(back.asset, back.amount))
        for name in ("halted", "regulator_told", "police_told", "customers_told"):
            seconds = getattr(clock, f"{name}_seconds")
            if seconds is not None:
                at_ms = begin_ms + round(seconds * 1_000)
                self._wait(at_ms)
                self.decide("set_clock", "incident", incident_id, argument=name, time_ms=at_ms)
        if self._marks(incident_id, lambda mark: mark.standing and mark.open_minor > 0):
            self.decide("compensated", "incident", incident_id)
        found = sorted({mark.cause for mark in self._marks(incident_id, lambda mark: mark.stage != "cleared")} - {"undecided"})
        self.decide(
            "close", "incident", incident_id, argument=OUTCOMES[found[0] if found else cause]
        )  # of causes that nobody decided what the rules say

    def _judge(self, incident_id: str, aftermath: Aftermath, cause: str) -> None:
        """What was no loss is cleared; the rest is confirmed, with its cause and owner."""
        for mark in self._marks(incident_id, lambda mark: mark.standing and not self.is_lost(mark)):
            self.decide("clear", "mark", mark.mark_id)
        if self._marks(incident_id, lambda mark: mark.stage == "suspected"):
            self.decide("confirm", "incident", incident_id)
        if cause != "undecided" and self._marks(incident_id, lambda mark: mark.stage != "cleared" and mark.cause != cause):
            self.decide("change_cause", "incident", incident_id, argument=cause)
        owner = aftermath.owner
        if owner is not None and self._marks(incident_id, lambda mark: mark.stage != "cleared" and mark.subject.owner != owner):
            self.decide("change_owner", "incident", incident_id, argument=owner)

    def _recover(self, incident_id: str, asset: str, back_minor: int) -> None:
        """What came back is divided over the asset's marks in proportion to what each lost.

        What nothing is marked for (credits before their batch was more than all wallets hold) came back whole: it never left the accounts.
        """
        everywhere = (mark for mark in self._loop.engine.state.marks.by_id.values() if self.is_lost(mark))
        marked = sum(mark.subject.amount_minor for mark in everywhere if mark.subject.asset == asset)
        back_minor -= sum(part.amount_minor for part in self._lost.values() if part.asset == asset) - marked
        marks = self._marks(incident_id, lambda mark: mark.standing and mark.subject.asset == asset)
        amounts = [mark.open_minor for mark in marks]
        shares = apportioned([amount * back_minor for amount in amounts], sum(amounts), [mark.mark_id for mark in marks]) if marks else []
        for mark, share in zip(marks, shares, strict=True):
            if share:
                self.decide("recovered", "mark", mark.mark_id, amount=print_amount(share, _DECIMALS[asset]))

    def decide(self, command: Command, subject: SubjectKind, subject_id: str, **said: str | int) -> None:
        """One decision, by a second person too where the policy wants one. Raises ScenarioRefusedError if it is refused."""
        detail, waits = "", None
        for actor in PEOPLE * 2:  # twice: what changed between the two is asked for again
            outcome = self._say(actor, command, subject, subject_id, said if waits is None else said | {"approves": waits})
            detail = outcome.detail
            if outcome.what == "decided":
                return
            if outcome.what != "awaits-second" and ASK_AGAIN not in detail:
                break
            waits = outcome.event_id if outcome.what == "awaits-second" else None
        raise ScenarioRefusedError(f"Scenario '{self._loop.play.scenario.id}': {detail}.")

    def _say(self, actor: str, command: Command, subject: SubjectKind, subject_id: str, said: dict[str, str | int]) -> Audit:
        loop = self._loop
        self._number += 1
        now_ms = loop.journal.clock_ms + DECISION_MS
        self._wait(now_ms, DECISION_MS)  # what the last decision did is told, and seen
        state = loop.engine.state
        subjects: dict[SubjectKind, Mapping[str, Any]] = {
            "incident": state.incidents.by_id, "mark": state.marks.by_id, "withdrawal": state.withdrawals.by_id,
        }  # fmt: skip
        version = subjects[subject][subject_id].version
        if subject == "withdrawal":
            version += sum(state.marks.by_id[name].version for name in state.marks.of_withdrawal(subject_id))
        facts = {
            "event_id": f"decision-{loop.play.name}.{self._number}", "occurred_at_ms": now_ms, "subject": subject, "subject_id": subject_id,
            "command": command, "actor": actor, "reason": "as the incident's facts tell", "seen_version": version,
            "journal_id": loop.engine.journal_id,
        } | said  # fmt: skip
        signature = key_of(actor, self._seed).sign(message(msgspec.convert(facts, Feedback)))
        value = facts | {"schema_version": 1, "signature": base64.b64encode(signature).decode()}
        records = loop.fold(loop.journal.take(Record("feedback", subject_id, value, now_ms)))
        outcomes = [_audit(record.value) for record in records if record.topic == "audit"]
        own = [outcome for outcome in outcomes if outcome.event_id == facts["event_id"]]
        if not own:
            raise ScenarioRefusedError(f"Scenario '{loop.play.scenario.id}': nothing came of {command} of {subject_id} by {actor}.")
        return own[0]

    def _wait(self, until_ms: int, step_ms: int = STEP_MS) -> None:
        """Time passes."""
        batch = list(self._loop.journal.until(until_ms, step_ms))
        if batch:
            self._loop.fold(batch)
