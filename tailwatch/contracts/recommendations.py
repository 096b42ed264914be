"""``profiling.recommendations.v1``: the newest state of one recommendation."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import ClassVar

from typing_extensions import override

from tailwatch.contracts.analyses import Impact, Severity, ShareInterval
from tailwatch.contracts.event import Event, Fact, derived_id
from tailwatch.contracts.units import (
    ArtifactName,
    Count,
    Fingerprint,
    InstanceId,
    Instant,
    ServiceName,
    SessionId,
    Target,
    TraceId,
)


class RecommendationState(StrEnum):
    """Life of a recommendation."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    FIXED = "fixed"
    REOPENED = "reopened"


class Evidence(Fact, frozen=True, kw_only=True):
    """The capture that shows it."""

    session_id: SessionId
    instance: InstanceId
    pid: Count
    captured_at: Instant
    share: ShareInterval | None
    summary: str


class Recommendation(Event, frozen=True, kw_only=True):
    """What to do, why, and what it is expected to bring."""

    TYPE: ClassVar[str] = "tailwatch.profiling.recommendation.v1"

    fingerprint: Fingerprint
    state: RecommendationState
    at: Instant
    service: ServiceName
    target: Target | None
    rule: str
    operation: str | None
    function: str | None
    severity: Severity
    title: str
    issue: str
    expected_impact: Impact
    actions: tuple[str, ...]
    metric: str | None
    evidence: tuple[Evidence, ...]
    """Newest first."""
    first_seen: Instant
    report: ArtifactName
    """The report's HTML in the artifact store."""
    report_url: str
    trace_ids: tuple[TraceId, ...] = ()

    @property
    @override
    def key(self) -> str:
        return self.fingerprint

    @property
    @override
    def event_id(self) -> str:
        return derived_id(
            "recommendation", self.fingerprint, self.state, self.at, *(seen.session_id for seen in self.evidence)
        )


def fingerprint(service: str, target: str | None, rule: str, operation: str | None, function: str | None) -> str:
    """Return what makes two findings the same recommendation: 16 hex digits of a SHA-256."""
    parts = "\x1f".join(part or "" for part in (service, target, rule, operation, function))
    return hashlib.sha256(parts.encode()).hexdigest()[:16]
