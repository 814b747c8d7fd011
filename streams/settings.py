"""All configuration, in one frozen tree: what can be set, with type, default, limits and a sentence for people.

Read once at start (`streams.configuration` fills it from a TOML file, the environment and flags); nothing reads the environment elsewhere.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.policy import Policy

Port = Annotated[int, Meta(ge=0, le=65_535)]


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How Kafka is reached and what the topics are called."""

    bootstrap_servers: Annotated[str, Meta(min_length=1, description="host:port, comma separated.")] = "127.0.0.1:9092"
    client_id: str = "withdrawal-monitor"
    topic_prefix: Annotated[str, Meta(max_length=64, pattern=r"^[a-zA-Z0-9._-]*$", description="Put before every topic and group name.")] = ""
    topics: Annotated[dict[str, str], Meta(description="Own names for single topics; the prefix isn't put before these.")] = {}
    replication_factor: Annotated[int, Meta(ge=1, le=10)] = 3
    min_insync_replicas: Annotated[int, Meta(ge=1, le=10)] = 2
    partitions: Annotated[
        int, Meta(ge=1, le=1_000, description="Partitions of the input topics and of `verdicts` when `topics apply` makes them.")
    ] = 4
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    ssl_ca_file: str | None = None
    ssl_certificate_file: str | None = None
    ssl_key_file: str | None = None
    ssl_key_password: Annotated[str | None, Meta(description="Secret reference: env:NAME or file:PATH.")] = None
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: Annotated[str | None, Meta(description="Secret reference: env:NAME or file:PATH.")] = None
    session_timeout_ms: Annotated[int, Meta(ge=1_000, le=300_000)] = 6_000
    heartbeat_interval_ms: Annotated[int, Meta(ge=100, le=60_000)] = 1_500
    rebalance_timeout_ms: Annotated[int, Meta(ge=1_000, le=300_000)] = 10_000
    request_timeout_ms: Annotated[int, Meta(ge=1_000, le=300_000)] = 15_000
    idempotent_producer: Annotated[bool, Meta(description="Off only for the embedded broker of the demo, which has none.")] = True


class IntakeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What intake accepts and how it reads."""

    record_bytes_max: Annotated[int, Meta(ge=1_024, description="A larger record is refused.")] = 262_144
    nesting_max: Annotated[int, Meta(ge=2, le=512)] = 32
    time_future_max_ms: Annotated[int, Meta(ge=0, description="How far an event's time may be ahead of intake's clock.")] = 600_000
    time_past_max_ms: Annotated[int, Meta(ge=0, description="How far it may be behind.")] = 366 * 86_400_000
    dead_letter_value_bytes_max: Annotated[int, Meta(ge=1_024, description="A rejected value is cut here.")] = 900_000
    records_per_round_max: Annotated[int, Meta(ge=1, le=100_000)] = 5_000
    fetch_wait_ms: Annotated[int, Meta(ge=1, le=10_000)] = 250
    commit_interval_ms: Annotated[int, Meta(ge=100)] = 1_000


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the core runs. Nothing here changes a decision."""

    snapshot_url: Annotated[str, Meta(description="file:///path, s3://bucket/prefix, gs://…, az://…; shared by all workers.")] = "file://./snapshots"
    snapshot_interval_ms: Annotated[int, Meta(ge=100, le=600_000)] = 10_000
    snapshots_kept: Annotated[int, Meta(ge=1, le=100)] = 3
    entries_per_round_max: Annotated[int, Meta(ge=1, le=100_000)] = 5_000
    fetch_wait_ms: Annotated[int, Meta(ge=1, le=10_000)] = 250
    tick_interval_ms: Annotated[int, Meta(ge=100, le=10_000)] = 1_000


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where /metrics, /healthz and /readyz are served. Loopback unless configured."""

    host: str = "127.0.0.1"
    port: Annotated[Port, Meta(description="0 picks a free one and logs it.")] = 6066


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How logs are written."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Annotated[Literal["auto", "json", "console"], Meta(description="auto: console on a terminal, JSON elsewhere.")] = "auto"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole tree."""

    kafka: KafkaSettings = KafkaSettings()
    intake: IntakeSettings = IntakeSettings()
    core: CoreSettings = CoreSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    policy: Policy
