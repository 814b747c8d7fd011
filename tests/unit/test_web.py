"""The worker's site: what is wrong is said, and who doesn't own the core says so."""

from collections.abc import AsyncIterator

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from monitor.gauges import Gauges, SourceUse
from streams.health import Condition, Health
from streams.metrics import Metrics
from streams.refusals import RefusedError
from streams.settings import WebSettings
from streams.web import Web


class Site:
    """A started site with its health and metrics, and a client."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self.health = Health()
        self.metrics = Metrics(CollectorRegistry(), self.health)
        self.web = Web(WebSettings(port=0), self.health, self.metrics)
        self._client = client

    async def get(self, path: str) -> tuple[int, str, str]:
        async with self._client.get(self.web.url + path) as response:
            return response.status, response.headers["Content-Type"], await response.text()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with aiohttp.ClientSession() as client:
        made = Site(client)
        await made.web.start()
        yield made
        await made.web.stop()


async def test_a_starting_worker_is_alive_and_not_ready(site: Site) -> None:
    assert await site.get("/healthz") == (200, "text/plain; charset=utf-8", "ok\n")
    assert await site.get("/readyz") == (503, "text/plain; charset=utf-8", "starting: The worker is starting.\n")


async def test_ready_once_nothing_is_wrong_and_each_wrong_is_a_line(site: Site) -> None:
    site.health.clear(Condition.STARTING)
    assert (await site.get("/readyz"))[0] == 200
    site.health.set(Condition.SNAPSHOT_STORE, "The snapshot store file:///data is full.")
    site.health.set(Condition.BROKER_UNREACHABLE, "Kafka can't be reached at k:9092.")
    status, _, text = await site.get("/readyz")
    assert status == 503
    assert text.splitlines() == ["broker_unreachable: Kafka can't be reached at k:9092.", "snapshot_store: The snapshot store file:///data is full."]
    assert (await site.get("/healthz"))[0] == 200


async def test_a_crashed_service_is_not_alive(site: Site) -> None:
    site.health.set(Condition.CORE_CRASHED, "The core ended with KeyError at journal offset 7.")
    status, _, text = await site.get("/healthz")
    assert status == 503
    assert "core_crashed: The core ended with KeyError at journal offset 7." in text


async def test_metrics_have_prometheus_type(site: Site) -> None:
    status, content_type, text = await site.get("/metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "withdrawal_monitor_core_owner 0.0" in text


async def test_sources_are_told_by_the_owner_only(site: Site) -> None:
    status, _, text = await site.get("/sources")
    assert status == 503
    assert "doesn't own the core" in text
    site.metrics.core_owner(owner=True)
    site.metrics.core_gauges(
        Gauges(
            journal_id="j", term="t", next_offset=3, time_ms=1, base_currency="JPY", base_decimals=0,
            sources={"withdrawals/0": SourceUse(9, 12, "reading")},
        )
    )  # fmt: skip
    status, _, text = await site.get("/sources")
    assert status == 200
    assert '"withdrawals/0":[9,12,"reading"]' in text


async def test_a_taken_port_is_an_error_and_leaves_nothing_open(site: Site) -> None:
    other = Web(WebSettings(port=site.web.port), site.health, site.metrics)
    with pytest.raises(RefusedError, match=r"in use \(settings web.host and web.port\)"):
        await other.start()
    await other.stop()


async def test_it_can_be_started_again_after_a_stop(site: Site) -> None:
    await site.web.stop()
    await site.web.stop()
    await site.web.start()
    assert (await site.get("/healthz"))[0] == 200
