"""Every metric of a worker, in one class: base units, closed label sets, created at start.

What this process did is counted here; totals that people add up come from the fold's state (`monitor.gauges`) and are rendered
while this worker owns the core, so that folding the journal again counts nothing twice. Called by the services and `streams.web`.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.gauges import Gauges
from monitor.reasons import Reason
from streams.fold_metrics import INPUT_TOPICS, OTHER, OUTPUT_TOPICS, PREFIX, REASONS, FoldCollector
from streams.health import Health

SNAPSHOT_REFUSALS = ("torn", "corrupt", "foreign", "newer", "older", "beyond_journal")
LATENCY_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
ROUND_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def closed(value: str, allowed: Sequence[str]) -> str:
    """`value` if it is one of `allowed`, else "other"."""
    return value if value in allowed else OTHER


class Metrics:
    """What a worker shows to Prometheus. Methods are named after what happened; none may fail a service."""

    def __init__(self, registry: CollectorRegistry, health: Health | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a switch of the library, for the whole process: `_created` series would double the count
        self.registry = registry
        self._fold = FoldCollector(health)
        self._latency = LatencyCollector()
        registry.register(self._fold)
        registry.register(self._latency)
        ProcessCollector(registry=registry)
        self._make_intake(registry)
        self._make_core(registry)
        self._make_snapshots(registry)

    def _make_intake(self, registry: CollectorRegistry) -> None:
        name = PREFIX + "intake_"
        self._intake_records = Counter(name + "records", "Records that this process read, by input topic.", ["topic"], registry=registry)
        self._intake_bytes = Counter(name + "bytes", "Bytes of record values that this process read.", ["topic"], registry=registry)
        self._intake_rejected = Counter(
            name + "rejected_records", "Records that this process rejected; one read again counts again.", ["topic", "reason"], registry=registry
        )
        self._intake_round = Histogram(
            name + "round_seconds", "Time of one round: decode, journal, acknowledgement.", buckets=ROUND_BUCKETS_SECONDS, registry=registry
        )
        self._intake_sources = Gauge(name + "sources", "Partitions of input topics that this process reads.", registry=registry)
        self._intake_lag = Gauge(name + "lag_records", "Records of its sources that this process has not read yet.", registry=registry)
        self._intake_buffered = Gauge(
            name + "buffered_records",
            "Records that this process fetched and keeps until those of other partitions come that are earlier.",
            registry=registry,
        )
        self._dead_letters = Counter(PREFIX + "dead_letters", "Dead letters acknowledged by Kafka.", ["topic"], registry=registry)
        self._rewinds = Counter(name + "rewinds", "Sources rewound by this process, asked by the core or a person.", registry=registry)
        for topic in (*INPUT_TOPICS, OTHER):
            for metric in (self._intake_records, self._intake_bytes, self._dead_letters):
                metric.labels(topic)
            for reason in (*REASONS, OTHER):
                self._intake_rejected.labels(topic, reason)

    def _make_core(self, registry: CollectorRegistry) -> None:
        name = PREFIX + "core_"
        self._owner = Gauge(name + "owner", "1 while this process owns the core's journal, else 0.", registry=registry)
        self._core_entries = Counter(name + "folded_entries", "Entries that this process folded; a refold counts again.", registry=registry)
        self._core_outputs = Counter(name + "outputs", "Output records that this process sent; repeats count again.", ["topic"], registry=registry)
        self._core_round = Histogram(
            name + "round_seconds", "Time of one round: fold, outputs, acknowledgement.", buckets=ROUND_BUCKETS_SECONDS, registry=registry
        )
        self._journal_lag = Gauge(PREFIX + "journal_lag_entries", "Journal entries that the owner has not folded yet.", registry=registry)
        self._restarts = Counter(name + "restarts", "Times that the state was thrown away and folded again after an exception.", registry=registry)
        self._produce_failures = Counter(PREFIX + "produce_failures", "Writes to Kafka that failed.", ["role"], registry=registry)
        for topic in (*OUTPUT_TOPICS, OTHER):
            self._core_outputs.labels(topic)
        for role in ("intake", "core", OTHER):
            self._produce_failures.labels(role)

    def _make_snapshots(self, registry: CollectorRegistry) -> None:
        name = PREFIX + "snapshot"
        self._snapshot_seconds = Histogram(
            name + "_write_seconds", "Time to encode and store one snapshot.", buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60), registry=registry
        )
        self._snapshots = Counter(name + "s_written", "Snapshots stored by this process.", registry=registry)
        self._snapshot_bytes = Gauge(name + "_bytes", "Size of the newest snapshot that this process stored.", registry=registry)
        self._snapshot_time = Gauge(
            name + "_timestamp_seconds", "When the newest snapshot was stored (its age is time() minus this); 0: none yet.", registry=registry
        )
        self._snapshot_failures = Counter(name + "_failures", "Snapshots that could not be stored.", registry=registry)
        self._snapshot_refusals = Counter(name + "s_refused", "Snapshots refused when loading, by reason.", ["reason"], registry=registry)
        for reason in (*SNAPSHOT_REFUSALS, OTHER):
            self._snapshot_refusals.labels(reason)

    def intake_round(self, topic: str, records: int, rejected: Mapping[Reason, int], value_bytes: int = 0) -> None:
        """One batch of one input topic was taken: `records` read, of them `rejected` by reason."""
        topic = closed(topic, INPUT_TOPICS)
        self._intake_records.labels(topic).inc(records)
        self._intake_bytes.labels(topic).inc(value_bytes)
        for reason, count in rejected.items():
            self._intake_rejected.labels(topic, closed(reason, REASONS)).inc(count)

    def intake_round_time(self, seconds: float) -> None:
        """One round of all sources took this long, from fetched to acknowledged."""
        self._intake_round.observe(seconds)

    def intake_sources(self, sources: int, lag_records: int, buffered_records: int) -> None:
        """How many sources this process reads, how much of them it has not taken yet, and how much of that was fetched."""
        self._intake_sources.set(sources)
        self._intake_lag.set(lag_records)
        self._intake_buffered.set(buffered_records)

    def dead_letters(self, topic: str, count: int) -> None:
        """`count` dead letters of an input topic were acknowledged."""
        self._dead_letters.labels(closed(topic, INPUT_TOPICS)).inc(count)

    def rewound(self) -> None:
        """A source was rewound."""
        self._rewinds.inc()

    def core_owner(self, *, owner: bool) -> None:
        """Whether this process owns the core; once it doesn't, what the fold showed is forgotten."""
        self._owner.set(int(owner))
        if not owner:
            self._fold.gauges = None
            self._journal_lag.set(0)

    def core_round(self, entries: int, outputs: Mapping[str, int], seconds: float) -> None:
        """One round: entries folded, outputs acknowledged by topic, and its time."""
        self._core_entries.inc(entries)
        for topic, count in outputs.items():
            self._core_outputs.labels(closed(topic, OUTPUT_TOPICS)).inc(count)
        self._core_round.observe(seconds)

    def journal_lag(self, entries: int) -> None:
        """Journal entries that the owner has not folded yet."""
        self._journal_lag.set(entries)

    def verdict_latency(self, seconds: Sequence[float] | npt.NDArray[np.float64]) -> None:
        """Time from event to acknowledged verdict of each verdict of a round."""
        self._latency.observe(seconds)

    def core_gauges(self, gauges: Gauges) -> None:
        """The fold's newest picture; shown until the next one, or until ownership ends."""
        self._fold.gauges = gauges

    def gauges(self) -> Gauges | None:
        """The newest picture; None while this process doesn't own the core."""
        return self._fold.gauges

    def core_restarted(self) -> None:
        """The state was thrown away after an exception and is folded again."""
        self._restarts.inc()

    def produce_failed(self, role: str) -> None:
        """A write to Kafka failed; `role` is "intake" or "core"."""
        self._produce_failures.labels(closed(role, ("intake", "core"))).inc()

    def snapshot(self, seconds: float, size_bytes: int, stored_at_ms: int) -> None:
        """A snapshot was stored."""
        self._snapshots.inc()
        self._snapshot_seconds.observe(seconds)
        self._snapshot_bytes.set(size_bytes)
        self._snapshot_time.set(stored_at_ms / 1_000)

    def snapshot_failed(self) -> None:
        """A snapshot could not be stored."""
        self._snapshot_failures.inc()

    def snapshot_refused(self, reason: str) -> None:
        """A snapshot was refused when loading."""
        self._snapshot_refusals.labels(closed(reason, SNAPSHOT_REFUSALS)).inc()

    def render(self) -> bytes:
        """Everything in Prometheus' text format 0.0.4."""
        return generate_latest(self.registry)


