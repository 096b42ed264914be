"""One life of one process: settings, logs, signals, the stop event, deadlines and exit codes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tailwatch.contracts.errors import ConfigurationError
from tailwatch.runtime.logs import configure, logger
from tailwatch.runtime.settings import RuntimeSettings, load

log = logger(__name__)

EXIT_CLEAN = 0
EXIT_CRASHED = 1
EXIT_REFUSED = 2

Loaded = TypeVar("Loaded", bound=RuntimeSettings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """What the composition root of a service is given."""

    clock: Callable[[], float] = time.time
    """Seconds since the epoch, UTC."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by SIGTERM and SIGINT."""


Main = Callable[[Loaded, Process], Awaitable[None]]


def run(name: str, settings_type: type[Loaded], main: Main[Loaded]) -> int:
    """Run a service until it ends or is told to; return its exit status.

    0: ended as asked; 1: crashed, or did not end within SHUTDOWN_GRACE_SECONDS; 2: a setting or a configuration
    file was refused, with one line on stderr.
    """
    try:
        settings = load(settings_type)
        configure(service=name, level=settings.log_level)
        return asyncio.run(_live(settings, main))
    except ConfigurationError as error:
        sys.stderr.write(f"{name}: {error}\n")
        return EXIT_REFUSED


async def _live(settings: Loaded, main: Main[Loaded]) -> int:
    process = Process()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop.set)
    work = asyncio.ensure_future(main(settings, process))
    stopping = asyncio.ensure_future(process.stop.wait())
    log.info("started")
    await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        log.info("stopping", grace_seconds=settings.shutdown_grace_seconds)
        await asyncio.wait({work}, timeout=settings.shutdown_grace_seconds)
    stopping.cancel()
    if not work.done():
        log.error("not_ended_in_time", grace_seconds=settings.shutdown_grace_seconds)
        work.cancel()
        await asyncio.wait({work}, timeout=1.0)
        logging.shutdown()
        os._exit(EXIT_CRASHED)  # asyncio.run and the interpreter would wait for threads, and so for what does not end
    error = asyncio.CancelledError("cancelled itself") if work.cancelled() else work.exception()
    refused = _refusal_in(error)
    if refused is not None:
        raise refused
    if error is not None:
        log.error("crashed", exc_info=error)
        return EXIT_CRASHED
    log.info("ended")
    return EXIT_CLEAN


def _refusal_in(error: BaseException | None) -> ConfigurationError | None:
    """Return the refused setting behind an error, also when a TaskGroup wrapped it."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for each in error.exceptions if (found := _refusal_in(each)) is not None), None)
    return error if isinstance(error, ConfigurationError) else None
