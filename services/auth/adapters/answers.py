"""Answers of the auth service: JSON, and RFC 9457 problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.auth.core.problems import Problem, ProblemKind
from services.auth.core.tokens import iso
from tailwatch.runtime.metrics import Metrics

NO_STORE = {"cache-control": "no-store, no-cache, must-revalidate", "pragma": "no-cache"}
TOKENS = "/tokens"
NOTHING_ASKED = (ProblemKind.NOT_FOUND, ProblemKind.METHOD_NOT_ALLOWED)
NO_CACHE = {"cache-control": "no-cache"}


def json_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a JSON answer, exactly ``application/json``."""
    return Response(
        msgspec.json.encode(content), status_code=status, media_type="application/json", headers=dict(headers or {})
    )


def problem_response(request: Request, problem: Problem, *, at: float, metrics: Metrics) -> Response:
    """Return the answer to a request that met a problem, ``application/problem+json``; a refused token is counted."""
    if request.url.path == TOKENS and problem.kind not in NOTHING_ASKED:
        metrics.count("authentication_failures_total", code=problem.kind.value.code)
    document = problem.document(
        instance=request.url.path, request_id=getattr(request.state, "request_id", ""), timestamp=iso(at)
    )
    return Response(
        msgspec.json.encode(document),
        status_code=document["status"],
        media_type="application/problem+json",
        headers={**NO_STORE, **problem.headers},
    )
