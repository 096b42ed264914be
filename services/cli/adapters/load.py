"""Open-loop HTTP load: requests leave on time, however slow the answers are."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count

import httpx

TIMEOUT_SECONDS = 30.0
CONSUMERS = 8


@dataclass(slots=True)
class Load:
    """Requests for tokens at a steady rate, and what became of them."""

    url: str
    rate: float
    """Requests per second."""
    sent_at: list[float] = field(default_factory=list)
    """Seconds since the epoch, in order of sending."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """By status code, or by the name of what went wrong."""

    @property
    def failed(self) -> int:
        """Requests that were not answered with 200."""
        return self.outcomes.total() - self.outcomes["200"]

    async def run(self, stop: asyncio.Event) -> None:
        """Send until ``stop``; then wait for what is still running."""
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        async with (
            httpx.AsyncClient(timeout=TIMEOUT_SECONDS, limits=limits, trust_env=False) as client,
            asyncio.TaskGroup() as group,
        ):
            began = time.perf_counter()
            for number in count(1):
                if stop.is_set():
                    break
                group.create_task(self._one(client, number))
                await asyncio.sleep(max(0.0, began + number / self.rate - time.perf_counter()))

    async def _one(self, client: httpx.AsyncClient, number: int) -> None:
        self.sent_at.append(time.time())
        consumer = f"consumer-{number % CONSUMERS}"
        try:
            answer = await client.post(
                f"{self.url}/tokens", headers={"X-Consumer-ID": consumer, "X-Consumer-Username": consumer}
            )
            self.outcomes[str(answer.status_code)] += 1
        except httpx.HTTPError as error:
            self.outcomes[type(error).__name__] += 1
