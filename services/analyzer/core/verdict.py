"""The verdict: work or wait, the first question of every analysis, with its evidence.

Asked in this order, because each answer would look like the next one: was the process kept from the CPU, did the
collector stop it, do requests wait for Kong, is the loop held without CPU, is it CPU, and whose.
"""

from __future__ import annotations

from services.analyzer.core.workload import Workload
from tailwatch.contracts.analyses import Verdict, VerdictKind

FEW_REQUESTS = 10
MOST = 0.5
"""Part of a request's time from which on something explains it."""
THROTTLED = 0.2
GC_OF_CPU = 0.25
HELD = 0.6
"""Part of the wall time from which on the event loop is a bottleneck."""
BURSTS = 0.3
HELD_OFF_CPU = 0.1
LAGGING = 0.25
"""Event-loop lag at its P95, as a part of the requests' P95."""


def verdict_of(load: Workload) -> Verdict:
    """Return where the time of the slow requests goes."""
    if load.requests < FEW_REQUESTS:
        reason = f"only {load.requests} requests of {load.subject or 'any target'} ended during the capture"
        return Verdict(kind=VerdictKind.INCONCLUSIVE, summary=f"Inconclusive: {reason}.", evidence=evidence(load))
    kind, summary = _kept_from_cpu(load) or _waiting(load) or _held(load) or _working(load) or _neither(load)
    return Verdict(kind=kind, summary=summary, evidence=evidence(load))


Answer = tuple[VerdictKind, str]


def _kept_from_cpu(load: Workload) -> Answer | None:
    if load.throttled >= THROTTLED:
        return VerdictKind.THROTTLED_CPU, (
            f"The process was stopped by its CPU quota for {load.throttled:.0%} of the time; "
            f"it used {load.core_use:.0%} of a core."
        )
    if load.held >= HELD and load.core_use < BURSTS <= load.pressure and load.preempted:
        return VerdictKind.THROTTLED_CPU, (
            f"The process was ready to run and did not get a CPU: other work holds the machine "
            f"(CPU pressure {load.pressure:.0%}), and it used {load.core_use:.0%} of a core."
        )
    if load.gc_of_cpu >= GC_OF_CPU:
        return VerdictKind.GC, f"The garbage collector takes {load.gc_of_cpu:.0%} of the CPU time."
    return None


def _waiting(load: Workload) -> Answer | None:
    share, slow = waiting_shares(load)
    if max(share, slow) < MOST:
        return None
    if share >= MOST:
        return VerdictKind.WAITING_ON_KONG, (
            f"Requests wait for Kong: {load.kong.per_request_ms:.1f} ms of a mean request's {load.mean_ms:.1f} ms "
            f"({share:.0%}); the event loop used {load.core_use:.0%} of a core."
        )
    return VerdictKind.WAITING_ON_KONG, (
        f"The slow requests wait for Kong: at least {load.kong.in_slow_ms:.1f} ms of the P95 of "
        f"{load.latency.p95_ms:.1f} ms ({slow:.0%})."
    )


def _held(load: Workload) -> Answer | None:
    """Answer when the event loop stands still and no CPU is used."""
    lagging = load.lag.count == 0 or load.lag.p99_ms >= LAGGING * load.latency.p95_ms or load.held >= HELD
    if load.off_cpu < HELD_OFF_CPU or load.off_cpu < load.core_use or not lagging:
        return None
    if load.locked >= MOST * load.held:
        return VerdictKind.LOCK, (
            f"The event loop's thread waits for other threads {load.locked:.0%} of the time, and no request moves."
        )
    return VerdictKind.EVENT_LOOP_BLOCKED, (
        f"A call blocks the event loop: it was held {load.held:.0%} of the time while its thread used only "
        f"{load.core_use:.0%} of a core, and no request moves meanwhile."
    )


