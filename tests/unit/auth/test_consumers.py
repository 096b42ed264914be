"""Who asks: the gateway's headers, and the order in which they are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.core.consumers import Consumer, Credential, consumer_from
from services.auth.core.problems import Problem, ProblemKind

LONGEST = 256
MISSING, LONG, ANONYMOUS = (
    ProblemKind.MISSING_CONSUMER_HEADERS,
    ProblemKind.INVALID_REQUEST,
    ProblemKind.ANONYMOUS_CONSUMER,
)


def headers(consumer_id: str, username: str, anonymous: str | None = None) -> dict[str, str]:
    """Return the headers that the gateway sends, by lower-case name."""
    named = {"x-consumer-id": consumer_id, "x-consumer-username": username}
    return named if anonymous is None else named | {"x-anonymous-consumer": anonymous}


def refusal(sent: dict[str, str], *, longest: int = LONGEST) -> Problem:
    """Return the problem with which some headers are refused."""
    with pytest.raises(Problem) as raised:
        consumer_from(sent, longest=longest)
    return raised.value


def test_the_gateways_headers_name_the_consumer() -> None:
    """Id and username are taken without the blanks around them."""
    assert consumer_from(headers(" c-17 ", "\tbilling "), longest=LONGEST) == Consumer(id="c-17", username="billing")


@pytest.mark.parametrize(
    "sent",
    [{}, {"x-consumer-id": "c-17"}, {"x-consumer-username": "billing"}, headers("", "billing"), headers("c-17", " \t")],
)
def test_a_consumer_without_id_or_username_is_refused(sent: dict[str, str]) -> None:
    """Absent, empty and blank are the same: AUTH_001."""
    problem = refusal(sent)
    assert problem.kind is MISSING
    assert problem.detail == "X-Consumer-ID and X-Consumer-Username are required and not empty"


@pytest.mark.parametrize(("consumer_id", "username"), [("c" * 6, "b"), ("c", "b" * 6)])
def test_a_header_that_is_too_long_is_refused_with_the_limit(consumer_id: str, username: str) -> None:
    """One character over the limit is AUTH_007, and the limit is said."""
    problem = refusal(headers(consumer_id, username), longest=5)
    assert problem.kind is LONG
    assert problem.detail == "X-Consumer-ID and X-Consumer-Username may hold 5 characters at most"
    assert consumer_from(headers(consumer_id[:5], username[:5]), longest=5).username == username[:5]


@pytest.mark.parametrize("anonymous", ["true", "TRUE", " True "])
def test_an_anonymous_consumer_gets_nothing(anonymous: str) -> None:
    """True in any case is AUTH_009, and its detail starts as clients expect."""
    problem = refusal(headers("c-17", "anonymous", anonymous))
    assert problem.kind is ANONYMOUS
    assert problem.detail.startswith("Anonymous consumers")


@given(
    consumer_id=st.text(max_size=8),
    username=st.text(max_size=8),
    anonymous=st.sampled_from([None, "true", "True", "false", "", "1", "yes"]),
    longest=st.integers(1, 8),
)
def test_the_first_check_that_fails_decides(
    consumer_id: str, username: str, anonymous: str | None, longest: int
) -> None:
    """Missing, then too long, then anonymous; who passes all three is named as sent."""
    failed = [
        kind
        for kind, holds in (
            (MISSING, not (consumer_id.strip() and username.strip())),
            (LONG, max(len(consumer_id.strip()), len(username.strip())) > longest),
            (ANONYMOUS, anonymous in {"true", "True"}),
        )
        if holds
    ]
    sent = headers(consumer_id, username, anonymous)
    if failed:
        assert refusal(sent, longest=longest).kind is failed[0]
    else:
        assert consumer_from(sent, longest=longest) == Consumer(id=consumer_id.strip(), username=username.strip())


def test_a_credential_shows_no_secret() -> None:
    """Neither its secret nor its whole key gets into a log line."""
    assert repr(Credential(key="ebe981ebbae5", secret="do-not-print-me")) == "Credential(key=ebe9...)"
