"""Captures are given a rest after one that had to be aborted: 10 minutes, doubling to 24 hours."""

from __future__ import annotations

from dataclasses import dataclass

from tailwatch.contracts.units import Instant, Seconds

FIRST_SECONDS: Seconds = 600.0
LONGEST_SECONDS: Seconds = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class BackOff:
    """Until when captures are disabled, and why; a healthy capture ends the series."""

    until: Instant = 0.0
    seconds: Seconds = 0.0
    reason: str | None = None

    def holds(self, now: Instant) -> bool:
        """Return whether captures are disabled now."""
        return now < self.until

    def after_abort(self, now: Instant, reason: str) -> BackOff:
        """Return the next, longer rest."""
        seconds = min(LONGEST_SECONDS, self.seconds * 2) if self.seconds else FIRST_SECONDS
        return BackOff(until=now + seconds, seconds=seconds, reason=reason)
