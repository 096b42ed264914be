"""Requests packed into records: columns per target, at most so many a record, numbered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from typing import NamedTuple

from tailwatch.contracts.timings import RequestTimings, SlowRequest
from tailwatch.contracts.units import Instant, Milliseconds, Seconds
from tailwatch.probe.core.identity import Identity

SLOWEST = 5
MOST_RUNNING = 64
RUNNING_EVERY: Seconds = 1.0
"""While requests run, a target is reported on at least this often."""


class Answered(NamedTuple):
    """One request as the middleware saw it end."""

    target: str
    started_at: Instant
    duration_ms: Milliseconds
    status: int
    method: str
    under_capture: bool
    request_id: str
    trace_id: str | None


@dataclass(slots=True)
class Packer:
    """Packs the requests of one process; holds the sequence numbers and when each target was last reported."""

    identity: Identity
    most: int
    """Most requests in one record."""
    _sequences: dict[str, int] = field(default_factory=dict)
    _reported: dict[str, Instant] = field(default_factory=dict)

    def pack(
        self, answered: Iterable[Answered], running: Mapping[str, tuple[Milliseconds, ...]], *, at: Instant
    ) -> list[RequestTimings]:
        """Return the records for requests that ended, and for targets whose running requests are due to be reported."""
        by_target: dict[str, list[Answered]] = {}
        for request in answered:
            by_target.setdefault(request.target, []).append(request)
        records = [
            self._record(target, chunk, running.get(target, ()), at)
            for target, requests in by_target.items()
            for chunk in _chunks(requests, self.most)
        ]
        records += [
            self._record(target, [], ages, at)
            for target, ages in running.items()
            if target not in by_target and at - self._reported.get(target, 0.0) >= RUNNING_EVERY
        ]
        return records

    def _record(
        self, target: str, requests: list[Answered], running: tuple[Milliseconds, ...], at: Instant
    ) -> RequestTimings:
        sequence = self._sequences.get(target, 0)
        self._sequences[target] = sequence + 1
        self._reported[target] = at
        return RequestTimings(
            service=self.identity.service,
            service_version=self.identity.service_version,
            target=target,
            instance=self.identity.instance,
            boot=self.identity.boot,
            sequence=sequence,
            sent_at=at,
            started_at=tuple(request.started_at for request in requests),
            duration_ms=tuple(request.duration_ms for request in requests),
            status=tuple(request.status for request in requests),
            method=tuple(request.method for request in requests),
            under_capture=tuple(request.under_capture for request in requests),
            slowest=tuple(
                SlowRequest(
                    request_id=request.request_id,
                    trace_id=request.trace_id,
                    started_at=request.started_at,
                    duration_ms=request.duration_ms,
                )
                for request in nlargest(SLOWEST, requests, key=_duration)
            ),
            running_ms=running[:MOST_RUNNING],
        )


def _duration(request: Answered) -> Milliseconds:
    return request.duration_ms


def _chunks(requests: list[Answered], most: int) -> Iterator[list[Answered]]:
    for start in range(0, len(requests), most):
        yield requests[start : start + most]
