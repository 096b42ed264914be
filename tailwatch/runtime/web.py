"""Serving an ASGI application with Hypercorn, inside a process's own lifecycle (extra ``tailwatch[web]``)."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import Any, cast

from hypercorn.asyncio import serve as hypercorn_serve
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework

from tailwatch.contracts.errors import ConfigurationError


async def serve(
    app: Any,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    grace_seconds: float,
    variables: tuple[str, str] = ("HOST", "PORT"),
) -> None:
    """Serve until ``stop``; running requests then have ``grace_seconds`` to end.

    ``variables`` are the settings behind host and port. Raises ConfigurationError when they cannot be listened on.
    """
    config = Config()
    config.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    config.graceful_timeout = grace_seconds
    config.shutdown_timeout = grace_seconds
    config.include_server_header = False
    config.errorlog = logging.getLogger("hypercorn.error")
    try:
        await hypercorn_serve(cast("ASGIFramework", app), config, shutdown_trigger=cast("Any", stop.wait))
    except OSError as error:
        if error.errno in {errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL}:
            raise ConfigurationError(
                f"{variables[0]}={host}, {variables[1]}={port}: cannot listen there ({error.strerror}); "
                f"choose another {variables[1]}"
            ) from error
        raise
