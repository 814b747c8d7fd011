"""What a scenario file may say: the phases of an incident and the facts around them, as structs that refuse what they don't know.

Types and their limits only: `scenario` reads and checks files, `play` and `crowds` turn phases into records. `scenarios/README.md` explains
every field to those who write files. A new kind of phase is a struct here, a row in `Phase` and a handler in `play`.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.contracts.account_events import AccountAction
from monitor.contracts.wallet_events import WalletAction
from streams.simulation.episodes import EpisodeKind

Confidence = Literal["high", "medium", "low", "assumed"]
AT_SECONDS_MAX = 366 * 86_400.0
OVER_SECONDS_MAX = 10 * 86_400.0
COUNT_MAX = 100_000

Text = Annotated[str, Meta(min_length=1, max_length=1_000)]
Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
"""Ids and addresses: printable, without spaces."""
AtSeconds = Annotated[float, Meta(ge=-AT_SECONDS_MAX, le=AT_SECONDS_MAX)]
Seconds = Annotated[float, Meta(ge=0.0, le=OVER_SECONDS_MAX)]
Share = Annotated[float, Meta(gt=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=1, le=COUNT_MAX)]
Amount = Annotated[str, Meta(min_length=1, max_length=64)]
Owner = Literal["customer", "exchange"]
Ownership = Literal["own", "new", "shared"]
"""own: what the account always uses; new: never seen before, one for each account; shared: never seen before, one for all of the phase."""
EXISTING = "existing"
"""In place of an account: any that has the asset."""
FRESH = "fresh"
"""In place of an address: one that nobody has ever seen."""


class Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One public fact and how well it is supported."""

    text: Text
    confidence: Confidence


class LostAsset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was lost of one asset; `amount` is left out where it isn't known."""

    asset: Name
    amount: Amount | None = None


class Loss(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was lost in all, as public sources have it: base amounts in JPY, in the money of that day."""

    confidence: Confidence
    assets: tuple[LostAsset, ...] = ()
    base_amount: Amount | None = None
    customer_base_amount: Amount | None = None
    own_base_amount: Amount | None = None
    usd: Amount | None = None
    krw: Amount | None = None


class ClockFacts(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When people did what, in seconds from the incident's start. What is left out nobody has told."""

    acknowledged_seconds: AtSeconds | None = None
    halted_seconds: AtSeconds | None = None
    regulator_told_seconds: AtSeconds | None = None
    police_told_seconds: AtSeconds | None = None
    customers_told_seconds: AtSeconds | None = None


class Aftermath(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What people did after the incident, for `scenario run --to compensation`.

    `customers` hold the assets that are lost; `owner` is whose loss it was, where events don't say so; `recovered` came back before anything was paid.
    """

    confidence: Confidence
    customers: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    price_rule: Text = "loss-time"
    owner: Owner | None = None
    recovered: tuple[LostAsset, ...] = ()
    clock: ClockFacts = ClockFacts()
    notes: str = ""


class Played(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="action"):
    """What every phase carries.

    `at_seconds` counts from the incident's start and may be negative; `original_seconds` says where a phase stood before a quiet stretch
    was shortened.
    """

    name: Text
    at_seconds: AtSeconds
    confidence: Confidence
    notes: str = ""
    original_seconds: AtSeconds | None = None


class PricePhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="price"):
    """The asset's price stands at `price` from then on: the exchange's own records of it are left out."""

    asset: Name
    price: Amount


class BalancePhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="balance"):
    """The wallet is filled up to `amount`, if it holds less, so that there is what the incident takes."""

    wallet_id: Name
    amount: Amount


class TransferPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="transfer"):
    """One withdrawal's whole life through the withdrawal engine, and what goes wrong with it. Account "existing" is any that has the asset.

    Loss is what is sent: by the second broadcast if there are two, of the excess if only the amount was changed.
    """

    account_id: Name = "desk-treasury"
    wallet_id: Name
    to_wallet_id: Name | None = None
    to: Name | None = None
    asset: Name
    amount: Amount
    owner: Owner = "customer"
    paid_to: Name | None = None
    paid_amount: Amount | None = None
    approved_after_seconds: Seconds = 2.0
    signed_after_seconds: Seconds = 4.0
    broadcast_after_seconds: Seconds = 6.0
    seen_after_seconds: Seconds = 8.0
    confirmed_after_seconds: Seconds = 600.0
    cancelled_after_seconds: Seconds | None = None
    first_broadcast_told: bool = True
    retry_after_seconds: Seconds | None = None
    second_broadcast_after_seconds: Seconds | None = None
    loss: bool = False


class WithdrawalsPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="withdrawals"):
    """Many withdrawals through the withdrawal engine: a mass takeover, large payouts, an honest run.

    Exactly one of `amount` (each), `total` (divided), `share_of_balance` and `wallet_quantile` (of the amounts that the wallet has paid)
    says how much.
    """

    count: Count
    over_seconds: Seconds = 0.0
    asset: Name
    wallet_id: Name | None = None
    accounts: Literal["existing", "new"] = "existing"
    group: Name | None = None
    destinations: Literal["fresh", "known"] = "fresh"
    addresses: Annotated[int, Meta(ge=0, le=COUNT_MAX)] = 0
    amount: Amount | None = None
    total: Amount | None = None
    share_of_balance: Share | None = None
    wallet_quantile: Share | None = None
    spread: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    device: Ownership = "own"
    network: Ownership = "own"
    api_key: Ownership = "own"
    country: Annotated[str, Meta(min_length=2, max_length=2)] | None = None
    login_before_seconds: Seconds | None = None
    batch: bool = False
    approved_after_seconds: Seconds = 1.0
    signed_after_seconds: Seconds = 3.0
    broadcast_after_seconds: Seconds = 5.0
    seen_after_seconds: Seconds = 6.0
    confirmed_after_seconds: Seconds = 600.0
    loss: bool = False


class OutflowPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="outflow"):
    """Assets leave a wallet on chain and nobody asked for it: single, or a burst, perhaps with a small test transfer before."""

    wallet_id: Name
    amount: Amount | None = None
    total: Amount | None = None
    count: Count = 1
    over_seconds: Seconds = 0.0
    addresses: Annotated[int, Meta(ge=1, le=COUNT_MAX)] = 1
    to: tuple[Name, ...] = ()
    group: Name | None = None
    spread: Annotated[float, Meta(ge=0.0, lt=1.0)] = 0.0
    one_transaction: bool = False
    test_amount: Amount | None = None
    test_before_seconds: Seconds = 60.0
    seen_after_seconds: Seconds = 1.0
    owner: Owner = "customer"
    loss: bool = False


class PostingsPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="postings"):
    """Credits on the internal books: `amount` each or `total` divided."""

    count: Count
    over_seconds: Seconds = 0.0
    asset: Name
    amount: Amount | None = None
    total: Amount | None = None
    accounts: Literal["existing", "new"] = "existing"
    group: Name | None = None
    batch: bool = True
    reason: Text = "credit"
    actor: Name | None = None
    owner: Owner = "customer"
    loss: bool = False


class ReplayPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="replay"):
    """A withdrawal that was paid already is asked for and paid again, `count` times: same account, address and amount, new ids."""

    count: Count
    over_seconds: Seconds
    asset: Name
    approved_after_seconds: Seconds = 1.0
    signed_after_seconds: Seconds = 3.0
    broadcast_after_seconds: Seconds = 5.0
    seen_after_seconds: Seconds = 6.0
    confirmed_after_seconds: Seconds = 600.0
    loss: bool = False


class RedirectPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="redirect"):
    """For some time every payout that a provider serves goes to fresh addresses: changed when it is asked for, or only when it is sent."""

    provider_id: Name
    for_seconds: Annotated[float, Meta(gt=0.0, le=OVER_SECONDS_MAX)]
    addresses: Annotated[int, Meta(ge=0, le=COUNT_MAX)] = 0
    when: Literal["request", "broadcast"] = "request"
    loss: bool = False


class TreasuryPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="treasury"):
    """The exchange's own moves between its wallets, told as internal: `amount` each or `total` divided."""

    wallet_id: Name
    to_wallet_id: Name
    amount: Amount | None = None
    total: Amount | None = None
    count: Count = 1
    over_seconds: Seconds = 0.0


class WalletEventPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="wallet_event"):
    """Something happens to a wallet, `count` times."""

    wallet_id: Name
    event: WalletAction
    actor: Name | None = None
    detail: Text | None = None
    count: Count = 1
    over_seconds: Seconds = 0.0


class AccountEventPhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="account_event"):
    """The same thing happens to `count` accounts; with `group` they are those of the other phases of that group."""

    event: AccountAction
    count: Count = 1
    over_seconds: Seconds = 0.0
    accounts: Literal["existing", "new"] = "existing"
    group: Name | None = None
    device: Ownership = "own"
    network: Ownership = "own"
    api_key: Ownership = "own"
    country: Annotated[str, Meta(min_length=2, max_length=2)] | None = None


class EpisodePhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="episode"):
    """An honest episode of the simulated exchange goes on meanwhile, as a run of withdrawals after bad news; `episodes` explains them."""

    episode: EpisodeKind
    for_seconds: Annotated[float, Meta(gt=0.0, le=OVER_SECONDS_MAX)]
    factor: Annotated[float, Meta(gt=0.0, le=1_000.0)] = 1.0
    asset: Name | None = None


class NoticePhase(Played, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="notice"):
    """What people knew at that time: when the exchange noticed, or what an outside observer saw. Makes no record."""

    who: Literal["exchange", "outsiders"]


Phase = (
    PricePhase | BalancePhase | TransferPhase | WithdrawalsPhase | OutflowPhase | PostingsPhase | ReplayPhase | RedirectPhase | TreasuryPhase
    | WalletEventPhase | AccountEventPhase | EpisodePhase | NoticePhase
)  # fmt: skip
"""Every kind of phase."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One incident: public facts and the phases that play it. `tail_seconds` are played after the last phase."""

    id: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    name: Text
    date: str
    classes: tuple[Name, ...]
    cause: Literal["unauthorized_access", "system_failure", "undecided"]
    teaches: Text
    loss: Loss | None = None
    facts: tuple[Fact, ...] = ()
    aftermath: Aftermath | None = None
    tail_seconds: Seconds = 120.0
    phases: tuple[Phase, ...]

    @property
    def played(self) -> tuple[Phase, ...]:
        """The phases in which something happens: all but notices."""
        return tuple(phase for phase in self.phases if not isinstance(phase, NoticePhase))

    @property
    def first_seconds(self) -> float:
        """When the first record of it comes: before its phase, where that has a test transfer or logins."""
        return min(phase.at_seconds - _lead_seconds(phase) for phase in self.played)

    @property
    def seconds(self) -> float:
        """Until the last of them has begun."""
        return max(phase.at_seconds for phase in self.played)


def _lead_seconds(phase: Phase) -> float:
    if isinstance(phase, OutflowPhase) and phase.test_amount is not None:
        return phase.test_before_seconds
    return phase.login_before_seconds or 0.0 if isinstance(phase, WithdrawalsPhase) else 0.0