def make_metrics(health: Health) -> Metrics:
    """The metrics of one worker, on a registry of their own."""
    return Metrics(CollectorRegistry(), health)


class LatencyCollector(Collector):
    """The histogram from event to verdict: filled with a whole round at once, since one call a verdict would cost more than the verdict."""

    def __init__(self) -> None:
        self._edges = np.array(LATENCY_BUCKETS_SECONDS)
        self._counts = np.zeros(len(self._edges) + 1, dtype=np.int64)
        self._sum = 0.0

    def observe(self, seconds: Sequence[float] | npt.NDArray[np.float64]) -> None:
        """Count each latency; negative ones (an exchange's clock that is ahead of ours) count as 0."""
        values = np.maximum(np.asarray(seconds, dtype=np.float64), 0.0)
        self._counts += np.bincount(np.searchsorted(self._edges, values, side="left"), minlength=len(self._counts))
        self._sum += float(values.sum())

    def collect(self) -> Iterable[Metric]:
        """The one histogram."""
        cumulated = np.cumsum(self._counts)
        bounds = [*(str(edge) for edge in LATENCY_BUCKETS_SECONDS), "+Inf"]
        yield HistogramMetricFamily(
            PREFIX + "verdict_latency_seconds",
            "Time from the event (by the exchange's clock) to its verdict acknowledged by Kafka.",
            buckets=[(bound, int(count)) for bound, count in zip(bounds, cumulated, strict=True)],
            sum_value=self._sum,
        )
