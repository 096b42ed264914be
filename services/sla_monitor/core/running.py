"""Requests that are still running: those beyond a limit are slow already, so a hanging service is seen."""

from __future__ import annotations

from dataclasses import dataclass

from tailwatch.contracts.statuses import Limits
from tailwatch.contracts.timings import RequestTimings
from tailwatch.contracts.units import BootId, Count, InstanceId, Instant, Milliseconds

STALE_SECONDS = 5
"""While any request runs the probe reports every second; a report older than this says nothing any more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Hanging:
    """The requests of one process that run beyond the P95 limit."""

    instance: InstanceId
    ages_ms: tuple[Milliseconds, ...]
    over_p99: Count
    sequence: int
    at: Instant

    @property
    def over_p95(self) -> Count:
        """How many run beyond the P95 limit."""
        return len(self.ages_ms)


class Running:
    """The newest report of each process start on what it is still doing."""

    def __init__(self, limits: Limits) -> None:
        """Nothing runs as far as is known."""
        self._limits = limits
        self._boots: dict[BootId, Hanging] = {}

    def note(self, record: RequestTimings, *, at: Instant) -> None:
        """Take the running requests of a record that arrived at ``at``; an older record changes nothing."""
        known = self._boots.get(record.boot)
        if known is not None and record.sequence < known.sequence:
            return
        self._boots[record.boot] = Hanging(
            instance=record.instance,
            ages_ms=tuple(age for age in record.running_ms if age > self._limits.p95_ms),
            over_p99=sum(age > self._limits.p99_ms for age in record.running_ms),
            sequence=record.sequence,
            at=at,
        )

    def advance(self, now: Instant) -> None:
        """Drop the reports that are too old to say anything."""
        stale = [boot for boot, known in self._boots.items() if now - known.at > STALE_SECONDS]
        for boot in stale:
            del self._boots[boot]

    def hanging(self) -> list[Hanging]:
        """Return the processes with requests that run beyond the P95 limit."""
        return [known for known in self._boots.values() if known.ages_ms]
