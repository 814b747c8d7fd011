"""How Kafka is reached: topic and group names, and every consumer, producer and admin client, made from the settings.

Holds no state and reads no records. The only file that constructs clients of aiokafka; called by the services and the command line.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from monitor.contracts.topics import CONTROL, DEAD_LETTER, INPUTS, JOURNAL, OUTPUTS, RETRIES
from streams.health import Condition, Health
from streams.secrets import Secrets
from streams.settings import KafkaSettings

log = structlog.stdlib.get_logger(__name__)

INTAKE_GROUP = "intake"
CORE_GROUP = "core"
TOPICS = (*(topic.name for topic in INPUTS), RETRIES, JOURNAL, DEAD_LETTER, CONTROL, *(topic.name for topic in OUTPUTS))

BATCH_BYTES_MAX = 900_000  # below the broker's default message.max.bytes (1,048,588) with the batch's own header and one record's slack
FETCH_BYTES_MAX = 16 * 1024 * 1024  # one fetch of all partitions
PARTITION_FETCH_BYTES_MAX = 2 * 1024 * 1024  # one fetch of one partition: two full batches
POLL_INTERVAL_MAX_MS = 3_600_000  # a long load or a refused entry must not drop the owner out of its group; heartbeats show that it lives
BACKOFF_FIRST_S = 0.5
BACKOFF_MAX_S = 10.0


class TopicNames:
    """The names that topics and groups have on the broker, and back."""

    def __init__(self, settings: KafkaSettings) -> None:
        unknown = sorted(set(settings.topics) - set(TOPICS))
        if unknown:
            raise ValueError(f"kafka.topics names {unknown[0]}, which is no topic of ours; ours are {', '.join(TOPICS)}.")
        self._prefix = settings.topic_prefix
        self._full = {name: settings.topics.get(name, settings.topic_prefix + name) for name in TOPICS}
        self._short = {full: name for name, full in self._full.items()}
        if len(self._short) != len(TOPICS):
            raise ValueError("kafka.topics gives one name to two topics.")

    def full(self, name: str) -> str:
        """Name on the broker of the topic that the contracts call `name`."""
        return self._full[name]

    def short(self, full: str) -> str:
        """The contracts' name of the topic that the broker calls `full`."""
        return self._short[full]

    def group(self, name: str) -> str:
        """Consumer group's name on the broker."""
        return self._prefix + name


class Kafka:
    """Makes clients. `settings` say where and how; secrets are resolved when the first client is made.

    Clients are constructed inside a running event loop and must be started and stopped by whoever asked for them.
    """

    def __init__(self, settings: KafkaSettings, secrets: Secrets) -> None:
        self.settings = settings
        self.names = TopicNames(settings)
        self._secrets = secrets
        self._common: Mapping[str, Any] | None = None

    def group_consumer(self, group: str, fetch_wait_ms: int) -> Any:
        """Consumer in one of our groups: nothing is reset or committed by itself; subscribe it, then start it."""
        settings = self.settings
        assignor = _own_sticky_assignor() if group == CORE_GROUP else RoundRobinPartitionAssignor
        return AIOKafkaConsumer(
            **self.connection(),
            group_id=self.names.group(group),
            auto_offset_reset="none",
            enable_auto_commit=False,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=settings.heartbeat_interval_ms,
            rebalance_timeout_ms=settings.rebalance_timeout_ms,
            max_poll_interval_ms=POLL_INTERVAL_MAX_MS,
            partition_assignment_strategy=(assignor,),
            isolation_level="read_committed",  # what a transaction of the exchange took back was never said
            fetch_max_wait_ms=fetch_wait_ms,
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES_MAX,
        )

    def reader(self, fetch_wait_ms: int = 100) -> Any:
        """Consumer without a group, for `assign` and `seek`: the control topic, single records, offsets."""
        return AIOKafkaConsumer(
            **self.connection(),
            group_id=None,
            auto_offset_reset="none",
            enable_auto_commit=False,
            fetch_max_wait_ms=fetch_wait_ms,
            fetch_max_bytes=FETCH_BYTES_MAX,
            max_partition_fetch_bytes=PARTITION_FETCH_BYTES_MAX,
        )

    def producer(self, compression: str | None = None) -> Any:
        """Producer that waits for all in-sync replicas; idempotent unless the settings say that the broker can't."""
        return AIOKafkaProducer(
            **self.connection(),
            acks="all",
            enable_idempotence=self.settings.idempotent_producer,
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=4 * BATCH_BYTES_MAX,
            compression_type=compression,
        )

    def admin(self) -> Any:
        """Admin client."""
        return AIOKafkaAdminClient(**self.connection())

    def connection(self) -> Mapping[str, Any]:
        """What every client is given; see `connection_arguments`."""
        if self._common is None:
            self._common = connection_arguments(self.settings, self._secrets)
        return self._common


