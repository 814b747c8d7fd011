"""The compensation file of one incident: whom to pay back what, at which price, by which evidence, and who signed it.

Computed by `monitor.compensation` from the journal alone, written by `streams.compensation_files`. Amounts are decimal strings, as on every topic.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.contracts.base import Amount, AssetId, Cause, Id, Owner, TimeMs
from monitor.contracts.outputs import MarkStage

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="SHA-256, hexadecimal.")]
Offset = Annotated[int, Meta(ge=0, description="Position in the journal.")]
Way = Literal["account", "holdings", "own", "never_left"]
Status = Literal["DRAFT", "SIGNED"]


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """One journal entry that made or changed a mark, or told of its loss."""

    offset: Offset
    sha256: Annotated[Sha256, Meta(description="Of the entry's bytes.")]
    what: Annotated[str, Meta(description='What it is to the mark: "version 2", "withdrawal broadcast", "outflow", "posting".')]


class MarkPart(msgspec.Struct, frozen=True, gc=False):
    """One mark, in its newest version, as far as it is to be compensated: what came back before that is nobody's claim any more."""

    mark_id: Id
    version: int
    state: MarkStage
    withdrawal_id: Id | None
    provider_id: Id | None
    lost: Annotated[Amount, Meta(description="The whole loss.")]
    quantity: Annotated[Amount, Meta(description="What of it is, or was, to be compensated: open and compensated.")]
    lost_at_ms: Annotated[
        TimeMs, Meta(description="When it left, by the events; where none tells, when the first of it was told, or it was first marked.")
    ]
    price: Annotated[Amount | None, Meta(description="The price that the ledger valued it at.")]
    price_source: Id | None
    price_at_ms: TimeMs | None
    base_amount: Annotated[Amount | None, Meta(description="Its value in the ledger; none while no price is known.")]
    evidence: tuple[Evidence, ...]


class LayerPart(msgspec.Struct, frozen=True, gc=False):
    """What one layer of the reserve carries, by the ledger."""

    layer_id: Id
    account: Annotated[Literal["held", "paid", "recovered"], Meta(description="recovered: came back of what it paid.")]
    unit: AssetId
    amount: Annotated[Amount, Meta(description="In the layer's own unit.")]
    base_amount: Annotated[Amount | None, Meta(description="The value that this stands for.")]


