"""Events as one line for a person."""

from __future__ import annotations

from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import (
    CaptureAborted,
    CaptureCompleted,
    CaptureEvicted,
    CaptureFailed,
    CaptureRefused,
    CaptureStarted,
)
from tailwatch.contracts.event import Event
from tailwatch.contracts.recommendations import Recommendation
from tailwatch.contracts.rejects import RejectedRecord
from tailwatch.contracts.statuses import SlaStatus
from tailwatch.contracts.timings import RequestTimings
from tailwatch.contracts.triggers import ProfilingTrigger


def sentence(event: Event) -> str:
    """Return what an event says, on one line."""
    match event:
        case RequestTimings():
            running = f", {len(event.running_ms)} running" if event.running_ms else ""
            slowest = max(event.duration_ms, default=0.0)
            said = f"{event.instance} answered {len(event.started_at)} requests, slowest {slowest:.1f} ms{running}"
        case SlaStatus():
            said = f"{event.state.value} ({event.reason.value}): {event.explanation}"
        case ProfilingTrigger():
            said = f"{event.cause.value}{_broken(event)}: capture asked of {event.instance}"
        case ProfileAnalysis():
            top = event.functions[0].function if event.functions else "none"
            said = f"{event.session_id}: {event.verdict.summary} Top function: {top}"
        case Recommendation():
            said = f"{event.severity.value.upper()} {event.state.value}: {event.title}: {event.issue}"
        case RejectedRecord():
            said = f"{event.topic}[{event.partition}]@{event.offset} by {event.rejected_by}: {event.reason}"
        case _:
            said = _capture(event)
    return " ".join(said.splitlines())


def _broken(trigger: ProfilingTrigger) -> str:
    return "".join(
        f" {breach.percentile.upper()} {breach.measured_ms:.0f} ms (limit {breach.limit_ms:g} ms)"
        for breach in trigger.breaches
    )


def _capture(event: Event) -> str:
    match event:
        case CaptureStarted():
            said = f"{event.session_id} started in {event.instance} for {event.duration_seconds:g} s"
        case CaptureCompleted():
            early = ", ended early" if event.partial else ""
            said = (
                f"{event.session_id} completed: {event.samples} samples, "
                f"overhead {event.overhead_percent:.2f} % of a core{early}"
            )
        case CaptureRefused():
            said = f"{event.instance} refused: {event.reason.value} ({event.detail})"
        case CaptureAborted() | CaptureFailed():
            outcome = "aborted" if isinstance(event, CaptureAborted) else "failed"
            said = f"{event.session_id} {outcome}: {event.reason.value} ({event.detail})"
        case CaptureEvicted():
            said = f"{event.session_id} evicted, {event.freed_bytes} bytes freed"
        case _:
            said = type(event).__name__
    return said
