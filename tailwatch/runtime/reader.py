"""Reading topics alone: every partition, no consumer group, nothing committed. For people, agents and states."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from heapq import merge
from operator import attrgetter

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from tailwatch.contracts.codec import decode, header
from tailwatch.contracts.errors import ContractError
from tailwatch.contracts.topics import Topic
from tailwatch.runtime.kafka import client_options, until_it_works
from tailwatch.runtime.pump import Delivery
from tailwatch.runtime.settings import KafkaSettings

POLL_MS = 200
ASSIGNMENT_SECONDS = 15.0


class Unreadable:
    """A record that is not what its topic promises, with its bytes."""

    def __init__(self, error: ContractError, value: bytes | None) -> None:
        self.error, self.value = error, value


async def read(
    settings: KafkaSettings,
    topics: Sequence[Topic],
    *,
    since: float | None = None,
    follow: bool = True,
    stop: asyncio.Event | None = None,
) -> AsyncGenerator[Delivery | Unreadable, None]:
    """Yield the records of some topics: from ``since`` (epoch seconds) on, else from the beginning.

    It goes on until ``stop`` is set; without ``follow`` it ends at what was the end when it began. Partitions keep
    their order; what came together from several is ordered by its time. Waits while Kafka is away.
    """
    consumer = AIOKafkaConsumer(
        *[topic.name for topic in topics],
        **client_options(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        async for attempt in until_it_works(what="connect reader"):
            with attempt:
                await consumer.start()
        partitions = await _assigned(consumer, topics)
        if since is not None and not settings.kafka_embedded:
            await _seek(consumer, partitions, since)
        ends = {} if follow else await consumer.end_offsets(list(partitions))
        while (follow and not (stop and stop.is_set())) or await _unread(consumer, ends):
            batch = await consumer.getmany(timeout_ms=POLL_MS)
            for record in merge(*batch.values(), key=attrgetter("timestamp")):
                if since is None or record.timestamp >= since * 1000:
                    yield _understood(record)
    finally:
        await consumer.stop()


def _understood(record: ConsumerRecord) -> Delivery | Unreadable:
    try:
        event = decode(record.value, topic=record.topic, partition=record.partition, offset=record.offset)
    except ContractError as error:
        return Unreadable(error, record.value)
    cause = header(record.headers, "traceparent")
    return Delivery(
        event=event,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        traceparent=cause.decode("ascii", "replace") if cause else None,
        received_at=record.timestamp / 1000,
    )


async def _assigned(consumer: AIOKafkaConsumer, topics: Sequence[Topic]) -> set[TopicPartition]:
    wanted = {topic.name for topic in topics}
    async with asyncio.timeout(ASSIGNMENT_SECONDS):
        while wanted - {partition.topic for partition in consumer.assignment()}:  # noqa: ASYNC110  # aiokafka has no event for it
            await asyncio.sleep(0.05)
    assigned: set[TopicPartition] = consumer.assignment()
    return assigned


async def _seek(consumer: AIOKafkaConsumer, partitions: set[TopicPartition], since: float) -> None:
    # The embedded broker answers look-ups by time with its end: there, older records are read and passed over.
    ends = await consumer.end_offsets(list(partitions))  # first: what comes meanwhile must not be skipped
    found = await consumer.offsets_for_times({partition: int(since * 1000) for partition in partitions})
    for partition in partitions:
        offset = found.get(partition)
        consumer.seek(partition, ends[partition] if offset is None else offset.offset)


async def _unread(consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int]) -> bool:
    for partition, end in ends.items():
        if end > 0 and await consumer.position(partition) < end:
            return True
    return False
