"""Tokens: what is issued validates, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from joserfc.errors import JoseError

from services.auth.core.consumers import Consumer, Credential
from services.auth.core.problems import Problem, ProblemKind
from services.auth.core.tokens import (
    ISSUER,
    LATEST_INSTANT,
    WRITTEN,
    TokenRules,
    Validated,
    bearer,
    claims_for,
    iso,
    issue,
    sign,
    validate,
)

NOW = 1_764_000_000
TOKEN_ID = "5f0c7f1e-8a52-4f0e-9a43-2f3c1d9b7a10"
BOB = Consumer(id="c-17", username="bob")
KEY = Credential(key="ebe981ebbae5bfa6", secret="0123456789abcdef0123456789abcdef")
RULES = TokenRules(
    issuers=("https://auth.example.com",),
    audiences=("https://api.example.com",),
    key_claim="key",
    unique_name_domain="example.com",
    lifetime_seconds=900,
    leeway_seconds=0,
    algorithm="HS256",
)
MALFORMED = "The token is malformed or its signature does not match"
OTHERS = "The token belongs to another consumer"
ELSEWHERE = "The token is meant for another audience"

names = st.text(min_size=1, max_size=20)
several = st.lists(names, min_size=1, max_size=3, unique=True).map(tuple)
consumers = st.builds(Consumer, id=names, username=names)
credentials = st.builds(Credential, key=names, secret=st.text(min_size=14, max_size=64))
rules_of_any_kind = st.builds(
    TokenRules,
    issuers=several,
    audiences=several,
    key_claim=st.just(ISSUER) | names.filter(lambda name: name not in WRITTEN),
    unique_name_domain=names,
    lifetime_seconds=st.integers(60, 3600),
    leeway_seconds=st.integers(0, 300),
    algorithm=st.just("HS256"),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def segment(content: bytes) -> str:
    """Return bytes as base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def compact(header: bytes, payload: bytes, digest: str = "sha256") -> str:
    """Return a compact JWS over any bytes, signed with the right secret, without the library under test."""
    signed = f"{segment(header)}.{segment(payload)}"
    return f"{signed}.{segment(hmac.new(KEY.secret.encode(), signed.encode(), digest).digest())}"


def forged(header: Mapping[str, Any] | None = None, **changes: Any) -> str:
    """Return a rightly signed token whose header or claims differ from those of an issued one."""
    claims = claims_for(BOB, KEY, RULES, token_id=TOKEN_ID, now=NOW) | changes
    return compact(
        json.dumps(header or {"alg": "HS256", "typ": "JWT"}).encode(),
        json.dumps({name: value for name, value in claims.items() if value is not ...}).encode(),
    )


def refusal(token: str, *, rules: TokenRules = RULES, now: int = NOW) -> Problem:
    """Return the problem with which a token of BOB's is refused."""
    with pytest.raises(Problem) as raised:
        validate(token, BOB, KEY, rules, now=now)
    return raised.value


ISSUED = issue(BOB, KEY, RULES, token_id=TOKEN_ID, now=NOW)


def test_a_token_claims_what_is_documented() -> None:
    """Every claim of a token, with its time of issue as both iat and nbf."""
    assert claims_for(BOB, KEY, RULES, token_id=TOKEN_ID, now=NOW) == {
        "sub": "bob",
        "key": "ebe981ebbae5bfa6",
        "jti": TOKEN_ID,
        "iat": NOW,
        "nbf": NOW,
        "exp": NOW + 900,
        "iss": "https://auth.example.com",
        "aud": "https://api.example.com",
        "name": "bob",
        "unique_name": "example.com#bob",
    }


def test_several_audiences_are_claimed_as_a_list_and_the_first_issuer_is_written() -> None:
    """One audience is a string, more are a list; other issuers are only accepted."""
    rules = msgspec.structs.replace(RULES, audiences=("a", "b"), issuers=("new", "old"), key_claim="kid")
    claims = claims_for(BOB, KEY, rules, token_id=TOKEN_ID, now=NOW)
    assert (claims["aud"], claims["iss"], claims["kid"]) == (["a", "b"], "new", KEY.key)
    assert "key" not in claims


