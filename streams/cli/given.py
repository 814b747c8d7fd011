"""What was given before the command: the configuration file and single settings; read when a command first needs them.

Holds no command. Made by `streams.cli.app`, taken by every command from typer's context.
"""

import pathlib
import sys
import typing
from collections.abc import Sequence
from functools import cached_property

import typer

if typing.TYPE_CHECKING:
    from streams.configuration import Configuration
    from streams.kafka import Kafka
    from streams.secrets import Secrets
    from streams.settings import Settings


class Given:
    """The configuration of this call, and what is made from it."""

    def __init__(self, file: pathlib.Path | None, flags: Sequence[str]) -> None:
        self.file = file
        self.flags = tuple(flags)

    @cached_property
    def configuration(self) -> "Configuration":
        """File, environment and flags together. Raises BadConfigurationError."""
        from streams.configuration import configure, process_environment

        return configure(self.file, process_environment(), self.flags)

    @property
    def settings(self) -> "Settings":
        """The settings. Raises BadConfigurationError."""
        return self.configuration.settings

    @cached_property
    def secrets(self) -> "Secrets":
        """What resolves references, the same for the whole call, so that the logs mask all of them."""
        from streams.secrets import Secrets

        return Secrets()

    def kafka(self) -> "Kafka":
        """What makes Kafka clients, for a command that ends by itself; its libraries keep quiet, since the command says what went wrong."""
        from streams.kafka import Kafka

        self.quiet_logs()
        return Kafka(self.settings.kafka, self.secrets)

    def quiet_logs(self) -> None:
        """Log only what a command can't say itself."""
        from streams.logs import configure_logs, silence_libraries
        from streams.settings import LogSettings

        configure_logs(LogSettings(level="warning", format=self.settings.log.format), self.secrets, sys.stderr)
        silence_libraries()


def given(context: typer.Context) -> Given:
    """The `Given` of this call."""
    found: Given = context.find_root().obj
    return found
