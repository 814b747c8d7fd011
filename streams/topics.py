"""The topics on the broker: made with what each needs, checked against it, and every finding one sentence with its fix.

Never deletes a topic and never changes a topic of the exchange. Called by `withdrawal-monitor topics` and at every worker's start.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import structlog
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)

from monitor.contracts.topics import CONTROL, DEAD_LETTER, INPUTS, JOURNAL, OUTPUTS, RETRIES
from streams.kafka import BATCH_BYTES_MAX, Kafka
from streams.settings import Settings

log = structlog.stdlib.get_logger(__name__)

Writer = Literal["exchange", "monitor"]
FOREVER = "-1"
MESSAGE_BYTES_MIN = BATCH_BYTES_MAX + 100_000  # a batch and the one record that closes it
LETTER_SLACK_BYTES = 100_000  # key, headers and framing of a dead letter beside its value
LISTED_WITHIN_S = 10.0
LISTED_POLL_S = 0.1
DENIED = frozenset({TopicAuthorizationFailedError.errno, ClusterAuthorizationFailedError.errno})
SET_ON_TOPIC = 1  # config_source of the protocol: set on the topic itself


class Need(NamedTuple):
    """What one topic needs. `partitions` is what it is made with; `exactly` refuses any other number."""

    topic: str
    writer: Writer
    partitions: int
    exactly: bool
    configs: Mapping[str, str]


class Problem(NamedTuple):
    """One finding. `fatal`: a worker can't run with it."""

    topic: str
    sentence: str
    fatal: bool


class Found(NamedTuple):
    """One topic as the broker has it; `configs` holds what the broker tells, `own` what was set on the topic itself."""

    partitions: int
    replicas: int
    configs: Mapping[str, str]
    own: Mapping[str, str]


class Applied(NamedTuple):
    """What `apply_topics` did, by names on the broker, and what is left to do by a person."""

    made: list[str]
    changed: list[str]
    problems: list[Problem]


def needs(settings: Settings) -> list[Need]:
    """Every topic and what it needs, in the order of the contracts."""
    kafka = settings.kafka
    safe = {
        "cleanup.policy": "delete",
        "min.insync.replicas": str(kafka.min_insync_replicas),
        "unclean.leader.election.enable": "false",
    }
    written = safe | {"max.message.bytes": str(max(1_048_588, MESSAGE_BYTES_MIN))}
    kept = written | {"retention.ms": FOREVER, "retention.bytes": FOREVER}
    letters = written | {"max.message.bytes": str(max(1_048_588, settings.intake.dead_letter_value_bytes_max + LETTER_SLACK_BYTES))}
    return [
        *(Need(topic.name, "exchange", kafka.partitions, exactly=False, configs=safe) for topic in INPUTS),
        Need(RETRIES, "monitor", 1, exactly=False, configs=written),
        Need(JOURNAL, "monitor", 1, exactly=True, configs=kept),
        Need(DEAD_LETTER, "monitor", 1, exactly=False, configs=letters | {"retention.ms": FOREVER}),
        Need(CONTROL, "monitor", 1, exactly=True, configs=kept),
        *(
            Need(
                topic.name,
                "monitor",
                kafka.partitions if topic.partitions > 1 else 1,
                exactly=topic.partitions == 1,
                configs=kept if topic.kept else written,
            )
            for topic in OUTPUTS
        ),
    ]


async def check_topics(kafka: Kafka, settings: Settings) -> list[Problem]:
    """What keeps the topics from being what they must be; an empty list if nothing does. Raises KafkaError."""
    admin = kafka.admin()
    try:
        await admin.start()
        found = await _look(admin, kafka, [need.topic for need in needs(settings)])
    finally:
        await admin.close()
    return [problem for need in needs(settings) for problem in judge(need, found.get(need.topic), kafka, settings)]


async def apply_topics(kafka: Kafka, settings: Settings) -> Applied:
    """Make what is missing, set what our own topics need; gives what was done and what is left. Raises KafkaError."""
    admin = kafka.admin()
    wanted = needs(settings)
    names = [need.topic for need in wanted]
    try:
        await admin.start()
        found = await _look(admin, kafka, names)
        made = await _make(admin, kafka, settings, [need for need in wanted if need.topic not in found])
        changed = []
        for need in wanted:
            there = found.get(need.topic)
            if there is None or need.writer == "exchange":
                continue
            missing = {name: value for name, value in need.configs.items() if not _suffices(name, there.configs.get(name), value)}
            if missing:
                await _set(admin, kafka.names.full(need.topic), {**there.own, **missing})
                changed.append(kafka.names.full(need.topic))
        found = await _look_until_listed(admin, kafka, names)
    finally:
        await admin.close()
    problems = [problem for need in wanted for problem in judge(need, found.get(need.topic), kafka, settings)]
    return Applied(made, changed, problems)


