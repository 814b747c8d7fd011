"""How commands show data: a table on a terminal, a line per row with tabs elsewhere, JSON where it was asked for.

Knows no data. Called by the commands.
"""

import sys
from collections.abc import Sequence
from typing import Any

ROW_SEPARATORS = str.maketrans({"\t": " ", "\n": " ", "\r": " "})


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, as_json: bool = False, title: str | None = None, styles: Sequence[str] = ()
) -> None:
    """Show rows of text under `columns`; JSON is a list of objects with the columns' names as keys. `styles` are the rows' colours on a terminal."""
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif on_terminal():
        from rich.console import Console

        from streams.cli import tables

        tables.show(columns, rows, title, styles, Console())
    else:
        for row in rows:
            print_line(row)


def print_line(row: Sequence[str]) -> None:
    """One row as a line with tabs, told at once."""
    print("\t".join(cell.translate(ROW_SEPARATORS) for cell in row), flush=True)


def print_section(name: str, columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> None:
    """One of several tables: on a terminal under its name, elsewhere each row begins with it. Nothing if there are no rows."""
    if rows and on_terminal():
        print_rows(columns, rows, title=name, styles=styles)
    elif rows:
        print_rows(("section", *columns), [(name, *row) for row in rows])


def print_sentence(sentence: str, style: str = "") -> None:
    """A sentence of the answer, with a colour on a terminal."""
    if on_terminal():
        from rich.console import Console
        from rich.text import Text

        Console().print(Text(sentence, style=style))
    else:
        print(sentence.translate(ROW_SEPARATORS))


def print_commands(name: str, rows: Sequence[tuple[str, str]]) -> None:
    """What to type, each with why; on a terminal below each other and never folded, so that it can be copied."""
    if not on_terminal():
        print_section(name, ("why", "command"), rows)
        return
    print_sentence(name, "italic")
    for why, command in rows:
        print_sentence(f"  {why}:", "dim")
        print(f"    {command.translate(ROW_SEPARATORS)}")


def on_terminal() -> bool:
    """Whether a person looks at what is printed."""
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    """Show a value as indented JSON."""
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def say(sentence: str) -> None:
    """Tell what was done, on standard error, so that standard output stays data."""
    print(sentence, file=sys.stderr)
