"""From a matched scope to its target, by policy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tailwatch.contracts.policy import parse_policy
from tailwatch.probe.core.routes import MOST_ROUTES, UNMATCHED, Routes

TARGETS = {"buying": {"routes": ["POST /buy", "PUT /api/buy/{what}"], "p95_ms": 100, "p99_ms": 200}}


def routes(*, service: str = "shop", unnamed: str = "watch") -> Routes:
    """Return the routes of a service whose policy names one target of the shop."""
    content = {"sla": {"unnamed_routes": unnamed}, "services": {"shop": {"targets": TARGETS}}}
    return Routes(service, parse_policy(content, name="tailwatch.toml"))


def scope(method: str, template: object, **more: Any) -> dict[str, Any]:
    """Return a scope as the router leaves it."""
    return {"method": method, "route": SimpleNamespace(path=template), **more}


MOUNTED = scope("PUT", "/buy/{what}", root_path="/api", app_root_path="")
BEHIND_A_PROXY = scope("PUT", "/buy/{what}", root_path="/v1/api", app_root_path="/v1")
UNNAMED = scope("GET", "/items/{item}", path="/items/7")


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        (scope("POST", "/buy"), "buying"),
        (MOUNTED, "buying"),
        (BEHIND_A_PROXY, "buying"),
        (UNNAMED, "GET /items/{item}"),
        (scope("GET", "/buy"), "GET /buy"),
    ],
)
def test_a_route_belongs_to_the_target_that_names_it_else_to_itself(asked: dict[str, Any], target: str) -> None:
    """By method and template with its mounts; the server's own prefix and the raw path are no part of it."""
    assert routes().target(asked) == target


def mount(routes: list[str], **more: Any) -> dict[str, Any]:
    """Return the scope of a request that a mount was the last to match."""
    route = SimpleNamespace(path="/files", app=object(), routes=routes)
    return {"method": "GET", "route": route, "app_root_path": "", **more}


PREFIXED = {"effective_route_context": SimpleNamespace(path="/r/a/{b}")}
TWICE = {"root_path": "/orgs/7", "app_root_path": "", "path_params": {"org": "7", "user": "7"}}


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        (mount([], root_path="/files"), "GET /files"),
        (mount([], root_path=""), "GET /"),
        (mount(["/inside"], root_path="/files"), UNMATCHED),
        (scope("GET", "/users/{user}", **TWICE), "GET /orgs/{org}/users/{user}"),
        (scope("GET", "/a/{b}", fastapi=PREFIXED), "GET /r/a/{b}"),
    ],
    ids=["no routes of its own", "the root", "none of its routes", "parameters of a mount", "a router's prefix"],
)
def test_what_leads_to_a_route_is_part_of_its_target_once(asked: dict[str, Any], target: str) -> None:
    """Mounts with their parameters by name, and FastAPI's prefixes."""
    assert routes().target(asked) == target


def test_a_running_request_has_no_target_before_it_is_matched() -> None:
    """It may still become any."""
    assert routes().running_target({"method": "POST"}) is None
    assert routes().running_target(scope("POST", "/buy")) == "buying"
    assert routes().running_target({"method": "POST", "route": None}) == UNMATCHED


def test_there_is_an_end_of_targets() -> None:
    """A thousand templates are watched by themselves; what comes after is one target more."""
    chosen = routes()
    found = {chosen.target(scope("GET", f"/{number}")) for number in range(MOST_ROUTES + 10)}
    assert len(found) == MOST_ROUTES + 1
    assert UNMATCHED in found
    assert chosen.target(scope("GET", "/0")) == "GET /0"


def test_another_services_targets_do_not_apply() -> None:
    """The same route elsewhere is its own target."""
    assert routes(service="other").target(scope("POST", "/buy")) == "POST /buy"


@pytest.mark.parametrize(
    "asked",
    [{"method": "GET"}, {"method": "GET", "route": None}, scope("GET", None), scope("BREW", "/buy"), scope("get", "/")],
)
def test_what_no_route_or_method_names_is_one_target(asked: dict[str, Any]) -> None:
    """A scan of random paths and methods makes one target, not thousands."""
    assert routes().target(asked) == UNMATCHED


def test_every_method_of_http_makes_a_target_of_its_own() -> None:
    """The same path is read, written and deleted at different speeds."""
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"]
    assert [routes().target(scope(method, "/x")) for method in methods] == [f"{method} /x" for method in methods]


def test_unnamed_routes_can_be_ignored() -> None:
    """Then only what the policy names is watched."""
    chosen = routes(unnamed="ignore")
    found = [chosen.target(each) for each in (UNNAMED, {"method": "GET"}, scope("POST", "/buy"))]
    assert found == [None, None, "buying"]


def test_asking_again_gives_the_same_target() -> None:
    """Also when it is none, and never that of another method or mount."""
    chosen, asked = routes(unnamed="ignore"), (UNNAMED, MOUNTED, scope("PUT", "/buy/{what}"))
    assert [chosen.target(each) for each in asked * 2] == [None, "buying", None] * 2
