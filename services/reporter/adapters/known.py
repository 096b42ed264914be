"""What is already known: the recommendations on their own, compacted topic, which is their state."""

from __future__ import annotations

from collections.abc import Callable

from tailwatch.contracts.recommendations import Recommendation
from tailwatch.contracts.topics import RECOMMENDATIONS
from tailwatch.runtime.kafka import Publisher
from tailwatch.runtime.logs import logger
from tailwatch.runtime.reader import Unreadable, read
from tailwatch.runtime.rejects import rejected
from tailwatch.runtime.settings import KafkaSettings

log = logger(__name__)


class KnownRecommendations:
    """Reads the topic from its beginning to its end, anew with every analysis: a rebalance needs nothing of its own."""

    def __init__(self, settings: KafkaSettings, publisher: Publisher, *, name: str, clock: Callable[[], float]) -> None:
        """``name`` is the service under which unreadable records are rejected, once each."""
        self._settings, self._publisher, self._name, self._clock = settings, publisher, name, clock
        self._rejected: set[tuple[int, int]] = set()

    async def newest(self) -> dict[str, Recommendation]:
        """Return the newest state of each recommendation, by fingerprint."""
        known: dict[str, Recommendation] = {}
        async for record in read(self._settings, [RECOMMENDATIONS], follow=False):
            if isinstance(record, Unreadable):
                await self._reject(record)
            elif isinstance(record.event, Recommendation):
                known[record.event.fingerprint] = record.event
        return known

    async def _reject(self, record: Unreadable) -> None:
        position = (record.error.partition, record.error.offset)
        if record.value is None or position in self._rejected:
            return
        self._rejected.add(position)
        log.warning("rejected", topic=record.error.topic, partition=position[0], offset=position[1])
        await self._publisher.publish(rejected(record.value, error=record.error, by=self._name, at=self._clock()))
