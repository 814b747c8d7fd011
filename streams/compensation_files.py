"""The compensation file as people and machines take it: JSON, CSV for spreadsheets, the evidence, a summary; and its sign-offs.

The same statement and sign-offs give the same bytes. Cells of the CSV files are made safe by `streams.safe_cells`.
Decides nothing; called by the command line and `streams.scenario_people`.
"""

import base64
import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from monitor.contracts.compensation import Group, SignOff, Statement, Status
from monitor.policy import Policy
from monitor.sign_offs import PERSONS, message, sign_off_fault, status
from streams.pages import Page, Section, Table, html_page, markdown, moment
from streams.refusals import RefusedError
from streams.safe_cells import safe_cell
from streams.words import grouped, spaced

BOM = "\ufeff"
"""Spreadsheets take a CSV file for UTF-8 only if it begins with this."""
FILES = ("compensation.json", "compensation.csv", "evidence.csv", "summary.md", "summary.html")
LINES_SHOWN_MAX = 50
WITHDRAWALS_SHOWN_MAX = 20
CLEAR_IT = "clear the mark; what was paid for it must have come back (`recovered`)"

COLUMNS = (
    "status", "incident", "account", "owner", "asset", "quantity", "price", "price rule", "base amount", "base currency", "cause", "layers", "group",
    "held", "lost before", "holding offset", "holding sha256", "reason",
)  # fmt: skip
EVIDENCE_COLUMNS = ("status", "incident", "group", "mark", "version", "state", "lost", "quantity", "offset", "sha256", "what")

_encode = msgspec.json.Encoder().encode


class Made(NamedTuple):
    """A statement with what is signed of it."""

    statement: Statement
    content: bytes
    sign_offs: tuple[SignOff, ...]
    status: Status

    @property
    def draft(self) -> bool:
        """Whether nobody may act on it yet."""
        return self.status == "DRAFT"

    @property
    def lacks(self) -> str:
        """What makes it a draft; "" if nothing does."""
        statement, reasons = self.statement, list[str]()
        if len(self.sign_offs) < PERSONS:
            reasons.append("not signed by two persons")
        if statement.suspected:
            reasons.append("marks are only suspected")
        if statement.never_left:
            reasons.append(f"{statement.never_left:,} mark(s) are of what was held and never left: clear them")
        return "; ".join(reasons) if self.draft else ""

    @property
    def warning(self) -> str:
        """What of it nobody gets, for every page; "" where all is somebody's."""
        return unattributed(self.statement)

    @property
    def sha256(self) -> str:
        """What is signed."""
        return sha256(self.content).hexdigest()


def unattributed(statement: Statement) -> str:
    """What of the loss nobody gets; "" where all is somebody's."""
    if not statement.not_attributed:
        return ""
    totals, base = statement.totals, statement.base_currency
    units = ", ".join(f"{grouped(total.not_attributed)} {total.asset}" for total in statement.assets if total.not_attributed != "0")
    worth = f"{grouped(totals.not_attributed_base_amount)} of {grouped(totals.base_amount)} {base}"
    return f"NOT ATTRIBUTED: {units}, {worth}, can't be said whose it is: nobody is paid for it."


def made(statement: Statement, sign_offs: Iterable[SignOff], policy: Policy) -> Made:
    """A statement with its sign-offs. Raises RefusedError for a sign-off that doesn't count."""
    content, good = _encode(statement), {}
    for sign_off in sign_offs:
        fault = sign_off_fault(sign_off, statement.incident_id, content, policy)
        if fault is not None:
            raise RefusedError(f"A sign-off doesn't count: {fault}.")
        good[sign_off.actor] = sign_off
    signed = tuple(good[actor] for actor in sorted(good))
    return Made(statement, content, signed, status(signed, statement.suspected + statement.never_left, policy))


def signed(incident_id: str, statement_sha256: str, actor: str, key: Ed25519PrivateKey) -> bytes:
    """A sign-off as the bytes of its file."""
    signature = base64.b64encode(key.sign(message(incident_id, statement_sha256, actor))).decode()
    return _encode(SignOff(actor=actor, incident_id=incident_id, statement_sha256=statement_sha256, signature=signature)) + b"\n"


def read_sign_off(path: Path) -> SignOff:
    """A sign-off from its file. Raises RefusedError."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SignOff)
    except OSError as error:
        raise RefusedError(f"{path} can't be read: {error.strerror}.") from error
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RefusedError(f"{path} is no sign-off: {error}.") from error


def files(file: Made) -> Iterator[tuple[str, bytes]]:
    """All files by name."""
    page = summary(file)
    contents = (json_of(file), csv_of(file), evidence_of(file), markdown(page).encode(), html_page(page).encode())
    yield from zip(FILES, contents, strict=True)


def write(out: Path, contents: Iterable[tuple[str, bytes]]) -> None:
    """Write files into a directory, which is made once all of them are there. Raises RefusedError."""
    ready = list(contents)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, content in ready:
            (out / name).write_bytes(content)
    except OSError as error:
        raise RefusedError(f"The directory {out} can't be written: {error.strerror}.") from error


def json_of(file: Made) -> bytes:
    """The JSON file: the statement's own bytes, and who signed them."""
    return b'{"status":%b,"sign_offs":%b,"statement_sha256":"%b","statement":%b}\n' % (
        _encode(file.status), _encode(file.sign_offs), file.sha256.encode(), file.content,
    )  # fmt: skip


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    return (BOM + out.getvalue()).encode()


