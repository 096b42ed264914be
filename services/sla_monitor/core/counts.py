"""Exact counts: what every decision is made of."""

from __future__ import annotations

from dataclasses import dataclass

from tailwatch.contracts.units import Count, InstanceId

TOTAL, OVER_P95, OVER_P99, ERRORS, CAPTURED = range(5)
FIELDS = 5
"""The columns in which a window counts; requests served under a capture are in CAPTURED only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """Requests of one window: all that count, and those over each limit."""

    total: Count = 0
    over_p95: Count = 0
    over_p99: Count = 0
    errors: Count = 0
    captured: Count = 0
    """Served while a capture ran; not in ``total``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceCounts:
    """What one process contributed to the long window."""

    instance: InstanceId
    over_p95: Count
    over_p99: Count
    alive: bool
    """Whether it reported within the short window."""
