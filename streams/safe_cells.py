"""Cells of a CSV file that no spreadsheet takes for a formula, and that stay one cell, whatever it takes for the separator of a list.

Only texts: the characters are listed here, so that the same text gives the same bytes on every machine. Called by `streams.compensation_files`.
"""

import re

_STARTS = (
    "=+@"
    "\\-\u2010-\u2015\u2043\u2212"  # hyphens, dashes, the minus sign
    "\u207a-\u207c\u208a-\u208c"  # raised and lowered plus, minus, equals
    "\ufe58\ufe62\ufe63\ufe66\ufe6b\uff0b\uff0d\uff1d\uff20"  # small and full width
)
"""What spreadsheets take for the start of a formula, and what one that normalizes text may turn into that."""
_UNSEEN = (
    "\\x00-\\x20\\x7f-\\xa0\xad\u034f\u061c\u115f\u1160\u1680\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3000\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
)
"""Blanks and what has no shape: a spreadsheet, or who copies a cell, may drop it from a cell's beginning."""
_FORMULA = re.compile(f"[{_UNSEEN}\"'\uff07\uff02]*[{_STARTS}]")
_SEPARATES = {ord(";"): "\uff1b", **dict.fromkeys(map(ord, "\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"), " ")}
"""Where lists are separated by ";" or tab, a cell that has one would be cut there, and quotes don't help: they are read only at a cell's beginning."""


def safe_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula or cuts in two: an apostrophe before it, a full-width semicolon or a blank in it."""
    text = text.translate(_SEPARATES)
    return f"'{text}" if _FORMULA.match(text) else text
