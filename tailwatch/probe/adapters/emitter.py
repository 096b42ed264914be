"""The emitter: from the request path into a bounded queue, from there in batches to Kafka.

``offer`` is all that a request pays: an append. A full queue drops and counts; nothing ever waits.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tailwatch.contracts.codec import encode
from tailwatch.contracts.timings import RequestTimings
from tailwatch.probe.core.activity import Activity
from tailwatch.probe.core.batch import MOST_RUNNING, Answered, Packer
from tailwatch.probe.settings import ProbeSettings
from tailwatch.runtime.kafka import client_options, until_it_works
from tailwatch.runtime.logs import logger
from tailwatch.runtime.metrics import Metrics
from tailwatch.runtime.tracing import traceparent

log = logger(__name__)


class Emitter:
    """Publishes latency events of one process; runs on the probe's background loop."""

    def __init__(
        self,
        settings: ProbeSettings,
        *,
        activity: Activity,
        packer: Packer,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._settings, self._activity, self._packer = settings, activity, packer
        self._metrics, self._clock = metrics, clock
        self._queue: deque[Answered] = deque()
        self._source = f"/tailwatch/probe/{packer.identity.service}"
        self.connected = False

    def offer(self, request: Answered) -> None:
        """Queue one request, or drop it and count that. Never waits; called on the request path."""
        if len(self._queue) >= self._settings.events_queue_size:
            self._metrics.count("latency_events_dropped_total", reason="queue_full")
        else:
            self._queue.append(request)

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until ``stop``, then what is still queued."""
        producer = AIOKafkaProducer(**client_options(self._settings), acks="all")
        try:
            async for attempt in until_it_works(what="connect emitter"):
                with attempt:
                    await producer.start()
            self.connected = True
            while not stop.is_set():
                await self._publish(producer)
                try:
                    await asyncio.wait_for(stop.wait(), self._settings.events_linger_ms / 1000)
                except TimeoutError:
                    continue
            await self._publish(producer)
        finally:
            self.connected = False
            await producer.stop()

    async def _publish(self, producer: AIOKafkaProducer) -> None:
        answered = [self._queue.popleft() for _ in range(len(self._queue))]
        at = self._clock()
        running = self._activity.oldest_running(at, most=MOST_RUNNING)
        for record in self._packer.pack(answered, running, at=at):
            await self._send(producer, record, at)
        self._metrics.gauge("latency_publish_queue_length", len(self._queue))

    async def _send(self, producer: AIOKafkaProducer, timings: RequestTimings, at: float) -> None:
        trace = timings.slowest[0].trace_id if timings.slowest else None
        record = encode(timings, source=self._source, at=at, traceparent=traceparent(trace))
        requests = len(timings.started_at)
        try:
            acknowledged = await producer.send(
                record.topic, key=record.key, value=record.value, headers=list(record.headers)
            )
        except (KafkaError, OSError) as error:
            self._lost(requests, error)
            return
        acknowledged.add_done_callback(lambda future: self._settled(requests, future))

    def _settled(self, requests: int, future: asyncio.Future[object]) -> None:
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or error is not None:
            self._lost(requests, error)
        else:
            self.connected = True
            self._metrics.count("latency_events_published_total", requests)

    def _lost(self, requests: int, error: BaseException | None) -> None:
        self.connected = False
        self._metrics.count("latency_events_dropped_total", requests, reason="kafka")
        log.warning("latency_events_dropped", requests=requests, error=repr(error))
