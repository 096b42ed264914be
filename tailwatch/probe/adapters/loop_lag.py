"""How late the event loop is: a task that sleeps for a known time and sees by how much it was woken too late."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field

from tailwatch.contracts.context import Quantiles
from tailwatch.probe.core.activity import quantiles

EVERY_SECONDS = 0.1
KEPT = 6_000
"""Ten minutes, more than the longest capture."""


@dataclass(slots=True)
class LoopLag:
    """Lags of the loop that :meth:`run` runs on, newest last."""

    _seen: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=KEPT))
    """(``perf_counter`` seconds, lag in milliseconds)"""

    async def run(self) -> None:
        """Measure until cancelled; ten wake-ups a second."""
        while True:
            due = time.perf_counter() + EVERY_SECONDS
            await asyncio.sleep(EVERY_SECONDS)
            now = time.perf_counter()
            self._seen.append((now, max(0.0, (now - due) * 1000)))

    def mean_ms(self, seconds: float) -> float:
        """Return the mean lag over the last ``seconds``; 0 when there is none."""
        since = time.perf_counter() - seconds
        total = count = 0.0
        for at, lag in reversed(self._seen):
            if at < since:
                break
            total, count = total + lag, count + 1
        return total / count if count else 0.0

    def between(self, since: float, until: float) -> Quantiles:
        """Return the lags in a span of ``perf_counter`` time."""
        return quantiles([lag for at, lag in self._seen if since <= at <= until])
