"""A person's decision on its way: what it is about is looked up, it is signed, checked as intake would, sent, and its outcome awaited on `audit`.

Judges nothing else: who may decide what is the core's to say. Called by the command line.
"""

import base64
import contextlib
import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from aiokafka import TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.contracts.feedback import Feedback
from monitor.contracts.outputs import Audit, Incident, Mark, Verdict
from monitor.contracts.topics import INPUT_BY_NAME
from monitor.decode import TopicDecoder
from monitor.findings import RULES
from monitor.policy import Actor
from monitor.reasons import Rejection
from monitor.signatures import is_signed, message, public_key
from streams.kafka import Kafka
from streams.positions import JOURNAL_ID_HEADER
from streams.published import Progress, find_newest, read_published, records_with
from streams.refusals import RefusedError
from streams.replay import limits_of
from streams.settings import Settings
from streams.topic_reader import topic_bounds, whole_topic
from streams.words import grouped

FEEDBACK, AUDIT = "feedback", "audit"
OUTCOMES = ("decided", "awaits-second", "refused")
POLL_MS = 200


class Seen(NamedTuple):
    """What a decision is about, as it is published: its version, and facts for the person, each with its name.

    `value` is what is open of a mark, in the base currency, None without a price; of all else its marks' value isn't known exactly (`valued`).
    """

    version: int
    facts: tuple[tuple[str, str], ...]
    value: str | None = None
    valued: bool = False


class Wish(NamedTuple):
    """What a person wants decided."""

    command: str
    subject: str
    subject_id: str
    actor: str
    reason: str
    amount: str | None = None
    argument: str | None = None
    time_ms: int | None = None
    approves: str | None = None


async def present_journal(kafka: Kafka) -> str:
    """The journal that the newest record of `audit` is of: what is signed names it. Raises RefusedError, TopicMissingError or KafkaError."""
    journal: bytes | None = None
    async for record in whole_topic(kafka, AUDIT, 1):
        journal = dict(record.headers).get(JOURNAL_ID_HEADER)
    if journal is None:
        raise RefusedError("Nothing is published on audit that names its journal: no core has run yet, and nothing was sent.")
    return journal.decode()


async def find_decision(kafka: Kafka, event_id: str, actors: Mapping[str, Actor], progress: Progress | None = None) -> Feedback:
    """The decision that was sent under that event_id, as its actor signed it. Raises RefusedError if none was, TopicMissingError or KafkaError.

    Anybody may write to `feedback`: what its actor didn't sign is shown only if this configuration has nobody of that name.
    """
    decode, found = msgspec.json.Decoder(Feedback).decode, None
    async with contextlib.aclosing(records_with(kafka, FEEDBACK, msgspec.json.encode(event_id), progress)) as records:
        async for record in records:
            try:
                told = decode(record.value)
            except msgspec.MsgspecError:
                continue
            if told.event_id != event_id:
                continue
            actor = actors.get(told.actor)
            key = None if actor is None else public_key(actor.public_key)
            if key is not None and is_signed(told, key):
                return told
            if actor is None and found is None:
                found = told
    if found is None:
        raise RefusedError(f"No decision {event_id} stands on feedback: nothing was sent.")
    return found


async def look_up(kafka: Kafka, subject: str, subject_id: str, progress: Progress | None = None) -> Seen:
    """The subject as it stands published. Raises RefusedError if it isn't, TopicMissingError or KafkaError.

    Of a withdrawal all verdicts are read, of a policy all of `audit`: that takes its time.
    """
    seen = await _look_up(kafka, subject, subject_id, progress)
    if seen is None:
        raise RefusedError(f"No {subject} {subject_id} is published: nothing was sent (--seen-version N sends it all the same).")
    return seen


async def _look_up(kafka: Kafka, subject: str, subject_id: str, progress: Progress | None) -> Seen | None:
    if subject == "incident":
        incident = (await read_published(kafka, ("incidents",), progress)).incidents().get(subject_id)
        return None if incident is None else _incident(incident)
    if subject == "mark":
        mark = (await read_published(kafka, ("marks",), progress)).marks().get(subject_id)
        return None if mark is None else _mark(mark)
    words = msgspec.json.encode(subject_id)
    if subject == "withdrawal":
        verdict = await find_newest(kafka, "verdicts", words, lambda each: each.withdrawal_id == subject_id, Verdict, progress)
        marks = (await read_published(kafka, ("marks",), progress)).marks().values()
        return None if verdict is None else _verdict(verdict, [mark for mark in marks if mark.withdrawal_id == subject_id])
    if subject == "policy":
        told = await find_newest(
            kafka, AUDIT, words, lambda each: each.what == "policy-proposed" and each.subject_id == subject_id, Audit, progress
        )  # fmt: skip
        return None if told is None else Seen(0, (("proposed", told.detail),))
    rule = RULES.get(subject_id)
    return None if rule is None else Seen(0, (("title", rule.title), ("severity", rule.severity)))


