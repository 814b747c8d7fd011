"""The demo: broker, topics, worker, an honest exchange and the incident of 2024, watched live, summed up, and checked by an offline refold.

Constructs and watches; the worker is the real one, in a process of its own. Called by the command line; ends by itself after about a minute.
"""

import asyncio
import contextlib
import secrets as randomness
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from monitor.contracts.outputs import Alert, Verdict
from monitor.outbox import OutputRecord
from streams.child_process import ChildProcess
from streams.configuration import configure
from streams.embedded_broker import EmbeddedBroker
from streams.kafka import Kafka
from streams.output_feed import OutputFeed
from streams.replay_kafka import Comparison, replay_journal
from streams.secrets import Secrets
from streams.settings import Settings
from streams.simulate import produce_records
from streams.simulation.exchange import Exchange, ExchangeParameters, Record
from streams.simulation.phases import Scenario
from streams.simulation.play import Play
from streams.simulation.scenario import load
from streams.simulation.stage import Stage
from streams.simulation.world import ASSETS
from streams.summary import HEARTBEAT, lines
from streams.topics import apply_topics, check_topics
from streams.view import LATENCIES_KEPT, Scene, make_view

INCIDENT = "dmm-bitcoin-2024"
REQUESTS_PER_SECOND = 35.0
ACCOUNTS = 2_000
HISTORY_SECONDS = 120.0
"""Simulated time before the live part, written at once: the detectors are warm when the incident begins."""
READY_TIMEOUT_SECONDS = 180.0
"""The first start on a machine compiles the detectors."""
CALM_SECONDS = 5.0
AFTER_SECONDS = 8.0
DRAIN_SECONDS = 15.0
FRAME_SECONDS = 0.25
POLL_SECONDS = 1.0
CAUGHT_UP_MS = 1_500.0
CAUGHT_UP_VERDICTS = 40
RATE_WINDOW_FRAMES = 12
LAG_METRIC = "withdrawal_monitor_journal_lag_entries "

_verdict = msgspec.json.Decoder(Verdict)
_alert = msgspec.json.Decoder(Alert)


class DemoFailedError(Exception):
    """The demo can't go on; the message is one sentence, with the worker's last words if it has ended."""


class DemoOptions(NamedTuple):
    """What the command line gives."""

    config_file: Path | None = None
    flags: Sequence[str] = ()
    environment: Mapping[str, str] = {}
    broker: str | None = None
    seed: int = 1
    incident: str = INCIDENT


def run_demo(options: DemoOptions) -> int:
    """Run it all; 0 if everything was decided and the refold agrees, 1 if not, 143 after SIGTERM.

    Raises EmbeddedBrokerError, DemoFailedError or ScenarioRefusedError with a sentence, KeyboardInterrupt after Ctrl-C; children are gone then.
    """
    scenario = load(options.incident)
    folder = Path(tempfile.mkdtemp(prefix="withdrawal-monitor-demo-"))
    try:
        with contextlib.ExitStack() as stack:
            servers = options.broker or stack.enter_context(EmbeddedBroker()).bootstrap_servers
            flags = demo_flags(options, servers, folder)
            settings = configure(options.config_file, options.environment, flags).settings
            missing = sorted({row.asset for row in ASSETS} - settings.policy.assets.keys())
            if missing:
                raise DemoFailedError(f"The demo's exchange has {missing[0]}, which policy.assets doesn't: run it without --config.")
            demo = Demo(settings, Secrets(options.environment), scenario, options.seed, stack, worker_arguments(options, flags), folder)
            return asyncio.run(demo.run())
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def demo_flags(options: DemoOptions, servers: str, folder: Path) -> list[str]:
    """Settings of the demo, which beat all others: one replica, short rebalances, a port and a folder of its own."""
    flags = [
        *options.flags,
        f"kafka.bootstrap_servers={servers}",
        "kafka.replication_factor=1",
        "kafka.min_insync_replicas=1",
        "kafka.rebalance_timeout_ms=3000",
        f"core.snapshot_url=file://{folder}/snapshots",
        "web.host=127.0.0.1",
        f"web.port={_free_port()}",
        "log.format=json",
        # The embedded broker lets a fetch wait its whole time: short waits keep the latency that is shown ours.
        "intake.fetch_wait_ms=20",
        "core.fetch_wait_ms=20",
    ]
    if options.broker is None:
        flags.append("kafka.idempotent_producer=false")
    else:
        flags.append(f"kafka.topic_prefix=demo-{randomness.token_hex(4)}.")
    return flags


