"""Why a request for a capture is not followed: the first reason that holds, with a sentence for a person."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from tailwatch.contracts.captures import CaptureKind, CaptureOrigin, RefusalReason
from tailwatch.contracts.units import Count, Instant, Seconds
from tailwatch.probe.core.backoff import BackOff
from tailwatch.probe.core.safety import SafetyLimits
from tailwatch.probe.core.session import CaptureRequest, Readiness

STALE_SECONDS: Seconds = 30.0
RESERVED_BYTES: Count = 16 * 2**20
"""Room that a capture needs to be let in; the largest seen took 14 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What the operator allows."""

    manual: bool
    """PROFILING_ENABLED."""
    automatic: bool
    """CONTINUOUS_PROFILING_ENABLED and CONTINUOUS_PROFILING_AUTO_TRIGGER_ON_SLA."""
    throttle_seconds: Seconds
    quota_bytes: Count
    limits: SafetyLimits


def refusal(  # noqa: PLR0911 - one return per reason, one parameter per thing it can rest on
    request: CaptureRequest,
    rules: Rules,
    readiness: Readiness,
    *,
    now: Instant,
    closing: bool,
    duplicate: bool,
    back_off: BackOff,
    last_start: Instant | None,
) -> tuple[RefusalReason, str] | None:
    """Return why a request is refused whatever runs now, or None when it may be followed."""
    automatic = request.origin is not CaptureOrigin.MANUAL
    if closing:
        return RefusalReason.SHUTTING_DOWN, "the process ends"
    if not (rules.automatic if automatic else rules.manual):
        return RefusalReason.DISABLED, (
            "CONTINUOUS_PROFILING_ENABLED and CONTINUOUS_PROFILING_AUTO_TRIGGER_ON_SLA must both be true"
            if automatic
            else "PROFILING_ENABLED is false"
        )
    if duplicate:
        return RefusalReason.DUPLICATE, "this trigger was received before"
    if automatic and now - request.asked_at > STALE_SECONDS:
        return RefusalReason.STALE, f"asked for {now - request.asked_at:.0f} s ago, at most {STALE_SECONDS:.0f} s"
    if back_off.holds(now):
        return RefusalReason.OVERHEAD_DISABLED, f"until {_utc(back_off.until)}, because of {back_off.reason}"
    if request.kind is CaptureKind.HEAP:
        return RefusalReason.ENGINE_UNAVAILABLE, "heap captures are not available in this version"
    if readiness.engine is not None:
        return RefusalReason.ENGINE_UNAVAILABLE, readiness.engine
    if readiness.stored_bytes + RESERVED_BYTES > rules.quota_bytes:
        return RefusalReason.OVER_QUOTA, (
            f"{_mb(readiness.stored_bytes)} MB stored of {_mb(rules.quota_bytes)} MB;"
            " raise CONTINUOUS_PROFILING_MAX_STORAGE_GB or delete captures"
        )
    if automatic and last_start is not None and now - last_start < rules.throttle_seconds:
        return RefusalReason.THROTTLED, (
            f"the last capture of this target began {now - last_start:.0f} s ago,"
            f" throttle {rules.throttle_seconds:.0f} s"
        )
    return None


def _utc(at: Instant) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _mb(count: Count) -> str:
    return f"{count / 2**20:.0f}"
