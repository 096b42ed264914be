"""From a matched ASGI scope to the target it belongs to."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from tailwatch.contracts.policy import Policy

UNMATCHED = "unmatched"
"""Target of requests that no route matched, so that a scan of random paths makes one target, not thousands."""
MOST_ROUTES = 1_000
"""Templates that get a target of their own; more are no templates, and share one."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"})


@dataclass(frozen=True, slots=True)
class Routes:
    """Names the target of a request, by policy."""

    service: str
    policy: Policy
    _known: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def target(self, scope: Mapping[str, Any]) -> str | None:
        """Return the target of a scope after routing; None when its route is not watched.

        The route's template comes from ``scope["route"]`` (Starlette, FastAPI), prefixed by its mounts.
        """
        template = _template(scope)
        if template is None or scope["method"] not in METHODS:
            return self._unmatched()
        key = (scope["method"], template)
        if key not in self._known:
            if len(self._known) >= MOST_ROUTES:
                return self._unmatched()
            self._known[key] = self.policy.target_of(self.service, *key)
        return self._known[key]

    def running_target(self, scope: Mapping[str, Any]) -> str | None:
        """Return the target of a request that still runs; None also while the router has not matched it."""
        return self.target(scope) if "route" in scope else None

    def _unmatched(self) -> str | None:
        return UNMATCHED if self.policy.sla.unnamed_routes == "watch" else None


def _template(scope: Mapping[str, Any]) -> str | None:
    """Return the template of the matched route, ``/orgs/{org}/users/{user}``; None when nothing matched."""
    route: Any = scope.get("route")
    if hasattr(route, "app") and hasattr(route, "routes"):
        # The innermost match is a mount. Its own router matched nothing; an application without routes has it all.
        return None if route.routes else _mounted(scope, {}) or "/"
    included = scope.get("fastapi")  # FastAPI keeps a router's prefix apart from its routes
    context = included.get("effective_route_context") if isinstance(included, Mapping) else None
    template = getattr(context, "path", None) or getattr(route, "path", None)
    return _mounted(scope, template) + template if isinstance(template, str) else None


def _mounted(scope: Mapping[str, Any], template: Container[str]) -> str:
    """Return the templates of the mounts, whose parameters stand in ``root_path`` by their values."""
    if "app_root_path" not in scope:
        return ""  # what is in root_path now is the server's
    mounted = str(scope.get("root_path", "")).removeprefix(str(scope["app_root_path"]))
    for name, value in scope.get("path_params", {}).items():
        if f"{{{name}" not in template:
            mounted = f"{mounted}/".replace(f"/{value}/", f"/{{{name}}}/", 1)[:-1]
    return mounted