def worker_arguments(options: DemoOptions, flags: Sequence[str]) -> list[str]:
    """The worker's command line: the same program, role all."""
    config = [] if options.config_file is None else ["--config", str(options.config_file)]
    settings = [argument for flag in flags for argument in ("--set", flag)]
    return [sys.executable, "-c", "from streams.cli import main; main()", *config, *settings, "worker", "--role", "all"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Demo:
    """One run. Everything that it starts ends with it."""

    def __init__(
        self, settings: Settings, secrets: Secrets, scenario: Scenario, seed: int, stack: contextlib.ExitStack, worker: list[str], folder: Path
    ) -> None:
        self._settings = settings
        self._kafka = Kafka(settings.kafka, secrets)
        self._scenario = scenario
        self._seed = seed
        self._stack = stack
        self._worker_arguments = worker
        self._log_file = folder / "worker.log"
        self._feed = OutputFeed(self._kafka)
        self._stage: Stage | None = None
        self._requests = 0
        self._ending = False
        self._live_ms = 0
        self._began = time.monotonic()
        place = "its own broker in memory" if not settings.kafka.idempotent_producer else settings.kafka.bootstrap_servers
        self.scene = Scene(f"withdrawal monitor, demo on {place}; metrics at http://127.0.0.1:{settings.web.port}/metrics")

    async def run(self) -> int:
        """From the topics to the summary."""
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        applied = await apply_topics(self._kafka, self._settings)
        await self._topics_are_known()
        worker = ChildProcess(self._worker_arguments, self._log_file)
        self._stack.callback(worker.stop)
        await self._feed.start()
        try:
            async with self._shown(worker):
                await self._play(worker)
            worker.stop()
            return await self._close()
        finally:
            await self._feed.stop()
            if self._settings.kafka.topic_prefix:
                await self._forget(applied.made)

    async def _topics_are_known(self) -> None:
        """A topic that was just made takes a moment until every broker tells of it."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while problems := [problem for problem in await check_topics(self._kafka, self._settings) if problem.fatal]:
            if time.monotonic() > deadline:
                raise DemoFailedError(problems[0].sentence)
            await asyncio.sleep(FRAME_SECONDS)

    @contextlib.asynccontextmanager
    async def _shown(self, worker: ChildProcess) -> AsyncIterator[None]:
        """While inside, outputs are read, /metrics is asked and the view is drawn; a failure of any of them, or of the worker, ends it."""
        view = make_view()
        watchers = [asyncio.ensure_future(work) for work in (self._read(), self._poll(), self._draw(view), _watch(worker))]
        body = asyncio.current_task()
        failed: list[BaseException] = []

        def ended(watcher: asyncio.Future[None]) -> None:
            error = None if watcher.cancelled() else watcher.exception()
            if error is not None and body is not None:
                failed.append(error)
                body.cancel()

        for watcher in watchers:
            watcher.add_done_callback(ended)
        try:
            yield
        except asyncio.CancelledError:
            if failed:
                raise failed[0] from None
            raise
        finally:
            for watcher in watchers:
                watcher.remove_done_callback(ended)
                watcher.cancel()
            await asyncio.gather(*watchers, return_exceptions=True)
            self._advance()
            view.show(self.scene)
            view.close()

    async def _play(self, worker: ChildProcess) -> None:
        """Wait for the worker, write the history, let the exchange run, begin the incident, let it end."""
        scene = self.scene
        scene.stage = "the worker starts (the first start compiles the detectors)"
        await self._ready(worker)
        scene.stage = "history is written and folded"
        self._live_ms = round(time.time() * 1_000)
        start_ms = self._live_ms - round(HISTORY_SECONDS * 1_000)
        live_seconds = READY_TIMEOUT_SECONDS + self._scenario.seconds
        parameters = ExchangeParameters(
            start_ms=start_ms, seconds=HISTORY_SECONDS + live_seconds, requests_per_second=REQUESTS_PER_SECOND, accounts=ACCOUNTS, seed=self._seed
        )
        self._stage = Stage(Exchange(parameters).records())
        producing = asyncio.ensure_future(produce_records(self._kafka, self._counted(self._stage.records()), real_pace=True))
        try:
            await self._caught_up(producing)
            scene.stage = "honest traffic"
            scene.say(f"the detectors know {self._requests:,} withdrawals; live traffic is decided as it comes")
            await self._sleep(CALM_SECONDS, producing)
            await self._incident(producing)
            self._ending = True
            await asyncio.wait_for(producing, DRAIN_SECONDS)
        finally:
            producing.cancel()
            await asyncio.gather(producing, return_exceptions=True)
        scene.stage = "the last verdicts are awaited"
        await self._drained()
        scene.stage = "done"

    async def _incident(self, producing: "asyncio.Future[None]") -> None:
        scene, stage = self.scene, self._stage
        if stage is None:
            raise DemoFailedError("The incident was begun before the traffic.")
        begin = time.time()
        stage.begin(Play(self._scenario, round(begin * 1_000)))
        scene.stage = f"incident {self._scenario.id}"
        for phase in sorted(self._scenario.played, key=lambda phase: phase.at_seconds):
            await self._sleep(begin + phase.at_seconds - time.time(), producing)
            scene.say(phase.name)
        await self._sleep(AFTER_SECONDS, producing)

    async def _sleep(self, seconds: float, producing: "asyncio.Future[None]") -> None:
        """Let the exchange run; raises what it raises."""
        done, _ = await asyncio.wait([producing], timeout=max(0.0, seconds))
        for future in done:
            future.result()
            raise DemoFailedError("The simulated exchange ended before the demo did.")

    def _counted(self, records: Iterator[Record]) -> Iterator[Record]:
        for record in records:
            if self._ending:
                return
            self.scene.sent += 1
            if record.value.get("status") == "requested":
                self._requests += 1
            yield record

    async def _ready(self, worker: ChildProcess) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        url = f"http://127.0.0.1:{self._settings.web.port}/readyz"
        said = "nothing"
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url) as response:
                        said = (await response.text()).strip()
                        if response.status == 200:
                            return
                await asyncio.sleep(FRAME_SECONDS)
        raise DemoFailedError(f"The worker isn't ready after {READY_TIMEOUT_SECONDS:.0f} s; it says: {said}. {worker.tail()}")

    async def _caught_up(self, producing: "asyncio.Future[None]") -> None:
        """Until live withdrawals are decided in time."""
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        latencies = self.scene.latencies_ms
        while len(latencies) < CAUGHT_UP_VERDICTS or (self.scene.latency_ms(0.5) or 0.0) > CAUGHT_UP_MS:
            if time.monotonic() > deadline:
                raise DemoFailedError("The worker doesn't catch up with the history.")
            if len(latencies) >= LATENCIES_KEPT // 2:
                latencies.clear()
            await self._sleep(FRAME_SECONDS, producing)
        latencies.clear()

    async def _drained(self) -> None:
        deadline = time.monotonic() + DRAIN_SECONDS
        while sum(self.scene.story.verdicts.values()) < self._requests and time.monotonic() < deadline:  # noqa: ASYNC110  # a reader in between counts
            await asyncio.sleep(FRAME_SECONDS)

    async def _read(self) -> None:
        while True:
            records = await self._feed.read()
            now_ms = time.time() * 1_000
            for record in records:
                self.scene.story.take(record)
                self._notice(record, now_ms)

    def _notice(self, record: OutputRecord, now_ms: float) -> None:
        if record.topic == "verdicts" and not record.value.startswith(HEARTBEAT):
            verdict = _verdict.decode(record.value)
            if verdict.version == 1 and verdict.occurred_at_ms is not None and verdict.occurred_at_ms > self._live_ms > 0:
                self.scene.latencies_ms.append(now_ms - verdict.occurred_at_ms)
            if verdict.too_late:
                self.scene.say(f"HOLD, too late: {verdict.withdrawal_id} is on its way: {verdict.reasons[0].detail}")
        elif record.topic == "alerts":
            alert = _alert.decode(record.value)
            if alert.kind == "page":
                self.scene.say(f"PAGE ({alert.severity}): {alert.title}")

    async def _poll(self) -> None:
        url = f"http://127.0.0.1:{self._settings.web.port}/metrics"
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url) as response:
                        for line in (await response.text()).splitlines():
                            if line.startswith(LAG_METRIC):
                                self.scene.journal_lag = round(float(line.removeprefix(LAG_METRIC)))
                await asyncio.sleep(POLL_SECONDS)

    async def _draw(self, view: Any) -> None:
        frames: list[tuple[float, int, int]] = []
        scene = self.scene
        while True:
            self._advance()
            frames.append((scene.seconds, scene.sent, scene.story.versions))
            del frames[:-RATE_WINDOW_FRAMES]
            (first, sent, decided), seconds = frames[0], scene.seconds - frames[0][0]
            if seconds > 0 and first >= 0:
                scene.sent_per_second = (scene.sent - sent) / seconds
                scene.decided_per_second = (scene.story.versions - decided) / seconds
            view.show(scene)
            await asyncio.sleep(FRAME_SECONDS)

    def _advance(self) -> None:
        self.scene.seconds = time.monotonic() - self._began

    async def _close(self) -> int:
        """The summary, and the journal folded again offline against what was published."""
        replayed, comparison = await replay_journal(self._kafka, compare=True, published_wait_seconds=0.0)
        print()
        for sentence in lines(replayed.summary):
            print(sentence)
        decided = sum(replayed.summary.verdicts.values())
        print(f"Decided    {decided:,} of {self._requests:,} withdrawals that were requested")
        equal = comparison is not None and comparison.equal
        if comparison is not None:
            print(f"Refold     {_refold(comparison)}")
        return 0 if equal and decided >= self._requests else 1

    async def _forget(self, made: list[str]) -> None:
        """On somebody's own broker, the demo's topics go with it."""
        admin = self._kafka.admin()
        await admin.start()
        try:
            await admin.delete_topics(made)
        finally:
            await admin.close()


def _refold(comparison: Comparison) -> str:
    if comparison.equal:
        after = f"; {comparison.unpublished} more belong to entries that came as the worker stopped" if comparison.unpublished else ""
        return f"the journal folded again offline gives the same {comparison.compared:,} outputs, byte for byte (SHA-256 {comparison.folded_sha256}){after}"
    return f"the journal folded again offline differs in {comparison.differences_count} place(s): {'; '.join(comparison.differences)}"


async def _watch(worker: ChildProcess) -> None:
    while (code := worker.ended()) is None:  # noqa: ASYNC110  # a process tells nobody that it ends
        await asyncio.sleep(FRAME_SECONDS)
    raise DemoFailedError(f"The worker has ended with exit code {code}. {worker.tail()}")