class Group(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Losses of one asset, owner and cause that are divided by one rule."""

    group_id: Id
    way: Annotated[
        Way,
        Meta(
            description="account: lost from that account, which gets all of it; holdings: lost from a pool, divided over the customers who held the asset "
            "in proportion to what they held, less what of that is lost already; own: the exchange's own loss; never_left: held, and nobody's claim."
        ),
    ]
    asset: AssetId
    owner: Owner
    cause: Cause
    account_id: Id | None = None
    held_until_ms: Annotated[TimeMs, Meta(description="The first of its losses: the newest holding up to then counts.")]
    quantity: Amount
    price: Annotated[Amount | None, Meta(description="Base currency per unit; none where its marks have several prices.")]
    base_amount: Annotated[Amount, Meta(description="By the price rule; of what never left 0.")]
    ledger_base_amount: Annotated[Amount | None, Meta(description="By the ledger, at the price of the loss.")]
    layers: tuple[LayerPart, ...]
    holders: Annotated[
        int | None, Meta(description="Of a pool: the customers whose holdings are told and not all lost already; nobody else gets any.")
    ] = None
    held: Annotated[
        Amount | None,
        Meta(description="Of a pool: what they have left of that together. Where others held too and it isn't told, these get more than their part."),
    ] = None
    marks: tuple[MarkPart, ...]


class Line(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one customer, or the exchange itself, gets for one group."""

    account_id: Annotated[Id | None, Meta(description="None: the exchange's own loss.")]
    owner: Owner
    asset: AssetId
    quantity: Amount
    price: Amount | None
    base_amount: Amount
    cause: Cause
    group_id: Annotated[Id, Meta(description="The group, which has the marks, their evidence, and what each layer pays.")]
    layers: Annotated[tuple[Id, ...], Meta(description="The layers that pay, in the ledger's order.")]
    held: Annotated[Amount | None, Meta(description="What the customer held of the asset, where that divides the loss.")] = None
    lost_before: Annotated[
        Amount | None,
        Meta(
            description="What of that is lost already, and isn't given from the pool: own losses since it was told, other incidents', other causes'."
        ),
    ] = None
    holding: Annotated[Evidence | None, Meta(description="The entry that tells what was held.")] = None


class NotAttributed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A part of a loss that can't be said whose it is."""

    group_id: Id
    asset: AssetId
    quantity: Amount
    base_amount: Amount
    reason: str


class CountedFirst(msgspec.Struct, frozen=True, gc=False):
    """Another incident whose losses are counted against the same holdings first."""

    incident_id: Id
    asset: AssetId
    quantity: Annotated[Amount, Meta(description="What it takes of them: customers' own losses, and its pool's.")]


class AssetTotal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One asset: customers' + own + not attributed = quantity; quantity + never left = what the ledger has open and compensated of it."""

    asset: AssetId
    quantity: Amount
    customers: Amount
    own: Amount
    not_attributed: Amount
    never_left: Amount
    base_amount: Amount
    customers_base_amount: Amount
    own_base_amount: Amount
    not_attributed_base_amount: Amount
    never_left_base_amount: Annotated[Amount | None, Meta(description="By the ledger.")]
    ledger_base_amount: Annotated[Amount | None, Meta(description="At the price of the loss, as the layers carry it, with what never left.")]


class Totals(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Over all assets, in the base currency."""

    customers: Annotated[int, Meta(description="Customers who get something.")]
    base_amount: Amount
    customers_base_amount: Amount
    own_base_amount: Amount
    not_attributed_base_amount: Amount
    never_left_base_amount: Annotated[Amount | None, Meta(description="By the ledger.")]
    ledger_base_amount: Annotated[Amount | None, Meta(description="With what never left.")]


class PriceUsed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The price of one asset under a rule that gives one. The exact price is numerator / denominator."""

    asset: AssetId
    price: Annotated[Amount, Meta(description="To 18 decimals, rounded down.")]
    numerator: Annotated[str, Meta(pattern=r"^[0-9]+$")]
    denominator: Annotated[str, Meta(pattern=r"^[1-9][0-9]*$")]
    prices: Annotated[int, Meta(ge=0, description="How many recorded prices it is the mean of; 0: it was decided.")]


class Statement(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What people sign: everything that is to be paid, and why. The same journal and choices give the same bytes."""

    schema_version: Literal[1] = 1
    incident_id: Id
    journal_id: Annotated[Sha256, Meta(description="Of the journal's first entry.")]
    last_offset: Annotated[Offset, Meta(description="The newest journal entry that anything here follows from: what came later changed nothing.")]
    engine_version: str
    policy_version: Annotated[int, Meta(description="The newest policy that one of the marks was made or changed under.")]
    base_currency: AssetId
    price_rule: Annotated[str, Meta(description='As it was chosen: "loss-time", "fixed:…" or "average:…".')]
    prices: tuple[PriceUsed, ...]
    pooled_accounts: Annotated[tuple[Id, ...], Meta(description="Accounts of the exchange's own desk: what is lost from them is lost from the pool.")]
    counted_first: Annotated[tuple[CountedFirst, ...], Meta(description="Other incidents' losses that lessen what is left of the holdings here.")]
    suspected: Annotated[int, Meta(ge=0, description="Marks that nobody has confirmed yet: while there are any, it is a draft.")]
    never_left: Annotated[
        int,
        Meta(
            ge=0,
            description="Marks of what was held and never left, neither cleared nor, if paid, come back: while there are any, it is a draft.",
        ),
    ]
    totals: Totals
    assets: tuple[AssetTotal, ...]
    groups: tuple[Group, ...]
    lines: tuple[Line, ...]
    not_attributed: tuple[NotAttributed, ...]


class SignOff(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One person's signature under a statement."""

    actor: Id
    incident_id: Id
    statement_sha256: Sha256
    signature: Annotated[
        str,
        Meta(description='Ed25519, in base64, of the JSON array, without spaces, of "compensation", incident_id, statement_sha256 and actor.'),
    ]


class Compensation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The file. `statement_sha256` is of the bytes of `statement` as they stand in it."""

    status: Annotated[
        Status,
        Meta(
            description="SIGNED: two persons of the policy who may decide it have signed, no mark is only suspected, and none is of what never left."
        ),
    ]
    sign_offs: tuple[SignOff, ...]
    statement_sha256: Sha256
    statement: Statement