def _working(load: Workload) -> Answer | None:
    own = (load.cpu_ms or 0.0) / load.mean_ms if load.mean_ms > 0 else 0.0
    bursts = load.held >= BURSTS and load.lag.count > 0 and load.lag.p95_ms >= LAGGING * load.latency.p95_ms
    if own < MOST and load.held < HELD and not bursts and explained_by_loop(load) < MOST:
        return None
    if own < MOST and load.others > MOST:
        return VerdictKind.QUEUEING, (
            f"Requests queue behind other work: {load.busiest_other or 'another target'} and others take "
            f"{load.others:.0%} of the endpoints' CPU; a request of this target needs {load.cpu_ms or 0:.1f} ms of "
            f"{load.mean_ms:.1f} ms itself."
        )
    queue = "" if own >= MOST else f" and queue for the rest ({load.other_wait_ms:.1f} ms) behind one another"
    return VerdictKind.CPU_BOUND, (
        f"CPU time: requests need {load.cpu_ms or 0:.1f} ms of CPU each{queue}; "
        f"the event loop's thread used {load.core_use:.0%} of a core."
    )


def _neither(load: Workload) -> Answer:
    where = f" Its suspended requests were found at {load.awaiting[0][0]}." if load.awaiting else ""
    return VerdictKind.INCONCLUSIVE, (
        f"Inconclusive: of a mean request's {load.mean_ms:.1f} ms, CPU explains {load.cpu_ms or 0:.1f} ms and Kong "
        f"{load.kong.per_request_ms:.1f} ms; the event loop was free {1 - load.held:.0%} of the time.{where}"
    )


def waiting_shares(load: Workload) -> tuple[float, float]:
    """Return the parts that waiting for Kong has in a mean request and in a request at the P95."""
    mean = load.kong.per_request_ms / load.mean_ms if load.mean_ms > 0 else 0.0
    slow = load.kong.in_slow_ms / load.latency.p95_ms if load.latency.p95_ms > 0 else 0.0
    return min(1.0, mean), min(1.0, slow)


def explained_by_loop(load: Workload) -> float:
    """Return the part of a mean request that its own CPU and the wait for a turn of the loop explain.

    Lag is measured by a timer, so its mean is what a request that arrives at any time waits; a request takes at least
    two turns (its arrival, its answer).
    """
    if load.mean_ms <= 0 or not load.lag.count:
        return 0.0
    turns = min(load.other_wait_ms, 2 * load.lag.total_ms / load.lag.count)
    return min(1.0, ((load.cpu_ms or 0.0) + turns) / load.mean_ms)


def evidence(load: Workload) -> tuple[str, ...]:
    """Return what was measured, a sentence each; what was not measured is left out."""
    cpu = "unknown" if load.cpu_ms is None else f"{load.cpu_ms:.2f} ms"
    latency, kong = load.latency, load.kong
    told = f"{load.subject or 'All targets'}: {load.requests} requests, mean {load.mean_ms:.1f} ms"
    waits = f"waiting for Kong {kong.per_request_ms:.2f} ms ({kong.calls} calls); neither {load.other_wait_ms:.2f} ms"
    loop = f"loop held {load.held:.1%} of the time, free {1 - load.held:.1%}"
    said = [
        f"{told}, P95 {latency.p95_ms:.1f} ms, P99 {latency.p99_ms:.1f} ms during the capture",
        f"CPU per request {cpu}; {waits}",
        f"event loop's thread: {load.core_use:.1%} of a core; {loop}",
    ]
    if load.lag.count:
        said.append(
            f"event-loop lag: P50 {load.lag.p50_ms:.1f} ms, P95 {load.lag.p95_ms:.1f} ms, max {load.lag.max_ms:.1f} ms"
        )
    if load.others > 0:
        said.append(f"other targets: {load.others:.1%} of the endpoints' CPU, most of it {load.busiest_other}")
    said.append(f"garbage collection: {load.gc_share:.2%} of the time, {load.gc_of_cpu:.1%} of the CPU time")
    if load.throttled > 0:
        said.append(f"stopped by the CPU quota {load.throttled:.1%} of the time")
    if load.pressure > 0:
        said.append(f"CPU pressure (PSI) {load.pressure:.1%}")
    said.extend(f"{share:.0%} of suspended requests at {site}" for site, share in load.awaiting[:3])
    return tuple(said)
