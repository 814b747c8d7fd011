"""From requested withdrawals to opinions: rows for names, runs for the detectors, and what their scores ask for.

The bridge to `detectors`: they see rows and numbers only. Decides nothing: `monitor.decisions` does. Called by `monitor.engine`.
"""

from collections.abc import Mapping
from ipaddress import ip_network
from struct import Struct
from typing import NamedTuple
from zlib import adler32, crc32

import msgspec
import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, KINDS, NO_ROW, OBSERVATION, SECOND_FACTORS, Bools, Floats, Run, Scores
from detectors.gate import Gate
from detectors.panel import Panel
from detectors.registry import Entry, PlugIns, configure, make, none_installed, remake
from detectors.river_catalogue import Step, river_entry
from monitor.budget import Review, Reviews
from monitor.contracts.outputs import ReasonGiven, VerdictKind
from monitor.contracts.withdrawals import Withdrawal
from monitor.entities import Table
from monitor.findings import rule_of
from monitor.money import Price
from monitor.policy import PROVIDERS_MAX, Policy, RiverDetector
from monitor.withdrawals import destination

NAN = float("nan")
SECOND_FACTOR_PLACES: dict[str | None, int] = {name: place for place, name in enumerate(SECOND_FACTORS)}
SHIFTING = frozenset(("asset", "provider", "everything"))
"""Scopes that all customers make together: they shift by themselves, with new customers and airdrops, more than a chance of one kind of events says."""
SHARE_MAX = 1e6
"""A share of a balance that is nearly empty says no more than this."""


_pack = Struct("=" + "".join({"i8": "q", "i4": "i", "f8": "d"}[OBSERVATION[name].str[1:]] for name in OBSERVATION.names or ())).pack
"""The bytes of one observation: putting a run together of them takes a third of the time that an array of tuples does."""


class Facts(msgspec.Struct, frozen=True, gc=False):
    """What the core knows of a requested withdrawal beyond its event; 0 or None where it knows nothing.

    `wallet_amount`: what its wallet held of the asset by the newest balance, in units of the asset.
    """

    price: Price | None
    security_changed_at_ms: int = 0
    wallet_amount: float | None = None


def digest(name: str | None) -> int:
    """63 bits of a name for the detectors, 0 of none. Against accidents: who can choose a victim's device or network can give its own name."""
    if name is None:
        return 0
    text = name.encode()
    return (crc32(text) << 31 | adler32(text) & 0x7FFFFFFF) or 1


def network_of(ip: str | None) -> str | None:
    """The network of an address: its first 24 bits, of IPv6 the first 48; what is no address stands for itself."""
    if ip is None or ":" not in ip:
        return None if ip is None else ip.rpartition(".")[0] or ip
    try:
        return str(ip_network((ip, 48), strict=False))
    except ValueError:
        return ip


def share(amount: float, held: float) -> float:
    """Which share of what was held the amount is; more than everything is more than 1."""
    return min(amount / held, SHARE_MAX) if held > 0.0 else SHARE_MAX


def tied_to(rule: str, event: Withdrawal) -> str:
    """The key of the incident that a detector's finding belongs to: what it observes; of an account's own the destination."""
    tied = {
        "shared_device": ("device", event.device_id),
        "shared_network": ("network", network_of(event.ip)),
        "shared_api_key": ("api_key", event.api_key_id),
        "batch_accounts": ("batch", event.batch_id),
        "wallet_outflow": ("wallet", event.wallet_id),
        "asset_outflow": ("asset", event.asset),
        "provider_shift": ("provider", event.provider_id),
        "first_seen_rate": ("everything", "first_seen"),
    }
    kind, name = tied.get(rule, ("address", destination(event.address, event.tag)))
    return f"{kind}:{name}"


def tied_by(event: Withdrawal) -> tuple[str, ...]:
    """What a request shares with others of the same hand: its device, and the batch that it came in."""
    named = (("device", event.device_id), ("batch", event.batch_id))
    return tuple(f"{kind}:{name}" for kind, name in named if name is not None)


def chosen(policy: Policy) -> dict[str, RiverDetector | None]:
    """The detectors beside ours by name, in order: what river makes them of, None for an installed one."""
    return {**dict.fromkeys(policy.plug_ins), **{each.name: each for each in policy.river}}


def configured(detector: RiverDetector) -> Entry:
    """The row of a detector that the policy describes."""
    steps = [Step(each.estimator, each.parameters) for each in detector.before]
    return river_entry(detector.name, [*steps, Step(detector.estimator, detector.parameters)], detector.target)


class Opinion(msgspec.Struct, frozen=True, gc=False):
    """What the detectors say of one withdrawal; `verdict` is the least that they ask for.

    `review` says whether a person is asked to look at it, `rank` its place among what went over the budget in the last day, from 1 on.
    """

    p_value: float | None
    verdict: VerdictKind
    reasons: tuple[ReasonGiven, ...]
    review: Review | None = None
    rank: int = 0


