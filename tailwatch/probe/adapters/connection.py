"""The probe's connection to Kafka: made in the background, however long that takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tailwatch.contracts.event import Event
from tailwatch.runtime.kafka import Publisher, open_publisher
from tailwatch.runtime.settings import KafkaSettings


class Connection:
    """A publisher that can be used before Kafka answers: what is published then waits. On the background loop."""

    def __init__(self, settings: KafkaSettings, *, source: str, clock: Callable[[], float]) -> None:
        """Say who publishes: ``source`` is the CloudEvents source."""
        self._settings, self._source, self._clock = settings, source, clock
        self._connected: asyncio.Future[Publisher] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Hold the connection until ``stop``."""
        async with open_publisher(self._settings, source=self._source, clock=self._clock) as publisher:
            self._future().set_result(publisher)
            await stop.wait()

    async def publish(self, event: Event, *, traceparent: str | None = None) -> None:
        """Send one event once Kafka answers; return when it is acknowledged."""
        publisher = await asyncio.shield(self._future())
        await publisher.publish(event, traceparent=traceparent)

    def _future(self) -> asyncio.Future[Publisher]:
        if self._connected is None:
            self._connected = asyncio.get_running_loop().create_future()
        return self._connected
