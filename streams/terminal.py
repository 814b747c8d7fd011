"""Progress of long commands on a terminal, on standard error; nothing elsewhere.

Knows no command. Called by the command line.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn


@contextlib.contextmanager
def shown_share(what: str) -> Iterator[Callable[[int, float], None] | None]:
    """A bar for work whose end is known: gives a function of (count, share from 0 to 1), or None when nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn(what), BarColumn(), TextColumn("{task.fields[count]:,}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=1.0, count=0)

        def show(count: int, share: float) -> None:
            progress.update(task, completed=share, count=count)

        yield show


@contextlib.contextmanager
def shown_count(what: str) -> Iterator[Callable[[int], None] | None]:
    """The same for work whose end isn't known: a function of the count."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (SpinnerColumn(), TextColumn(what), TextColumn("{task.completed:,.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)

        def show(count: int) -> None:
            progress.update(task, completed=count)

        yield show
