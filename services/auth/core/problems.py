"""Errors of the auth service as RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tailwatch.contracts.errors import PipelineError


@dataclass(frozen=True, slots=True)
class _Kind:
    code: str
    status: int
    title: str


class ProblemKind(Enum):
    """Every error that a client can be answered with."""

    MISSING_CONSUMER_HEADERS = _Kind("AUTH_001", 401, "Missing Consumer Headers")
    CONSUMER_NOT_FOUND = _Kind("AUTH_002", 401, "Consumer Not Found")
    JWT_CREATION_FAILED = _Kind("AUTH_003", 500, "JWT Creation Failed")
    KONG_UNAVAILABLE = _Kind("AUTH_004", 503, "Kong API Unavailable")
    INVALID_REQUEST = _Kind("AUTH_007", 400, "Invalid Request Format")
    BODY_TOO_LARGE = _Kind("AUTH_007", 413, "Invalid Request Format")
    INTERNAL = _Kind("AUTH_008", 500, "Internal Server Error")
    ANONYMOUS_CONSUMER = _Kind("AUTH_009", 401, "Anonymous Consumer")
    TOKEN_EXPIRED = _Kind("AUTH_010", 401, "Token Expired")
    INVALID_TOKEN = _Kind("AUTH_011", 400, "Invalid Token")
    MISSING_AUTHORIZATION = _Kind("AUTH_012", 400, "Missing Authorization")
    NOT_FOUND = _Kind("NOT_FOUND", 404, "Not Found")
    METHOD_NOT_ALLOWED = _Kind("METHOD_NOT_ALLOWED", 405, "Method Not Allowed")


class Problem(PipelineError):
    """A request that is answered with a problem instead of what was asked for."""

    def __init__(
        self,
        kind: ProblemKind,
        detail: str,
        extensions: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{kind.value.code}: {detail}")
        self.kind, self.detail = kind, detail
        self.extensions, self.headers = dict(extensions or {}), dict(headers or {})

    def document(self, *, instance: str, request_id: str, timestamp: str) -> dict[str, Any]:
        """Return the problem document, members in the documented order. ``timestamp`` is ISO 8601 with ms and Z."""
        kind = self.kind.value
        document: dict[str, Any] = {
            "type": f"urn:problem-type:auth-service/{kind.code.lower().replace('_', '-')}",
            "title": kind.title,
            "status": kind.status,
            "detail": self.detail,
            "instance": instance,
            "code": kind.code,
            "requestId": request_id,
            "timestamp": timestamp,
        }
        if self.extensions:
            document["extensions"] = self.extensions
        return document
