"""A target's window: a ring of one-second buckets per process, with what was slowest in each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from heapq import nlargest

import numpy as np
from numpy.typing import NDArray

from services.sla_monitor.core.counts import CAPTURED, ERRORS, FIELDS, OVER_P95, OVER_P99, TOTAL, Counts, InstanceCounts
from services.sla_monitor.core.histogram import Histogram, merged
from services.sla_monitor.core.tally import SKEW_SECONDS, Tally
from tailwatch.contracts.timings import SlowRequest
from tailwatch.contracts.units import InstanceId, Instant

SLOWEST_KEPT = 5


def ended_at(request: SlowRequest) -> Instant:
    """Return when a request ended."""
    return request.started_at + request.duration_ms / 1000


class Window:
    """The seconds ``edge - long < second``: what ended in the long window, up to the skew that is allowed.

    At second ``edge`` the short window is what ended in ``edge - short < second``.
    """

    def __init__(self, *, long: int, short: int) -> None:
        """Both in seconds; empty, at the beginning of time."""
        self._long, self._short = long, short
        self._slots = long + SKEW_SECONDS
        self._edge = 0
        self._rows = np.zeros((0, self._slots, FIELDS), dtype=np.int64)
        self._instances: list[InstanceId] = []
        self._heard: dict[InstanceId, int] = {}
        self._histograms: list[Histogram | None] = [None] * self._slots
        self._slowest: list[dict[InstanceId, list[SlowRequest]]] = [{} for _ in range(self._slots)]

    @property
    def after(self) -> int:
        """The newest second that has left the window."""
        return self._edge - self._long

    def advance(self, now: Instant) -> None:
        """Drop what has left the window at ``now``; a clock that went back changes nothing."""
        edge = math.floor(now)
        passed = min(edge - self._edge, self._slots)
        if passed <= 0:
            return
        self._edge = edge
        leaving = self._slots_of(edge + SKEW_SECONDS - passed, passed)
        self._rows[:, leaving] = 0
        for slot in _numbers(leaving):
            self._histograms[slot] = None
            self._slowest[slot] = {}
        self._forget_instances()

    def add(self, instance: InstanceId, counted: Tally, *, at: Instant, slowest: Iterable[SlowRequest] = ()) -> None:
        """Add what one process reported at ``at``: its tally, made with this window's ``after``."""
        row = self._row_of(instance)
        self._heard[instance] = max(self._heard.get(instance, 0), math.floor(at))
        slots = self._slots_of(counted.first - 1, len(counted.rows))
        self._rows[row, slots] += counted.rows
        for slot, histogram in zip(_numbers(slots), counted.histograms, strict=True):
            present = self._histograms[slot]
            self._histograms[slot] = histogram if present is None else merged((present, histogram))
        for request in slowest:
            second = min(math.floor(ended_at(request)), self._edge + SKEW_SECONDS)
            if second > self.after:
                known = self._slowest[second % self._slots].setdefault(instance, [])
                if len(known) == SLOWEST_KEPT and request.duration_ms <= known[-1].duration_ms:
                    continue
                known[:] = nlargest(SLOWEST_KEPT, [*known, request], key=lambda slow: slow.duration_ms)

    def long(self) -> Counts:
        """Return the exact counts of the long window."""
        return _counts(self._rows.sum(axis=(0, 1)))

    def short(self) -> Counts:
        """Return the exact counts of the short window."""
        return _counts(self._rows[:, self._short_slots()].sum(axis=(0, 1)))

    def long_histogram(self) -> Histogram:
        """Return the durations of the long window."""
        return merged(part for part in self._histograms if part is not None)

    def short_histogram(self) -> Histogram:
        """Return the durations of the short window."""
        return merged(part for slot in _numbers(self._short_slots()) if (part := self._histograms[slot]) is not None)

    def instances(self) -> list[InstanceCounts]:
        """Return what each process contributed to the long window, in the order in which they were first heard."""
        sums = self._rows.sum(axis=1)
        return [
            InstanceCounts(
                instance=instance,
                over_p95=int(sums[row, OVER_P95]),
                over_p99=int(sums[row, OVER_P99]),
                alive=self._heard[instance] > self._edge - self._short,
            )
            for row, instance in enumerate(self._instances)
        ]

    def slowest(self, instance: InstanceId) -> tuple[SlowRequest, ...]:
        """Return the slowest requests that a process reported in the long window, the slowest first."""
        found = [request for slot in self._slowest for request in slot.get(instance, ())]
        return tuple(nlargest(SLOWEST_KEPT, found, key=lambda slow: slow.duration_ms))

    def _slots_of(self, after: int, seconds: int) -> NDArray[np.int64]:
        return (np.arange(seconds, dtype=np.int64) + after + 1) % self._slots

    def _short_slots(self) -> NDArray[np.int64]:
        return self._slots_of(self._edge - self._short, self._short + SKEW_SECONDS)

    def _row_of(self, instance: InstanceId) -> int:
        if instance not in self._heard:
            self._instances.append(instance)
            self._rows = np.concatenate((self._rows, np.zeros((1, self._slots, FIELDS), dtype=np.int64)))
        return self._instances.index(instance)

    def _forget_instances(self) -> None:
        gone = [
            row
            for row, instance in enumerate(self._instances)
            if self._heard[instance] <= self.after and not self._rows[row].any()
        ]
        if gone:
            for row in reversed(gone):
                del self._heard[self._instances.pop(row)]
            self._rows = np.delete(self._rows, gone, axis=0)


def _numbers(slots: NDArray[np.int64]) -> list[int]:
    return [int(slot) for slot in slots]


def _counts(sums: NDArray[np.int64]) -> Counts:
    return Counts(
        total=int(sums[TOTAL]),
        over_p95=int(sums[OVER_P95]),
        over_p99=int(sums[OVER_P99]),
        errors=int(sums[ERRORS]),
        captured=int(sums[CAPTURED]),
    )
