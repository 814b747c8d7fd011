"""One exception for everything that a person can mend: its message is one sentence, and a command ends with it and exit code 2.

No code but the name. Raised by the bodies of commands; caught by `streams.cli.app`.
"""


class RefusedError(Exception):
    """What was asked can't be done; the message is one sentence for people."""
