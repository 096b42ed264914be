"""Who asks for a token, as the gateway says it in headers."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from typing_extensions import override

from services.auth.core.problems import Problem, ProblemKind


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer of the gateway."""

    id: str
    username: str


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A consumer's JWT credential at Kong."""

    key: str
    secret: str

    @override
    def __repr__(self) -> str:
        """Return the credential without its secret."""
        return f"Credential(key={self.key[:4]}...)"


def consumer_from(headers: Mapping[str, str], *, longest: int) -> Consumer:
    """Return the consumer named by the gateway's headers.

    Raises Problem AUTH_001 (missing), AUTH_007 (longer than ``longest``) or AUTH_009 (anonymous), in that order.
    """
    consumer_id, username = headers.get("x-consumer-id", "").strip(), headers.get("x-consumer-username", "").strip()
    if not consumer_id or not username:
        raise Problem(
            ProblemKind.MISSING_CONSUMER_HEADERS, "X-Consumer-ID and X-Consumer-Username are required and not empty"
        )
    if len(consumer_id) > longest or len(username) > longest:
        raise Problem(
            ProblemKind.INVALID_REQUEST, f"X-Consumer-ID and X-Consumer-Username may hold {longest} characters at most"
        )
    if headers.get("x-anonymous-consumer", "").strip().lower() == "true":
        raise Problem(ProblemKind.ANONYMOUS_CONSUMER, "Anonymous consumers get no token: authenticate at the gateway")
    return Consumer(id=consumer_id, username=username)
