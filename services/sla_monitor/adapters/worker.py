"""The Faust application: what it consumes and how it acknowledges. It decides nothing.

Rules that Faust does not enforce, and that hold here: a record is acknowledged by whoever handles it (``noack``), an
exception in a handler ends the process (Faust would skip the record and leave a hole that stops all commits), and
stopping waits for no unacknowledged record (they wait for the window by design).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import faust
from faust.auth import SASLCredentials, SSLCredentials
from faust.streams import Stream
from faust.types import TP, Message
from yarl import URL

from services.sla_monitor.adapters.latches import Latches, LatchTable
from services.sla_monitor.adapters.transport import PromptTransport
from services.sla_monitor.core.partition import Heads
from services.sla_monitor.settings import SlaMonitorSettings
from tailwatch.contracts.errors import PipelineError
from tailwatch.contracts.topics import CAPTURES, TIMINGS, Topic
from tailwatch.contracts.units import Instant
from tailwatch.runtime.kafka import client_options
from tailwatch.runtime.logs import logger

log = logger(__name__)

GROUP = "tailwatch.sla_monitor"


class WorkerCrashed(PipelineError):
    """Faust ended by itself, or a handler failed in a way that nobody foresaw."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Consumed:
    """One record as it came from Kafka, to be acknowledged once it is no longer needed."""

    partition: int
    offset: int
    value: bytes | None
    timestamp: Instant
    acknowledge: Callable[[], object]


class Handlers(Protocol):
    """What is done with what was consumed."""

    async def timings(self, consumed: Consumed) -> None:
        """Handle a record of the timings."""

    async def captures(self, consumed: Consumed) -> None:
        """Handle a record of the captures."""

    def forget(self) -> None:
        """Drop everything: the partitions may belong to another worker now."""


class Worker:
    """Faust's application inside this process's own life: no command line, no signals, no web server."""

    def __init__(self, settings: SlaMonitorSettings, *, data_dir: Path, longest_wait_seconds: float) -> None:
        """``longest_wait_seconds`` is how long a record may have to wait for its acknowledgement."""
        self._app = _application(settings, data_dir=data_dir, longest_wait_seconds=longest_wait_seconds)
        table = LatchTable(self._app, name="latches", partitions=TIMINGS.partitions)
        self._app.tables.add(table)
        self.latches = Latches(table)
        self.consuming = False
        """Whether it has joined its group."""

    def attach(self, handlers: Handlers) -> None:
        """Hand what is consumed to ``handlers``."""
        for topic, handle in ((TIMINGS, handlers.timings), (CAPTURES, handlers.captures)):
            self._consume(topic, handle)

        async def revoked(*_: Any, **__: Any) -> None:
            log.info("partitions_revoked")
            handlers.forget()

        async def assigned(*_: Any, **__: Any) -> None:
            self.consuming = True
            log.info("partitions_assigned")

        self._app.on_partitions_revoked.connect(revoked, weak=False)
        self._app.on_rebalance_complete.connect(assigned, weak=False)

    async def heads(self, partition: int) -> Heads:
        """Return how far the two topics reach now, in one partition; 0 where nothing is left to read."""
        timings, captures = TP(TIMINGS.name, partition), TP(CAPTURES.name, partition)
        consumer = self._app.consumer
        ends = await consumer.highwaters(timings, captures)
        begins = await consumer.earliest_offsets(timings, captures)
        committed = cast("dict[TP, int | None]", consumer._committed_offset)  # type: ignore[attr-defined]  # noqa: SLF001 (Faust has no other way to ask)

        def head(tp: TP) -> int:
            begin = max(begins[tp], committed.get(tp) or 0)
            return ends[tp] if begin < ends[tp] else 0

        return Heads(timings=head(timings), captures=head(captures))

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until ``stop`` is set; raise WorkerCrashed when Faust ends for another reason."""
        starting = asyncio.ensure_future(self._app.start())
        ended = asyncio.ensure_future(self._app.wait_until_stopped())
        asked = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({starting, ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
                await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._app.stop()
            for task in (starting, ended, asked):
                task.cancel()
            await asyncio.wait({starting, ended, asked})
        if not stop.is_set():
            reason = self._app.crash_reason
            raise WorkerCrashed(f"the Faust application ended by itself: {reason!r}") from reason

    def _consume(self, topic: Topic, handle: Callable[[Consumed], Awaitable[None]]) -> None:
        app = self._app
        source = app.topic(topic.name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

        async def read(stream: faust.StreamT[bytes]) -> None:
            async for event in cast("Stream[bytes]", stream).noack().events():
                try:
                    await handle(_consumed(app, event.message, cast("bytes | None", event.value)))
                except Exception as error:
                    await app.crash(error)
                    raise

        app.agent(source, name=f"read.{topic.noun}")(read)


def _consumed(app: faust.App, message: Message, value: bytes | None) -> Consumed:
    # What waits for its acknowledgement needs no bytes: a minute of records is waiting.
    message.value = message.key = message.headers = None
    return Consumed(
        partition=message.partition,
        offset=message.offset,
        value=value,
        timestamp=message.timestamp,
        acknowledge=lambda: message.ack(app.consumer),
    )


def _application(settings: SlaMonitorSettings, *, data_dir: Path, longest_wait_seconds: float) -> faust.App:
    brokers = [URL(f"kafka://{server.strip()}") for server in settings.require_kafka().split(",")]
    session_seconds = settings.kafka_session_timeout_ms / 1000
    request_seconds = settings.kafka_request_timeout_ms / 1000
    app = faust.App(
        GROUP,
        env={},  # Faust lets the environment overrule what is said here; this service's settings are the only ones
        broker=brokers,
        broker_credentials=_credentials(settings),
        broker_session_timeout=session_seconds,
        broker_heartbeat_interval=session_seconds / 3,
        broker_request_timeout=max(request_seconds, session_seconds),
        broker_commit_interval=settings.sla_monitor_commit_seconds,
        broker_commit_livelock_soft_timeout=longest_wait_seconds + 300,
        consumer_group_instance_id=settings.sla_monitor_member_id,
        consumer_auto_offset_reset="earliest",
        stream_wait_empty=False,
        producer_request_timeout=request_seconds,
        store="memory://",
        table_standby_replicas=0,
        topic_partitions=TIMINGS.partitions,
        topic_replication_factor=settings.sla_monitor_latch_replicas,
        topic_allow_declare=not settings.kafka_embedded,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=str(data_dir),
        autodiscover=False,
    )
    app.transport = PromptTransport(brokers, app)
    return app


def _credentials(settings: SlaMonitorSettings) -> SASLCredentials | SSLCredentials | None:
    options = client_options(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        return SASLCredentials(
            username=options["sasl_plain_username"],
            password=options["sasl_plain_password"],
            mechanism=options["sasl_mechanism"],
            ssl_context=options.get("ssl_context"),
        )
    return SSLCredentials(options["ssl_context"]) if settings.kafka_security_protocol == "SSL" else None
