"""Commands that go on until somebody ends them: by a signal, or by closing the pipe that they write to.

Knows no command. Called by the commands that follow the live journal.
"""

import asyncio
import contextlib
import errno
import os
import signal
import stat
import sys
from collections.abc import Coroutine

import typer

TERMINATED = 128 + signal.SIGTERM
"""Exit code after SIGTERM, as a shell tells it."""


async def until_ended(body: Coroutine[None, None, None]) -> None:
    """Run it to its end, cleaning up after whatever ends it; Ctrl-C is asyncio's own to handle.

    Raises typer.Exit after SIGTERM, and BrokenPipeError, as a write would, as soon as nobody reads the standard output any more: it may be long until the next write.
    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(body)
    why: list[Exception] = []
    pipe = _pipe()

    def end(error: Exception) -> None:
        why.append(error)
        if pipe is not None:
            loop.remove_reader(pipe)
        task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end, typer.Exit(TERMINATED))
    if pipe is not None:  # a pipe that is written to has nothing to read, but that its other end is gone
        loop.add_reader(pipe, end, BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
    try:
        await task
    except asyncio.CancelledError:
        if why:
            raise why[0] from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        if pipe is not None:
            loop.remove_reader(pipe)


def _pipe() -> int | None:
    """The standard output if it is a pipe."""
    with contextlib.suppress(OSError, ValueError):
        number = sys.stdout.fileno()
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            return number
    return None