def test_a_token_is_a_compact_jws_with_hmac_sha256() -> None:
    """Header and payload as RFC 7515 writes them; the signature is checked with hashlib alone."""
    header, payload, signature = ISSUED.split(".")
    assert json.loads(base64.urlsafe_b64decode(header)) == {"alg": "HS256", "typ": "JWT"}
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert claims == claims_for(BOB, KEY, RULES, token_id=TOKEN_ID, now=NOW)
    expected = hmac.new(KEY.secret.encode(), f"{header}.{payload}".encode(), hashlib.sha256).digest()
    assert signature == segment(expected)


def test_a_token_is_signed_by_the_signer_that_was_given() -> None:
    """The signer gets the claims and the credential, and its word is the token."""

    def signed(claims: Mapping[str, Any], credential: Credential) -> str:
        return f"{claims['sub']} signed with {credential.key}"

    assert issue(BOB, KEY, RULES, token_id=TOKEN_ID, now=NOW, signed=signed) == "bob signed with ebe981ebbae5bfa6"


@pytest.mark.parametrize("error", [JoseError("no"), ValueError("no"), TypeError("no")])
def test_a_token_that_cannot_be_signed_is_auth_003(error: Exception) -> None:
    """The cause is kept for the log and not told to the client."""

    def signed(_: Mapping[str, Any], __: Credential) -> str:
        raise error

    with pytest.raises(Problem) as raised:
        issue(BOB, KEY, RULES, token_id=TOKEN_ID, now=NOW, signed=signed)
    assert raised.value.kind is ProblemKind.JWT_CREATION_FAILED
    assert raised.value.detail == "The token could not be signed"
    assert raised.value.__cause__ is error


def test_an_empty_secret_signs_nothing() -> None:
    """Anyone could forge a token signed with no secret, so none is issued."""
    with pytest.raises(Problem) as raised:
        issue(BOB, Credential(key="k", secret=""), RULES, token_id=TOKEN_ID, now=NOW, signed=sign)
    assert raised.value.kind is ProblemKind.JWT_CREATION_FAILED


@given(
    consumer=consumers,
    credential=credentials,
    rules=rules_of_any_kind,
    now=st.integers(0, LATEST_INSTANT - 3601),
    data=st.data(),
)
def test_what_is_issued_validates(
    consumer: Consumer, credential: Credential, rules: TokenRules, now: int, data: st.DataObject
) -> None:
    """For any consumer, credential and rules, at any moment of a token's life, as it was issued."""
    token = issue(consumer, credential, rules, token_id=TOKEN_ID, now=now)
    age = data.draw(st.integers(0, rules.lifetime_seconds - 1), label="age")
    assert validate(token, consumer, credential, rules, now=now + age) == Validated(
        valid=True,
        token_id=TOKEN_ID,
        subject=consumer.username,
        issuer=credential.key if rules.key_claim == ISSUER else rules.issuers[0],
        audience=rules.audiences[0] if len(rules.audiences) == 1 else list(rules.audiences),
        issued_at=iso(now),
        expires_at=iso(now + rules.lifetime_seconds),
        expires_in=rules.lifetime_seconds - age,
    )


