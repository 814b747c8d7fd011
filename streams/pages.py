"""Pages for people as Markdown and as one self-contained, printable HTML file: the same blocks, everything escaped.

Knows no incident. A DRAFT says so at its top and on every printed sheet. Called by `streams.compensation_files` and `streams.incident_report`.
"""

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from streams import words

TIME, LONG = '<span class="time">', '<span class="long">'
WHOLE_ROWS_MAX = 12
_MARKUP = re.compile(r"([\\`*_\[\]<>|~#!&])")
_BREAKS = re.compile(r"[\r\n\t\u2028\u2029]+")
_UNBROKEN = re.compile(r"(?P<time>\(?\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?(?: UTC| Japan)?\)?)|(?P<long>\S{25,})")
"""What HTML would break badly: a time stays on one line; a hash or id of more letters than any word has may be broken anywhere, nothing else may."""
_STYLE = """
:root { color-scheme: light }
body { font: 10.5pt/1.45 "Noto Sans", "Noto Sans CJK JP", Arial, sans-serif; color: #111; background: #fff; max-width: 66rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: .6rem 0 } h2 { font-size: 1.1rem; margin-top: 1.8rem; border-bottom: 1px solid #bbb } h1, h2, p, li { overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; font-size: .92em; margin: .8rem 0 1.2rem } caption { text-align: left; font-weight: bold; padding: .3rem 0 }
th, td { border: 1px solid #999; padding: .25rem .5rem; text-align: left; vertical-align: top } th { background: #eee } td.long { min-width: 12em }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } td.long.number { white-space: normal }
span.long { overflow-wrap: anywhere } .time { white-space: nowrap } .about { color: #444; margin: .3rem 0 }
.draft { background: #b00020; color: #fff; font-weight: bold; text-align: center; padding: .4rem; letter-spacing: .15em }
@media screen { .head { position: sticky; top: 0; background: #fff } }
@page { size: A4; margin: 14mm 15mm 18mm; @bottom-right { content: "page " counter(page) " of " counter(pages); font: 8pt sans-serif } }
@media print { body { margin: 0; padding: 0; max-width: none; font-size: 9.5pt } table { font-size: 8pt }
.sheet { display: table; width: 100%; table-layout: fixed } .head { display: table-header-group; break-inside: avoid } .rest { display: table-row-group }
.draft { background: #fff; color: #b00020; border: 2px solid #b00020; padding: .2rem } .about { font-size: 8pt; padding-bottom: .5rem }
.whole { break-inside: avoid } h1, h2, caption, thead { break-after: avoid } h2 + p, h2 + ul { break-before: avoid } tr, li { break-inside: avoid } thead { display: table-header-group } }
""".strip()


class Table(NamedTuple):
    """Rows under columns; columns whose name is in `numbers` are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Sequence[str] = ()
    caption: str = ""


class Section(NamedTuple):
    """One part of a page: paragraphs, then a list, then tables."""

    title: str
    paragraphs: Sequence[str] = ()
    points: Sequence[str] = ()
    tables: Sequence[Table] = ()


class Page(NamedTuple):
    """A whole page; `draft`: why nobody may act on it yet, or ""; `about`: what it is about and as of when, repeated on every printed sheet."""

    title: str
    about: str
    sections: Sequence[Section]
    draft: str
    warning: str = ""
    """What else every page must say."""


def moment(at_ms: int | None) -> str:
    """A time for a supervisor: UTC, and the same in Japan."""
    return "not told" if at_ms is None else f"{words.moment(at_ms)} UTC ({words.moment_in_japan(at_ms)} Japan)"


def plain(text: str) -> str:
    """Any text on one line, without control characters: nobody breaks out of a cell or list."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in _BREAKS.sub(" ", text))


def markdown(page: Page) -> str:
    """The page as Markdown; what was told by others can't be markup."""
    return "\n".join(_markdown_lines(page)) + "\n"


def _escaped(text: str) -> str:
    return _MARKUP.sub(r"\\\1", plain(text))


def _markdown_lines(page: Page) -> Iterable[str]:
    draft = [f"> **DRAFT: {_escaped(page.draft)}. Nobody may act on it.**", ""] if page.draft else []
    yield from draft
    yield from [f"> **{_escaped(page.warning)}**", ""] if page.warning else []
    yield f"# {_escaped(page.title)}"
    yield ""
    yield _escaped(page.about)
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
            if table.caption:
                yield f"{_escaped(table.caption)}:"
                yield ""
            yield f"| {' | '.join(map(_escaped, table.columns))} |"
            yield f"| {' | '.join('---:' if column in table.numbers else '---' for column in table.columns)} |"
            yield from (f"| {' | '.join(map(_escaped, row))} |" for row in table.rows)


def html_page(page: Page) -> str:
    """The page as HTML: no script, nothing loaded from elsewhere."""
    return "\n".join(_html_lines(page)) + "\n"


def _text(text: str) -> str:
    return "".join(_pieces(plain(text)))


def _pieces(text: str) -> Iterator[str]:
    """Escaped, with what must not be broken, and what may be broken anywhere, marked so."""
    done = 0
    for found in _UNBROKEN.finditer(text):
        yield html.escape(text[done : found.start()])
        yield f"{LONG if found['time'] is None else TIME}{html.escape(found[0])}</span>"
        done = found.end()
    yield html.escape(text[done:])


def _html_lines(page: Page) -> Iterable[str]:
    yield '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<title>{'DRAFT: ' if page.draft else ''}{html.escape(plain(page.title))}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>"
    # In print the sheet is a table and this its head, which browsers repeat on every sheet, above the rest and never over it.
    said = [*([f"DRAFT: {_text(page.draft)}"] if page.draft else []), *([_text(page.warning)] if page.warning else [])]
    banner = f'<div class="draft">{"<br>".join(said)}</div>' if said else ""
    yield f'<div class="sheet">\n<div class="head">{banner}<div class="about">{_text(page.about)}</div></div>\n<div class="rest">'
    yield f"<h1>{_text(page.title)}</h1>"
    for section in page.sections:
        yield f"<h2>{_text(section.title)}</h2>"
        yield from (f"<p>{_text(paragraph)}</p>" for paragraph in section.paragraphs)
        if section.points:
            yield f"<ul>{''.join(f'<li>{_text(point)}</li>' for point in section.points)}</ul>"
        for table in section.tables:
            yield from _html_table(table)
    yield "</div>\n</div>\n</body>\n</html>"


def _html_table(table: Table) -> Iterator[str]:
    kinds = ["number" if column in table.numbers else "" for column in table.columns]
    whole = ' class="whole"' if len(table.rows) <= WHOLE_ROWS_MAX else ""  # a short table isn't cut by the end of a sheet
    yield f"<table{whole}>{f'<caption>{_text(table.caption)}</caption>' if table.caption else ''}"
    yield f"<thead><tr>{''.join(map(_html_head, table.columns, kinds))}</tr></thead>\n<tbody>"
    for row in table.rows:
        yield f"<tr>{''.join(map(_html_cell, row, kinds))}</tr>"
    yield "</tbody>\n</table>"


def _html_head(text: str, kind: str) -> str:
    return f"<th{_class(kind)}>{_text(text)}</th>"


def _html_cell(text: str, kind: str) -> str:
    told = _text(text)
    return f"<td{_class('long' if LONG in told else '', kind)}>{told}</td>"


def _class(*names: str) -> str:
    said = " ".join(name for name in names if name)
    return f' class="{said}"' if said else ""
