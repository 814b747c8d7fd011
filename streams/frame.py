"""The worker: Faust's app and worker around our services, the site, signals, and the exit code. The only file that touches Faust.

Faust supervises, stops and carries what is satisfied with at-least-once (the log of alerts); the hot path is in our services.
Called by `withdrawal-monitor worker` and the demo.
"""

import asyncio
import contextlib
import gc
import signal
import sys
import tempfile
from collections.abc import AsyncIterable
from functools import partial
from typing import Any, Literal

import faust
import mode
import msgspec
import structlog
import uvloop
from faust.auth import SASLCredentials, SSLCredentials
from prometheus_client import CollectorRegistry

from monitor.contracts.outputs import Alert
from monitor.engine import Engine
from monitor.snapshot_file import decode, pieces, read_header
from streams.core import CoreWorker
from streams.head_signer import HeadSigner, head_signer
from streams.health import Condition, Health
from streams.intake import IntakeWorker
from streams.kafka import Kafka, wait_for_broker
from streams.memory import map_large_tables
from streams.metrics import Metrics
from streams.plug_ins import installed
from streams.positions import PositionReader
from streams.refusals import RefusedError
from streams.secrets import Secrets
from streams.settings import Settings
from streams.takeover import Machine
from streams.topics import check_topics
from streams.warmup import warm_up
from streams.web import Web

log = structlog.stdlib.get_logger(__name__)

Role = Literal["intake", "core", "all"]
ALERTS = "alerts"
ALERT_LOG_GROUP = "alert-log"
COLLECTION_THRESHOLDS = (50_000, 20, 1_000)
"""Full collections walk tables of millions of references and find nothing: the state has no cycles. They come a thousand times rarer than by default."""
SWITCH_INTERVAL_S = 0.0005  # a snapshot is encoded in a thread: the loop waits for the interpreter ten times shorter than by default
FAUST_STOP_TIMEOUT_S = 5.0  # it carries nothing that isn't carried again

ENGINE = Machine(
    fresh=partial(Engine, plug_ins=installed), thaw=partial(Engine.thaw, plug_ins=installed), pieces=pieces, decode=decode, read_header=read_header
)


def run_worker(settings: Settings, role: Role, secrets: Secrets | None = None) -> int:
    """Run a worker until SIGTERM or SIGINT (exit code 0), or until a service must not go on (1). Raises RefusedError for wrong topics or keys."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    gc.set_threshold(*COLLECTION_THRESHOLDS)
    map_large_tables()
    health = Health()
    metrics = Metrics(CollectorRegistry(), health)
    secrets = secrets or Secrets()
    signer = None if role == "intake" else head_signer(settings.audit, secrets)
    return uvloop.run(serve(settings, role, Kafka(settings.kafka, secrets), metrics, health, signer))


async def serve(settings: Settings, role: Role, kafka: Kafka, metrics: Metrics, health: Health, signer: HeadSigner | None = None) -> int:
    """`run_worker` inside a loop, with parts given from outside."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    web = Web(settings.web, health, metrics)
    await web.start()
    log.info("worker starts", role=role, site=web.url, brokers=settings.kafka.bootstrap_servers)
    try:
        if role != "intake":
            await asyncio.to_thread(warm_up, settings.policy)
        if not await wait_for_broker(kafka, health, stopping) or stopping.is_set():
            return 0
        await _refuse_wrong_topics(kafka, settings, health)
        with tempfile.TemporaryDirectory(prefix="withdrawal-monitor-") as directory:
            app = _make_app(settings, kafka, directory)
            services = _make_services(settings, role, kafka, metrics, health, signer)
            return await _supervise(FrameWorker(app, *services), health, stopping)
    finally:
        await web.stop()
        log.info("worker has stopped")


async def _supervise(worker: "FrameWorker", health: Health, stopping: asyncio.Event) -> int:
    running = asyncio.create_task(worker.start())
    asked = asyncio.create_task(stopping.wait())
    health.clear(Condition.STARTING)
    await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.gather(*(service.stop() for service in worker.services))  # first: Faust's app may take seconds to let go of its group
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(worker.stop(), FAUST_STOP_TIMEOUT_S)
    for task in (running, asked):
        task.cancel()
    ended = await asyncio.gather(running, return_exceptions=True)
    reason = worker.crash_reason or next((error for error in ended if isinstance(error, Exception)), None)
    if reason is None:
        return 0
    log.error("worker ends: a service must not go on", why=f"{type(reason).__name__}: {reason}")
    return 1


