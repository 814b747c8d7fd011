"""All configuration, in one frozen tree: what can be set, with type, default, limits and a sentence for people.

Read once at start (`streams.configuration` fills it from a TOML file, the environment and flags); nothing reads the environment elsewhere.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.policy import Asset, Layer, Policy

Port = Annotated[int, Meta(ge=0, le=65_535)]
SecretReference = Annotated[str, Meta(pattern=r"^(env|file):.+$", extra={"secret": True})]
"""Where a secret is to be found, as env:NAME or file:PATH; never the secret."""


class KafkaSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How Kafka is reached and what the topics are called."""

    bootstrap_servers: Annotated[str, Meta(min_length=1, description="host:port, comma separated.")] = "127.0.0.1:9092"
    client_id: Annotated[str, Meta(min_length=1, description="Name that the brokers show for us in their logs and quotas.")] = "withdrawal-monitor"
    topic_prefix: Annotated[str, Meta(max_length=64, pattern=r"^[a-zA-Z0-9._-]*$", description="Put before every topic and group name.")] = ""
    topics: Annotated[dict[str, str], Meta(description="Own names for single topics; the prefix isn't put before these.")] = {}
    replication_factor: Annotated[int, Meta(ge=1, le=10, description="Copies of each topic that `topics apply` makes.")] = 3
    min_insync_replicas: Annotated[int, Meta(ge=1, le=10, description="Copies that must have a record before it counts as written.")] = 2
    partitions: Annotated[
        int, Meta(ge=1, le=1_000, description="Partitions of the input topics and of `verdicts` when `topics apply` makes them.")
    ] = 4
    security_protocol: Annotated[
        Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"], Meta(description="How the connection is encrypted and who we are on it.")
    ] = "PLAINTEXT"
    ssl_ca_file: Annotated[str | None, Meta(description="PEM file of the authorities that sign the brokers; the system's if not given.")] = None
    ssl_certificate_file: Annotated[str | None, Meta(description="PEM file of our own certificate, for mutual TLS.")] = None
    ssl_key_file: Annotated[str | None, Meta(description="PEM file of our own key, for mutual TLS.")] = None
    ssl_key_password: Annotated[SecretReference | None, Meta(description="Password of the key file: a secret reference.")] = None
    sasl_mechanism: Annotated[Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Meta(description="How we log in with SASL_*.")] = "PLAIN"
    sasl_username: Annotated[str | None, Meta(description="Who we are with SASL_*.")] = None
    sasl_password: Annotated[SecretReference | None, Meta(description="Password with SASL_*: a secret reference.")] = None
    session_timeout_ms: Annotated[int, Meta(ge=1_000, le=300_000, description="A worker that is silent for so long has lost its partitions.")] = 6_000
    heartbeat_interval_ms: Annotated[int, Meta(ge=100, le=60_000, description="How often a worker tells that it lives.")] = 1_500
    rebalance_timeout_ms: Annotated[int, Meta(ge=1_000, le=300_000, description="How long a rebalance waits for a worker.")] = 10_000
    request_timeout_ms: Annotated[int, Meta(ge=1_000, le=300_000, description="A request without answer for so long has failed.")] = 15_000
    idempotent_producer: Annotated[bool, Meta(description="Off only for the embedded broker of the demo, which has none.")] = True


class IntakeSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What intake accepts and how it reads."""

    record_bytes_max: Annotated[int, Meta(ge=1_024, description="A larger record is refused.")] = 262_144
    nesting_max: Annotated[int, Meta(ge=2, le=512, description="A record that is nested deeper is refused.")] = 32
    time_future_max_ms: Annotated[int, Meta(ge=0, description="How far an event's time may be ahead of intake's clock.")] = 600_000
    time_past_max_ms: Annotated[int, Meta(ge=0, description="How far it may be behind.")] = 366 * 86_400_000
    dead_letter_value_bytes_max: Annotated[int, Meta(ge=1_024, description="A rejected value is cut here.")] = 900_000
    records_per_round_max: Annotated[int, Meta(ge=1, le=100_000, description="Records that one round takes at most.")] = 5_000
    fetch_wait_ms: Annotated[int, Meta(ge=1, le=10_000, description="How long the broker waits for a record when there is none.")] = 250
    commit_interval_ms: Annotated[int, Meta(ge=100, le=60_000, description="How often positions are committed.")] = 1_000


class CoreSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the core runs. Nothing here changes a decision."""

    snapshot_url: Annotated[str, Meta(description="file:///path, s3://bucket/prefix, gs://…, az://…; shared by all workers.")] = "file://./snapshots"
    snapshot_interval_ms: Annotated[int, Meta(ge=100, le=600_000, description="How often the state is stored; what came since is folded again.")] = (
        10_000
    )
    snapshots_kept: Annotated[int, Meta(ge=1, le=100, description="Snapshots that are kept, the newest.")] = 3
    entries_per_round_max: Annotated[int, Meta(ge=1, le=100_000, description="Journal entries that one round takes at most.")] = 5_000
    fetch_wait_ms: Annotated[int, Meta(ge=1, le=10_000, description="How long the broker waits for an entry when there is none.")] = 250
    tick_interval_ms: Annotated[int, Meta(ge=100, le=10_000, description="How often the owner writes wall time into the journal.")] = 1_000


class WebSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Where /metrics, /healthz and /readyz are served. Loopback unless configured."""

    host: Annotated[str, Meta(min_length=1, description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="0 picks a free one and logs it.")] = 6066


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How logs are written."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="Lines below this are not written.")] = "info"
    format: Annotated[Literal["auto", "json", "console"], Meta(description="auto: console on a terminal, JSON elsewhere.")] = "auto"


DEFAULT_POLICY = Policy(
    base_currency="JPY",
    assets={
        "JPY": Asset(0), "BTC": Asset(8), "ETH": Asset(18), "XRP": Asset(6), "SOL": Asset(9), "BCH": Asset(8), "LTC": Asset(8), "DOGE": Asset(8),
        "ADA": Asset(6), "DOT": Asset(10), "TRX": Asset(6), "XLM": Asset(7), "MATIC": Asset(18), "LINK": Asset(18), "AVAX": Asset(18),
        "XEM": Asset(6), "USDT": Asset(6), "USDC": Asset(6), "MONA": Asset(8), "stETH": Asset(18), "mETH": Asset(18), "cmETH": Asset(18),
    },
    layers=(Layer("guarantee-btc", "BTC", kind="guarantee"), Layer("guarantee-eth", "ETH", kind="guarantee"), Layer("liability-reserve", "JPY")),
)  # fmt: skip
"""What holds where no configuration says otherwise, so that a first try works: yen, the usual assets, guarantees in kind before money."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The whole tree."""

    kafka: KafkaSettings = KafkaSettings()
    intake: IntakeSettings = IntakeSettings()
    core: CoreSettings = CoreSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()
    policy: Policy = DEFAULT_POLICY
