"""What each topic needs, and the sentence for each thing that is wrong with it."""

import pytest

from monitor.contracts.topics import INPUTS, OUTPUTS
from monitor.policy import Asset, Policy
from streams.kafka import TOPICS
from streams.settings import IntakeSettings, KafkaSettings, Settings
from streams.topics import Found, Need, check_topics, judge, needs, partition_counts
from tests.unit.kafka_fake import Cluster, FakeKafka

SETTINGS = Settings(policy=Policy(assets={"JPY": Asset(0)}), kafka=KafkaSettings(topic_prefix="p."), intake=IntakeSettings())
KAFKA = FakeKafka(Cluster({}), SETTINGS.kafka)


def need(topic: str) -> Need:
    return next(need for need in needs(SETTINGS) if need.topic == topic)


def sentences(topic: str, found: Found | None) -> list[str]:
    return [problem.sentence for problem in judge(need(topic), found, KAFKA, SETTINGS)]  # type: ignore[arg-type]


def good(topic: str, **changed: str) -> Found:
    configs = dict(need(topic).configs) | {name.replace("_", "."): value for name, value in changed.items()}
    return Found(need(topic).partitions, 3, configs, {})


def test_every_topic_is_made_with_what_it_needs() -> None:
    assert {need.topic for need in needs(SETTINGS)} == set(TOPICS)
    journal = need("journal")
    assert (journal.partitions, journal.exactly) == (1, True)
    assert {
        "retention.ms": "-1", "cleanup.policy": "delete", "min.insync.replicas": "2", "unclean.leader.election.enable": "false",
    }.items() <= journal.configs.items()  # fmt: skip
    assert need("control").configs["retention.ms"] == "-1"
    kept = {topic.name for topic in OUTPUTS if need(topic.name).configs.get("retention.ms") == "-1"}
    assert kept == {"marks", "incidents", "audit"}  # an open incident is told by its newest record, however old that is; heads prove the journal
    assert {need(topic.name).writer for topic in INPUTS} == {"exchange"} and {need(topic.name).writer for topic in OUTPUTS} == {"monitor"}
    assert int(need("dead-letter").configs["max.message.bytes"]) > SETTINGS.intake.dead_letter_value_bytes_max


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_as_it_was_made_is_right(topic: str) -> None:
    assert sentences(topic, good(topic)) == []


@pytest.mark.parametrize(
    ("topic", "setting", "value"),
    [
        ("journal", "retention_ms", "604800000"),
        ("journal", "cleanup_policy", "compact"),
        ("journal", "min_insync_replicas", "1"),
        ("journal", "unclean_leader_election_enable", "true"),
        ("control", "retention_ms", "604800000"),
        ("dead-letter", "max_message_bytes", "500000"),
        ("verdicts", "min_insync_replicas", "1"),
        ("withdrawals", "cleanup_policy", "compact"),
    ],
)
def test_less_is_refused_in_one_sentence_with_its_fix(topic: str, setting: str, value: str) -> None:
    (sentence,) = sentences(topic, good(topic, **{setting: value}))
    name = setting.replace("_", ".")
    assert f"p.{topic}" in sentence and f"{name}={value}" in sentence and "--add-config" in sentence
    assert sentence.count(".") and sentence.endswith(".")
    assert ("topics apply" in sentence) == (topic != "withdrawals"), "a topic of the exchange is never changed by us"


def test_more_is_right() -> None:
    assert sentences("journal", good("journal", min_insync_replicas="3", max_message_bytes="9000000")) == []


def test_a_missing_topic_and_wrong_partitions_are_fatal() -> None:
    (missing,) = judge(need("journal"), None, KAFKA, SETTINGS)  # type: ignore[arg-type]
    assert missing.fatal and "p.journal is missing" in missing.sentence and "topics apply" in missing.sentence
    (wrong,) = judge(need("journal"), good("journal")._replace(partitions=4), KAFKA, SETTINGS)  # type: ignore[arg-type]
    assert wrong.fatal and "4 partitions" in wrong.sentence and "exactly 1" in wrong.sentence
    (few,) = judge(need("journal"), good("journal")._replace(replicas=1), KAFKA, SETTINGS)  # type: ignore[arg-type]
    assert not few.fatal and "1 replicas" in few.sentence


def test_input_topics_may_have_any_number_of_partitions() -> None:
    assert sentences("withdrawals", good("withdrawals")._replace(partitions=37)) == []


async def test_what_the_broker_does_not_tell_is_not_judged() -> None:
    settings = Settings(policy=SETTINGS.policy, kafka=KafkaSettings(replication_factor=1))
    partitions = {need.topic: need.partitions for need in needs(settings)}
    assert await check_topics(FakeKafka(Cluster(partitions)), settings) == []  # type: ignore[arg-type]
    del partitions["alerts"]
    (problem,) = await check_topics(FakeKafka(Cluster(partitions)), settings)  # type: ignore[arg-type]
    assert problem.topic == "alerts" and problem.fatal


async def test_partitions_are_counted_by_the_contracts_names() -> None:
    kafka = FakeKafka(Cluster({"p.withdrawals": 7, "p.journal": 1}), SETTINGS.kafka)
    assert await partition_counts(kafka, ["withdrawals", "journal"]) == {"withdrawals": 7, "journal": 1}  # type: ignore[arg-type]
