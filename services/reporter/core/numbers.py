"""Numbers as a report prints them: with their unit, and a dash for what was not measured."""

from __future__ import annotations

from datetime import UTC, datetime

from tailwatch.contracts.analyses import Impact, ShareInterval

DASH = "-"
DIGITS_BELOW = 100.0
"""Milliseconds below which a tenth is told."""


def milliseconds(value: float | None, digits: int = 1) -> str:
    """Return ``12.3 ms``."""
    return DASH if value is None else f"{value:,.{digits}f} ms"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share (0..1) as ``12.3%``."""
    return DASH if share is None else f"{share * 100:.{digits}f}%"


def megabytes(value: float) -> str:
    """Return ``12.3 MB``."""
    return f"{value:,.1f} MB"


def interval(share: ShareInterval) -> str:
    """Return the 95 % interval as ``21.4-24.9%``."""
    return f"{share.low * 100:.1f}-{share.high * 100:.1f}%"


def moment(at: float) -> str:
    """Return seconds since the epoch as ``2026-11-24 16:00:01.5 UTC``."""
    whole = datetime.fromtimestamp(at, UTC)
    return f"{whole:%Y-%m-%d %H:%M:%S}.{whole.microsecond // 100_000} UTC"


def expected(impact: Impact, target: str | None) -> str:
    """Return an impact as the profiling guide prints it; without a range it says why there is none."""
    said: list[str] = []
    if impact.p95_ms_low is not None and impact.p95_ms_high is not None:
        low, high = _rounded(impact.p95_ms_low), _rounded(impact.p95_ms_high)
        reach = f"-{high} ms" if low == high else f"-{low} to -{high} ms"
        said.append(f"{reach} P95 latency on {target or 'every target'}")
    if impact.cpu_share:
        said.append(f"-{impact.cpu_share * 100:.0f}% CPU per request")
    return f"{', '.join(said)} ({impact.basis})" if said else f"no range can be given: {impact.basis}"


def _rounded(value: float) -> str:
    return f"{value:.1f}" if value < DIGITS_BELOW else f"{value:.0f}"
