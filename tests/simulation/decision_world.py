"""Worlds with people: random events of an exchange, and signed decisions that are right, wrong, stale, late, doubled, or another's.

Draws entries and tells the auditors what they must know beforehand. What a person sees is what is published; nothing of the fold is read.
"""

import base64
import json
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor import entries
from monitor.contracts.feedback import Command
from monitor.policy import LEAD, Actor, FourEyes, Policy, Role
from monitor.version import ENGINE_VERSION
from tests.simulation.decision_auditor import DecisionAuditor, Person
from tests.simulation.journals import ASSETS, START_MS, policy
from tests.simulation.mark_auditor import STANDING, Auditor, Record
from tests.simulation.notice_auditor import Told
from tests.simulation.power_auditor import PROPOSALS_MAX
from tests.simulation.test_auditor import STALE_MS, World, layers

PARTITIONS = {"withdrawals": 1, "outflows": 1, "prices": 1, "reserves": 1, "feedback": 1, "retries": 1}
NAMES = ("ana", "ben", "lea", "leo", "eve", "adam", "robot", "stranger", "twin")
KEYS = {name: Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"-")) for name in NAMES}
KEYS["twin"] = KEYS["lea"]
"""Lea under another name, whom terms try to bring in."""
PUBLIC = {name: base64.b64encode(key.public_key().public_bytes_raw()).decode() for name, key in KEYS.items()}
ANALYST = ("acknowledge", "assign", "note", "set_clock", "confirm", "clear", "change_cause", "change_owner", "snooze")
COMMANDS = {
    "analyst": ANALYST,
    "lead": (*ANALYST, "release", "recovered", "compensated", "revise", "move", "close", "reopen"),
    "administrator": ("change_policy",),
}
ROLES = {
    "ana": ("analyst",), "ben": ("analyst",), "lea": ("lead",), "leo": ("lead",), "eve": ("administrator", "lead"), "adam": ("administrator",),
    "robot": ("lead", "administrator"),
}  # fmt: skip
TWO_FOR: tuple[tuple[Command, ...], ...] = (
    ("release", "close", "reopen", "compensated", "change_policy"),
    ("release", "close", "change_policy"),
    LEAD,
    ("release", "recovered", "reopen"),
)
OUTCOMES = ("confirmed_unauthorized", "confirmed_system_failure", "customers_own_act", "test")
SNOOZED = ("sent_again", "step_missing", "steps_out_of_order", "repeated_request", "never_requested", "redirect")
DRAWN: dict[str, int] = {
    "confirm": 8, "clear": 5, "release": 6, "change_cause": 4, "change_owner": 3, "recovered": 5, "compensated": 5, "revise": 4, "move": 3, "reopen": 3, "acknowledge": 3,
    "assign": 2, "note": 1, "set_clock": 1, "close": 5, "snooze": 2,
}  # fmt: skip


