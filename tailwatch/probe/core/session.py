"""A request for a capture, the session that it becomes, and the commands that carry it out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tailwatch.contracts.captures import (
    Artifact,
    CaptureCompleted,
    CaptureEvent,
    CaptureKind,
    CaptureOrigin,
)
from tailwatch.contracts.triggers import ProfilingTrigger, TriggerCause
from tailwatch.contracts.units import Count, EventId, Hertz, Instant, Percent, Seconds, SessionId, Target
from tailwatch.probe.core.safety import BREACH_HZ, CONTROL_HZ, MOST_HZ


class Phase(StrEnum):
    """Where the capture control stands."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    WRITING = "writing"
    PUBLISHING = "publishing"


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptureRequest:
    """Somebody asks this process for a capture; ``session_id`` is the name it gets if it is followed."""

    session_id: SessionId
    origin: CaptureOrigin
    kind: CaptureKind = CaptureKind.CPU
    target: Target | None = None
    asked_at: Instant
    duration_seconds: Seconds
    trigger: ProfilingTrigger | None = None
    traceparent: str | None = None

    @property
    def trigger_id(self) -> EventId | None:
        """Id of the trigger that asks, if one does."""
        return self.trigger.id if self.trigger is not None else None

    @property
    def rate_hz(self) -> Hertz:
        """Samples per second to begin with."""
        return CONTROL_HZ if self.origin is CaptureOrigin.CONTROL else BREACH_HZ

    @property
    def ceiling_hz(self) -> Hertz:
        """Samples per second it may be raised to in an idle process."""
        return CONTROL_HZ if self.origin is CaptureOrigin.CONTROL else MOST_HZ


def session_id(at: Instant, token: str) -> SessionId:
    """Return ``profile-<epoch ms>-<12 hex>``; ``token`` is 12 random hexadecimal digits."""
    return f"profile-{int(at * 1000)}-{token}"


def request_of(
    trigger: ProfilingTrigger, *, session: SessionId, duration_seconds: Seconds, traceparent: str | None
) -> CaptureRequest:
    """Return what a trigger asks for."""
    return CaptureRequest(
        session_id=session,
        origin=CaptureOrigin.CONTROL if trigger.cause is TriggerCause.CONTROL else CaptureOrigin.SLA,
        target=trigger.target,
        asked_at=trigger.at,
        duration_seconds=duration_seconds,
        trigger=trigger,
        traceparent=traceparent,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """What was found out when the request came in."""

    engine: str | None = None
    """Why the engine cannot be used; None when it can."""
    stored_bytes: Count = 0
    """What captures and their reports take up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """What was sampled, once the engine has stopped."""

    at: Instant
    samples: Count


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """The capture's files, complete in the spool."""

    artifacts: tuple[Artifact, ...]
    overhead_percent: Percent
    ending_cost_seconds: Seconds
    """CPU time that writing took: what the next capture keeps back for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reserve:
    """Take a slot of this host and make the session's folder."""

    request: CaptureRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Start sampling."""

    request: CaptureRequest
    rate_hz: Hertz


@dataclass(frozen=True, kw_only=True, slots=True)
class Adapt:
    """Go on at another rate."""

    rate_hz: Hertz


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """Stop sampling."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """Write what was sampled and measured."""

    request: CaptureRequest
    started_at: Instant
    ended_at: Instant
    partial: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Publish:
    """Seal the folder and put its files into the store, the manifest last."""

    completed: CaptureCompleted
    traceparent: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Discard:
    """Delete the session's folder and give its slot back."""

    session_id: SessionId


@dataclass(frozen=True, kw_only=True, slots=True)
class Announce:
    """Publish a fact on ``profiling.captures.v1``."""

    event: CaptureEvent
    traceparent: str | None


Command = Reserve | Start | Adapt | Stop | Write | Publish | Discard | Announce
