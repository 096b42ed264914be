"""Errors as clients see them: codes, statuses, titles, and the order of a document's members (RFC 9457)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.auth.core.problems import Problem, ProblemKind
from tailwatch.contracts.errors import PipelineError

ORDER = ["type", "title", "status", "detail", "instance", "code", "requestId", "timestamp"]
TIMESTAMP = "2025-11-24T16:00:00.500Z"


def document(problem: Problem, instance: str = "/tokens") -> dict[str, Any]:
    """Return a problem's document for one request."""
    return problem.document(instance=instance, request_id="req-8f3a", timestamp=TIMESTAMP)


def test_every_kind_has_its_documented_code_status_and_title() -> None:
    """Clients branch on these: the table is the contract."""
    assert {(kind.value.code, kind.value.status, kind.value.title) for kind in ProblemKind} == {
        ("AUTH_001", 401, "Missing Consumer Headers"),
        ("AUTH_002", 401, "Consumer Not Found"),
        ("AUTH_003", 500, "JWT Creation Failed"),
        ("AUTH_004", 503, "Kong API Unavailable"),
        ("AUTH_007", 400, "Invalid Request Format"),
        ("AUTH_007", 413, "Invalid Request Format"),
        ("AUTH_008", 500, "Internal Server Error"),
        ("AUTH_009", 401, "Anonymous Consumer"),
        ("AUTH_010", 401, "Token Expired"),
        ("AUTH_011", 400, "Invalid Token"),
        ("AUTH_012", 400, "Missing Authorization"),
        ("NOT_FOUND", 404, "Not Found"),
        ("METHOD_NOT_ALLOWED", 405, "Method Not Allowed"),
    }


def test_a_document_holds_what_is_documented() -> None:
    """The whole text of one document, extensions last."""
    problem = Problem(ProblemKind.TOKEN_EXPIRED, "The token has expired", {"expiredAt": TIMESTAMP})
    assert json.dumps(document(problem)) == json.dumps(
        {
            "type": "urn:problem-type:auth-service/auth-010",
            "title": "Token Expired",
            "status": 401,
            "detail": "The token has expired",
            "instance": "/tokens",
            "code": "AUTH_010",
            "requestId": "req-8f3a",
            "timestamp": TIMESTAMP,
            "extensions": {"expiredAt": TIMESTAMP},
        }
    )


@given(
    kind=st.sampled_from(ProblemKind),
    detail=st.text(),
    instance=st.text(),
    extensions=st.none() | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)
def test_members_stand_in_order_whatever_the_problem(
    kind: ProblemKind, detail: str, instance: str, extensions: dict[str, int] | None
) -> None:
    """Extensions come last, and only when there are any."""
    found = document(Problem(kind, detail, extensions), instance)
    assert list(found) == ([*ORDER, "extensions"] if extensions else ORDER)
    assert (found["detail"], found["instance"], found["status"]) == (detail, instance, kind.value.status)
    assert found["type"].removeprefix("urn:problem-type:auth-service/").upper().replace("-", "_") == found["code"]
    assert found.get("extensions", {}) == (extensions or {})


def test_a_problem_is_a_pipeline_error_that_says_code_and_detail() -> None:
    """Its text is for a log line; its headers are for the answer."""
    problem = Problem(ProblemKind.KONG_UNAVAILABLE, "no answer in 3 s", headers={"Retry-After": "1"})
    assert isinstance(problem, PipelineError)
    assert str(problem) == "AUTH_004: no answer in 3 s"
    assert problem.headers == {"Retry-After": "1"}
    assert problem.extensions == {}


def test_a_problem_keeps_what_it_was_raised_with() -> None:
    """A caller's later change of its own mappings does not reach the answer."""
    extensions, headers = {"allowedMethods": ["GET"]}, {"Allow": "GET"}
    problem = Problem(ProblemKind.METHOD_NOT_ALLOWED, "PUT is not allowed here", extensions, headers)
    extensions.clear()
    headers.clear()
    assert document(problem)["extensions"] == {"allowedMethods": ["GET"]}
    assert problem.headers == {"Allow": "GET"}
