"""All that the core knows, in one place: the parts and the totals. Changed by `monitor.engine` and what it calls, and by nobody else."""

from collections.abc import Mapping

import msgspec

from detectors.registry import PlugIns, none_installed
from monitor.approvals import Approvals
from monitor.budget import Bucket
from monitor.clock import Clock
from monitor.contracts.base import Owner
from monitor.contracts.outputs import VerdictKind
from monitor.contracts.providers import Role, Standing
from monitor.decision_ids import DecisionIds
from monitor.doubts import Doubts
from monitor.held import Held
from monitor.holdings import Holdings
from monitor.incidents import Incidents
from monitor.labels import Labels
from monitor.levels import Levels
from monitor.marks import Marks
from monitor.money import AMOUNT_MINOR_MAX, parse_amount
from monitor.outflows import Outflows
from monitor.policies import Proposal
from monitor.policy import Policy
from monitor.repeated import Repeated
from monitor.repeats import EventIds, Told
from monitor.scoring import Scoring
from monitor.security import Security
from monitor.snoozes import Snoozes
from monitor.sources import Sources
from monitor.trail import Trail
from monitor.usual_amounts import REWARDS_BELOW, UsualAmounts
from monitor.wallets import Wallets
from monitor.withdrawals import Withdrawals


class Totals(msgspec.Struct):
    """Sums since the journal's first entry; part of the state, so that folding again counts nothing twice."""

    entries: dict[str, int] = {}
    verdicts: dict[VerdictKind, int] = {}
    rejected: dict[str, dict[str, int]] = {}
    findings: dict[str, int] = {}
    ticks_refused: int = 0
    ticks_ignored: int = 0
    quarantined: int = 0
    unreadable: int = 0
    decisions: dict[str, int] = {}


class Provider(msgspec.Struct, frozen=True):
    """What the registry says of a provider, as of `at_ms`: from `since_ms` on it is registered or notified (none: always), under `number`."""

    name: str
    role: Role
    standing: Standing
    at_ms: int
    number: str | None = None
    since_ms: int | None = None
    wallet_ids: tuple[str, ...] = ()
    signing_wallet_ids: tuple[str, ...] = ()

    def stands(self, at_ms: int) -> bool:
        """Whether it was registered or notified then."""
        return self.standing != "none" and (self.since_ms is None or self.since_ms <= at_ms)


class State:
    """The parts of the core's state. `scoring` and `policy` exist from the first term on, which is the journal's first entry."""

    def __init__(self, policy: Policy, plug_ins: PlugIns = none_installed) -> None:
        self.policy = policy
        self.term = ""
        self.journal_id = ""
        self.partitions: Mapping[str, int] = {}
        self.clock = Clock()
        self.trail = Trail()
        self.totals = Totals()
        self.sources = Sources()
        self.event_ids = EventIds(policy.limits.event_ids)
        self.retried: dict[str, None] = {}
        self.scoring = Scoring(policy, plug_ins)
        self.withdrawals = Withdrawals()
        self.outflows = Outflows()
        self.doubts = Doubts()
        self.held = Held()
        self.holdings = Holdings()
        self.postings = Told(policy.limits.postings)
        self.outputs = Told(policy.limits.outputs)
        self.repeated = Repeated()
        self.security = Security()
        # What the exchange moves itself, as a hot wallet's top-up, is of another size than what customers ask for.
        self.usual_withdrawals: dict[Owner, UsualAmounts] = {"customer": UsualAmounts(), "exchange": UsualAmounts()}
        self.usual_postings = UsualAmounts(REWARDS_BELOW)
        self.wallets = Wallets()
        self.marks = Marks(policy)
        self.incidents = Incidents(policy)
        self.marks.tells = self.incidents.tells
        self.pages = Bucket()
        self.labels = Labels()
        self.approvals = Approvals()
        self.decision_ids = DecisionIds()
        self.snoozes = Snoozes()
        self.proposals: dict[str, Proposal] = {}
        self.providers: dict[str, Provider] = {}
        self.doubted_providers: dict[str, int] = {}
        self.levels = Levels()
        self.rejected_at_ms: list[int] = []
        self.configure(policy)

    def configure(self, policy: Policy) -> list[str]:
        """Take a policy that was reconciled: it decides from here on. Returns why its layers are refused; then the former ones stay."""
        self.policy = policy
        self.event_ids.limit = policy.limits.event_ids
        self.postings.limit = policy.limits.postings
        self.outputs.limit = policy.limits.outputs
        self.units = {name: 10**asset.decimals for name, asset in policy.assets.items()}
        least = parse_amount(policy.thresholds.unit_confusion_base_amount, policy.assets[policy.base_currency].decimals)
        self.confusion_base_minor = least if isinstance(least, int) else AMOUNT_MINOR_MAX
        self.scoring.configure(policy)
        refused = self.marks.configure(policy)
        self.policy = self.marks.policy
        self.incidents.configure(policy)
        return refused
