"""Logs: structlog, and the standard library's loggers of Kafka and Faust through the same door; one line an event of interest.

Never a line per withdrawal, never a secret. Called once by the command line before anything else logs.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from streams.secrets import MASK, Secrets
from streams.settings import LogSettings

SECRET_WORDS = ("password", "secret", "token", "signature", "credential")
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
CHATTY = ("aiokafka", "kafka", "faust", "mode", "aiohttp.access", "asyncio", "rdkafka")
"""Loggers of libraries that speak at least once a rebalance: only their warnings are of interest."""
REPEATING = frozenset({"aiokafka", "kafka"})
REPEAT_AFTER_S = 10.0
REPEATS_KEPT_MAX = 1_000


def configure_logs(settings: LogSettings, secrets: Secrets | None = None, stream: TextIO | None = None) -> None:
    """Send every log line to `stream` (standard error by default), as console text or JSON by `settings.format`."""
    out = sys.stderr if stream is None else stream
    console = settings.format == "console" or (settings.format == "auto" and out.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    mask = _Mask(secrets or Secrets({}))
    last: list[structlog.typing.Processor] = (
        # Plain tracebacks through the mask: the pretty ones print local variables, passwords among them.
        [
            structlog.processors.format_exc_info,
            mask,
            structlog.dev.ConsoleRenderer(colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback),
        ]
        if console
        else [structlog.processors.format_exc_info, mask, structlog.processors.JSONRenderer(sort_keys=True)]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(formatter)
    handler.addFilter(_Seldom())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[settings.level])
    for name in CHATTY:
        logging.getLogger(name).setLevel(max(LEVELS[settings.level], logging.WARNING))
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )


def silence_libraries() -> None:
    """Keep Kafka's client from telling what a command will say in one sentence."""
    for name in ("aiokafka", "kafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _Seldom(logging.Filter):
    """One line per message of Kafka's client and 10 s: while a broker is away it says the same hundreds of times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._due_s: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line is written; messages are told apart by their text before the values are filled in."""
        if record.name.split(".", 1)[0] not in REPEATING:
            return True
        message = (record.name, str(record.msg))
        if record.created < self._due_s.get(message, 0.0):
            return False
        if len(self._due_s) >= REPEATS_KEPT_MAX:
            self._due_s.clear()
        self._due_s[message] = record.created + REPEAT_AFTER_S
        return True


class _Mask:
    """Blanks values under names of secrets, and every secret that was resolved, wherever it stands."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        return {name: MASK if _is_secret(name) else self._masked(value) for name, value in event.items()}

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._secrets.mask(value)
        if isinstance(value, dict):
            return {name: MASK if _is_secret(str(name)) else self._masked(inner) for name, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._masked(inner) for inner in value]
        return value


def _is_secret(name: str) -> bool:
    lowered = name.lower()
    return any(word in lowered for word in SECRET_WORDS)
