"""The workload: what the process and its slow requests did during a capture, in comparable numbers.

``work`` is CPU, ``held`` is the event loop not being free, with or without CPU, ``wait`` is everything else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from services.analyzer.core.costs import per_request, served
from services.analyzer.core.frames import RawFrame, reduce_frame, source_root
from services.analyzer.core.stacks import StackState
from services.analyzer.core.table import CaptureTable
from tailwatch.contracts.context import CaptureContext, DependencyUse, Quantiles, TargetUse
from tailwatch.contracts.units import Target

KONG = "kong"


@dataclass(frozen=True, slots=True, kw_only=True)
class KongWait:
    """What a target's requests spent awaiting Kong, by the client's own timer."""

    calls: int
    per_request_ms: float
    """Mean over all requests, less the event loop's delay in noticing the answer."""
    in_slow_ms: float
    """Part of a request at the P95: at least this, if the slow requests are those with the slow calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The evidence from which the verdict is made. Shares are of wall time unless they say otherwise."""

    subject: Target | None
    """The target whose requests are looked at: the captured one, or the one with most request time."""
    requests: int
    latency: Quantiles
    mean_ms: float
    cpu_ms: float | None
    """CPU per request."""
    core_use: float
    """Of one core, by the event loop's thread."""
    held: float
    """The event loop was not free."""
    locked: float
    """Of ``held``: waiting for another thread."""
    others: float
    """Part (0..1) of the endpoints' CPU that is other targets'."""
    busiest_other: Target | None
    gc_share: float
    gc_of_cpu: float
    throttled: float
    pressure: float
    preempted: bool
    """More involuntary than voluntary context switches."""
    lag: Quantiles
    kong: KongWait
    awaiting: tuple[tuple[str, float], ...]
    """Where the target's suspended tasks were found, with their parts, largest first."""

    @property
    def off_cpu(self) -> float:
        """The event loop was held, and no CPU was used."""
        return max(0.0, self.held - self.core_use)

    @property
    def other_wait_ms(self) -> float:
        """What a mean request spends neither on its own CPU nor awaiting Kong."""
        return max(0.0, self.mean_ms - (self.cpu_ms or 0.0) - self.kong.per_request_ms)


def workload(context: CaptureContext, table: CaptureTable) -> Workload:
    """Return what a capture's process and requests did."""
    subject = context.target or _busiest(context.requests)
    use = _of(context.requests, subject)
    requests = served(context)
    process, wall = context.process, max(context.process.wall_seconds, 1e-9)
    others, busiest_other = _others(table, subject)
    cpu = process.main_thread_cpu_seconds or process.cpu_user_seconds + process.cpu_system_seconds
    gc_seconds = context.gc.pauses.total_ms / 1000
    return Workload(
        subject=subject,
        requests=use.count,
        latency=use,
        mean_ms=use.total_ms / use.count if use.count else 0.0,
        cpu_ms=per_request(table.on_cpu, requests, subject) if use.count else None,
        core_use=min(1.0, cpu / wall),
        held=table.weight_in(StackState.CPU) + table.weight_in(StackState.LOCK),
        locked=table.weight_in(StackState.LOCK),
        others=others,
        busiest_other=busiest_other,
        gc_share=gc_seconds / wall,
        gc_of_cpu=gc_seconds / cpu if cpu > 0 else 0.0,
        throttled=(process.cgroup_throttled_ms or 0.0) / 1000 / wall,
        pressure=(process.cpu_pressure_percent or 0.0) / 100,
        preempted=process.involuntary_switches > process.voluntary_switches,
        lag=context.loop_lag,
        kong=_kong(context, subject, use),
        awaiting=_awaiting(context, subject),
    )


def _busiest(requests: Iterable[TargetUse]) -> Target | None:
    ranked = sorted(requests, key=lambda use: (-use.latency.total_ms, use.target))
    return ranked[0].target if ranked else None


def _of(requests: Iterable[TargetUse], target: Target | None) -> Quantiles:
    return next((use.latency for use in requests if use.target == target), Quantiles(count=0))


def _others(table: CaptureTable, subject: Target | None) -> tuple[float, Target | None]:
    by_target = table.on_cpu.groupby("target", sort=True)["weight"].sum()
    whole = float(by_target.sum())
    foreign = by_target.drop(labels=[subject], errors="ignore")
    if whole <= 0 or foreign.empty:
        return 0.0, None
    return float(foreign.sum()) / whole, str(foreign.idxmax())


def _kong(context: CaptureContext, subject: Target | None, latency: Quantiles) -> KongWait:
    uses = [use for use in context.dependencies if use.dependency == KONG and use.target in {subject, None}]
    calls = sum(use.latency.count for use in uses)
    if calls == 0 or latency.count == 0:
        return KongWait(calls=0, per_request_ms=0.0, in_slow_ms=0.0)
    # The client's timer stops when the loop gets round to it: a busy loop is no slow Kong. One call is at least two
    # turns of the loop (sent, answered).
    lag = 2 * context.loop_lag.total_ms / context.loop_lag.count if context.loop_lag.count else 0.0
    waited = sum(max(0.0, use.latency.total_ms - use.latency.count * lag) for use in uses)
    slowest = max((max(0.0, _tail(use, latency.count) - lag) for use in uses), default=0.0)
    return KongWait(
        calls=calls,
        per_request_ms=waited / latency.count,
        in_slow_ms=min(latency.p95_ms, max(slowest, 0.0)),
    )


def _tail(use: DependencyUse, requests: int) -> float:
    """Return a lower bound of the wait in the slowest 5 % of the requests, when they are those with the longest calls.

    Of calls made by a fraction f of the requests, the slowest 5 % of requests are the slowest 0.05 / f of calls.
    """
    fraction = min(1.0, use.latency.count / requests)
    rank = 1 - 0.05 / fraction
    return next(
        (value for at, value in ((0.95, use.latency.p95_ms), (0.5, use.latency.p50_ms)) if rank >= at - 1e-9), 0.0
    )


def _awaiting(context: CaptureContext, subject: Target | None) -> tuple[tuple[str, float], ...]:
    # Tasks without a target are the server's own: its accept loop, idle connections.
    sites = [site for site in context.await_sites if site.target == subject and subject is not None]
    whole = sum(site.tasks for site in sites)
    root = source_root(context.source_root, (site.file for site in sites), context.endpoints)
    ranked = sorted(sites, key=lambda site: (-site.tasks, site.file, site.function, site.line))
    frames = (reduce_frame(RawFrame(site.file, site.function, site.line), root) for site in ranked)
    return tuple(
        (f"{frame.file}: {frame.function}", site.tasks / whole) for frame, site in zip(frames, ranked, strict=True)
    )
