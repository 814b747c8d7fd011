"""The command line `withdrawal-monitor`: one file per group of commands, each command a thin door to a body elsewhere.

Parses, prints and ends the process; holds nothing that another program would want. `main` is the console script.
"""

from streams.cli.app import main

__all__ = ["main"]
