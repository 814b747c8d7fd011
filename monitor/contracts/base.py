"""What all input events share. Field types that the schema explains; nothing of one topic.

Amounts are decimal strings on the wire (JSON numbers are refused: a reader that takes them for floats loses units);
times are integer milliseconds since 1970-01-01T00:00:00Z. `check` names what `monitor.decode` looks at beyond the type.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Id = Annotated[str, Meta(min_length=1, max_length=128, description="Identifier, 1 to 128 characters, no control characters.")]
AssetId = Annotated[Id, Meta(description="An asset, by its name in the policy's table of assets.", extra={"check": "asset"})]
Text = Annotated[
    str,
    Meta(max_length=1024, description="Free text, at most 1,024 characters; no control characters but tabs and line ends.", extra={"check": "text"}),
]
TimeMs = Annotated[int, Meta(description="Milliseconds since 1970-01-01T00:00:00Z.", extra={"check": "time"})]
Amount = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description='Decimal string in units of the asset, as "0.25"; digits and at most one point, no sign, no exponent, '
        "no more decimals than the asset has; above zero in every event.",
        extra={"check": "amount"},
        extra_json_schema={"pattern": r"^[0-9]+(\.[0-9]+)?$"},
    ),
]
AmountOrZero = Annotated[Amount, Meta(description="Decimal string as an amount, may be zero.", extra={"check": "amount_or_zero"})]
PriceString = Annotated[Amount, Meta(description="Decimal string above zero with at most 18 decimals.", extra={"check": "price"})]
Owner = Literal["customer", "exchange"]
Mode = Literal["observe", "enforce"]
Cause = Literal["unauthorized_access", "system_failure", "undecided"]


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every input event carries."""

    event_id: Annotated[Id, Meta(description="Unique per event. The same id and content is a repeat; the same id with other content is a finding.")]
    occurred_at_ms: Annotated[TimeMs, Meta(description="When it happened, by the exchange's clock.")]
    schema_version: Annotated[Literal[1], Meta(description="Version of this contract.")] = 1
