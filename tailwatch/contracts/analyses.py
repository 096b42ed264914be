"""``profiling.analyses.v1``: what a capture says, in numbers with their intervals."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from typing_extensions import override

from tailwatch.contracts.captures import CaptureKind, CaptureOrigin
from tailwatch.contracts.context import AwaitSite, DependencyUse, GcUse, ProcessUse, Quantiles, SamplerUse, TargetUse
from tailwatch.contracts.event import Event, Fact, derived_id, subject
from tailwatch.contracts.statuses import Limits
from tailwatch.contracts.timings import SlowRequest
from tailwatch.contracts.triggers import Breach
from tailwatch.contracts.units import (
    Count,
    EventId,
    Fingerprint,
    InstanceId,
    Instant,
    Milliseconds,
    ServiceName,
    SessionId,
    Share,
    Target,
)


class VerdictKind(StrEnum):
    """Where the time of the slow requests goes."""

    CPU_BOUND = "cpu_bound"
    WAITING_ON_KONG = "waiting_on_kong"
    EVENT_LOOP_BLOCKED = "event_loop_blocked"
    QUEUEING = "queueing"
    GC = "gc"
    THROTTLED_CPU = "throttled_cpu"
    LOCK = "lock"
    INCONCLUSIVE = "inconclusive"


class BudgetStatus(StrEnum):
    """An operation's share against its budget."""

    EXCEEDED = "exceeded"
    """The interval's lower end is above the budget."""
    AT_RISK = "at_risk"
    """Only the point is above the budget."""
    MET = "met"
    UNKNOWN = "unknown"
    """Under 200 on-CPU samples."""
    NONE = "none"
    """No budget is set for this operation."""


class Severity(StrEnum):
    """How much a finding matters."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class ShareInterval(Fact, frozen=True, kw_only=True):
    """A share of the on-CPU samples with its Wilson 95 % interval."""

    share: Share
    low: Share
    high: Share
    samples: Count


class HotFunction(Fact, frozen=True, kw_only=True):
    """One function that was found running."""

    file: str
    """Reduced: ``package:path`` for installed packages, relative to the service otherwise."""
    module: str
    function: str
    line: Count
    operation: str
    target: Target | None
    """Of the endpoint in its stack; None is work shared by all."""
    self_ms: Milliseconds
    """On-CPU time in the function itself during the capture."""
    total_ms: Milliseconds
    """With its callees."""
    self_share: ShareInterval
    total_share: Share
    self_ms_per_request: Milliseconds | None


class OperationCost(Fact, frozen=True, kw_only=True):
    """One operation's part of the CPU time, against its budget."""

    operation: str
    title: str
    cpu_ms: Milliseconds
    cpu_ms_per_request: Milliseconds | None
    share: ShareInterval
    budget: Share | None
    status: BudgetStatus
    top_function: str | None


class Verdict(Fact, frozen=True, kw_only=True):
    """Work or wait: the first question of every analysis."""

    kind: VerdictKind
    summary: str
    evidence: tuple[str, ...]


class Impact(Fact, frozen=True, kw_only=True):
    """What acting on a finding is expected to change; a None range was not computable, and ``basis`` says why."""

    p95_ms_low: Milliseconds | None
    """Least expected cut of P95."""
    p95_ms_high: Milliseconds | None
    cpu_share: Share | None
    """Expected cut of the CPU time per request."""
    basis: str
    """How it was computed, for a person."""


class Finding(Fact, frozen=True, kw_only=True):
    """One rule of the catalogue that holds for this capture."""

    rule: str
    fingerprint: Fingerprint
    severity: Severity
    title: str
    operation: str | None
    function: str | None
    issue: str
    impact: Impact
    actions: tuple[str, ...]
    metric: str | None


class ProfileAnalysis(Event, frozen=True, kw_only=True):
    """One capture, analysed."""

    TYPE: ClassVar[str] = "tailwatch.profiling.analysis.v1"

    id: EventId
    session_id: SessionId
    trigger_id: EventId | None
    origin: CaptureOrigin
    kind: CaptureKind
    service: ServiceName
    service_version: str
    commit: str
    target: Target | None
    instance: InstanceId
    pid: Count
    python: str
    started_at: Instant
    ended_at: Instant
    partial: bool
    condition_since: Instant | None
    asked_at: Instant | None
    breaches: tuple[Breach, ...]
    slowest: tuple[SlowRequest, ...]
    limits: Limits | None
    verdict: Verdict
    latency_before: Quantiles
    """Of the target, before the capture."""
    latency_during: Quantiles
    requests: tuple[TargetUse, ...]
    cpu_ms_per_request: Milliseconds | None
    """Of this target, its part of the shared work included."""
    process: ProcessUse
    sampler: SamplerUse
    loop_lag: Quantiles
    gc: GcUse
    dependencies: tuple[DependencyUse, ...]
    await_sites: tuple[AwaitSite, ...]
    on_cpu_samples: Count
    functions: tuple[HotFunction, ...]
    operations: tuple[OperationCost, ...]
    unattributed: Share
    findings: tuple[Finding, ...]

    @property
    @override
    def key(self) -> str:
        return subject(self.service, self.target)

    @property
    @override
    def event_id(self) -> str:
        return self.id


def analysis_id(session_id: str) -> str:
    """Return the id of the analysis of a session: one session, one analysis."""
    return derived_id("analysis", session_id)