def judge(need: Need, found: Found | None, kafka: Kafka, settings: Settings) -> list[Problem]:
    """The problems of one topic, the fatal ones first. A setting that the broker doesn't tell is not judged."""
    name = kafka.names.full(need.topic)
    if found is None:
        return [Problem(need.topic, f"Topic {name} is missing: make it with `withdrawal-monitor topics apply`.", fatal=True)]
    problems = []
    if need.exactly and found.partitions != need.partitions:
        fix = "delete it if it is empty and run `withdrawal-monitor topics apply`, or name another topic under kafka.topics"
        sentence = f"Topic {name} has {found.partitions} partitions, but must have exactly {need.partitions}: {fix}."
        problems.append(Problem(need.topic, sentence, fatal=True))
    wanted_replicas = settings.kafka.replication_factor
    if found.replicas < wanted_replicas:
        fix = "reassign its partitions with kafka-reassign-partitions.sh, or lower kafka.replication_factor"
        sentence = f"Topic {name} has {found.replicas} replicas, but must have at least {wanted_replicas}: {fix}."
        problems.append(Problem(need.topic, sentence, fatal=False))
    for setting, value in need.configs.items():
        has = found.configs.get(setting)
        if has is None or _suffices(setting, has, value):
            continue
        fix = f"kafka-configs.sh --alter --topic {name} --add-config {setting}={value}"
        how = f"run `withdrawal-monitor topics apply`, or `{fix}`" if need.writer == "monitor" else f"run `{fix}`"
        problems.append(Problem(need.topic, f"Topic {name} has {setting}={has}, but needs {value}: {how}.", fatal=False))
    return problems


def _suffices(setting: str, has: str | None, wanted: str) -> bool:
    if has is None:
        return True
    if setting in {"min.insync.replicas", "max.message.bytes"}:
        return int(has) >= int(wanted)
    return has == wanted


async def _look(admin: Any, kafka: Kafka, topics: Sequence[str]) -> dict[str, Found]:
    # All topics are listed: asking for one that is missing would make it on brokers with auto.create.topics.enable.
    described = {topic["topic"]: topic for topic in await admin.describe_topics()}
    there = [topic for topic in topics if kafka.names.full(topic) in described]
    configs = await _configs(admin, [kafka.names.full(topic) for topic in there])
    found = {}
    for topic in there:
        name = kafka.names.full(topic)
        partitions = described[name]["partitions"]
        replicas = min((len(partition["replicas"]) for partition in partitions), default=0)
        effective, own = configs.get(name, ({}, {}))
        found[topic] = Found(len(partitions), replicas, effective, own)
    return found


async def _look_until_listed(admin: Any, kafka: Kafka, topics: Sequence[str]) -> dict[str, Found]:
    """A broker lists what it has just made a moment later."""
    deadline_s = time.monotonic() + LISTED_WITHIN_S
    while True:
        found = await _look(admin, kafka, topics)
        if len(found) == len(topics) or time.monotonic() > deadline_s:
            return found
        await asyncio.sleep(LISTED_POLL_S)


async def _configs(admin: Any, names: Sequence[str]) -> dict[str, tuple[dict[str, str], dict[str, str]]]:
    if not names:
        return {}
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    configs = {}
    for response in responses:
        for error_code, _, _, name, rows in response.resources:
            if error_code in DENIED:
                log.warning("topic's settings may not be read, so they aren't checked: allow DescribeConfigs", topic=name)
                continue
            if error_code:
                raise for_code(error_code)(f"the settings of topic {name} can't be read")
            effective = {row[0]: row[1] for row in rows}
            own = {row[0]: row[1] for row in rows if not isinstance(row[3], bool) and row[3] == SET_ON_TOPIC}
            configs[name] = (effective, own)
    return configs


async def _make(admin: Any, kafka: Kafka, settings: Settings, missing: Sequence[Need]) -> list[str]:
    if not missing:
        return []
    replicas = settings.kafka.replication_factor
    topics = [NewTopic(kafka.names.full(need.topic), need.partitions, replicas, topic_configs=dict(need.configs)) for need in missing]
    response = await admin.create_topics(topics)
    made = []
    for name, error_code, *text in response.topic_errors:
        error = for_code(error_code)
        if error_code and error is not TopicAlreadyExistsError:
            raise error(f"topic {name} can't be made: {text[0] if text else error.__name__}")
        made.append(name)
    return made


async def _set(admin: Any, name: str, configs: Mapping[str, str]) -> None:
    """Set a topic's own settings; the protocol replaces them whole, so `configs` holds those that stay as well."""
    for response in await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, dict(configs))]):
        for error_code, text, *_ in response.resources:
            if error_code:
                raise for_code(error_code)(f"the settings of topic {name} can't be changed: {text}")


async def partition_counts(kafka: Kafka, topics: Sequence[str]) -> dict[str, int]:
    """Partitions of each of our topics, by the contracts' names. Raises UnknownTopicOrPartitionError for a missing one, or KafkaError."""
    admin = kafka.admin()
    try:
        await admin.start()
        described = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}
    finally:
        await admin.close()
    missing = [kafka.names.full(topic) for topic in topics if kafka.names.full(topic) not in described]
    if missing:
        raise UnknownTopicOrPartitionError(f"topic {missing[0]} is missing")
    return {topic: described[kafka.names.full(topic)] for topic in topics}
