"""``http.request-timings.v1``: what one process answered for one target."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from tailwatch.contracts.event import Event, Fact, derived_id, subject
from tailwatch.contracts.units import BootId, Count, InstanceId, Instant, Milliseconds, ServiceName, Target, TraceId

MAX_EVENTS = 4096
"""Most requests one record may hold; the emitter sends at most 512."""


class SlowRequest(Fact, frozen=True, kw_only=True):
    """One of the slowest requests of a record, so that a trace can be opened."""

    request_id: str
    trace_id: TraceId | None
    started_at: Instant
    duration_ms: Milliseconds


class RequestTimings(Event, frozen=True, kw_only=True):
    """Requests that one process answered for one target, as columns of equal length n >= 0.

    n is 0 only when ``running_ms`` says that requests are still running.
    """

    TYPE: ClassVar[str] = "tailwatch.http.request-timings.v1"

    service: ServiceName
    service_version: str
    target: Target
    instance: InstanceId
    boot: BootId
    sequence: Count
    sent_at: Instant
    started_at: tuple[Instant, ...]
    duration_ms: tuple[Milliseconds, ...]
    status: tuple[Count, ...]
    method: tuple[str, ...]
    under_capture: tuple[bool, ...]
    slowest: tuple[SlowRequest, ...] = ()
    running_ms: tuple[Milliseconds, ...] = ()
    """Ages at ``sent_at`` of the up to 64 oldest requests still running."""

    def __post_init__(self) -> None:
        columns = (self.started_at, self.duration_ms, self.status, self.method, self.under_capture)
        lengths = {len(column) for column in columns}
        if len(lengths) != 1:
            raise ValueError(f"columns differ in length: {sorted(lengths)}")
        if len(self.started_at) > MAX_EVENTS:
            raise ValueError(f"{len(self.started_at)} requests in one record, at most {MAX_EVENTS}")

    @property
    @override
    def key(self) -> str:
        return subject(self.service, self.target)

    @property
    @override
    def event_id(self) -> str:
        return derived_id("timings", self.boot, self.target, self.sequence)
