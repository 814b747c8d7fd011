"""One test per name of Faust and mode that we use, with what we rely on: a new version that breaks it fails here by name."""

import asyncio
import importlib.metadata
import pathlib
import ssl
from typing import Any

import faust
import mode
import pytest
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.frame import FrameWorker


def make_app(directory: pathlib.Path, **settings: Any) -> faust.App:
    return faust.App("group", broker=["kafka://127.0.0.1:1"], autodiscover=False, datadir=str(directory), web_enabled=False, **settings)


def test_the_version_is_pinned_exactly() -> None:
    assert importlib.metadata.version("faust-streaming") == "0.15.3"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("web_enabled", False),
        ("topic_disable_leader", True),
        ("topic_allow_declare", False),
        ("reply_create_topic", False),
        ("consumer_auto_offset_reset", "earliest"),
        ("broker_request_timeout", 15.0),
        ("broker_session_timeout", 6.0),
        ("broker_heartbeat_interval", 1.5),
        ("broker_rebalance_timeout", 10.0),
        ("producer_request_timeout", 15.0),
        ("broker_client_id", "withdrawal-monitor"),
    ],
)
async def test_app_setting(tmp_path: pathlib.Path, name: str, value: object) -> None:
    assert getattr(make_app(tmp_path, **({} if name == "web_enabled" else {name: value})).conf, name) == value


async def test_several_brokers(tmp_path: pathlib.Path) -> None:
    app = faust.App("group", broker=["kafka://a:1", "kafka://b:2"], datadir=str(tmp_path))
    assert [(url.host, url.port) for url in app.conf.broker] == [("a", 1), ("b", 2)]


def test_credentials_reach_aiokafka() -> None:
    context = ssl.create_default_context()
    given = credentials_to_aiokafka_auth(SASLCredentials(username="u", password="p", mechanism="SCRAM-SHA-512", ssl_context=context))
    assert given == {
        "security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": "u", "sasl_plain_password": "p", "ssl_context": context,
    }  # fmt: skip
    assert credentials_to_aiokafka_auth(SSLCredentials(context)) == {"security_protocol": "SSL", "ssl_context": context}


async def test_an_agent_reads_a_topic_as_events(tmp_path: pathlib.Path) -> None:
    app = make_app(tmp_path)

    @app.agent(app.topic("alerts", key_type=bytes, value_type=bytes))
    async def read(stream: Any) -> None:
        async for _ in stream.events():
            pass

    assert list(app.agents) and callable(app.stream(app.topic("x")).events)


class Loop(mode.Service):
    """As ours: a task, and an end."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.ran = asyncio.Event()
        self.ended = False
        super().__init__()

    @mode.Service.task
    async def run_loop(self) -> None:
        self.ran.set()
        if self.error is not None:
            raise self.error

    async def on_stop(self) -> None:
        self.ended = True


class QuietApp(faust.App):
    """An app that touches no broker."""

    producer_only = True

    def on_init_dependencies(self) -> list[Any]:
        return []

    async def on_start(self) -> None:
        self.finalize()

    async def _wait_for_table_recovery_completed(self) -> bool:
        return True


async def test_the_workers_services_run_beside_the_app_and_end_with_it(tmp_path: pathlib.Path) -> None:
    loop = Loop()
    app = QuietApp("group", broker="kafka://127.0.0.1:1", datadir=str(tmp_path), web_enabled=False)
    worker = FrameWorker(app, loop)
    running = asyncio.create_task(worker.start())
    await asyncio.wait_for(loop.ran.wait(), 10)
    await worker.stop()
    await asyncio.wait_for(running, 10)
    assert loop.ended and worker.crash_reason is None


async def test_a_service_that_crashes_ends_the_worker_with_its_reason(tmp_path: pathlib.Path) -> None:
    loop = Loop(LookupError("bug"))
    app = QuietApp("group", broker="kafka://127.0.0.1:1", datadir=str(tmp_path), web_enabled=False)
    worker = FrameWorker(app, loop)
    await asyncio.wait_for(worker.start(), 10)
    await worker.stop()
    assert isinstance(worker.crash_reason, LookupError)
