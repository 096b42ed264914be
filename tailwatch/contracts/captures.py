"""``profiling.captures.v1``: what became of a request for a capture."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from typing_extensions import override

from tailwatch.contracts.event import Event, Fact, derived_id, subject
from tailwatch.contracts.units import (
    ArtifactName,
    BootId,
    Count,
    EventId,
    Hertz,
    InstanceId,
    Instant,
    Percent,
    Seconds,
    ServiceName,
    SessionId,
    Sha256,
    Target,
)


class CaptureOrigin(StrEnum):
    """Who asked."""

    SLA = "sla"
    CONTROL = "control"
    MANUAL = "manual"


class CaptureKind(StrEnum):
    """What is looked at."""

    CPU = "cpu"
    HEAP = "heap"


class RefusalReason(StrEnum):
    """Why a request for a capture was not followed."""

    DISABLED = "disabled"
    BUSY = "busy"
    THROTTLED = "throttled"
    STALE = "stale"
    DUPLICATE = "duplicate"
    OVER_QUOTA = "over_quota"
    OVERHEAD_DISABLED = "overhead_disabled"
    LOW_MEMORY = "low_memory"
    SHUTTING_DOWN = "shutting_down"
    ENGINE_UNAVAILABLE = "engine_unavailable"


class AbortReason(StrEnum):
    """Which safety control ended a capture early."""

    OVERHEAD = "overhead"
    LOOP_LAG = "loop_lag"
    ERRORS = "errors"
    MEMORY = "memory"


class FailureReason(StrEnum):
    """What went wrong although nobody wanted it to."""

    ENGINE_ERROR = "engine_error"
    WRITE_FAILED = "write_failed"
    PROCESS_DIED = "process_died"


class Artifact(Fact, frozen=True, kw_only=True):
    """One file of a capture in the artifact store."""

    name: ArtifactName
    size_bytes: Count
    sha256: Sha256


class _Capture(Event, frozen=True, kw_only=True, tag_field="outcome"):
    service: ServiceName
    target: Target | None
    """None for a manual capture of the whole service."""
    instance: InstanceId
    boot: BootId
    pid: Count
    at: Instant
    origin: CaptureOrigin
    kind: CaptureKind
    trigger_id: EventId | None

    @property
    @override
    def key(self) -> str:
        return subject(self.service, self.target)


class CaptureStarted(_Capture, frozen=True, kw_only=True, tag="started"):
    """Sampling began; it will have ended, one way or another, by ``deadline``."""

    TYPE: ClassVar[str] = "tailwatch.profiling.capture.started.v1"

    session_id: SessionId
    duration_seconds: Seconds
    deadline: Instant
    rate_hz: Hertz

    @property
    @override
    def event_id(self) -> str:
        return derived_id("capture", self.session_id, "started")


class CaptureCompleted(_Capture, frozen=True, kw_only=True, tag="completed"):
    """The capture's files are in the store, complete, the manifest last."""

    TYPE: ClassVar[str] = "tailwatch.profiling.capture.completed.v1"

    session_id: SessionId
    started_at: Instant
    ended_at: Instant
    partial: bool
    """Ended before its time, by SIGTERM or a stop; holds what was sampled so far."""
    samples: Count
    overhead_percent: Percent
    """CPU time spent by the capture, in percent of one core, measured."""
    artifacts: tuple[Artifact, ...]

    @property
    @override
    def event_id(self) -> str:
        return derived_id("capture", self.session_id, "completed")


class CaptureRefused(_Capture, frozen=True, kw_only=True, tag="refused"):
    """The instance that was asked did not start, and says why."""

    TYPE: ClassVar[str] = "tailwatch.profiling.capture.refused.v1"

    reason: RefusalReason
    detail: str

    @property
    @override
    def event_id(self) -> str:
        return derived_id("capture", self.instance, self.trigger_id, self.at, "refused")


class CaptureAborted(_Capture, frozen=True, kw_only=True, tag="aborted"):
    """A safety control ended the capture; nothing of it is kept."""

    TYPE: ClassVar[str] = "tailwatch.profiling.capture.aborted.v1"

    session_id: SessionId
    reason: AbortReason
    detail: str

    @property
    @override
    def event_id(self) -> str:
        return derived_id("capture", self.session_id, "aborted")


class CaptureFailed(_Capture, frozen=True, kw_only=True, tag="failed"):
    """The capture could not be carried through."""

    TYPE: ClassVar[str] = "tailwatch.profiling.capture.failed.v1"

    session_id: SessionId
    reason: FailureReason
    detail: str

    @property
    @override
    def event_id(self) -> str:
        return derived_id("capture", self.session_id, "failed")


class CaptureEvicted(_Capture, frozen=True, kw_only=True, tag="evicted"):
    """A finished capture's files were deleted to keep the storage quota, before anyone had analysed them."""

    TYPE: ClassVar[str] = "tailwatch.profiling.capture.evicted.v1"

    session_id: SessionId
    freed_bytes: Count

    @property
    @override
    def event_id(self) -> str:
        return derived_id("capture", self.session_id, "evicted")


CaptureEvent = CaptureStarted | CaptureCompleted | CaptureRefused | CaptureAborted | CaptureFailed | CaptureEvicted
"""Any record on ``profiling.captures.v1``, told apart by ``outcome``."""
