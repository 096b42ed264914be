"""The operator's policy: which route is which target, its limits, and what is refused with its reason."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tailwatch.contracts.captures import CaptureKind, CaptureOrigin
from tailwatch.contracts.context import CaptureContext
from tailwatch.contracts.errors import CaptureRejected, ConfigurationError, PipelineError
from tailwatch.contracts.policy import Policy, parse_policy
from tailwatch.contracts.statuses import Limits
from tests.support.examples import ANALYSIS, BOOT, INSTANCE, SESSION

SHIPPED = Path(__file__).parents[2] / "config" / "tailwatch.toml"


def shipped() -> Policy:
    """Return the policy that tailwatch ships with."""
    return parse_policy(tomllib.loads(SHIPPED.read_text(encoding="utf-8")), name="tailwatch.toml")


@pytest.mark.parametrize(
    ("method", "route", "target", "p95", "p99"),
    [
        ("POST", "/tokens", "POST /tokens", 100, 200),
        ("GET", "/tokens", "POST /tokens", 100, 200),
        ("POST", "/tokens/validate", "POST /tokens/validate", 50, 100),
        ("GET", "/tokens/validate", "POST /tokens/validate", 50, 100),
        ("GET", "/health", "GET /health", 400, 500),
        ("GET", "/metrics", "GET /metrics", 500, 1000),
    ],
)
def test_the_shipped_policy_holds_auth_to_the_guides_limits(
    method: str, route: str, target: str, p95: int, p99: int
) -> None:
    """The targets of the auth service and their limits, and the defaults for a route that no target names."""
    policy = shipped()
    assert policy.target_of("auth", method, route) == target
    assert policy.limits_of("auth", target) == Limits(p95_ms=p95, p99_ms=p99)


def test_a_route_of_an_unknown_service_is_its_own_target() -> None:
    """A service that the policy does not know is watched with the defaults."""
    policy = shipped()
    assert policy.target_of("billing", "GET", "/bills/{id}") == "GET /bills/{id}"
    assert policy.limits_of("billing", "GET /bills/{id}") == Limits(p95_ms=500.0, p99_ms=1000.0)


def test_unnamed_routes_can_be_ignored() -> None:
    """An operator may watch only what is named."""
    policy = parse_policy({"sla": {"unnamed_routes": "ignore"}}, name="x")
    assert policy.target_of("auth", "GET", "/tokens") is None


def test_an_empty_policy_is_all_defaults() -> None:
    """Every value of the file may be left out."""
    assert parse_policy({}, name="x") == Policy()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"sla": {"p95_ms": 0}}, "$.sla.p95_ms"),
        ({"sla": {"p95": 100}}, "unknown field `p95`"),
        ({"slo": {}}, "unknown field `slo`"),
        ({"sla": {"p95_ms": 300, "p99_ms": 200}}, "p95_ms is above p99_ms"),
        ({"sla": {"short_window_seconds": 61}}, "short_window_seconds is longer than long_window_seconds"),
        ({"services": {"a": {"targets": {"T": {"routes": [], "p95_ms": 1, "p99_ms": 2}}}}}, "routes"),
        ({"services": {"a": {"targets": {"T": {"routes": ["GET /x"], "p95_ms": 3, "p99_ms": 2}}}}}, "p95_ms is above"),
        ({"services": {"a": {"targets": {"T": {"routes": ["GET /x"], "p95_ms": 3}}}}}, "p99_ms"),
        ({"services": {"a": {"targets": {"T": {"routes": ["post /x"], "p95_ms": 1, "p99_ms": 2}}}}}, "routes"),
        ({"services": {"a": {"targets": {"T": {"routes": ["/x"], "p95_ms": 1, "p99_ms": 2}}}}}, "routes"),
        ({"services": {"a": {"targets": {"T\n": {"routes": ["GET /x"], "p95_ms": 1, "p99_ms": 2}}}}}, "targets"),
        ({"services": {"No Name": {}}}, "services"),
        (
            {
                "services": {
                    "a": {
                        "targets": {
                            "T": {"routes": ["GET /x"], "p95_ms": 1, "p99_ms": 2},
                            "U": {"routes": ["GET /y", "GET /x"], "p95_ms": 1, "p99_ms": 2},
                        }
                    }
                }
            },
            "route 'GET /x' is named twice: a route has one target",
        ),
        ({"operations": {"json": {"title": "JSON", "cpu_budget_percent": 101}}}, "cpu_budget_percent"),
        ("not a table", "Expected `object`"),
    ],
)
def test_a_policy_that_cannot_be_used_is_refused_with_its_file_and_field(content: object, said: str) -> None:
    """One line: the file, the field and what is accepted."""
    with pytest.raises(ConfigurationError) as raised:
        parse_policy(content, name="tailwatch.toml")
    assert str(raised.value).startswith("tailwatch.toml: ")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_rejected_capture_says_which_and_why() -> None:
    """The error carries its data, and is one of tailwatch's own."""
    error = CaptureRejected(session_id=SESSION, reason="sha256 differs")
    assert isinstance(error, PipelineError)
    assert (error.session_id, error.reason, str(error)) == (SESSION, "sha256 differs", f"{SESSION}: sha256 differs")


def test_a_capture_context_shows_itself_in_one_line() -> None:
    """Logs and test failures name the capture instead of printing thousands of numbers."""
    context = CaptureContext(
        session_id=SESSION,
        trigger_id=None,
        origin=CaptureOrigin.MANUAL,
        kind=CaptureKind.CPU,
        service="auth",
        service_version="1",
        commit="c",
        target=None,
        instance=INSTANCE,
        boot=BOOT,
        pid=1,
        python="3.11.7",
        started_at=1.0,
        ended_at=2.0,
        partial=False,
        process=ANALYSIS.process,
        sampler=ANALYSIS.sampler,
        loop_lag=ANALYSIS.loop_lag,
        gc=ANALYSIS.gc,
        requests=(),
        requests_before=(),
        dependencies=(),
        await_sites=(),
        endpoints=(),
    )
    assert repr(context) == f"CaptureContext({SESSION} of {INSTANCE})"