@given(
    place=st.integers(0, len(ISSUED) - 1),
    text=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/= \né", max_size=2),
    width=st.integers(0, 1),
)
@example(place=len(ISSUED) - 1, text=chr(ord(ISSUED[-1]) + 1), width=1)
def test_any_changed_character_is_refused(place: int, text: str, width: int) -> None:
    """Changed, inserted or taken away: AUTH_011. The unused bits of the last character are no exception."""
    changed = ISSUED[:place] + text + ISSUED[place + width :]
    assume(changed != ISSUED)
    problem = refusal(changed)
    assert (problem.kind, problem.detail) == (ProblemKind.INVALID_TOKEN, MALFORMED)


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("none", None),
        ("None", None),
        ("HS384", "sha384"),
        ("HS512", "sha512"),
        ("hs256", "sha256"),
        ("RS256", "sha256"),
    ],
)
def test_the_algorithm_is_never_the_tokens_choice(algorithm: str, digest: str | None) -> None:
    """A signature that is right for another algorithm, or none at all, is refused."""
    header = json.dumps({"alg": algorithm, "typ": "JWT"}).encode()
    payload = json.dumps(claims_for(BOB, KEY, RULES, token_id=TOKEN_ID, now=NOW)).encode()
    token = compact(header, payload, digest) if digest else f"{segment(header)}.{segment(payload)}."
    assert refusal(token).detail == MALFORMED


@given(header=st.binary(max_size=40) | json_values.map(lambda value: json.dumps(value).encode()), payload=st.binary())
@example(header=b'"alg"', payload=b"{}")
@example(header=b'{"alg":"HS256","crit":5}', payload=b"{}")
def test_any_bytes_in_a_tokens_place_are_refused(header: bytes, payload: bytes) -> None:
    """Whatever header and payload are, rightly signed: AUTH_011 and no other error."""
    assert refusal(compact(header, payload)).detail == MALFORMED
    assert refusal(compact(b'{"alg":"HS256"}', payload)).kind is ProblemKind.INVALID_TOKEN


@given(text=st.text())
@example(text="\ud800")
def test_any_text_in_a_tokens_place_is_refused(text: str) -> None:
    """Not three segments, not base64url, not ASCII: AUTH_011."""
    assert refusal(text).detail == MALFORMED


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda other: {"iss": other}, "The token's issuer is not accepted"),
        (lambda other: {"aud": other}, ELSEWHERE),
        (lambda other: {"aud": [other, other]}, ELSEWHERE),
        (lambda other: {"sub": other}, OTHERS),
        (lambda other: {"key": other}, OTHERS),
    ],
    ids=["issuer", "audience", "audiences", "subject", "key"],
)
@given(other=json_values)
def test_a_token_that_claims_anything_else_is_refused(
    change: Callable[[Any], dict[str, Any]], detail: str, other: Any
) -> None:
    """Another issuer, audience, subject or key, of any type, is AUTH_011 although the signature is right."""
    assume(other != BOB.username)
    problem = refusal(forged(**change(other)))
    assert (problem.kind, problem.detail) == (ProblemKind.INVALID_TOKEN, detail)


@given(secret=st.text(min_size=14, max_size=64))
def test_a_token_signed_with_another_secret_is_refused(secret: str) -> None:
    """Every consumer has its own secret: another's signature is AUTH_011."""
    assume(secret != KEY.secret)
    token = issue(BOB, Credential(key=KEY.key, secret=secret), RULES, token_id=TOKEN_ID, now=NOW)
    assert refusal(token).detail == MALFORMED


