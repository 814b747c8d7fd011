"""Pages for people as Markdown and as one self-contained, printable HTML file: the same blocks, everything escaped.

Knows no incident. A DRAFT says so at its top and on every printed sheet. Called by `streams.compensation_files` and `streams.incident_report`.
"""

import datetime as dt
import html
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
JAPAN = dt.timezone(dt.timedelta(hours=9))
_MARKUP = re.compile(r"([\\`*_\[\]<>|~#!&])")
_BREAKS = re.compile(r"[\r\n\t\u2028\u2029]+")
_STYLE = """
body { font: 10.5pt/1.45 "Noto Sans", "Noto Sans CJK JP", Arial, sans-serif; color: #111; background: #fff; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 1.8rem; border-bottom: 1px solid #bbb }
table { border-collapse: collapse; width: 100%; font-size: .92em } caption { text-align: left; font-style: italic; padding: .3rem 0 }
th, td { border: 1px solid #bbb; padding: .25rem .5rem; text-align: left; vertical-align: top; overflow-wrap: anywhere }
th { background: #eee } td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
.draft { background: #b00020; color: #fff; font-weight: bold; text-align: center; padding: .4rem; letter-spacing: .2em }
@page { margin: 18mm 15mm }
@media print { body { margin: 0; max-width: none } h2, caption { break-after: avoid } tr { break-inside: avoid } thead { display: table-header-group }
.draft { position: fixed; top: 0; left: 0; right: 0; background: #fff; color: #b00020; border: 2px solid #b00020 } .draft + h1 { margin-top: 3rem } }
""".strip()


class Table(NamedTuple):
    """Rows under columns; columns whose name is in `numbers` are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()


class Section(NamedTuple):
    """One part of a page: paragraphs, then a list, then tables."""

    title: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    tables: Sequence[Table] = ()


class Page(NamedTuple):
    """A whole page; `draft`: nobody may act on it yet."""

    title: str
    sections: Sequence[Section]
    draft: bool
    warning: str = ""
    """What else every page must say."""


def moment(at_ms: int | None) -> str:
    """A time for people: UTC, and the time of day in Japan."""
    if at_ms is None:
        return "not told"
    try:
        time = EPOCH + dt.timedelta(milliseconds=at_ms)
        return f"{time:%Y-%m-%d %H:%M:%S} UTC ({time.astimezone(JAPAN):%Y-%m-%d %H:%M} Japan)"
    except OverflowError:
        return f"{at_ms} ms"


def plain(text: str) -> str:
    """Any text on one line, without control characters: nobody breaks out of a cell or list."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in _BREAKS.sub(" ", text))


def markdown(page: Page) -> str:
    """The page as Markdown; what was told by others can't be markup."""
    return "\n".join(_markdown_lines(page)) + "\n"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", plain(text))


def _markdown_lines(page: Page) -> Iterable[str]:
    draft = ["> **DRAFT: not signed by two persons. Nobody may act on it.**", ""] if page.draft else []
    yield from draft
    yield from [f"> **{_escaped(page.warning)}**", ""] if page.warning else []
    yield f"# {_escaped(page.title)}"
    for section in page.sections:
        yield ""
        yield f"## {_escaped(section.title)}{' (DRAFT)' if page.draft else ''}"
        for paragraph in section.paragraphs:
            yield ""
            yield _escaped(paragraph)
        if section.points:
            yield ""
        yield from (f"- {_escaped(point)}" for point in section.points)
        for table in section.tables:
            yield ""
            yield f"| {' | '.join(map(_escaped, table.columns))} |"
            yield f"| {' | '.join('---:' if column in table.numbers else '---' for column in table.columns)} |"
            yield from (f"| {' | '.join(map(_escaped, row))} |" for row in table.rows)


def html_page(page: Page) -> str:
    """The page as HTML: no script, nothing loaded from elsewhere."""
    return "\n".join(_html_lines(page)) + "\n"


def _text(text: str) -> str:
    return html.escape(plain(text))


def _html_lines(page: Page) -> Iterable[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<title>{'DRAFT: ' if page.draft else ''}{_text(page.title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>"
    said = [*(["DRAFT: not signed by two persons"] if page.draft else []), *([_text(page.warning)] if page.warning else [])]
    if said:
        yield f'<div class="draft">{"<br>".join(said)}</div>'
    yield f"<h1>{_text(page.title)}</h1>"
    for section in page.sections:
        yield f"<h2>{_text(section.title)}</h2>"
        yield from (f"<p>{_text(paragraph)}</p>" for paragraph in section.paragraphs)
        if section.points:
            yield f"<ul>{''.join(f'<li>{_text(point)}</li>' for point in section.points)}</ul>"
        for table in section.tables:
            kinds = [' class="number"' if column in table.numbers else "" for column in table.columns]
            head = "".join(f"<th{kind}>{_text(column)}</th>" for column, kind in zip(table.columns, kinds, strict=True))
            yield f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>"
            for row in table.rows:
                yield f"<tr>{''.join(f'<td{kind}>{_text(cell)}</td>' for cell, kind in zip(row, kinds, strict=True))}</tr>"
            yield "</tbody>\n</table>"
    yield "</body>\n</html>"
