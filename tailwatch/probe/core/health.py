"""What ``/health`` shows of the SLA monitor and of captures, as plain data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tailwatch.contracts.statuses import SlaStatus
from tailwatch.contracts.units import Instant, Milliseconds


def sla_view(statuses: Iterable[SlaStatus], *, now: Instant) -> dict[str, Any]:
    """Return the newest verdicts by target; durations as ``4.25ms``, instants in epoch seconds."""
    newest = sorted(statuses, key=lambda status: status.target)
    throttled = [status.throttled_until for status in newest if (status.throttled_until or 0.0) > now]
    return {
        "statusAgeSeconds": round(max(0.0, now - max(status.at for status in newest)), 3) if newest else None,
        "endpoints": {status.target: _endpoint(status) for status in newest},
        "lastTriggers": {
            status.target: {"id": status.last_trigger_id, "at": status.last_trigger_at}
            for status in newest
            if status.last_trigger_id is not None
        },
        "throttledUntil": max((until for until in throttled if until is not None), default=None),
    }


def _endpoint(status: SlaStatus) -> dict[str, Any]:
    return {
        "p50": _duration(status.long.p50_ms),
        "p95": _duration(status.long.p95_ms),
        "p99": _duration(status.long.p99_ms),
        "limits": {"p95": _duration(status.limits.p95_ms), "p99": _duration(status.limits.p99_ms)},
        "samples": status.long.samples,
        "state": status.state.value,
        "reason": status.reason.value,
        "explanation": status.explanation,
    }


def _duration(value: Milliseconds | None) -> str | None:
    return None if value is None else f"{value:.2f}ms"
