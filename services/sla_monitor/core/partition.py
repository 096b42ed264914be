"""One partition of the timings, as far as this worker has read it: the log is the state."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.sla_monitor.core.backlog import Backlog
from services.sla_monitor.core.monitor import Monitor
from services.sla_monitor.core.verdict import Rules
from tailwatch.contracts.event import subject
from tailwatch.contracts.policy import Policy
from tailwatch.contracts.timings import RequestTimings
from tailwatch.contracts.units import Count, Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class Heads:
    """How far each topic reached when the partition was taken over; 0 when nothing was left to read."""

    timings: Count
    captures: Count


class Partition:
    """The targets whose key falls into one partition, and the records that are not yet acknowledged."""

    def __init__(self, number: int, heads: Heads, *, policy: Policy, rules: Rules) -> None:
        """Nothing was read yet; nothing is decided before both topics have been read up to their heads."""
        self.number, self._heads, self._policy, self._rules = number, heads, policy, rules
        self._timings = self._captures = 0
        self._monitors: dict[str, Monitor] = {}
        self._backlog: Backlog[Callable[[], object]] = Backlog()

    @property
    def unacknowledged(self) -> int:
        """How many records wait for their acknowledgement."""
        return len(self._backlog)

    @property
    def live(self) -> bool:
        """Whether all timings that were there at take-over have been read."""
        return self._timings >= self._heads.timings

    @property
    def decides(self) -> bool:
        """Whether everything that was there at take-over has been read: before, every count is partial."""
        return self.live and self._captures >= self._heads.captures

    def is_repeated(self, offset: int) -> bool:
        """Return whether a record of the timings was read already: Kafka may deliver twice around a rebalance."""
        return offset < self._timings

    def add(
        self, record: RequestTimings, *, arrival: Instant, now: Instant, offset: int, acknowledge: Callable[[], object]
    ) -> Monitor:
        """Count the record at ``offset``; return its target's monitor."""
        key = subject(record.service, record.target)
        monitor = self._monitors.get(key)
        if monitor is None:
            limits = self._policy.limits_of(record.service, record.target)
            monitor = Monitor(record.service, record.target, limits=limits, rules=self._rules)
            self._monitors[key] = monitor
        needed_until = monitor.add(record, arrival=arrival, now=now, live=self.live)
        self._backlog.add(acknowledge, needed_until=needed_until)
        self._timings = offset + 1
        return monitor

    def skip(self, *, offset: int, acknowledge: Callable[[], object]) -> None:
        """Queue a record that could not be understood: a hole would stop all commits behind it."""
        self._backlog.add(acknowledge, needed_until=0.0)
        self._timings = offset + 1

    def heard_capture(self, offset: int) -> None:
        """Note that the captures have been read up to and including ``offset``."""
        self._captures = max(self._captures, offset + 1)

    def expire(self, now: Instant) -> None:
        """Acknowledge what has left the window, and forget the targets that went silent long ago."""
        for acknowledge in self._backlog.released(now):
            acknowledge()
        for key in [key for key, monitor in self._monitors.items() if monitor.forgotten(now)]:
            del self._monitors[key]

    def monitors(self) -> Iterator[tuple[str, Monitor]]:
        """Yield each target's key and monitor."""
        yield from list(self._monitors.items())
