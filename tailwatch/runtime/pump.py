"""The consumer pump: records in, one handler, records out, then the commit. At least once, in order.

What cannot be understood goes to ``pipeline.rejects.v1`` and the pump goes on; what is away is waited for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential
from typing_extensions import override

from tailwatch.contracts.codec import decode, header
from tailwatch.contracts.errors import CaptureRejected, ContractError, StoreUnavailable
from tailwatch.contracts.event import Event
from tailwatch.contracts.topics import Topic
from tailwatch.runtime.heartbeat import Heartbeat
from tailwatch.runtime.kafka import NotPublished, Publisher, client_options, until_it_works
from tailwatch.runtime.logs import logger
from tailwatch.runtime.rejects import rejected
from tailwatch.runtime.settings import KafkaSettings
from tailwatch.runtime.tracing import child_of

log = logger(__name__)

POLL_MS = 250


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One event as it came from Kafka."""

    event: Event
    topic: str
    partition: int
    offset: int
    traceparent: str | None
    received_at: float


Handle = Callable[[Delivery], Awaitable[Sequence[Event]]]


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka is untyped
    def __init__(self, assigned: Callable[[], Awaitable[None]]) -> None:
        self._assigned = assigned

    @override
    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        log.info("partitions_revoked", partitions=len(revoked))

    @override
    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        log.info("partitions_assigned", partitions=len(assigned))
        await self._assigned()


async def _nothing() -> None:
    return


class Pump:
    """Consumes topics for one service; ``handle`` returns the events that the input leads to."""

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        group: str,
        topics: Sequence[Topic],
        handle: Handle,
        publisher: Publisher,
        clock: Callable[[], float],
        on_assigned: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """``group`` is the consumer group and the name under which records are rejected."""
        self._group, self._topics, self._handle = group, topics, handle
        self._publisher, self._clock, self._on_assigned = publisher, clock, on_assigned
        self._heartbeat = Heartbeat(settings.heartbeat_file)
        self._patience = settings.shutdown_grace_seconds / 2
        self._consumer = AIOKafkaConsumer(
            **client_options(settings),
            group_id=f"tailwatch.{group}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_session_timeout_ms // 3,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until ``stop`` is set; the record in hand then has half of the grace to be finished and committed.

        What waits for longer (Kafka or the store is away) is left uncommitted: whoever comes next sees it again.
        """
        deadline = asyncio.timeout(None)
        try:
            async with deadline:
                watching = asyncio.ensure_future(self._limit(deadline, stop))
                try:
                    await self._consume(stop)
                finally:
                    watching.cancel()
        except TimeoutError:
            if not deadline.expired():
                raise
            log.warning("record_left_uncommitted", group=self._group, waited_seconds=self._patience)
        finally:
            await self._consumer.stop()

    async def _limit(self, deadline: asyncio.Timeout, stop: asyncio.Event) -> None:
        await stop.wait()
        deadline.reschedule(asyncio.get_running_loop().time() + self._patience)

    async def _consume(self, stop: asyncio.Event) -> None:
        self._consumer.subscribe([topic.name for topic in self._topics], listener=_Rebalances(self._on_assigned))
        async for attempt in until_it_works(what="connect consumer"):
            with attempt:
                await self._consumer.start()
        log.info("consuming", group=self._group, topics=[topic.name for topic in self._topics])
        while not stop.is_set():
            self._heartbeat.beat()
            batch = await self._consumer.getmany(timeout_ms=POLL_MS)
            for partition, records in batch.items():
                for record in records:
                    if stop.is_set() or partition not in self._consumer.assignment():
                        break
                    await self._one(partition, record)
                    self._heartbeat.beat()

    async def _one(self, partition: TopicPartition, record: ConsumerRecord) -> None:
        began = time.perf_counter()
        found = header(record.headers, "traceparent")
        cause = found.decode("ascii", "replace") if found else None
        trace = child_of(cause)
        try:
            event = decode(record.value, topic=record.topic, partition=record.partition, offset=record.offset)
            results = await self._handled(
                Delivery(
                    event=event,
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    traceparent=cause,
                    received_at=self._clock(),
                )
            )
            for result in results:
                await self._publisher.publish(result, traceparent=trace)
            outcome, name = "handled", type(event).__name__
        except (ContractError, CaptureRejected, NotPublished) as error:
            outcome, name = f"rejected: {error}", "-"
            await self._reject(record, reason=getattr(error, "reason", str(error)), trace=trace)
        await self._commit(partition, record.offset + 1)
        log.info(
            "message",
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            kind=name,
            trace_id=trace.split("-")[1],
            outcome=outcome,
            took_ms=round((time.perf_counter() - began) * 1000, 2),
        )

    async def _handled(self, delivery: Delivery) -> Sequence[Event]:
        waiting = AsyncRetrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            before_sleep=lambda state: log.warning("store_unavailable", attempt=state.attempt_number),
            reraise=True,
        )
        try:
            return await waiting(self._handle, delivery)
        except (ContractError, CaptureRejected, NotPublished, KafkaError, asyncio.CancelledError):
            raise
        except Exception as error:
            # Nothing that a record contains may stop a consumer: what was not foreseen is rejected with its reason.
            log.exception("handler_failed", topic=delivery.topic, partition=delivery.partition, offset=delivery.offset)
            raise ContractError(
                topic=delivery.topic,
                partition=delivery.partition,
                offset=delivery.offset,
                reason=f"unexpected {type(error).__name__}: {error}",
            ) from error

    async def _reject(self, record: ConsumerRecord, *, reason: str, trace: str) -> None:
        error = ContractError(topic=record.topic, partition=record.partition, offset=record.offset, reason=reason)
        await self._publisher.publish(
            rejected(record.value, error=error, by=self._group, at=self._clock()), traceparent=trace
        )

    async def _commit(self, partition: TopicPartition, offset: int) -> None:
        try:
            async for attempt in until_it_works(what="commit"):
                with attempt:
                    await self._consumer.commit({partition: offset})
        except (CommitFailedError, IllegalStateError) as error:
            # Another member owns the partition now and sees the record again: the outcome is the same by its id.
            log.warning("commit_refused", partition=str(partition), offset=offset, error=repr(error))
