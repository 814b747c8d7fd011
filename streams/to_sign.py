"""A compensation file as a person must see it before signing it: what is paid, to how many, at which price, and why it is a draft still.

Read from the bytes that are signed, and checked against its own lines: what is shown is what the signature covers. Called by `sign-off`.
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec

from monitor.contracts.compensation import Sha256, SignOff, Statement
from monitor.sign_offs import PERSONS
from streams.refusals import RefusedError
from streams.words import grouped


class _Signable(msgspec.Struct):
    """A compensation file, with the statement's own bytes."""

    sign_offs: tuple[SignOff, ...]
    statement_sha256: Sha256
    statement: msgspec.Raw


class ToSign(NamedTuple):
    """The statement in a file, its SHA-256, and the names of those whose signatures the file has (not checked here: the policy is elsewhere)."""

    statement: Statement
    sha256: str
    signed_by: tuple[str, ...]


def to_sign(path: Path) -> ToSign:
    """What a compensation file has to be signed. Raises RefusedError if it is none, was changed, or contradicts itself."""
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_Signable)
        statement = msgspec.json.decode(file.statement, type=Statement)
    except OSError as error:
        raise RefusedError(f"{path} can't be read: {error.strerror}.") from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RefusedError(f"{path} is no compensation file: {error}.") from error
    digest = sha256(bytes(file.statement)).hexdigest()
    if digest != file.statement_sha256:
        raise RefusedError(f"{path} was changed: its statement has the SHA-256 {digest}, not {file.statement_sha256} as it says.")
    for what, told, found in _sums(statement):
        if told != found:
            raise RefusedError(f"{path} contradicts itself: it says {what} {told}, and its lines add up to {found}.")
    return ToSign(statement, digest, tuple(dict.fromkeys(sign_off.actor for sign_off in file.sign_offs)))


def _sums(statement: Statement) -> Iterator[tuple[str, Fraction, Fraction]]:
    """What the statement says in total, and what its lines say."""
    totals, lines = statement.totals, statement.lines
    customers = [line for line in lines if line.owner == "customer"]
    rest = statement.not_attributed
    yield "customers", Fraction(totals.customers), Fraction(len({line.account_id for line in customers}))
    yield "customers' loss", Fraction(totals.customers_base_amount), _sum(line.base_amount for line in customers)
    yield "own loss", Fraction(totals.own_base_amount), _sum(line.base_amount for line in lines if line.owner != "customer")
    yield "not attributed", Fraction(totals.not_attributed_base_amount), _sum(each.base_amount for each in rest)
    for asset in statement.assets:
        attributed = _sum(line.quantity for line in lines if line.asset == asset.asset)
        yield asset.asset, Fraction(asset.quantity), attributed + _sum(each.quantity for each in rest if each.asset == asset.asset)


def _sum(amounts: Iterable[str]) -> Fraction:
    return sum(map(Fraction, amounts), Fraction(0))


def shown(file: ToSign) -> Iterator[tuple[str, str]]:
    """What it is, row by row."""
    statement, totals, base = file.statement, file.statement.totals, file.statement.base_currency
    yield "incident", statement.incident_id
    yield "journal", f"{statement.journal_id}, up to offset {statement.last_offset:,}"
    yield "customers", f"{totals.customers:,}"
    yield "customers' loss", f"{grouped(totals.customers_base_amount)} {base}"
    yield "own loss", f"{grouped(totals.own_base_amount)} {base}"
    yield "not attributed", f"{grouped(totals.not_attributed_base_amount)} {base}"
    yield "together", f"{grouped(totals.base_amount)} {base}"
    for asset in statement.assets:
        yield f"of it {asset.asset}", f"{grouped(asset.quantity)}, {grouped(asset.base_amount)} {base}"
    yield "price rule", statement.price_rule
    for price in statement.prices:
        yield f"price of {price.asset}", f"{price.price} {base}"
    yield "SHA-256", file.sha256
    if statement.suspected:
        yield "DRAFT", f"{statement.suspected:,} mark(s) are only suspected: it stays a draft whoever signs"
    if statement.never_left:
        yield "DRAFT", f"{statement.never_left:,} mark(s) are of what was held and never left: it stays a draft until they are cleared"
    if len(file.signed_by) < PERSONS:
        by = f"signed by {' and '.join(file.signed_by)}" if file.signed_by else "signed by nobody"
        yield "DRAFT", f"{by} so far: {PERSONS} persons must sign"