def connection_arguments(settings: KafkaSettings, secrets: Secrets) -> dict[str, Any]:
    """What every client of aiokafka is given: address, time-outs, TLS and SASL. Raises SecretUnavailableError, OSError or ssl.SSLError."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "client_id": settings.client_id,
        "request_timeout_ms": settings.request_timeout_ms,
        "security_protocol": settings.security_protocol,
        "metadata_max_age_ms": 30_000,  # a recreated topic or a new partition is noticed within this, when no fetch error says it sooner
    }
    if settings.security_protocol in {"SSL", "SASL_SSL"}:
        arguments["ssl_context"] = _ssl_context(settings, secrets)
    if settings.security_protocol in {"SASL_PLAINTEXT", "SASL_SSL"}:
        arguments["sasl_mechanism"] = settings.sasl_mechanism
        arguments["sasl_plain_username"] = settings.sasl_username
        arguments["sasl_plain_password"] = secrets.resolve(settings.sasl_password) if settings.sasl_password else None
    return arguments


async def wait_for_broker(kafka: Kafka, health: Health, stopping: asyncio.Event) -> bool:
    """Try until a broker answers, with growing pauses; says so once and keeps the worker not ready meanwhile. False if stopped first."""
    pause_s = BACKOFF_FIRST_S
    said = False
    while not stopping.is_set():
        error = await _try_broker(kafka)
        if error is None:
            health.clear(Condition.BROKER_UNREACHABLE)
            if said:
                log.info("kafka answers", bootstrap_servers=kafka.settings.bootstrap_servers)
            return True
        servers = kafka.settings.bootstrap_servers
        health.set(Condition.BROKER_UNREACHABLE, f"Kafka can't be reached at {servers} ({error}); trying again.")
        if not said:
            log.warning("kafka can't be reached: waiting for it", bootstrap_servers=servers, error=error)
            said = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), pause_s)
        pause_s = min(2 * pause_s, BACKOFF_MAX_S)
    return False


async def _try_broker(kafka: Kafka) -> str | None:
    """Why no broker answers, or None if one does. A closed port is told without aiokafka, which would log each attempt as an error."""
    refused = ""
    for server in kafka.settings.bootstrap_servers.split(","):
        host, _, port = server.strip().rpartition(":")
        try:
            async with asyncio.timeout(kafka.settings.request_timeout_ms / 1_000):
                _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except (OSError, TimeoutError) as error:
            refused = str(error) or type(error).__name__
            continue
        writer.close()
        break
    else:
        return refused
    admin = kafka.admin()
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        return str(error)
    finally:
        await admin.close()
    return None


def _ssl_context(settings: KafkaSettings, secrets: Secrets) -> ssl.SSLContext:
    password = secrets.resolve(settings.ssl_key_password) if settings.ssl_key_password else None
    context: ssl.SSLContext = create_ssl_context(
        cafile=settings.ssl_ca_file, certfile=settings.ssl_certificate_file, keyfile=settings.ssl_key_file, password=password
    )
    return context


def _own_sticky_assignor() -> type:
    # The assignor keeps what it was given in class attributes: two consumers of one process would mix theirs up.
    return type("OwnStickyPartitionAssignor", (StickyPartitionAssignor,), {})
