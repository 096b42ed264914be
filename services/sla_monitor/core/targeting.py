"""Which process is asked: the one that served the most slow requests, then the next."""

from __future__ import annotations

from collections.abc import Sequence

from services.sla_monitor.core.counts import InstanceCounts
from services.sla_monitor.core.decision import Percentile
from tailwatch.contracts.units import InstanceId, Share


def slow_of(counts: InstanceCounts, broken: Sequence[Percentile]) -> int:
    """Return the slow requests of a process: over P95's limit, or over P99's when only that one is broken."""
    return counts.over_p99 if tuple(broken) == ("p99",) else counts.over_p95


def ranked(instances: Sequence[InstanceCounts], broken: Sequence[Percentile]) -> list[InstanceId]:
    """Return the processes that served slow requests, the worst first.

    One that still reports comes before one that does not: a process that has ended cannot be captured.
    """

    def badness(counts: InstanceCounts) -> tuple[bool, int, int, str]:
        return (not counts.alive, -slow_of(counts, broken), -counts.over_p99, counts.instance)

    slow = (counts for counts in instances if slow_of(counts, broken))
    return [counts.instance for counts in sorted(slow, key=badness)]


def share_of(instance: InstanceId, instances: Sequence[InstanceCounts], broken: Sequence[Percentile]) -> Share:
    """Return the part of all slow requests that one process served; 0 when there are none."""
    slow = {counts.instance: slow_of(counts, broken) for counts in instances}
    total = sum(slow.values())
    return slow.get(instance, 0) / total if total else 0.0
