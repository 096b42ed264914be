"""One record of timings, counted: by the second in which each request ended, against the limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.sla_monitor.core.counts import CAPTURED, ERRORS, FIELDS, OVER_P95, OVER_P99, TOTAL
from services.sla_monitor.core.histogram import Histogram
from tailwatch.contracts.statuses import Limits
from tailwatch.contracts.timings import RequestTimings
from tailwatch.contracts.units import Count, Instant

SKEW_SECONDS = 2
"""An end more than this after the record's arrival is a wrong clock, and is set to the arrival."""
SERVER_ERROR = 500


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tally:
    """What one record adds to a window: a row per second, from ``first`` on."""

    first: int
    rows: NDArray[np.int64]
    """Shape (seconds, FIELDS)."""
    histograms: tuple[Histogram, ...]
    """One per row, of the requests in TOTAL."""
    late: Count
    skewed: Count
    slow_since: Instant | None = None
    """When the first request over the P95 limit that counts ended; None: there is none."""


def tally(record: RequestTimings, limits: Limits, *, arrival: Instant, after: int) -> Tally:
    """Return the counts of a record that arrived at ``arrival``.

    What ended in second ``after`` or before is late: counted as that and as nothing else.
    """
    durations = np.array(record.duration_ms, dtype=np.float64)
    ended = np.array(record.started_at, dtype=np.float64) + durations / 1000
    skewed = ended > arrival + SKEW_SECONDS
    ended[skewed] = arrival
    seconds = np.floor(ended).astype(np.int64)
    kept = seconds > after
    count = int(np.count_nonzero(kept))
    late, skews = len(kept) - count, int(np.count_nonzero(skewed))
    if not count:
        return Tally(first=after + 1, rows=np.zeros((0, FIELDS), np.int64), histograms=(), late=late, skewed=skews)
    first = int(seconds[kept].min())
    rows = np.zeros((int(seconds[kept].max()) - first + 1, FIELDS), dtype=np.int64)
    under = np.array(record.under_capture, dtype=np.bool_)
    failed = np.array(record.status, dtype=np.int64) >= SERVER_ERROR
    counted = kept & ~under
    for column, chosen in (
        (TOTAL, counted),
        (OVER_P95, counted & (durations > limits.p95_ms)),
        (OVER_P99, counted & (durations > limits.p99_ms)),
        (ERRORS, counted & failed),
        (CAPTURED, kept & under),
    ):
        rows[:, column] = np.bincount(seconds[chosen] - first, minlength=len(rows))
    slow = ended[counted & (durations > limits.p95_ms)]
    return Tally(
        first=first,
        rows=rows,
        histograms=tuple(
            Histogram.of(durations[counted & (seconds == first + row)] if len(rows) > 1 else durations[counted])
            for row in range(len(rows))
        ),
        late=late,
        skewed=skews,
        slow_since=float(slow.min()) if len(slow) else None,
    )
