"""One test per name of aiokafka that we use, with what we rely on: a new version that breaks it fails here by name."""

import inspect
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka import errors as kafka_errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.helpers import create_ssl_context
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

CONSUMER_ARGUMENTS = (
    "bootstrap_servers", "client_id", "request_timeout_ms", "security_protocol", "metadata_max_age_ms", "ssl_context", "sasl_mechanism",
    "sasl_plain_username", "sasl_plain_password", "group_id", "auto_offset_reset", "enable_auto_commit", "session_timeout_ms", "heartbeat_interval_ms",
    "rebalance_timeout_ms", "max_poll_interval_ms", "partition_assignment_strategy", "fetch_max_wait_ms", "fetch_max_bytes",
    "max_partition_fetch_bytes", "isolation_level",
)  # fmt: skip
PRODUCER_ARGUMENTS = ("acks", "enable_idempotence", "max_batch_size", "max_request_size", "compression_type")


@pytest.mark.parametrize("name", CONSUMER_ARGUMENTS)
def test_consumer_argument(name: str) -> None:
    assert name in inspect.signature(AIOKafkaConsumer).parameters


@pytest.mark.parametrize("name", PRODUCER_ARGUMENTS)
def test_producer_argument(name: str) -> None:
    assert name in inspect.signature(AIOKafkaProducer).parameters


@pytest.mark.parametrize("name", ["start", "stop", "commit", "position", "beginning_offsets", "end_offsets", "getone", "getmany"])
def test_consumer_coroutine(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(AIOKafkaConsumer, name))


@pytest.mark.parametrize("name", ["subscribe", "assign", "seek", "pause", "resume", "highwater", "last_stable_offset", "last_poll_timestamp"])
def test_consumer_function_that_does_not_wait(name: str) -> None:
    function = getattr(AIOKafkaConsumer, name)
    assert callable(function) and not inspect.iscoroutinefunction(function)


@pytest.mark.parametrize("name", ["start", "stop", "send_batch", "send_and_wait", "partitions_for"])
def test_producer_coroutine(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(AIOKafkaProducer, name))


@pytest.mark.parametrize(
    "name", ["start", "close", "list_consumer_group_offsets", "describe_topics", "describe_configs", "create_topics", "alter_configs"]
)
def test_admin_coroutine(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(AIOKafkaAdminClient, name))


def test_listener_is_awaited_with_what_goes_and_comes() -> None:
    for name in ("on_partitions_revoked", "on_partitions_assigned"):
        assert next(iter(inspect.signature(getattr(ConsumerRebalanceListener, name)).parameters)) == "self"


def test_a_lost_position_is_told_by_partition() -> None:
    where = TopicPartition("t", 0)
    assert kafka_errors.OffsetOutOfRangeError({where: 5}).args[0] == {where: 5}


@pytest.mark.parametrize("name", ["NoOffsetForPartitionError", "OffsetOutOfRangeError", "TopicAlreadyExistsError", "UnknownTopicOrPartitionError"])
def test_error_is_a_kafka_error(name: str) -> None:
    assert issubclass(getattr(kafka_errors, name), kafka_errors.KafkaError)


def test_illegal_state_error() -> None:
    assert issubclass(kafka_errors.IllegalStateError, Exception)


def test_for_code() -> None:
    assert kafka_errors.for_code(36) is kafka_errors.TopicAlreadyExistsError and kafka_errors.for_code(0) is kafka_errors.NoError


def test_record_and_commit_carry_what_we_read() -> None:
    assert {"offset", "timestamp", "key", "value", "headers"} <= set(ConsumerRecord.__dataclass_fields__)
    assert OffsetAndMetadata(3, "x") == (3, "x") and OffsetAndMetadata(3, "x").metadata == "x"


def test_topic_partition_is_an_ordered_pair() -> None:
    assert TopicPartition("a", 1) == ("a", 1) and min(TopicPartition("b", 0), TopicPartition("a", 1)).topic == "a"


def test_create_ssl_context_arguments() -> None:
    assert {"cafile", "certfile", "keyfile", "password"} <= set(inspect.signature(create_ssl_context).parameters)


def test_the_sticky_assignor_keeps_its_past_in_class_attributes() -> None:
    mine: Any = type("Mine", (StickyPartitionAssignor,), {})
    mine.on_assignment(_assignment())
    assert mine.member_assignment and StickyPartitionAssignor.member_assignment is None
    assert mine.name == StickyPartitionAssignor.name == "sticky"


def _assignment() -> Any:
    from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

    return ConsumerProtocolMemberAssignment(0, [("journal", [0])], b"")


def test_roundrobin_assignor() -> None:
    assert RoundRobinPartitionAssignor.name == "roundrobin"


def test_topics_and_settings_are_asked_for_by_these_structs() -> None:
    topic = NewTopic("t", 1, 1, topic_configs={"retention.ms": "-1"})
    assert (topic.name, topic.num_partitions, topic.replication_factor, topic.topic_configs) == ("t", 1, 1, {"retention.ms": "-1"})
    assert ConfigResource(ConfigResourceType.TOPIC, "t", {"a": "b"}).configs == {"a": "b"}


async def test_a_full_batch_refuses_by_none_but_takes_its_first_record_whatever_its_size() -> None:
    producer = AIOKafkaProducer(max_batch_size=100)
    try:
        batch = producer.create_batch()
        assert batch.append(timestamp=1, key=b"k", value=b"x" * 1_000, headers=[("h", b"v")]) is not None
        assert batch.append(timestamp=1, key=None, value=b"y") is None
    finally:
        await producer.stop()


async def test_headers_must_be_a_list() -> None:
    producer = AIOKafkaProducer()
    try:
        with pytest.raises(TypeError, match="headers"):
            producer.create_batch().append(timestamp=1, key=None, value=b"", headers=())
    finally:
        await producer.stop()


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_the_libraries_for_compressed_input_are_there(codec: str) -> None:
    producer = AIOKafkaProducer(compression_type=codec)
    await producer.stop()
