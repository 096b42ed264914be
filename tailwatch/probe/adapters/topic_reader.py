"""A topic, read by every process by itself: all partitions, no consumer group, from a time ago or from the beginning.

A shared group would hand a trigger to a random process. Kafka's outages are waited out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from aiokafka.errors import KafkaError

from tailwatch.contracts.topics import Topic
from tailwatch.probe.adapters.publication import Publishing
from tailwatch.runtime.kafka import NotPublished
from tailwatch.runtime.logs import logger
from tailwatch.runtime.reader import Unreadable, read
from tailwatch.runtime.rejects import rejected
from tailwatch.runtime.settings import KafkaSettings

log = logger(__name__)

PAUSE_SECONDS = 1.0


class TopicReader:
    """Hands every event of one topic to ``on_event(event, traceparent)``, on the loop that :meth:`run` runs on."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        topic: Topic,
        on_event: Callable[[Any, str | None], None],
        publisher: Publishing,
        by: str,
        clock: Callable[[], float],
        since_seconds: float | None = None,
    ) -> None:
        """Read from ``since_seconds`` before the start, or from the beginning; ``by`` is who rejects records."""
        self._settings, self._topic, self._on_event = settings, topic, on_event
        self._publisher, self._by, self._clock = publisher, by, clock
        self._since = clock() - since_seconds if since_seconds is not None else None

    async def run(self, stop: asyncio.Event) -> None:
        """Read until ``stop`` is set, whatever Kafka does."""
        while not stop.is_set():
            try:
                await self._read(stop)
            except (KafkaError, OSError) as error:
                log.warning("topic_reader_retries", topic=self._topic.name, error=repr(error))
                await asyncio.sleep(PAUSE_SECONDS)

    async def _read(self, stop: asyncio.Event) -> None:
        log.info("reading", topic=self._topic.name)
        async with aclosing(read(self._settings, [self._topic], since=self._since, stop=stop)) as records:
            async for record in records:
                if isinstance(record, Unreadable):
                    await self._reject(record)
                else:
                    self._on_event(record.event, record.traceparent)

    async def _reject(self, record: Unreadable) -> None:
        log.warning("rejected", error=str(record.error))
        try:
            await self._publisher.publish(rejected(record.value, error=record.error, by=self._by, at=self._clock()))
        except NotPublished as refused:
            log.exception("reject_not_published", topic=record.error.topic, error=str(refused))
