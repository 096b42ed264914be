"""How late the event loop is, and how much of that is the sampler's doing.

A task sleeps for a known time and sees by how much it was woken too late, and for how long the sampler held the thread
meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from statistics import fmean

from tailwatch.contracts.context import Quantiles
from tailwatch.probe.core.activity import quantiles

EVERY_SECONDS = 0.1
KEPT = 6_000
"""Ten minutes, more than the longest capture."""


@dataclass(slots=True)
class LoopLag:
    """Lags of the loop that :meth:`run` runs on, newest last."""

    held_seconds: Callable[[], float]
    """For how long the sampler has held the loop's thread so far."""
    _seen: deque[tuple[float, float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))
    """(``perf_counter`` seconds, lag in milliseconds, of these: at most by the sampler)"""

    async def run(self) -> None:
        """Measure until cancelled; ten wake-ups a second."""
        while True:
            due, held = time.perf_counter() + EVERY_SECONDS, self.held_seconds()
            await asyncio.sleep(EVERY_SECONDS)
            now = time.perf_counter()
            lag = max(0.0, (now - due) * 1000)
            self._seen.append((now, lag, min(lag, max(0.0, self.held_seconds() - held) * 1000)))

    def held_ms(self, seconds: float) -> float:
        """Return the mean lag by the sampler over the last ``seconds``; 0 when nothing was measured."""
        since = time.perf_counter() - seconds
        recent = [held for at, _, held in takewhile(lambda seen: seen[0] >= since, reversed(self._seen))]
        return fmean(recent) if recent else 0.0

    def between(self, since: float, until: float) -> Quantiles:
        """Return the lags in a span of ``perf_counter`` time."""
        return quantiles([lag for at, lag, _ in self._seen if since <= at <= until])
