"""A mergeable base-2 exponential histogram of durations.

Source: OpenTelemetry metrics data model, ExponentialHistogram; here with a fixed scale of 6 (base 2**(1/64)).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailwatch.contracts.units import Count, Milliseconds

BUCKETS_PER_OCTAVE = 64
LEAST_MS = 2.0**-10
"""What is shorter counts as this, about one microsecond."""
MOST_MS = 2.0**32
"""What is longer counts as this, about 50 days."""
BASE = 2.0 ** (1 / BUCKETS_PER_OCTAVE)
RELATIVE_ERROR = (BASE - 1) / (BASE + 1)
"""Largest relative error of a quantile: 0.54 %."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Counts of durations in buckets ``(BASE**i, BASE**(i + 1)]``, for ``i`` from ``offset`` on."""

    offset: int
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, durations_ms: Sequence[float] | NDArray[np.float64]) -> Histogram:
        """Return the histogram of durations in milliseconds; not one duration gives the empty histogram."""
        values = np.clip(np.asarray(durations_ms, dtype=np.float64), LEAST_MS, MOST_MS)
        if not values.size:
            return EMPTY
        buckets = np.ceil(np.log2(values) * BUCKETS_PER_OCTAVE).astype(np.int64) - 1
        offset = int(buckets.min())
        return cls(offset, np.bincount(buckets - offset))

    @property
    def total(self) -> Count:
        """How many durations it holds."""
        return int(self.counts.sum())

    def quantile(self, percent: int) -> Milliseconds | None:
        """Return the nearest-rank percentile within 0.54 %, or None when there is nothing in it."""
        total = self.total
        if not total:
            return None
        rank = -(-percent * total // 100)
        bucket = self.offset + int(np.searchsorted(np.cumsum(self.counts), max(rank, 1)))
        return float(2 * BASE ** (bucket + 1) / (1 + BASE))


EMPTY = Histogram(0, np.zeros(0, dtype=np.int64))


def merged(parts: Iterable[Histogram]) -> Histogram:
    """Return the histogram of everything in ``parts``."""
    filled = [part for part in parts if part.counts.size]
    if len(filled) < 2:  # noqa: PLR2004 (nothing to merge)
        return filled[0] if filled else EMPTY
    offset = min(part.offset for part in filled)
    counts = np.zeros(max(part.offset + part.counts.size for part in filled) - offset, dtype=np.int64)
    for part in filled:
        start = part.offset - offset
        counts[start : start + part.counts.size] += part.counts
    return Histogram(offset, counts)
