"""Requests of this process: those that run, and those that ended in the last minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from types import CodeType
from typing import Any
from weakref import WeakKeyDictionary

from tailwatch.contracts.context import DependencyUse, EndpointFrame, Quantiles, TargetUse
from tailwatch.contracts.units import Instant, Milliseconds, Seconds

KEPT_REQUESTS = 100_000
KEPT_WAITS = 100_000
KEPT_ENDPOINTS = 1_000
SERVER_ERROR = 500


@dataclass(slots=True, eq=False)
class Running:
    """A request that has begun and not ended."""

    started_at: Instant
    under_capture: bool
    resolve: Callable[[], str | None]
    """Returns the target once the router has matched; None before, and for routes that are not watched."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A request that was answered."""

    target: str
    ended_at: Instant
    duration_ms: Milliseconds
    status: int


@dataclass(frozen=True, slots=True)
class Wait:
    """One wait of a request for a dependency."""

    dependency: str
    operation: str
    target: str | None
    ended_at: Instant
    duration_ms: Milliseconds


@dataclass(slots=True)
class Activity:
    """What the middleware notes, and what captures and emitter read. Written on the server's thread only."""

    capturing: bool = False
    """Set while a capture runs: requests that overlap it are marked and not judged."""
    answered: int = 0
    errors: int = 0
    running: dict[int, Running] = field(default_factory=dict)
    _ended: deque[Ended] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    _waits: deque[Wait] = field(default_factory=lambda: deque(maxlen=KEPT_WAITS))
    _endpoints: dict[tuple[CodeType, str], EndpointFrame] = field(default_factory=dict)
    _tasks: WeakKeyDictionary[Hashable, Running] = field(default_factory=WeakKeyDictionary)

    def began(self, request: Running, *, task: Hashable | None) -> None:
        """Note that a request runs, in ``task``."""
        self.running[id(request)] = request
        if task is not None:
            self._tasks[task] = request

    def ended(self, request: Running, *, target: str | None, status: int, at: Instant) -> None:
        """Note that a request was answered; ``target`` None is a route that is not watched."""
        self.running.pop(id(request), None)
        self.answered += 1
        self.errors += status >= SERVER_ERROR
        if target is not None:
            self._ended.append(Ended(target, at, max(0.0, (at - request.started_at) * 1000), status))

    def dropped(self, request: Running) -> None:
        """Forget a request that was never answered (the client went away)."""
        self.running.pop(id(request), None)

    def start_capturing(self) -> None:
        """Mark the requests that run now, and those that begin until the capture ends."""
        self.capturing = True
        for request in self.running.values():
            request.under_capture = True

    def waited(self, wait: Wait) -> None:
        """Note a finished wait for a dependency."""
        self._waits.append(wait)

    def target_of(self, task: Hashable | None) -> str | None:
        """Return the target of the request that runs in a task."""
        request = self._tasks.get(task) if task is not None else None
        return request.resolve() if request is not None else None

    def endpoint(self, function: Callable[..., Any] | None, target: str) -> None:
        """Note which function serves a target."""
        code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
        if (
            isinstance(code, CodeType)
            and (code, target) not in self._endpoints
            and len(self._endpoints) < KEPT_ENDPOINTS
        ):
            self._endpoints[code, target] = EndpointFrame(
                file=code.co_filename, function=code.co_qualname, line=code.co_firstlineno, target=target
            )

    def endpoints(self) -> tuple[EndpointFrame, ...]:
        """Return the functions that served requests so far, with their targets."""
        return tuple(self._endpoints.values())

    def counts(self) -> tuple[int, int]:
        """Return how many requests were answered since the start, and how many of them with status >= 500."""
        return self.answered, self.errors

    def uses(self, since: Instant, until: Instant) -> tuple[TargetUse, ...]:
        """Return the requests that ended in [since, until), by target."""
        by_target: dict[str, list[Ended]] = {}
        for request in tuple(self._ended):  # at once: captures read this on another thread
            if since <= request.ended_at < until:
                by_target.setdefault(request.target, []).append(request)
        return tuple(
            TargetUse(
                target=target,
                requests=len(requests),
                errors=sum(request.status >= SERVER_ERROR for request in requests),
                latency=quantiles([request.duration_ms for request in requests]),
            )
            for target, requests in sorted(by_target.items())
        )

    def dependency_uses(self, since: Instant, until: Instant) -> tuple[DependencyUse, ...]:
        """Return the waits that ended in [since, until), by dependency, operation and target."""
        groups: dict[tuple[str, str, str | None], list[float]] = {}
        for wait in tuple(self._waits):
            if since <= wait.ended_at < until:
                groups.setdefault((wait.dependency, wait.operation, wait.target), []).append(wait.duration_ms)
        return tuple(
            DependencyUse(dependency=dependency, operation=operation, target=target, latency=quantiles(durations))
            for (dependency, operation, target), durations in sorted(
                groups.items(), key=lambda item: (item[0][0], item[0][1], item[0][2] or "")
            )
        )

    def oldest_running(self, at: Instant, *, most: int) -> dict[str, tuple[Milliseconds, ...]]:
        """Return by target the ages in milliseconds of up to ``most`` of its oldest running requests.

        A request whose route is not matched yet belongs to no target and is left out; so are requests under capture.
        """
        ages: dict[str, list[float]] = {}
        for request in list(self.running.values()):
            target = None if request.under_capture else request.resolve()
            if target is not None:
                ages.setdefault(target, []).append(max(0.0, (at - request.started_at) * 1000))
        return {target: tuple(sorted(values, reverse=True)[:most]) for target, values in ages.items()}


def quantiles(durations: Iterable[Milliseconds]) -> Quantiles:
    """Return the distribution of some durations: nearest-rank percentiles, exact."""
    ordered = sorted(durations)
    if not ordered:
        return Quantiles(count=0)
    return Quantiles(
        count=len(ordered),
        p50_ms=nearest_rank(ordered, 50),
        p95_ms=nearest_rank(ordered, 95),
        p99_ms=nearest_rank(ordered, 99),
        max_ms=ordered[-1],
        total_ms=sum(ordered),
    )


def nearest_rank(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest value that ``percent`` % of the values do not exceed (ascending input, at least one)."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


CAPTURE_MEMORY: Seconds = 60.0
"""How far back ``requests_before`` of a capture looks."""
