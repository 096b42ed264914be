"""From a matched ASGI scope to the target it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tailwatch.contracts.policy import Policy

UNMATCHED = "unmatched"
"""Target of requests that no route matched, so that a scan of random paths makes one target, not thousands."""
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
        template = getattr(scope.get("route"), "path", None)
        if not isinstance(template, str) or scope["method"] not in METHODS:
            return UNMATCHED if self.policy.sla.unnamed_routes == "watch" else None
        mounted = str(scope.get("root_path", "")).removeprefix(str(scope.get("app_root_path", "")))
        key = (scope["method"], mounted + template)
        if key not in self._known:
            self._known[key] = self.policy.target_of(self.service, *key)
        return self._known[key]