def csv_of(file: Made) -> bytes:
    """One row a line, then what isn't attributed, then what never left."""
    statement, head = file.statement, (file.status, file.statement.incident_id)
    rule, base = statement.price_rule, statement.base_currency
    groups = {group.group_id: group for group in statement.groups}

    def rows() -> Iterator[tuple[str, ...]]:
        layers: dict[tuple[str, ...], str] = {}
        for line in statement.lines:
            named = layers.setdefault(line.layers, " ".join(line.layers))
            told = ("", "") if line.holding is None else (str(line.holding.offset), line.holding.sha256)
            proof = (line.held or "", line.lost_before or "", *told)
            money = (line.asset, line.quantity, line.price or "by mark", rule, line.base_amount, base, line.cause)
            yield (*head, line.account_id or "", line.owner, *money, named, line.group_id, *proof, "")
        for rest in statement.not_attributed:
            group = groups[rest.group_id]
            money = (rest.asset, rest.quantity, group.price or "by mark", rule, rest.base_amount, base, group.cause)
            yield (*head, "", "not attributed", *money, "", rest.group_id, "", "", "", "", rest.reason)
        for group in statement.groups:
            if group.way == "never_left":
                money = (group.asset, group.quantity, group.price or "by mark", rule, group.base_amount, base, group.cause)
                reason = f"held, never left: nobody's claim; in the ledger {group.ledger_base_amount or 'without a price'}"
                yield (*head, "", "never left", *money, "", group.group_id, "", "", "", "", reason)

    return _csv(COLUMNS, rows())


def evidence_of(file: Made) -> bytes:
    """The journal entries behind each group."""
    head = (file.status, file.statement.incident_id)
    return _csv(
        EVIDENCE_COLUMNS,
        (
            (*head, group.group_id, mark.mark_id, str(mark.version), mark.state, mark.lost, mark.quantity, str(each.offset), each.sha256, each.what)
            for group in file.statement.groups
            for mark in group.marks
            for each in mark.evidence
        ),
    )


def summary(file: Made) -> Page:
    """The answer first: how much, to how many, at which price, who pays; then how it was divided, and by what it can be checked."""
    statement = file.statement
    totals, base = statement.totals, statement.base_currency
    points = [
        f"Customers' loss: {grouped(totals.customers_base_amount)} {base}, {totals.customers:,} customer(s)",
        f"The exchange's own loss: {grouped(totals.own_base_amount)} {base}",
        f"Not attributed to anybody: {grouped(totals.not_attributed_base_amount)} {base}",
        f"Together: {grouped(totals.base_amount)} {base}"
        + ("" if totals.ledger_base_amount is None else f"; the ledger, at the price of the loss: {grouped(totals.ledger_base_amount)} {base}")
        + (", with what never left" if _never_left(statement) else ""),
        f"Price rule: {statement.price_rule}",
        f"Status: {file.status}" + (f", signed by {' and '.join(one.actor for one in file.sign_offs)}" if file.sign_offs else ", signed by nobody"),
    ]
    if statement.suspected:
        points.append(f"{statement.suspected:,} mark(s) are only suspected: a draft until people have decided about them")
    if statement.never_left:
        points.append(f"{statement.never_left:,} mark(s) are of what was held and never left: {CLEAR_IT}")
    sections = [Section("What is to be paid", points=points), _assets(file), _groups(file)]
    if statement.not_attributed:
        rows = [(rest.group_id, grouped(rest.quantity), grouped(rest.base_amount), rest.reason) for rest in statement.not_attributed]
        columns = ("group", "quantity", base, "reason")
        sections.append(Section("What can't be attributed", tables=[Table(columns, rows, columns[1:3])]))
    if _never_left(statement):
        sections.append(_held(statement))
    sections += [_lines(file), _checked(file)]
    about = f"Incident {statement.incident_id}, {file.status}, journal offset {statement.last_offset:,}, statement {file.sha256}"
    return Page(f"Compensation for incident {statement.incident_id}", about, sections, file.lacks, file.warning)


def _never_left(statement: Statement) -> list[Group]:
    return [group for group in statement.groups if group.way == "never_left"]


def _held(statement: Statement) -> Section:
    """What holds have stopped: nobody's claim."""
    base = statement.base_currency
    rows = [
        (
            group.asset, f"{len(group.marks):,}", grouped(group.quantity), "no price" if group.ledger_base_amount is None else grouped(group.ledger_base_amount),
            ", ".join(mark.withdrawal_id or mark.mark_id for mark in group.marks[:WITHDRAWALS_SHOWN_MAX])
            + (" and more" if len(group.marks) > WITHDRAWALS_SHOWN_MAX else ""),
        )
        for group in _never_left(statement)
    ]  # fmt: skip
    columns = ("asset", "marks", "quantity", f"{base} by the ledger", "withdrawals")
    words = (
        "No step and no output on chain says that these withdrawals left. Nobody is paid for them: they are in the ledger, and in none of the lines. "
        f"While they are marked, or paid for, this is a draft: {CLEAR_IT}."
    )
    return Section("Held, never left", [words], tables=[Table(columns, rows, columns[1:4])])


