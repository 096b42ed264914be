"""The probe as pure ASGI middleware: it times every answered request and carries the capture agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from tailwatch.contracts.errors import ConfigurationError
from tailwatch.probe.core.activity import Activity, Running, Wait
from tailwatch.probe.core.batch import Answered
from tailwatch.probe.settings import ProbeSettings
from tailwatch.probe.telemetry import Telemetry
from tailwatch.runtime.logs import logger
from tailwatch.runtime.metrics import Metrics
from tailwatch.runtime.settings import load

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

INTERNAL_ERROR = 500
TRACE_ID = slice(3, 35)
LONGEST_ID = 100

log = logger(__name__)


class Probe:
    """Watches an ASGI application; ``Probe(app, service="billing")`` is all that a service has to say.

    Kafka and captures are set by the environment (KAFKA_BOOTSTRAP_SERVERS, CONTINUOUS_PROFILING_ENABLED, ...). With
    lifespan on, they start and end with the server; otherwise they start with the first request.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        service: str,
        settings: ProbeSettings | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Wrap ``app``. ``settings`` default to the environment's; ConfigurationError when one is refused."""
        self._app, self._clock = app, clock
        self._settings = settings or load(ProbeSettings)
        self.activity = Activity()
        self.metrics = metrics or Metrics()
        self._service = service
        self._telemetry: Telemetry | None = None
        self._starting: asyncio.Future[Telemetry | None] | None = None
        self._refused = False

    @property
    def telemetry(self) -> Telemetry | None:
        """What runs behind the probe, once it has started."""
        return self._telemetry

    def health(self) -> dict[str, Any]:
        """Return what ``/health`` shows as ``slaMonitor``; ``{"enabled": False, ...}`` before the start."""
        return self._telemetry.health() if self._telemetry else {"enabled": False, "connected": False}

    async def start(self) -> Telemetry | None:
        """Start publishing and, if captures are on, the capture agent; once, whoever asks.

        ConfigurationError when a setting or the policy is refused. Anything else that goes wrong is logged, and the
        service runs unwatched (None): the probe never hurts what it watches.
        """
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._started())
        self._telemetry = await asyncio.shield(self._starting)
        return self._telemetry

    async def _started(self) -> Telemetry | None:
        try:
            return await Telemetry.start(
                self._service, self._settings, activity=self.activity, metrics=self.metrics, clock=self._clock
            )
        except ConfigurationError:
            raise
        except Exception:
            log.exception("probe_not_started", consequence="the service runs unwatched")
            return None

    async def _started_late(self) -> Telemetry | None:
        """Start with the first request, where the server has no lifespan; a setting refused now fails no request."""
        if self._refused:
            return None
        try:
            return await self.start()
        except ConfigurationError as error:
            self._refused = True
            log.error("probe_not_started", error=str(error), consequence="the service runs unwatched")  # noqa: TRY400
            return None

    async def close(self) -> None:
        """End a running capture with what it has, publish what is queued, and end the probe's thread."""
        if self._telemetry is not None:
            await self._telemetry.close()

    @contextmanager
    def waiting(self, dependency: str, operation: str) -> Iterator[None]:
        """Time a wait for a dependency: ``with probe.waiting("kong", "consumer"): await ...``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with suppress(RuntimeError):
                self.activity.waited(
                    Wait(
                        dependency=dependency,
                        operation=operation,
                        target=self.activity.target_of(asyncio.current_task()),
                        ended_at=self._clock(),
                        duration_ms=(time.perf_counter() - began) * 1000,
                    )
                )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        telemetry = self._telemetry or await self._started_late()
        if telemetry is None:
            await self._app(scope, receive, send)
            return
        request = Running(self._clock(), self.activity.capturing, partial(telemetry.routes.running_target, scope))
        began = time.perf_counter()
        status = 0
        request_id = b""
        left = False
        self.activity.began(request, task=asyncio.current_task())

        async def receiving() -> Message:
            nonlocal left
            message = await receive()
            left = left or (message["type"] == "http.disconnect" and not status)
            return message

        async def sending(message: Message) -> None:
            nonlocal status, request_id
            if message["type"] == "http.response.start":
                status = message["status"]
                request_id = _header(message.get("headers", ()), b"x-request-id")
            await send(message)

        try:
            await self._app(scope, receiving, sending)
        except Exception:
            status = status or INTERNAL_ERROR  # the server answers for a broken application
            raise
        finally:
            duration_ms = (time.perf_counter() - began) * 1000
            # A framework answers 500 to nobody when its client has left.
            if status and not (left and status >= INTERNAL_ERROR):
                self._note(telemetry, scope, request, duration_ms=duration_ms, status=status, request_id=request_id)
            else:
                self.activity.dropped(request)

    def _note(
        self,
        telemetry: Telemetry,
        scope: Scope,
        request: Running,
        *,
        duration_ms: float,
        status: int,
        request_id: bytes,
    ) -> None:
        """Report one answered request. What goes wrong here is the probe's matter, never the request's."""
        try:
            target = telemetry.routes.target(scope)
            self.activity.ended(request, target=target, status=status, at=request.started_at + duration_ms / 1000)
            if target is None:
                return
            self.activity.endpoint(scope.get("endpoint"), target)
            telemetry.offer(
                Answered(
                    target=target,
                    started_at=request.started_at,
                    duration_ms=duration_ms,
                    status=status,
                    method=scope["method"],
                    under_capture=request.under_capture,
                    request_id=(request_id or _header(scope["headers"], b"x-request-id")).decode("latin-1")[
                        :LONGEST_ID
                    ],
                    trace_id=_trace_id(_header(scope["headers"], b"traceparent")),
                )
            )
        except Exception:
            self.metrics.count("latency_events_dropped_total", reason="probe_error")
            log.exception("request_not_reported")

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.start()
        except ConfigurationError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return

        async def sending(message: Message) -> None:
            if message["type"] in {"lifespan.shutdown.complete", "lifespan.shutdown.failed"}:
                await self.close()
            await send(message)

        await self._app(scope, receive, sending)


def _header(headers: Any, name: bytes) -> bytes:
    for key, value in headers:
        if key.lower() == name:
            return bytes(value)
    return b""


def _trace_id(traceparent: bytes) -> str | None:
    found = traceparent[TRACE_ID].decode("latin-1")
    valid = len(found) == TRACE_ID.stop - TRACE_ID.start and set(found) <= set("0123456789abcdef") and found.strip("0")
    return found if valid else None
