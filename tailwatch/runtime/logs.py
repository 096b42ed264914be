"""Log lines: ordinary ``logging`` records with fields, as JSON on stderr once :func:`configure` was called.

A watched service that has its own logging keeps it: the probe's lines then go there.
"""

from __future__ import annotations

import logging
import sys
from typing import cast

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_RESERVED = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
_OPTIONS = frozenset({"exc_info", "stack_info", "stacklevel"})


def configure(*, service: str, level: str) -> None:
    """Send every log line of this process, also those of libraries, to stderr as JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.ExtraAdder(),
                structlog.stdlib.add_logger_name,
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                lambda _, __, event: {"service": service, **event},
                structlog.processors.JSONRenderer(default=repr),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(LEVELS[level])
    for noisy in ("aiokafka", "asyncio", "faust", "mode"):
        logging.getLogger(noisy).setLevel(max(LEVELS[level], logging.WARNING))


def _rename_reserved(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Return the fields under names that a LogRecord does not use itself."""
    return {
        (f"{name}_" if name in _RESERVED and name not in _OPTIONS else name): value for name, value in event.items()
    }


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of one module: ``log.info("event", field=value)``."""
    return cast(
        "structlog.stdlib.BoundLogger",
        structlog.wrap_logger(
            logging.getLogger(name),
            processors=[structlog.stdlib.filter_by_level, _rename_reserved, structlog.stdlib.render_to_log_kwargs],
            wrapper_class=structlog.stdlib.BoundLogger,
        ),
    )
