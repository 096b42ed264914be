"""A small service under the probe, for tests of captures: ``python captured_server.py PORT``. Settings by environment.

``/work`` burns CPU in one of two functions (``/turn`` changes which); ``/ask?seconds=`` asks for a capture by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from dataclasses import asdict
from typing import Any

import hypercorn.asyncio
import hypercorn.config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tailwatch.probe import Probe
from tailwatch.probe.settings import ProbeSettings
from tailwatch.runtime.settings import load

TURNS = 20_000
turned = threading.Event()


def first(turns: int) -> int:
    """Burn CPU."""
    total = 0
    for number in range(turns):
        total += number * number % 7
    return total


def second(turns: int) -> int:
    """Burn CPU as well."""
    total = 0
    for number in range(turns):
        total += number * number % 11
    return total


async def work(_: Request) -> Response:
    """Serve the requests that are slow."""
    await upstream()
    return JSONResponse({"total": (second if turned.is_set() else first)(TURNS)})


async def upstream() -> None:
    """Wait a little, as for another service."""
    await asyncio.sleep(0.005)


async def turn(_: Request) -> Response:
    """Burn CPU in the other function from now on."""
    turned.set()
    return Response()


def agent() -> Any:
    """Return the capture agent of this process."""
    assert probe.telemetry is not None
    return probe.telemetry.agent


async def ask(request: Request) -> Response:
    """Ask for a capture by hand."""
    return JSONResponse(asdict(await agent().request_manual(duration_seconds=float(request.query_params["seconds"]))))


async def state(_: Request) -> Response:
    """Tell how the process stands."""
    handlers = {number.name: repr(signal.getsignal(number)) for number in signal.Signals if number not in {9, 19}}
    found = {
        "agent": asdict(agent().state()),
        "handlers": handlers,
        "timers": [signal.getitimer(each) for each in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)],
        "environment": dict(os.environ),
        "scalene": "scalene" in sys.modules,
        "pid": os.getpid(),
    }
    return Response(json.dumps(found, default=repr), media_type="application/json")


probe = Probe(
    Starlette(routes=[Route("/work", work), Route("/turn", turn), Route("/ask", ask), Route("/state", state)]),
    service="captured",
    settings=load(ProbeSettings),
)


async def main(port: int) -> None:
    """Serve until SIGTERM."""
    config = hypercorn.config.Config()
    config.bind, config.accesslog, config.errorlog = [f"127.0.0.1:{port}"], None, None
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await hypercorn.asyncio.serve(probe, config, shutdown_trigger=stop.wait)  # type: ignore[arg-type]


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