def _incident(incident: Incident) -> Seen:
    facts = (
        ("title", incident.title), ("severity", incident.severity), ("state", incident.state), ("marks that stand", f"{incident.marks:,}"),
        ("marked", grouped(incident.marked_base_amount)), ("uncovered", grouped(incident.uncovered_base_amount)),
        ("withdrawals", f"{incident.withdrawals:,}"),
        ("assignee", incident.assignee or "nobody"),
    )  # fmt: skip
    return Seen(incident.version, facts)


def _mark(mark: Mark) -> Seen:
    facts = (
        ("state", mark.state), ("loss", f"{grouped(mark.amount)} {mark.asset}, {grouped(mark.open_amount)} of it open, {grouped(mark.recovered_amount)} came back"),
        ("value of what is open", "no price" if mark.base_amount is None else grouped(mark.base_amount)), ("owner", mark.owner), ("cause", mark.cause), ("incident", mark.incident_id),
        ("account", mark.account_id or "none"),
    )  # fmt: skip
    return Seen(mark.version, facts, mark.base_amount, valued=True)


def _verdict(verdict: Verdict, marks: list[Mark]) -> Seen:
    """Its version is that of the verdict and of all marks, added up: another one of any is another version of the withdrawal."""
    reasons = "; ".join(f"{reason.rule}: {reason.detail}" for reason in verdict.reasons) or "none"
    facts = (
        ("verdict", verdict.verdict), ("amount", f"{grouped(verdict.amount)} {verdict.asset}"), ("account", verdict.account_id or "unknown"), ("reasons", reasons),
        ("incident", verdict.incident_id or "none"), ("left already", "yes" if verdict.too_late else "no"),
        *((f"mark {mark.mark_id}", f"{mark.state}, {grouped(mark.amount)} {mark.asset}, {mark.owner}, {mark.cause}") for mark in marks),
    )  # fmt: skip
    return Seen(verdict.version + sum(mark.version for mark in marks), facts)


def clock_ms() -> int:
    """The person's clock: a decision says when it was made."""
    return round(time.time() * 1_000)


def signed(wish: Wish, seen_version: int, journal_id: str, key: Ed25519PrivateKey, settings: Settings) -> Feedback:
    """The decision with a fresh event_id and its signature. Raises RefusedError for what intake would refuse."""
    now_ms = clock_ms()
    facts = wish._asdict() | {
        "event_id": f"decision-{uuid.uuid4().hex}", "occurred_at_ms": now_ms, "journal_id": journal_id, "seen_version": seen_version,
    }  # fmt: skip
    try:
        decision = msgspec.convert(facts, Feedback)
    except msgspec.ValidationError as error:
        raise RefusedError(f"The decision can't be sent: {error}.") from None
    decoder = TopicDecoder(INPUT_BY_NAME[FEEDBACK], settings.policy.assets, limits_of(settings.intake))
    refused = decoder.decode(wish.subject_id.encode(), msgspec.json.encode(decision), now_ms)
    if isinstance(refused, Rejection):
        raise RefusedError(f"The decision can't be sent: {refused.reason} ({refused.detail}).")
    signature = base64.b64encode(key.sign(message(decision))).decode()
    return msgspec.structs.replace(decision, signature=signature)


async def decide(kafka: Kafka, decision: Feedback, wait_seconds: float) -> Audit | None:
    """Send a decision and wait for what comes of it; None if nothing is told in time. Raises TopicMissingError or KafkaError."""
    bounds = await topic_bounds(kafka, AUDIT)
    reader, producer = kafka.reader(POLL_MS), kafka.producer()
    try:
        await reader.start()
        partitions = [TopicPartition(kafka.names.full(AUDIT), number) for number in bounds]
        reader.assign(partitions)
        for partition in partitions:
            reader.seek(partition, bounds[partition.partition].end)
        await producer.start()
        value = msgspec.json.encode(decision)
        await producer.send_and_wait(kafka.names.full(FEEDBACK), value=value, key=decision.subject_id.encode())
        return await _outcome(reader, decision.event_id, time.monotonic() + wait_seconds)
    finally:
        await producer.stop()
        await reader.stop()


async def _outcome(reader: Any, event_id: str, deadline: float) -> Audit | None:
    words, decode = event_id.encode(), msgspec.json.Decoder(Audit).decode
    while time.monotonic() < deadline:
        for run in (await reader.getmany(timeout_ms=POLL_MS)).values():
            for record in run:
                if words in (record.value or b""):
                    told = decode(record.value)
                    if told.event_id == event_id and told.what in OUTCOMES:
                        return told
    return None
