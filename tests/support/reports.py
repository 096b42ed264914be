"""Makers of what the monitor reads: timings of one target, and what capture agents say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from tailwatch.contracts.captures import (
    AbortReason,
    CaptureAborted,
    CaptureCompleted,
    CaptureEvicted,
    CaptureFailed,
    CaptureKind,
    CaptureOrigin,
    CaptureRefused,
    CaptureStarted,
    FailureReason,
    RefusalReason,
)
from tailwatch.contracts.timings import RequestTimings, SlowRequest

NOW = 1_800_000_000.0
SERVICE = "auth"
TARGET = "POST /tokens"
SESSION = "profile-1800000000000-aaaaaaaaaaaa"


def boot_of(instance: str) -> str:
    """Return the boot of a process that never restarts."""
    return str(UUID(int=sum(ord(char) * 257**place for place, char in enumerate(instance)) % 2**128))


def timings(
    durations_ms: Sequence[float] = (),
    *,
    ended_at: float | Sequence[float] = NOW,
    instance: str = "host-1",
    sequence: int = 0,
    status: int = 200,
    under_capture: bool | Sequence[bool] = False,
    running_ms: Sequence[float] = (),
    slowest: int = 5,
    target: str = TARGET,
    service: str = SERVICE,
    boot: str | None = None,
    version: str = "1.0.0",
) -> RequestTimings:
    """Return one record of timings, its columns from ends and durations."""
    count = len(durations_ms)
    ends = [ended_at] * count if isinstance(ended_at, float) else list(ended_at)
    starts = [end - duration / 1000 for end, duration in zip(ends, durations_ms, strict=True)]
    unders = [under_capture] * count if isinstance(under_capture, bool) else list(under_capture)
    worst = sorted(range(count), key=lambda index: -durations_ms[index])[:slowest]
    return RequestTimings(
        service=service,
        service_version=version,
        target=target,
        instance=instance,
        boot=boot or boot_of(instance),
        sequence=sequence,
        sent_at=max(ends, default=NOW),
        started_at=tuple(starts),
        duration_ms=tuple(float(duration) for duration in durations_ms),
        status=(status,) * count,
        method=("POST",) * count,
        under_capture=tuple(unders),
        slowest=tuple(
            SlowRequest(
                request_id=f"{instance}-{sequence}-{index}",
                trace_id=f"{sequence * 1000 + index + 1:032x}",
                started_at=starts[index],
                duration_ms=float(durations_ms[index]),
            )
            for index in worst
        ),
        running_ms=tuple(float(age) for age in running_ms),
    )


def _common(at: float, origin: CaptureOrigin, trigger_id: str | None, instance: str) -> dict[str, Any]:
    return {
        "service": SERVICE,
        "target": TARGET,
        "instance": instance,
        "boot": boot_of(instance),
        "pid": 1,
        "at": at,
        "origin": origin,
        "kind": CaptureKind.CPU,
        "trigger_id": trigger_id,
    }


def started(
    at: float,
    *,
    trigger_id: str | None = None,
    seconds: float = 30.0,
    session_id: str = SESSION,
    origin: CaptureOrigin = CaptureOrigin.SLA,
    instance: str = "host-1",
) -> CaptureStarted:
    """Return a capture that started at ``at`` and is over 10 s after its time at the latest."""
    return CaptureStarted(
        **_common(at, origin, trigger_id, instance),
        session_id=session_id,
        duration_seconds=seconds,
        deadline=at + seconds + 10,
        rate_hz=50.0,
    )


def completed(at: float, *, trigger_id: str | None = None, session_id: str = SESSION) -> CaptureCompleted:
    """Return a capture that is in the store."""
    return CaptureCompleted(
        **_common(at, CaptureOrigin.SLA, trigger_id, "host-1"),
        session_id=session_id,
        started_at=at - 30,
        ended_at=at,
        partial=False,
        samples=1000,
        overhead_percent=1.5,
        artifacts=(),
    )


def refused(
    at: float, reason: RefusalReason, *, trigger_id: str | None = None, instance: str = "host-1"
) -> CaptureRefused:
    """Return a refusal."""
    return CaptureRefused(**_common(at, CaptureOrigin.SLA, trigger_id, instance), reason=reason, detail="")


def failed(at: float, *, trigger_id: str | None = None, session_id: str = SESSION) -> CaptureFailed:
    """Return a capture that could not be carried through."""
    return CaptureFailed(
        **_common(at, CaptureOrigin.SLA, trigger_id, "host-1"),
        session_id=session_id,
        reason=FailureReason.ENGINE_ERROR,
        detail="",
    )


def aborted(at: float, *, trigger_id: str | None = None, session_id: str = SESSION) -> CaptureAborted:
    """Return a capture that a safety control ended."""
    return CaptureAborted(
        **_common(at, CaptureOrigin.SLA, trigger_id, "host-1"),
        session_id=session_id,
        reason=AbortReason.OVERHEAD,
        detail="",
    )


def evicted(at: float, *, session_id: str = SESSION) -> CaptureEvicted:
    """Return a capture whose files were deleted."""
    return CaptureEvicted(**_common(at, CaptureOrigin.SLA, None, "host-1"), session_id=session_id, freed_bytes=1)
