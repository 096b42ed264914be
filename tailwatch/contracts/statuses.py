"""``sla.statuses.v1``: the verdict on one target, and why nothing fired."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from typing_extensions import override

from tailwatch.contracts.event import Event, Fact, derived_id, subject
from tailwatch.contracts.units import Count, InstanceId, Instant, Milliseconds, Seconds, ServiceName, Share, Target


class SlaState(StrEnum):
    """Where a target stands against its limits."""

    UNKNOWN = "unknown"
    """Too few samples to say."""
    OK = "ok"
    BREACHED = "breached"
    RECOVERING = "recovering"
    """Under the limits again, not yet for long enough to arm the trigger anew."""


class SlaReason(StrEnum):
    """Why a trigger did fire, or why it did not."""

    TRIGGERED = "triggered"
    HEALTHY = "healthy"
    BELOW_MINIMUM_SAMPLES = "below_minimum_samples"
    NOT_SUSTAINED = "not_sustained"
    THROTTLED = "throttled"
    COOLING_DOWN = "cooling_down"
    DISABLED = "disabled"
    CAPTURE_RUNNING = "capture_running"
    RECOVERING = "recovering"


class Limits(Fact, frozen=True, kw_only=True):
    """The SLA of a target: 95 % and 99 % of the requests are to be faster than these."""

    p95_ms: Milliseconds
    p99_ms: Milliseconds


class WindowView(Fact, frozen=True, kw_only=True):
    """One window's counts (exact) and percentiles (histogram, relative error at most 1 %)."""

    seconds: Seconds
    samples: Count
    over_p95: Count
    """Requests slower than ``limits.p95_ms``."""
    over_p99: Count
    errors: Count
    """Answers with status 500 or above."""
    p50_ms: Milliseconds | None
    p95_ms: Milliseconds | None
    p99_ms: Milliseconds | None


class SlaStatus(Event, frozen=True, kw_only=True):
    """The verdict on one target at one moment."""

    TYPE: ClassVar[str] = "tailwatch.sla.status.v1"

    service: ServiceName
    service_version: str
    target: Target
    at: Instant
    state: SlaState
    reason: SlaReason
    explanation: str
    """One sentence for a person, with the numbers."""
    limits: Limits
    long: WindowView
    short: WindowView
    instances: Count
    worst_instance: InstanceId | None = None
    worst_share: Share | None = None
    """Part of the slow requests that the worst instance served."""
    breached_since: Instant | None = None
    throttled_until: Instant | None = None
    last_trigger_id: str | None = None
    last_trigger_at: Instant | None = None
    late: Count = 0
    """Requests that arrived after their window had passed; never counted as a breach."""
    skewed: Count = 0
    """Requests that claimed to end in the future; counted at their arrival."""
    duplicates: Count = 0
    gaps: Count = 0
    """Records missing by (boot, target, sequence)."""

    @property
    @override
    def key(self) -> str:
        return subject(self.service, self.target)

    @property
    @override
    def event_id(self) -> str:
        return derived_id("status", self.service, self.target, self.at)