class Columns(NamedTuple):
    """Scores of the calibrated detectors side by side, [n, k]."""

    values: Floats
    p_values: Floats
    ready: Bools

    def fused(self) -> Floats:
        """The smallest p-value times how many detectors were asked (Bonferroni): valid however they depend on each other; 1 where none was."""
        least: Floats = np.where(self.ready, self.p_values, 1.0).min(axis=1)
        fused: Floats = np.minimum(1.0, least * np.maximum(self.ready.sum(axis=1), 1))
        return fused


class Scoring:
    """Tables of rows, the open run, and the panel of detectors."""

    def __init__(self, policy: Policy, plug_ins: PlugIns = none_installed) -> None:
        limits = policy.limits
        self._plug_ins = plug_ins
        self._extra = chosen(policy)
        self.tables = {
            "account": Table(limits.accounts),
            "address": Table(limits.addresses),
            "asset": Table(max(64, 2 * len(policy.assets))),
            "wallet": Table(limits.wallets),
            "provider": Table(PROVIDERS_MAX),
        }
        self.panel: Panel = make(
            young_address_ms=policy.thresholds.young_address_ms, pairs_max=limits.pairs, remembered_max=limits.remembered,
            extra=self._entries(self._extra),
        )  # fmt: skip
        self.blocks = 0
        self.teach: Bools = np.ones(BLOCK_OBSERVATIONS, dtype=np.bool_)
        self.last_run_ms = 0
        self.ready: dict[str, bool] = {}
        self.gathered = bytearray()
        self.ids: list[str] = []
        self._sort_detectors()
        self.gate = Gate(len(self.calibrated))
        self.reviews = Reviews()
        self.configure(policy)

    def configure(self, policy: Policy) -> None:
        """Take a new term's policy. Of the detectors beside ours, those that it describes as before go on, others begin WARMING."""
        self.thresholds, self.budget = policy.thresholds, policy.budget
        self.off = frozenset(policy.rules_off)
        limits = policy.limits
        configure(self.panel, young_address_ms=policy.thresholds.young_address_ms, pairs_max=limits.pairs)
        extra = chosen(policy)
        if extra != self._extra:
            kept = [name for name, what in extra.items() if self._extra.get(name) == what]
            remake(self.panel, self._entries(extra), kept, policy.thresholds.young_address_ms)
            self._extra = extra
            before = self.calibrated
            self._sort_detectors()
            self.gate.keep([before.index(name) if name in before and name not in set(extra) - set(kept) else None for name in self.calibrated])
        self.tables["asset"].limit = max(64, 2 * len(policy.assets))
        for kind, limit in (("account", limits.accounts), ("address", limits.addresses), ("wallet", limits.wallets)):
            self.tables[kind].limit = limit

    def _sort_detectors(self) -> None:
        """Which detectors take part in fusion and gate, and which alarm by a threshold."""
        detectors = self.panel.detectors
        self.scopes = {detector.name: detector.scope for detector in detectors}
        self.calibrated = tuple(detector.name for detector in detectors if detector.calibrated)
        self.alarms = tuple(detector.name for detector in detectors if not detector.calibrated)

    def _entries(self, extra: Mapping[str, RiverDetector | None]) -> list[Entry]:
        """Rows of the detectors beside ours. Raises ValueError if one isn't installed here."""
        return [self._plug_ins(name) if what is None else configured(what) for name, what in extra.items()]

    @property
    def room(self) -> int:
        """Observations that the open block still takes, those gathered counted."""
        return self.panel.room - len(self.ids)

    @property
    def position(self) -> int:
        """Place of the next observation in the open block."""
        return BLOCK_OBSERVATIONS - self.panel.room

    def gather(self, event: Withdrawal, facts: Facts) -> None:
        """Put one requested withdrawal into the open run. The amount becomes a float here and for the detectors alone: money stays `int`."""
        tables, at_ms, price = self.tables, event.occurred_at_ms, facts.price
        amount = float(event.amount)
        changed_at_ms = event.second_factor_changed_at_ms or 0
        changed_at_ms = max(changed_at_ms, facts.security_changed_at_ms)
        self.ids.append(event.withdrawal_id)
        self.gathered += _pack(
            at_ms, amount,
            amount * (price.price_scaled / price.scale) if price is not None else NAN,
            NAN if event.balance_before is None else share(amount, float(event.balance_before)),
            NAN if facts.wallet_amount is None else share(amount, facts.wallet_amount),
            -1 if changed_at_ms <= 0 else at_ms - changed_at_ms if at_ms > changed_at_ms else 0,
            digest(event.device_id), digest(network_of(event.ip)), digest(event.country), digest(event.api_key_id), digest(event.batch_id),
            tables["account"].row(event.account_id),
            tables["address"].row(destination(event.address, event.tag)),
            tables["asset"].row(event.asset),
            NO_ROW if event.wallet_id is None else tables["wallet"].row(event.wallet_id),
            NO_ROW if event.provider_id is None else tables["provider"].row(event.provider_id),
            SECOND_FACTOR_PLACES.get(event.second_factor, 0),
        )  # fmt: skip

    def score(self) -> list[Opinion]:
        """Fold the open run into the detectors: an opinion for each gathered withdrawal, in order."""
        run: Run = np.frombuffer(self.gathered, OBSERVATION)
        self.gathered = bytearray()
        self.panel.reserve({kind: len(table.names) for kind, table in self.tables.items()})
        for kind in KINDS:
            self.tables[kind].touch(run[kind], self.blocks)
        self.last_run_ms = int(run["time_ms"][-1])
        _, scores = self.panel.fold(run)
        self.ready = {name: bool(score.ready[-1]) for name, score in scores.items()}
        ids, self.ids = self.ids, []
        return self._opinions(run, ids, scores)

    def _opinions(self, run: Run, ids: list[str], scores: dict[str, Scores]) -> list[Opinion]:
        """Judge each withdrawal in order: most are CLEAR in one step; where the gate or an alarm stops, it is looked at."""
        number = len(run)
        columns = Columns(
            np.stack([scores[name].value for name in self.calibrated], axis=1),
            np.stack([scores[name].p_value for name in self.calibrated], axis=1),
            np.stack([scores[name].ready if name not in self.off else np.zeros(number, np.bool_) for name in self.calibrated], axis=1),
        )
        fused = columns.fused()
        alarms = {name: self._alarm(name, scores[name]) for name in self.alarms if name not in self.off}
        forced = fused <= self.thresholds.hold_p_value
        for hit in alarms.values():
            forced |= hit
        known: Bools = np.asarray(columns.ready.any(axis=1))
        opinions = [Opinion(p if ready else None, "CLEAR", ()) for p, ready in zip(fused.tolist(), known.tolist(), strict=True)]
        aim, cap, at = float(self.budget.reviews_per_day), self.thresholds.watch_p_value, 0
        while (at := self.gate.next(run, columns.values, columns.p_values, columns.ready, forced, at, aim, cap)) < number:
            raised = [name for name, hit in alarms.items() if hit[at]]
            lanes = [self.calibrated[lane] for lane in np.flatnonzero(self.gate.alarms).tolist()]
            opinions[at] = self._odd(run[at], ids[at], scores, at, float(fused[at]) if known[at] else None, lanes, raised)
            at += 1
        return opinions

    def _alarm(self, name: str, scores: Scores) -> Bools:
        limits = self.thresholds
        hit: Bools = scores.ready & (scores.p_value <= (limits.shift_p_value if self.scopes[name] in SHIFTING else limits.alarm_p_value))
        return hit

    def _odd(
        self, seen: np.void, withdrawal_id: str, scores: dict[str, Scores], at: int, fused: float | None, lanes: list[str], raised: list[str]
    ) -> Opinion:  # fmt: skip
        """A withdrawal at which the gate or an alarm stopped: the verdict that is asked for, its reasons, and whether a person is."""
        hold = fused is not None and fused <= self.thresholds.hold_p_value
        if hold and not lanes:  # odd beyond doubt, though many were lately: the limits are above it
            lanes = [min(self.calibrated, key=lambda name: (float(scores[name].p_value[at]), name))]
        lanes.sort(key=lambda name: (float(scores[name].p_value[at]), name))
        verdict: VerdictKind = "HOLD" if hold or any(rule_of(name).verdict == "HOLD" for name in raised) else "WATCH"
        keys = tuple(sorted({self._entity(name, seen) for name in (*raised, *lanes)}))
        review = self.reviews.ask(withdrawal_id, keys, 1.0 if fused is None else fused, self.gate.newest_ms, self.budget)
        if review != "joined":
            self.gate.count()
        reasons = tuple(self._reason(scores, name, at) for name in (*raised, *lanes))
        return Opinion(fused, verdict, reasons, review, self.reviews.rank(withdrawal_id) if review == "over_budget" else 0)

    def _entity(self, name: str, seen: np.void) -> str:
        """The entity that a detector's finding is about: a review of it covers what else it does. What is odd beside everything is its account's."""
        scope = self.scopes[name]
        if scope == "everything":
            return name if name in self.alarms else f"account:{seen['account']}"
        return f"{scope}:{seen[scope]}"

    def _reason(self, scores: dict[str, Scores], name: str, at: int) -> ReasonGiven:
        detail = self.panel.explain(name, scores[name].parts[at])
        return ReasonGiven(name, detail, float(scores[name].p_value[at]))

    def held(self, position: int) -> None:
        """What is held teaches nothing: leave that place of the open block out of the learning."""
        self.teach[position] = False

    def end_block(self) -> bool:
        """If the block is full: learn from it, evict what is over the limits. Says whether it was."""
        if self.panel.room > 0:
            return False
        self.panel.learn(self.teach)
        self.teach[:] = True
        self.blocks += 1
        for kind, table in self.tables.items():
            gone = table.evict()
            if len(gone):
                self.panel.forget(kind, gone)
                self.reviews.forget(f"{kind}:{row}" for row in gone.tolist())
        return True
