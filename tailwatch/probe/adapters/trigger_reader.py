"""A topic, read by every process by itself: all partitions, no consumer group, from a time ago or from the beginning.

A shared group would hand a trigger to a random process. Kafka's outages are waited out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from tailwatch.contracts.codec import decode, header
from tailwatch.contracts.errors import ContractError
from tailwatch.contracts.event import Event
from tailwatch.contracts.topics import Topic
from tailwatch.runtime.kafka import NotPublished, client_options
from tailwatch.runtime.logs import logger
from tailwatch.runtime.rejects import rejected
from tailwatch.runtime.settings import KafkaSettings

log = logger(__name__)

POLL_MS = 250
PAUSE_SECONDS = 1.0
LOOK_UP_SECONDS = 5.0


class Publishing(Protocol):
    """What is needed of a publisher."""

    async def publish(self, event: Event, *, traceparent: str | None = None) -> None:
        """Send one event; return once it is acknowledged."""


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
        consumer = AIOKafkaConsumer(
            self._topic.name,
            **client_options(self._settings),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        try:
            await consumer.start()
            await self._skip_the_past(consumer)
            log.info("reading", topic=self._topic.name, partitions=len(consumer.assignment()))
            while not stop.is_set():
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    for record in records:
                        await self._one(record)
        finally:
            await consumer.stop()

    async def _skip_the_past(self, consumer: Any) -> None:
        """Seek to where records are young enough; a broker that cannot say so is read from the beginning.

        The embedded broker answers every look-up by time with its end.
        """
        if self._since is None or self._settings.kafka_embedded or not consumer.assignment():
            return
        wanted = {partition: int(self._since * 1000) for partition in consumer.assignment()}
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                ends = await consumer.end_offsets(list(wanted))  # first: what comes meanwhile must not be skipped
                found: dict[TopicPartition, Any] = await consumer.offsets_for_times(wanted)
        except (KafkaError, TimeoutError) as error:
            log.info("offsets_for_times_unsupported", topic=self._topic.name, error=repr(error))
            return
        for partition in wanted:
            position = found.get(partition)
            consumer.seek(partition, position.offset if position is not None else ends[partition])

    async def _one(self, record: ConsumerRecord) -> None:
        if self._since is not None and 0 < record.timestamp < self._since * 1000:
            return
        try:
            event = decode(record.value, topic=record.topic, partition=record.partition, offset=record.offset)
        except ContractError as error:
            log.warning(
                "rejected", topic=record.topic, partition=record.partition, offset=record.offset, error=str(error)
            )
            await self._reject(record, error)
            return
        found = header(record.headers, "traceparent")
        self._on_event(event, found.decode("ascii", "replace") if found else None)

    async def _reject(self, record: ConsumerRecord, error: ContractError) -> None:
        try:
            await self._publisher.publish(rejected(record.value, error=error, by=self._by, at=self._clock()))
        except NotPublished as refused:
            log.exception("reject_not_published", topic=record.topic, offset=record.offset, error=str(refused))