def signed(value: dict[str, Any], signer: str) -> str:
    """A signature over what is decided, by the contract's words."""
    fields = (
        "event_id", "occurred_at_ms", "subject", "subject_id", "command", "actor", "seen_version", "amount", "argument", "time_ms", "reason",
    )  # fmt: skip
    text = json.dumps([value.get(field) for field in fields], separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(KEYS[signer].sign(text.encode())).decode()


class Drawn(NamedTuple):
    """An entry's bytes, and what the auditor is told of it."""

    entry: bytes
    told: Told


class PeopleWorld(World):
    """A world whose people read what is published and decide."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, Auditor(ASSETS, STALE_MS))
        rng = self.rng
        self.administered = rng.random() < 0.3
        self.names = [name for name in ROLES if self.administered or "administrator" not in ROLES[name] or name == "robot"]
        self.four_eyes = FourEyes(rng.choice(TWO_FOR), str(rng.choice((0, 1_000, 10**6, 10**9))), rng.choice((5_000, 30_000, 200_000)))
        people = {name: Person(frozenset(command for role in ROLES[name] for command in COMMANDS[role]), name == "robot") for name in self.names}
        above = int(self.four_eyes.above_base_amount)
        self.people = DecisionAuditor(people, self.four_eyes.commands, above, self.four_eyes.within_ms, self.auditor)
        self.made: list[tuple[bytes, Told]] = []
        self.newest: tuple[Any, ...] = ()
        self.decides: tuple[Any, ...] = ()
        self.proposed: dict[str, tuple[Any, ...]] = {}
        self.files: list[tuple[Any, ...]] = []
        self.asked: list[dict[str, Any]] = []
        self.silent_until_ms = 0
        self.newest_term = ""

    def opening(self) -> list[bytes]:
        """A term, and every source opened."""
        return [self.next_term().entry, *self.writer.opened(START_MS)]

    def policy(self, taken: tuple[Any, ...]) -> Policy:
        names = self.rng.sample(self.names, len(self.names))  # the order of a table means nothing
        actors = {name: Actor(PUBLIC[name], ROLES[name], machine=name == "robot") for name in names}
        roles = {name: Role(commands) for name, commands in COMMANDS.items()}  # type: ignore[arg-type]
        four_eyes = self.four_eyes
        if self.number and self.rng.random() < 0.2:
            actors["twin"] = Actor(PUBLIC["lea"], ("lead",))
        if self.number and self.rng.random() < 0.2:
            four_eyes = msgspec.structs.replace(four_eyes, above_base_amount="0.5")  # no amount of yen
        return policy(layers=taken, price_stale_after_ms=STALE_MS, actors=actors, roles=roles, four_eyes=four_eyes)

    def next_term(self) -> Drawn:
        """A worker's policy, of a new file or of one that was told before: it decides at once where nobody may decide about policies."""
        taken = self.rng.choice(self.files) if self.files and self.rng.random() < 0.4 else layers(self.rng)
        told = self.policy(taken)
        self.files = [*self.files, taken][-4:]
        self.newest = taken
        if self.number == 0 or not self.administered:
            self.auditor.terms(taken)
            self.decides = taken
        self.newest_term = f"term-{self.number}"
        return Drawn(entries.term(self.newest_term, ENGINE_VERSION, told, PARTITIONS, self.at_ms), Told("term", {}))

    def next(self) -> Drawn:
        """One random entry."""
        rng = self.rng
        self.at_ms += rng.randrange(2_000)
        self.number += 1
        draw = rng.random()
        if self.made and draw < 0.03:  # the same record again, as after a producer's retry or an intake's restart
            entry, told = rng.choice(self.made[-50:])
            if rng.random() < 0.5:
                entry = self.writer.event(told.topic, json.loads(entry)["event"], self.at_ms)
            return Drawn(entry, told._replace(fresh=False))
        if draw < 0.05:
            return Drawn(entries.tick(self.newest_term, self.at_ms), Told("tick", {}))
        if draw < 0.07:
            topic = rng.choice(("withdrawals", "outflows"))
            at = self.writer.next.get(topic, 0)
            return Drawn(entries.progress(f"{topic}/0", at, at, self.at_ms), Told("progress", {}))
        if draw < 0.075:
            return self.next_term()
        if draw < 0.52:
            return self.decision()
        kinds: tuple[tuple[str, Callable[[], bytes], int], ...] = (
            ("prices", self.price, 0 if self.at_ms < self.silent_until_ms else 9), ("reserves", self.reserve, 10), ("outflows", self.outflow, 8),
            ("withdrawals", self.step, 45), ("withdrawals", self.unasked, 2),
        )  # fmt: skip
        topic, kind, _ = rng.choices(kinds, [weight for _, _, weight in kinds])[0]
        if rng.random() < 0.01:
            self.silent_until_ms = self.at_ms + rng.randrange(3 * STALE_MS)
        entry = kind()
        drawn = Drawn(entry, Told(topic, json.loads(entry)["event"]))
        self.made.append(drawn)
        return drawn

    def decision(self) -> Drawn:
        """Somebody decides something: mostly what can be decided, about what is there, as it is."""
        rng = self.rng
        if self.asked and rng.random() < 0.45:
            value = dict(rng.choice(self.asked[-4:]))
            value["event_id"] = f"d{self.number}"
        else:
            value = self.wish()
        seen = self.people.version(value)
        value |= {"occurred_at_ms": self.at_ms - rng.randrange(60_000), "reason": "looked at it", "seen_version": seen[1] if seen else 0}
        able = [name for name, person in self.people.people.items() if value["command"] in person.commands]
        value["actor"] = rng.choice(able) if able and rng.random() < 0.9 else rng.choice(NAMES)
        if rng.random() < 0.1:
            value["seen_version"] = max(0, value["seen_version"] + rng.choice((-3, -2, -1, 1)))
        signer: str | None = value["actor"]
        draw = rng.random()
        if draw < 0.03:
            signer = rng.choice(NAMES)
        elif draw < 0.04:
            signer = None
        value = {field: fact for field, fact in value.items() if fact is not None and field != "signature"}
        if signer is not None:
            value["signature"] = signed(value, signer)
        if 0.04 < draw < 0.05:  # signed, and changed afterwards
            value["reason"], signer = "looked at something else", None
        fresh = True
        before = next((told.value for _, told in reversed(self.made[-20:]) if told.topic == "feedback"), None)
        if draw > 0.98 and before is not None:  # another decision under a known id
            value["event_id"], fresh = before["event_id"], False
        told = Told("feedback", value, fresh, "lea" if signer == "twin" else signer)
        drawn = Drawn(self.writer.event("feedback", value, self.at_ms), told)
        self.made.append(drawn)
        if fresh:
            self.asked.append(value)
        return drawn

    def unasked(self) -> bytes:
        """A withdrawal that nobody requested was paid."""
        rng, asset = self.rng, self.rng.choice(("BTC", "ETH", "XRP"))
        facts: dict[str, Any] = {"withdrawal_id": f"u{self.number}", "account_id": f"a{rng.randrange(20)}", "asset": asset, "network": "n"}
        facts |= {"amount": self.amount(asset), "address": f"d{rng.randrange(3)}", "owner": "customer", "tx_id": f"x{self.number}"}
        return self.event("withdrawals", status=rng.choice(("broadcast", "confirmed")), **facts)

    def wish(self) -> dict[str, Any]:
        """A command about something, with what it needs."""
        rng, people = self.rng, self.people
        command = rng.choices(list(DRAWN), list(DRAWN.values()))[0]
        value: dict[str, Any] = {"event_id": f"d{self.number}", "command": command}
        if self.administered and people.proposed and rng.random() < 0.2:
            return value | {"command": "change_policy", "subject": "policy", "subject_id": rng.choice(people.proposed[-2:])}
        subject = rng.choice(("withdrawal", "mark", "mark", "incident"))
        if command in ("acknowledge", "assign", "note", "set_clock", "close") and rng.random() < 0.95:
            subject = "incident"
        elif command == "snooze":
            value |= {
                "argument": rng.choice(("address:thief", f"account:a{rng.randrange(20)}", f"address:d{rng.randrange(3)}")),
                "time_ms": self.at_ms + rng.randrange(300_000),
            }
            return value | {"subject": "rule", "subject_id": rng.choice(SNOOZED)}
        if command == "release" and rng.random() < 0.9:
            subject = "withdrawal"
        elif command in ("move", "revise") and rng.random() < 0.9:
            subject = "mark"
        value |= {"subject": subject, "subject_id": self.name(subject, command)}
        if command == "recovered":
            mark = people.marks.get(value["subject_id"])
            value["amount"] = mark["amount"] if mark is not None and rng.random() < 0.3 else self.amount(mark["asset"] if mark else "BTC")
            if mark is not None and rng.random() < 0.5:
                value["amount"] = mark["open_amount"]
            if value["amount"] == "0" or not value["amount"].strip("0."):
                value["amount"] = "1"
        elif command == "revise":
            mark = people.marks.get(value["subject_id"])
            value["amount"] = self.amount(mark["asset"] if mark else "BTC")
            if mark is not None and rng.random() < 0.7:
                decimals = ASSETS[mark["asset"]]
                part = rng.choice((Fraction(1, 2), Fraction(2), Fraction(1), Fraction(9, 10)))
                minor = int(Fraction(mark["amount"]) * part * 10**decimals)
                value["amount"] = f"{minor // 10**decimals}.{minor % 10**decimals:0{decimals}d}" if decimals else str(minor)
        value["argument"] = {
            "move": rng.choice(("new", *list(people.incidents)[-6:])),
            "change_cause": rng.choice(("unauthorized_access", "system_failure", "undecided", "weather")),
            "change_owner": rng.choice(("customer", "exchange", "nobody")), "assign": rng.choice(NAMES), "close": rng.choice(OUTCOMES),
            "set_clock": rng.choice(("halted", "police_told")),
        }.get(command)  # fmt: skip
        value["time_ms"] = self.at_ms - rng.randrange(5_000) if command == "set_clock" else None
        return value

    def name(self, subject: str, command: str) -> str:
        """Of something that is there, mostly, and newer rather than older; of what the command could be about, rather than not."""
        rng, people = self.rng, self.people
        if rng.random() < 0.03:
            return "another's"
        tables: dict[str, dict[str, Record]] = {"withdrawal": people.verdicts, "mark": people.marks, "incident": people.incidents}
        wanted: dict[str, tuple[str, ...]] = {
            "confirm": ("suspected",), "clear": ("suspected", "confirmed"), "recovered": ("confirmed", "partly_recovered", "compensated"),
            "compensated": ("confirmed", "partly_recovered"), "revise": (*STANDING, "compensated"), "move": (*STANDING, "compensated"), "reopen": ("confirmed", "cleared", "closed"), "release": ("HOLD",),
            "acknowledge": ("new",), "close": ("new", "acknowledged", "investigating", "pending_closure"), "change_cause": STANDING,
        }  # fmt: skip
        found = list(tables[subject].items())[-60:]
        field = "verdict" if subject == "withdrawal" else "state"
        fitting = [name for name, record in found if record[field] in wanted.get(command, (record[field],))]
        return rng.choice(fitting or [name for name, _ in found] or ["nothing"])

    def heard(self, told: Told, records: list[Record]) -> None:
        """What people and auditors must know before they read an entry's records."""
        for record in records:
            if record["topic"] != "audit":
                continue
            if record["what"] == "policy-proposed":
                assert self.newest != self.decides, "what decides already was proposed"
                name, proposed = record["subject_id"], self.people.proposed
                self.proposed[name] = self.newest
                proposed[:] = [*(each for each in proposed if each != name), name][-PROPOSALS_MAX:]
            elif record["what"] == "decided" and told.value.get("command") == "change_policy":
                self.decides = self.proposed[told.value["subject_id"]]
                self.auditor.terms(self.decides)