@given(age=st.integers(-700, 5000), lifetime=st.integers(60, 3600), leeway=st.integers(0, 300))
@example(age=0, lifetime=900, leeway=0)
@example(age=-1, lifetime=900, leeway=0)
@example(age=899, lifetime=900, leeway=0)
@example(age=900, lifetime=900, leeway=0)
@example(age=-60, lifetime=900, leeway=60)
@example(age=-61, lifetime=900, leeway=60)
@example(age=959, lifetime=900, leeway=60)
@example(age=960, lifetime=900, leeway=60)
def test_a_token_is_valid_exactly_between_nbf_and_exp(age: int, lifetime: int, leeway: int) -> None:
    """From nbf on and before exp, each with the leeway: AUTH_011 before, AUTH_010 with its time after."""
    rules = msgspec.structs.replace(RULES, lifetime_seconds=lifetime, leeway_seconds=leeway)
    token = issue(BOB, KEY, rules, token_id=TOKEN_ID, now=NOW)
    if age < -leeway:
        problem = refusal(token, rules=rules, now=NOW + age)
        assert (problem.kind, problem.detail) == (ProblemKind.INVALID_TOKEN, "The token is not valid yet")
    elif age >= lifetime + leeway:
        problem = refusal(token, rules=rules, now=NOW + age)
        assert problem.kind is ProblemKind.TOKEN_EXPIRED
        assert problem.extensions == {"expiredAt": iso(NOW + lifetime)}
    else:
        assert validate(token, BOB, KEY, rules, now=NOW + age).expires_in == max(0, lifetime - age)


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize(
    "value", [..., None, "1764000000", True, -1, LATEST_INSTANT, float("inf"), float("nan"), [NOW]]
)
def test_a_claim_that_is_no_time_is_refused(name: str, value: Any) -> None:
    """Missing, not a number, before 1970 or after the year 9999: AUTH_011 that names the claim."""
    problem = refusal(forged(**{name: value}))
    assert problem.kind is ProblemKind.INVALID_TOKEN
    assert problem.detail == f"The token's claim {name} is missing or not a time"


@pytest.mark.parametrize(
    ("audience", "said"),
    [
        (["https://api.example.com"], ["https://api.example.com"]),
        (["elsewhere", 5, "https://api.example.com"], ["elsewhere", "5", "https://api.example.com"]),
    ],
)
def test_one_of_several_audiences_is_enough(audience: list[Any], said: list[str]) -> None:
    """A list that holds an accepted audience is valid, and is answered as strings."""
    assert validate(forged(aud=audience), BOB, KEY, RULES, now=NOW).audience == said


def test_a_payload_that_is_nested_without_end_is_refused() -> None:
    """A consumer knows its own secret, so anything may be signed rightly."""
    assert refusal(compact(b'{"alg":"HS256"}', b"[" * 100_000)).kind is ProblemKind.INVALID_TOKEN


def test_a_token_of_an_older_issuer_stays_valid() -> None:
    """Every listed issuer is accepted, although only the first is written."""
    rules = msgspec.structs.replace(RULES, issuers=("https://new.example.com", *RULES.issuers))
    assert validate(ISSUED, BOB, KEY, rules, now=NOW).issuer == "https://auth.example.com"


def test_times_with_fractions_are_cut_to_seconds() -> None:
    """RFC 7519 allows fractions; a token without an id is still a token."""
    found = validate(forged(exp=NOW + 10.9, jti=...), BOB, KEY, RULES, now=NOW)
    assert (found.expires_in, found.expires_at, found.token_id) == (10, "2025-11-24T16:00:10.000Z", "")


@pytest.mark.parametrize("header", ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c ", "  Bearer a.b.c"])
def test_the_scheme_is_read_in_any_case(header: str) -> None:
    """The token stands after Bearer, whatever its case and the blanks around it."""
    assert bearer(header) == "a.b.c"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer  ", "Basic a.b.c", "a.b.c", "Bearera.b.c"])
def test_no_bearer_token_is_auth_012(header: str | None) -> None:
    """No header, no token or another scheme: AUTH_012 with the remedy."""
    with pytest.raises(Problem) as raised:
        bearer(header)
    assert raised.value.kind is ProblemKind.MISSING_AUTHORIZATION
    assert raised.value.detail == "Send the token as `Authorization: Bearer <token>`"


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_764_000_000.5, "2025-11-24T16:00:00.500Z"),
        (1_764_000_000.0004, "2025-11-24T16:00:00.000Z"),
        (LATEST_INSTANT - 1, "9999-12-31T23:59:59.000Z"),
    ],
)
def test_an_instant_is_written_with_milliseconds_and_z(at: float, text: str) -> None:
    """ISO 8601 in UTC, milliseconds always, Z and no offset."""
    assert iso(at) == text
