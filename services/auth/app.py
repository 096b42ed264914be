"""The auth service's routes: parse, call, answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.auth.adapters.answers import NO_CACHE, NO_STORE, TOKENS, json_response, problem_response
from services.auth.adapters.edge import Edge
from services.auth.adapters.kong import Consumers
from services.auth.core.consumers import consumer_from
from services.auth.core.problems import Problem, ProblemKind
from services.auth.core.tokens import Sign, TokenRules, bearer, iso, issue, validate
from services.auth.settings import AuthSettings
from tailwatch.runtime.logs import logger
from tailwatch.runtime.metrics import Metrics

log = logger(__name__)

CONTENT_TYPES = {"application/json", "application/x-www-form-urlencoded"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Dependencies:
    """What the routes work with."""

    settings: AuthSettings
    rules: TokenRules
    consumers: Consumers
    signed: Sign
    finished: Callable[[Mapping[str, Any]], Mapping[str, Any]]
    """Last step of an answer with a token."""
    sla_monitor: Callable[[], Mapping[str, Any]]
    metrics: Metrics
    clock: Callable[[], float]
    new_id: Callable[[], str]
    started_at: float


async def issue_token(request: Request) -> Response:
    """POST, GET /tokens: a new token for the consumer that the gateway names."""
    uses = _uses(request)
    uses.metrics.count("authentication_attempts_total")
    _check_content_type(request)
    consumer = consumer_from(request.headers, longest=uses.settings.kong_max_header_length)
    credential = await uses.consumers.credential(consumer)
    began = time.perf_counter()
    token = issue(consumer, credential, uses.rules, token_id=uses.new_id(), now=int(uses.clock()), signed=uses.signed)
    uses.metrics.observe("jwt_token_creation_duration_seconds", time.perf_counter() - began)
    answer = uses.finished({"access_token": token, "token_type": "Bearer", "expires_in": uses.rules.lifetime_seconds})
    uses.metrics.count("authentication_success_total")
    return json_response(answer, headers=NO_STORE)


async def validate_token(request: Request) -> Response:
    """POST, GET /tokens/validate: what a valid token of that consumer says."""
    uses = _uses(request)
    _check_content_type(request)
    token = bearer(request.headers.get("authorization"))
    consumer = consumer_from(request.headers, longest=uses.settings.kong_max_header_length)
    credential = await uses.consumers.credential(consumer)
    return json_response(validate(token, consumer, credential, uses.rules, now=int(uses.clock())), headers=NO_STORE)


async def health(request: Request) -> Response:
    """GET /health: how the service is, and what its SLA monitor sees."""
    uses = _uses(request)
    now = uses.clock()
    monitor = uses.sla_monitor()
    kafka = "healthy" if monitor["connected"] or not uses.settings.kafka_bootstrap_servers else "unhealthy"
    return json_response(
        {
            "status": "healthy" if kafka == "healthy" else "degraded",
            "timestamp": iso(now),
            "version": uses.settings.service_version,
            "environment": uses.settings.app_env.value,
            "uptime": round(now - uses.started_at, 3),
            "dependencies": {
                "kong": {"status": "healthy", "mode": uses.settings.kong_mode},
                "kafka": {"status": kafka, "configured": bool(uses.settings.kafka_bootstrap_servers)},
            },
            "slaMonitor": monitor,
            "requestId": request.state.request_id,
        },
        headers=NO_CACHE,
    )


async def metrics(request: Request) -> Response:
    """GET /metrics: every instrument, as Prometheus text."""
    return Response(
        generate_latest(_uses(request).metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST, **NO_CACHE}
    )


async def on_problem(request: Request, error: Exception) -> Response:
    """Return the problem document of an error that a client can be told of."""
    uses = _uses(request)
    problem = error if isinstance(error, Problem) else _problem_of(request, error)
    return problem_response(request, problem, at=uses.clock(), metrics=uses.metrics)


def _problem_of(request: Request, error: Exception) -> Problem:
    if isinstance(error, HTTPException) and error.status_code == ProblemKind.METHOD_NOT_ALLOWED.value.status:
        allowed = [method.strip() for method in (error.headers or {}).get("Allow", "").split(",")]
        return Problem(
            ProblemKind.METHOD_NOT_ALLOWED,
            f"{request.method} is not allowed here",
            {"allowedMethods": allowed},
            error.headers,
        )
    if isinstance(error, HTTPException) and error.status_code == ProblemKind.NOT_FOUND.value.status:
        return Problem(ProblemKind.NOT_FOUND, "There is nothing at this path")
    log.error("request_failed", path=request.url.path, request_id=request.state.request_id, exc_info=error)
    return Problem(ProblemKind.INTERNAL, "The request could not be answered")


def _check_content_type(request: Request) -> None:
    offered = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if request.method == "POST" and offered and offered not in CONTENT_TYPES:
        raise Problem(ProblemKind.INVALID_REQUEST, f"Content-Type is to be one of {', '.join(sorted(CONTENT_TYPES))}")


def _uses(request: Request) -> Dependencies:
    uses: Dependencies = request.app.state.uses
    return uses


def application(uses: Dependencies) -> Edge:
    """Return the service as an ASGI application."""
    routes = [
        Route(TOKENS, issue_token, methods=["POST", "GET"]),
        Route("/tokens/validate", validate_token, methods=["POST", "GET"]),
        Route("/health", health, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={Problem: on_problem, HTTPException: on_problem, Exception: on_problem},
    )
    app.router.redirect_slashes = False
    app.state.uses = uses
    return Edge(
        app,
        max_body_bytes=uses.settings.max_request_body_size,
        timeout_seconds=uses.settings.request_timeout_ms / 1000,
        metrics=uses.metrics,
        clock=uses.clock,
    )
