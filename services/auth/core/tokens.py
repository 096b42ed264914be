"""Tokens: what is claimed, how it is signed, and what is checked. Source: RFC 7519, RFC 7515."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from services.auth.core.consumers import Consumer, Credential
from services.auth.core.problems import Problem, ProblemKind

ISSUER = "iss"
WRITTEN = frozenset({"sub", "jti", "iat", "nbf", "exp", "aud", "name", "unique_name"})
"""Claims that cannot hold the credential's key: they say something else."""

Sign = Callable[[Mapping[str, Any], Credential], str]


class TokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """What tokens claim and how strictly they are checked."""

    issuers: tuple[str, ...]
    audiences: tuple[str, ...]
    key_claim: str
    unique_name_domain: str
    lifetime_seconds: int
    leeway_seconds: int
    algorithm: str


class Validated(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A token that was found valid; times are ISO 8601."""

    valid: bool
    token_id: str
    subject: str
    issuer: str
    audience: str | list[str]
    issued_at: str
    expires_at: str
    expires_in: int
    """Seconds left."""


def claims_for(
    consumer: Consumer, credential: Credential, rules: TokenRules, *, token_id: str, now: int
) -> dict[str, Any]:
    """Return the claims of a new token, valid from ``now`` (seconds since the epoch)."""
    return {
        "sub": consumer.username,
        "jti": token_id,
        "iat": now,
        "nbf": now,
        "exp": now + rules.lifetime_seconds,
        "iss": rules.issuers[0],
        "aud": rules.audiences[0] if len(rules.audiences) == 1 else list(rules.audiences),
        "name": consumer.username,
        "unique_name": f"{rules.unique_name_domain}#{consumer.username}",
        rules.key_claim: credential.key,  # last: where Kong's default holds it, in `iss`, it takes the issuer's place
    }


def sign(claims: Mapping[str, Any], credential: Credential, *, algorithm: str = "HS256") -> str:
    """Return the compact JWS of some claims, signed with a consumer's secret."""
    key = OctKey.import_key(credential.secret)
    return jwt.encode({"alg": algorithm, "typ": "JWT"}, dict(claims), key, algorithms=[algorithm])


def issue(
    consumer: Consumer, credential: Credential, rules: TokenRules, *, token_id: str, now: int, signed: Sign = sign
) -> str:
    """Return a new token for a consumer. Raises Problem AUTH_003 when it cannot be signed."""
    claims = claims_for(consumer, credential, rules, token_id=token_id, now=now)
    try:
        return signed(claims, credential)
    except (JoseError, ValueError, TypeError) as error:
        raise Problem(ProblemKind.JWT_CREATION_FAILED, "The token could not be signed") from error


def validate(token: str, consumer: Consumer, credential: Credential, rules: TokenRules, *, now: int) -> Validated:
    """Return what a valid token says.

    The algorithm is the configured one, never the token's; signature, exp, nbf, iss, aud and subject are all
    checked. Raises Problem AUTH_010 (expired) or AUTH_011 (anything else).
    """
    try:
        claims = jwt.decode(token, OctKey.import_key(credential.secret), algorithms=[rules.algorithm]).claims
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise Problem(ProblemKind.INVALID_TOKEN, "The token is malformed or its signature does not match") from error
    expires, begins, issued = (_whole(claims, name) for name in ("exp", "nbf", "iat"))
    audience = claims.get("aud")
    offered = audience if isinstance(audience, list) else [audience]
    if rules.key_claim != ISSUER and claims.get(ISSUER) not in rules.issuers:
        raise Problem(ProblemKind.INVALID_TOKEN, "The token's issuer is not accepted")
    if not set(rules.audiences) & {item for item in offered if isinstance(item, str)}:
        raise Problem(ProblemKind.INVALID_TOKEN, "The token is meant for another audience")
    if claims.get("sub") != consumer.username or claims.get(rules.key_claim) != credential.key:
        raise Problem(ProblemKind.INVALID_TOKEN, "The token belongs to another consumer")
    if now + rules.leeway_seconds < begins:
        raise Problem(ProblemKind.INVALID_TOKEN, "The token is not valid yet")
    if now - rules.leeway_seconds >= expires:
        raise Problem(ProblemKind.TOKEN_EXPIRED, "The token has expired", {"expiredAt": iso(expires)})
    return Validated(
        valid=True,
        token_id=str(claims.get("jti", "")),
        subject=consumer.username,
        issuer=str(claims["iss"]),
        audience=audience if isinstance(audience, str) else [str(item) for item in offered],
        issued_at=iso(issued),
        expires_at=iso(expires),
        expires_in=max(0, expires - now),
    )


def bearer(authorization: str | None) -> str:
    """Return the token of an Authorization header (scheme in any case). Raises Problem AUTH_012 without one."""
    scheme, _, token = (authorization or "").strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Problem(ProblemKind.MISSING_AUTHORIZATION, "Send the token as `Authorization: Bearer <token>`")
    return token.strip()


def iso(at: float) -> str:
    """Return an instant as ISO 8601 with milliseconds and Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


LATEST_INSTANT = 253_402_300_800
"""The year 10000: no ISO 8601 instant beyond it can be written."""


def _whole(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < LATEST_INSTANT:
        raise Problem(ProblemKind.INVALID_TOKEN, f"The token's claim {name} is missing or not a time")
    return int(value)
