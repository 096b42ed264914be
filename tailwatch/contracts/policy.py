"""What an operator says: targets with their limits, budgets, and which frames belong to which operation.

The file is ``tailwatch.toml``; these are its types. Reading it is :mod:`tailwatch.runtime.policy`'s work.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from tailwatch.contracts.errors import ConfigurationError
from tailwatch.contracts.statuses import Limits
from tailwatch.contracts.units import ServiceName, Target

Limit = Annotated[float, Meta(gt=0, le=600_000)]
WindowSeconds = Annotated[int, Meta(ge=1, le=3600)]
Minimum = Annotated[int, Meta(ge=1, le=1_000_000)]
Route = Annotated[str, Meta(pattern=r"^[A-Z]+ /\S*$(?!\n)", description="Method and route template.")]
BudgetPercent = Annotated[int, Meta(ge=1, le=100)]


class SlaPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How every target is judged; ``p95_ms`` and ``p99_ms`` are for routes that no target names."""

    p95_ms: Limit = 500.0
    p99_ms: Limit = 1000.0
    unnamed_routes: Literal["watch", "ignore"] = "watch"
    long_window_seconds: WindowSeconds = 60
    short_window_seconds: WindowSeconds = 10
    minimum_samples_long: Minimum = 100
    minimum_samples_short: Minimum = 20
    rearm_after_seconds: Annotated[int, Meta(ge=1, le=86_400)] = 60
    next_instance_after_seconds: Annotated[int, Meta(ge=1, le=300)] = 5
    cooldown_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 120

    def __post_init__(self) -> None:
        if self.short_window_seconds > self.long_window_seconds:
            raise ValueError("short_window_seconds is longer than long_window_seconds")
        if self.p95_ms > self.p99_ms:
            raise ValueError("p95_ms is above p99_ms")


class TargetPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One target: the routes it covers and its limits."""

    routes: Annotated[tuple[Route, ...], Meta(min_length=1)]
    p95_ms: Limit
    p99_ms: Limit

    def __post_init__(self) -> None:
        if self.p95_ms > self.p99_ms:
            raise ValueError("p95_ms is above p99_ms")


class ServicePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The targets of one service, by name."""

    targets: dict[Target, TargetPolicy] = {}

    def __post_init__(self) -> None:
        named: set[str] = set()
        for policy in self.targets.values():
            for route in policy.routes:
                if route in named:
                    raise ValueError(f"route {route!r} is named twice: a route has one target")
                named.add(route)


class MemoryBudget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much memory a service may use."""

    steady_mb: Annotated[float, Meta(gt=0)] = 200.0
    growth_mb_per_hour: Annotated[float, Meta(gt=0)] = 50.0
    peak_mb: Annotated[float, Meta(gt=0)] = 300.0


class Operation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of work: a frame belongs to it when its file and its function match one glob of each."""

    title: str
    files: tuple[str, ...] = ()
    """Globs over the file's reduced name, ``package:path`` or the path inside the service."""
    functions: tuple[str, ...] = ("*",)
    """Globs over the function's qualified name."""
    cpu_budget_percent: BudgetPercent | None = None
    """Of the CPU time of a capture."""
    framework: bool = False
    """It calls the application: it names a stack only when no application code ran further in."""


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of ``tailwatch.toml``."""

    sla: SlaPolicy = SlaPolicy()
    services: dict[ServiceName, ServicePolicy] = {}
    memory: MemoryBudget = MemoryBudget()
    unattributed_limit_percent: BudgetPercent = 10
    operations: dict[str, Operation] = {}
    """In order: the first that matches a frame names it."""

    def target_of(self, service: str, method: str, route: str) -> str | None:
        """Return the target of a route: the one that names it, else itself; None when unnamed routes are ignored."""
        name = f"{method} {route}"
        if service in self.services:
            for target, policy in self.services[service].targets.items():
                if name in policy.routes:
                    return target
        return name if self.sla.unnamed_routes == "watch" else None

    def limits_of(self, service: str, target: str) -> Limits:
        """Return a target's limits: its own, else the defaults."""
        own = self.services[service].targets.get(target) if service in self.services else None
        chosen = own or self.sla
        return Limits(p95_ms=chosen.p95_ms, p99_ms=chosen.p99_ms)


def parse_policy(content: object, *, name: str) -> Policy:
    """Return the policy in ``content``, the mapping that a TOML file holds.

    Raises ConfigurationError naming the file, the field and what is accepted.
    """
    try:
        return msgspec.convert(content, Policy)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"{name}: {error}") from error