def _assets(file: Made) -> Section:
    columns = (
        "asset",
        "quantity",
        "customers",
        "own",
        "not attributed",
        "never left",
        f"{file.statement.base_currency} by the price rule",
        "by the ledger",
    )
    rows = [
        (
            total.asset,
            *(grouped(amount) for amount in (total.quantity, total.customers, total.own, total.not_attributed, total.never_left, total.base_amount)),
            "no price" if total.ledger_base_amount is None else grouped(total.ledger_base_amount),
        )
        for total in file.statement.assets
    ]
    return Section("By asset", tables=[Table(columns, rows, columns[1:])])


def _groups(file: Made) -> Section:
    statement, base = file.statement, file.statement.base_currency
    columns = ("group", "quantity", "price", base, "marks", "holdings until")
    layers = ("group", "layer", "account", "amount in its unit", base)
    groups = [group for group in statement.groups if group.way != "never_left"]
    shown = groups[:LINES_SHOWN_MAX]
    rows = [
        (
            group.group_id, grouped(group.quantity), "by mark" if group.price is None else grouped(group.price), grouped(group.base_amount),
            f"{len(group.marks):,}", moment(group.held_until_ms) if group.way == "holdings" else "",
        )
        for group in shown
    ]  # fmt: skip
    paid = [
        (group.group_id, part.layer_id, part.account, f"{grouped(part.amount)} {part.unit}", "no price" if part.base_amount is None else grouped(part.base_amount))
        for group in shown
        for part in group.layers
    ]  # fmt: skip
    more = [f"{len(groups):,} groups; the first {LINES_SHOWN_MAX} are shown."] if len(groups) > LINES_SHOWN_MAX else []
    return Section(
        "How it is divided, and which layers pay",
        [
            (
                "A known account's loss is that account's, whole. A loss from a pool is divided over the customers who held the asset, in proportion to their "
                "newest holding at or before the first of the pool's losses, less what of it is lost already: in their own withdrawals since it was told, and "
                "to other incidents' pools in between. Nobody is given more of a pool than is left to him. Units and values are divided by largest remainder, ties by account. "
                "What layers hold and pay is reckoned by the ledger, at the price of the loss."
            ),
            *(
                f"Counted first: incident {first.incident_id} takes {grouped(first.quantity)} {first.asset} of the same holdings."
                for first in statement.counted_first
            ),
            *more,
        ],
        points=[
            f"{group.group_id}: {group.holders or 0:,} customer(s) whose holdings are told had {grouped(group.held or '0')} {group.asset} left together. If others "
            "held it too, these get more than their part, up to all that they held, and the others nothing: tell holdings for all"
            for group in statement.groups[:LINES_SHOWN_MAX]
            if group.way == "holdings"
        ],
        tables=[Table(columns, rows, columns[1:5], "Groups of the loss"), Table(layers, paid, layers[3:], "Layers that carry each")],
    )


def _lines(file: Made) -> Section:
    statement = file.statement
    largest = sorted(statement.lines, key=lambda line: (-int(line.base_amount.replace(".", "")), line.account_id or "", line.group_id))
    shown = [
        (line.account_id or "the exchange itself", line.asset, grouped(line.quantity), grouped(line.base_amount), spaced(line.cause))
        for line in largest[:LINES_SHOWN_MAX]
    ]
    what = f"{len(statement.lines):,} line(s), all of them in compensation.csv and compensation.json; the largest {len(shown)}:"
    columns = ("account", "asset", "quantity", statement.base_currency, "cause")
    return Section("Who gets most", [what], tables=[Table(columns, shown, columns[2:4])])


def _checked(file: Made) -> Section:
    statement = file.statement
    return Section(
        "How to check it",
        points=[
            f"Journal {statement.journal_id}, up to offset {statement.last_offset:,}; engine {statement.engine_version}, policy {statement.policy_version}",
            f"SHA-256 of the statement, which is what people sign: {file.sha256}",
            (
                "evidence.csv names the journal entries behind every mark by position and SHA-256; audit verify proves the journal; "
                "the same command gives the same bytes again"
            ),
            f"{PERSONS} persons of the policy who may decide that something is compensated must sign"
            + ("; until then every page says DRAFT" if file.draft else ""),
            *(
                f"Price of {price.asset}: {grouped(price.price)} {statement.base_currency}"
                + (f", the mean of {price.prices:,} recorded prices" if price.prices else ", decided")
                for price in statement.prices
            ),
        ],
    )


def sign_offs_of(paths: Iterable[Path]) -> list[SignOff]:
    """The sign-offs in some files. Raises RefusedError."""
    return [read_sign_off(path) for path in paths]
