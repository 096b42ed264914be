"""Impact: what acting on a finding is expected to bring, computed from this capture and never a constant."""

from __future__ import annotations

from services.analyzer.core.verdict import HELD
from services.analyzer.core.workload import Workload
from tailwatch.contracts.analyses import Impact, OperationCost, ShareInterval


def unknown(basis: str) -> Impact:
    """Return that no range can be given, and why."""
    return Impact(p95_ms_low=None, p95_ms_high=None, cpu_share=None, basis=basis)


def of_budget(cost: OperationCost, load: Workload) -> Impact:
    """Return what bringing an operation to its budget is expected to save."""
    if cost.budget is None:
        return unknown(f"no budget is set for {cost.title}")
    return of_cut(cost.share, cost.cpu_ms_per_request, cost.budget, load)


def of_cut(share: ShareInterval, each: float | None, goal: float, load: Workload) -> Impact:
    """Return what is saved when work of ``each`` CPU ms per request shrinks until it has the share ``goal``.

    The rest of the work stays as it is, so what may remain is ``goal / (1 - goal)`` of the rest.
    """
    if each is None or not load.cpu_ms:
        return unknown("no request of the target ended during the capture, so there is no cost per request")
    part = min(1.0, each / load.cpu_ms)
    saving = _saving(part, goal)
    if saving <= 0:
        return unknown(f"a request of {load.subject} spends only {part:.1%} of its CPU time there")
    scale_low, scale_high = share.low / max(share.share, 1e-9), share.high / max(share.share, 1e-9)
    low = _saving(min(1.0, part * scale_low), goal) * load.cpu_ms
    high = _saving(min(1.0, part * scale_high), goal) * load.cpu_ms
    bound = cpu_bound_ms(load)
    queue = load.held >= HELD
    reach = min(bound, high * bound / load.cpu_ms) if queue else min(bound, high)
    basis = (
        f"at a share of {goal:.0%} a request needs {saving * load.cpu_ms:.2f} ms less CPU of {load.cpu_ms:.2f} ms; "
        + (
            f"the event loop is busy {load.held:.0%} of the time, so requests queueing behind one another gain up to "
            f"the same part of the {bound:.1f} ms of the P95 that are not spent waiting for Kong"
            if queue
            else "requests do not queue, so a request gains its own saving"
        )
    )
    return Impact(
        p95_ms_low=round(max(0.0, min(low, reach)), 2),
        p95_ms_high=round(max(0.0, reach), 2),
        cpu_share=round(saving, 6),
        basis=basis,
    )


def of_kong(load: Workload) -> Impact:
    """Return what not waiting for Kong is expected to save."""
    if load.kong.calls == 0 or load.kong.in_slow_ms <= 0:
        return unknown("no wait for Kong was measured in the slow requests")
    typical = min(load.kong.in_slow_ms, load.kong.per_request_ms)
    return Impact(
        p95_ms_low=round(typical, 2),
        p95_ms_high=round(load.kong.in_slow_ms, 2),
        cpu_share=None,
        basis="from the mean wait of a request to the wait of the slow ones, when at least 95 % of the requests are "
        "answered without asking Kong (from memory); waiting costs no CPU",
    )


def of_blocking(load: Workload) -> Impact:
    """Return what a call off the event loop is expected to save."""
    if load.lag.count == 0:
        return unknown("event-loop lag was not measured")
    ends = sorted((min(load.lag.p95_ms, load.latency.p95_ms), min(load.lag.p99_ms, load.latency.p95_ms)))
    return Impact(
        p95_ms_low=round(ends[0], 2),
        p95_ms_high=round(ends[1], 2),
        cpu_share=None,
        basis="event-loop lag at its P95 and P99 during the capture: what a request waits for the loop to be free",
    )


def cpu_bound_ms(load: Workload) -> float:
    """Return the part of a request at the P95 that is not spent waiting for Kong."""
    return max(0.0, load.latency.p95_ms - load.kong.in_slow_ms)


def _saving(part: float, goal: float) -> float:
    """Return the part of a request's CPU saved when work with ``part`` of it shrinks to the share ``goal``."""
    return part - (1 - part) * goal / (1 - goal) if goal < 1 else 0.0
