"""The edge of the service, as pure ASGI: request ids, body size, time limit, metrics."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.requests import Request

from services.auth.adapters.answers import problem_response
from services.auth.core.problems import Problem, ProblemKind
from tailwatch.runtime.metrics import Metrics

LONGEST_NUMBER = 19
"""Digits of the largest length that is looked at."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class Edge:
    """Gives every request an id and a time limit, refuses bodies that are too large, and counts."""

    def __init__(
        self, app: ASGIApp, *, max_body_bytes: int, timeout_seconds: float, metrics: Metrics, clock: Callable[[], float]
    ) -> None:
        self._app, self._metrics, self._clock = app, metrics, clock
        self._max_body_bytes, self._timeout_seconds = max_body_bytes, timeout_seconds
        self._in_flight = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        request_id = _kept_or_new(request.headers.get("x-request-id"))
        request.state.request_id = request_id
        began, status = time.perf_counter(), 0
        self._in_flight += 1
        self._metrics.gauge("http_requests_in_flight", self._in_flight)

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._limited(request, receive, sending, answered=lambda: bool(status))
        finally:
            self._in_flight -= 1
            route = getattr(scope.get("route"), "path", "unmatched")
            method = (
                request.method if request.method in {"GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE"} else "other"
            )
            self._metrics.gauge("http_requests_in_flight", self._in_flight)
            self._metrics.count("http_requests_total", method=method, route=route, status_code=str(status))
            self._metrics.observe(
                "http_request_duration_seconds", time.perf_counter() - began, method=method, route=route
            )

    def _check_length(self, length: str) -> None:
        sound = length.isascii() and length.isdigit() and len(length) <= LONGEST_NUMBER
        if not sound or int(length) > self._max_body_bytes:
            raise self._too_large()

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def receiving() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_body_bytes:
                raise self._too_large()
            return message

        return receiving

    def _too_large(self) -> Problem:
        return Problem(ProblemKind.BODY_TOO_LARGE, f"A request body may hold {self._max_body_bytes} bytes at most")

    async def _limited(self, request: Request, receive: Receive, send: Send, *, answered: Callable[[], bool]) -> None:
        try:
            self._check_length(request.headers.get("content-length", "0"))
            async with asyncio.timeout(self._timeout_seconds):
                await self._app(request.scope, self._counted(receive), send)
        except (Problem, TimeoutError) as error:
            if answered():
                raise
            problem = error if isinstance(error, Problem) else _too_slow(self._timeout_seconds)
            response = problem_response(request, problem, at=self._clock(), metrics=self._metrics)
            await response(request.scope, receive, send)


def _too_slow(seconds: float) -> Problem:
    return Problem(
        ProblemKind.KONG_UNAVAILABLE, f"The request took longer than {seconds:g} s", headers={"Retry-After": "1"}
    )


def _kept_or_new(offered: str | None) -> str:
    try:
        return str(uuid.UUID(offered or ""))
    except ValueError:
        return str(uuid.uuid4())
