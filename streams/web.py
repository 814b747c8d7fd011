"""The worker's small site: /metrics, /healthz, /readyz and /sources, on loopback unless configured otherwise.

Shows what `streams.health` and `streams.metrics` hold and changes nothing. Started and stopped by the worker.
"""

import msgspec
from aiohttp import web

from streams.health import Health
from streams.metrics import Metrics
from streams.refusals import RefusedError
from streams.settings import WebSettings

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Web:
    """The site. `start` listens, `stop` ends it; both may be called from the worker's loop only."""

    def __init__(self, settings: WebSettings, health: Health, metrics: Metrics) -> None:
        self._settings = settings
        self._health = health
        self._metrics = metrics
        self._runner: web.AppRunner | None = None
        self.port = settings.port

    @property
    def url(self) -> str:
        """Where it listens; with the port that was picked once it has started."""
        host = f"[{self._settings.host}]" if ":" in self._settings.host else self._settings.host
        return f"http://{host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises RefusedError if the address is taken or isn't ours."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._show_metrics),
                web.get("/healthz", self._show_alive),
                web.get("/readyz", self._show_ready),
                web.get("/sources", self._show_sources),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._settings.host, self._settings.port).start()
        except OSError as error:
            await self.stop()
            where = f"{self._settings.host}:{self._settings.port}"
            raise RefusedError(f"The worker's site can't listen on {where}: {error.strerror} (settings web.host and web.port).") from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close everything; nothing happens if it isn't open."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _show_metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._metrics.render(), headers={"Content-Type": METRICS_TYPE})

    async def _show_alive(self, _request: web.Request) -> web.Response:
        return self._said(ok=self._health.alive())

    async def _show_ready(self, _request: web.Request) -> web.Response:
        return self._said(ok=self._health.ready())

    def _said(self, *, ok: bool) -> web.Response:
        lines = ["ok"] if ok else [f"{name}: {sentence}" for name, sentence in self._health.conditions().items()]
        return web.Response(text="\n".join(lines) + "\n", status=200 if ok else 503)

    async def _show_sources(self, _request: web.Request) -> web.Response:
        gauges = self._metrics.gauges()
        if gauges is None:
            return web.json_response({"error": "This worker doesn't own the core; ask the one that does."}, status=503)
        return web.Response(body=msgspec.json.encode(gauges), content_type="application/json")