class FrameWorker(faust.Worker):
    """Faust's worker without its ways with signals, logging and the terminal: those are ours.

    Our services are the worker's own rather than the app's: the app's start only when Faust's own group has been joined, which a
    killed predecessor delays by its session, and which the hot path doesn't need.
    """

    def __init__(self, app: faust.App, *services: mode.Service) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(app, *services, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False)
        self.spinner = None

    def install_signal_handlers(self) -> None:
        """None: `serve` has installed ours, which are there before a broker answers."""


async def _refuse_wrong_topics(kafka: Kafka, settings: Settings, health: Health) -> None:
    problems = await check_topics(kafka, settings)
    fatal = [problem for problem in problems if problem.fatal]
    for problem in problems:
        if not problem.fatal:
            log.warning("topic is less than it should be", topic=problem.topic, why=problem.sentence)
    if fatal:
        rest = f" ({len(fatal) - 1} more: `withdrawal-monitor topics check`)" if len(fatal) > 1 else ""
        health.set(Condition.TOPICS_WRONG, fatal[0].sentence)
        raise RefusedError(fatal[0].sentence + rest)


def _make_app(settings: Settings, kafka: Kafka, directory: str) -> faust.App:
    app = faust.App(
        kafka.names.group(ALERT_LOG_GROUP),
        broker=[f"kafka://{server.strip()}" for server in settings.kafka.bootstrap_servers.split(",")],
        autodiscover=False,
        datadir=directory,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        reply_create_topic=False,
        consumer_auto_offset_reset="earliest",
        key_serializer="raw",
        value_serializer="raw",
        broker_client_id=settings.kafka.client_id,
        broker_request_timeout=settings.kafka.request_timeout_ms / 1_000,
        broker_session_timeout=settings.kafka.session_timeout_ms / 1_000,
        broker_heartbeat_interval=settings.kafka.heartbeat_interval_ms / 1_000,
        broker_rebalance_timeout=settings.kafka.rebalance_timeout_ms / 1_000,
        producer_request_timeout=settings.kafka.request_timeout_ms / 1_000,
        broker_credentials=_credentials(kafka),
        store="memory://",
    )
    _log_alerts(app, kafka.names.full(ALERTS))
    return app


def _make_services(settings: Settings, role: Role, kafka: Kafka, metrics: Metrics, health: Health, signer: HeadSigner | None) -> list[mode.Service]:
    services: list[mode.Service] = []
    if role != "core":
        services.append(Loop("Intake", IntakeWorker(kafka, settings, metrics, health), health, Condition.INTAKE_CRASHED))
    if role != "intake":
        services.append(Loop("Core", CoreWorker(kafka, settings, metrics, health, ENGINE, signer), health, Condition.CORE_CRASHED))
    return services


class Loop(mode.Service):
    """One of our loops as a service of Faust: run as its task, stopped with it; its end by an error is the end of the worker."""

    def __init__(self, name: str, worker: IntakeWorker | CoreWorker, health: Health, crashed: Condition) -> None:
        self._name = name
        self._worker = worker
        self._health = health
        self._crashed_condition = crashed
        super().__init__()

    @property
    def label(self) -> str:
        """Its name in Faust's logs."""
        return self._name

    @mode.Service.task
    async def run_loop(self) -> None:
        """Run until stopped."""
        try:
            await self._worker.run()
        except Exception as error:
            self._health.set(self._crashed_condition, f"{self._name} crashed ({type(error).__name__}: {error}); the worker ends.")
            raise

    async def on_stop(self) -> None:
        """What is in flight is acknowledged, committed and kept; then the group is left."""
        await self._worker.stop()


def _log_alerts(app: faust.App, topic: str) -> None:
    """One structured line per new alert, in every worker's share of them; also the topic that Faust needs to run at all."""
    positions = PositionReader()
    decoder = msgspec.json.Decoder(Alert)

    @app.agent(app.topic(topic, key_type=bytes, value_type=bytes))
    async def log_alerts(stream: Any) -> None:
        events: AsyncIterable[Any] = stream.events()
        async for event in events:
            if not positions.is_new(event.message.partition, tuple(event.headers.items())):
                continue
            try:
                alert = decoder.decode(event.message.value)
            except msgspec.MsgspecError as error:
                log.warning("an alert can't be read", offset=event.message.offset, error=str(error))
                continue
            log.warning("alert", alert_id=alert.alert_id, kind=alert.kind, severity=alert.severity, incident_id=alert.incident_id, title=alert.title)


def _credentials(kafka: Kafka) -> Any:
    arguments = kafka.connection()
    context = arguments.get("ssl_context")
    if "sasl_mechanism" in arguments:
        return SASLCredentials(
            username=arguments["sasl_plain_username"],
            password=arguments["sasl_plain_password"],
            mechanism=arguments["sasl_mechanism"],
            ssl_context=context,
        )
    return SSLCredentials(context) if context is not None else None
