"""How a command fails: one sentence on standard error and an exit code, never a traceback unless it was asked for.

Bodies raise their own exceptions; this says which of them are sentences already. Called by `streams.cli.app` and the commands.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Coroutine, Iterator
from typing import TypeVar

from streams.settings import KafkaSettings

Result = TypeVar("Result")
REFUSED = 2
"""Exit code of everything that a person can mend: usage, configuration, a broker that isn't there."""


class CommandFailedError(Exception):
    """A command can't do what it was asked; the message is one sentence."""


def run_with_kafka(body: Coroutine[None, None, Result], kafka: KafkaSettings) -> Result:
    """Run `body` to its end. Raises CommandFailedError with a sentence for what the broker or the connection did."""
    with kafka_failures(kafka):
        return asyncio.run(body)


@contextlib.contextmanager
def kafka_failures(kafka: KafkaSettings) -> Iterator[None]:
    """Turn what goes wrong with Kafka, and what bodies refuse, into CommandFailedError."""
    from aiokafka.errors import KafkaConnectionError, KafkaError

    from streams.interventions import RefusedError
    from streams.topic_reader import TopicMissingError

    try:
        yield
    except (RefusedError, TopicMissingError) as error:
        raise CommandFailedError(str(error)) from error
    except KafkaConnectionError as error:
        raise CommandFailedError(f"Kafka can't be reached at {kafka.bootstrap_servers} (setting kafka.bootstrap_servers).") from error
    except KafkaError as error:
        raise CommandFailedError(f"Kafka at {kafka.bootstrap_servers} refused: {type(error).__name__}{_detail(error)}.") from error
    except ssl.SSLError as error:
        raise CommandFailedError(f"TLS with Kafka failed: {error.reason or error}.") from error
    except TimeoutError as error:
        raise CommandFailedError(f"Kafka at {kafka.bootstrap_servers} didn't answer in time.") from error


def _detail(error: Exception) -> str:
    text = str(error).removeprefix(type(error).__name__).lstrip(": ").rstrip(".")
    return f" ({text})" if text else ""
