"""How a command fails: one sentence on standard error and an exit code, never a traceback unless it was asked for.

Bodies raise their own exceptions; this says which of them are sentences already. Called by `streams.cli.app` and the commands.
"""

import contextlib
from collections.abc import Coroutine, Iterator
from typing import TypeVar

from streams.refusals import RefusedError

Result = TypeVar("Result")


def run_with_kafka(body: Coroutine[None, None, Result], servers: str) -> Result:
    """Run `body` to its end. Raises RefusedError with a sentence for what the broker or the connection did."""
    import asyncio

    with kafka_failures(servers):
        return asyncio.run(body)


@contextlib.contextmanager
def kafka_failures(servers: str) -> Iterator[None]:
    """Turn what goes wrong with Kafka, into RefusedError."""
    import ssl

    from aiokafka.errors import KafkaConnectionError, KafkaError

    try:
        yield
    except KafkaConnectionError as error:
        raise RefusedError(f"Kafka can't be reached at {servers} (setting kafka.bootstrap_servers).") from error
    except KafkaError as error:
        raise RefusedError(f"Kafka at {servers} refused: {type(error).__name__}{_detail(error)}.") from error
    except ssl.SSLError as error:
        raise RefusedError(f"TLS with Kafka failed: {error.reason or error}.") from error
    except TimeoutError as error:
        raise RefusedError(f"Kafka at {servers} didn't answer in time.") from error


def _detail(error: Exception) -> str:
    text = str(error).removeprefix(type(error).__name__).lstrip(": ").rstrip(".")
    return f" ({text})" if text else ""
