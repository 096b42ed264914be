"""``profiling.triggers.v1``: capture now, there, because of this."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from typing_extensions import override

from tailwatch.contracts.event import Event, Fact, derived_id, subject
from tailwatch.contracts.timings import SlowRequest
from tailwatch.contracts.units import (
    Count,
    EventId,
    InstanceId,
    Instant,
    Milliseconds,
    Seconds,
    ServiceName,
    Share,
    Target,
)


class TriggerCause(StrEnum):
    """Why a capture is asked for."""

    BREACH = "breach"
    CONTROL = "control"
    """A healthy capture, to compare later breaches with."""


class Breach(Fact, frozen=True, kw_only=True):
    """One limit that is broken, by how much, in the long window."""

    percentile: Literal["p95", "p99"]
    limit_ms: Milliseconds
    measured_ms: Milliseconds
    over: Count
    samples: Count
    window_seconds: Seconds


class ProfilingTrigger(Event, frozen=True, kw_only=True):
    """An SLA broke; the named process is asked for a capture."""

    TYPE: ClassVar[str] = "tailwatch.profiling.trigger.v1"

    id: EventId
    cause: TriggerCause
    service: ServiceName
    service_version: str
    target: Target
    instance: InstanceId
    """The process that is to capture: it served most of the slow requests."""
    epoch: Count
    """Counts the armings of this target."""
    attempt: Count
    """0 asks the worst instance, 1 the next worst, ..."""
    at: Instant
    condition_since: Instant | None
    """When the breach condition became true (event time); None for a control."""
    breaches: tuple[Breach, ...]
    instance_share: Share
    """Part of the slow requests that this instance served."""
    slowest: tuple[SlowRequest, ...] = ()

    @property
    @override
    def key(self) -> str:
        return subject(self.service, self.target)

    @property
    @override
    def event_id(self) -> str:
        return self.id


def trigger_id(service: str, target: str, epoch: int, attempt: int, cause: TriggerCause = TriggerCause.BREACH) -> str:
    """Return the id of a trigger: the same after a replay, so that agents recognise a repetition."""
    return derived_id("trigger", cause, subject(service, target), epoch, attempt)
