"""The probe and a broker: what it reports and how soon, what it learns, and what it does without Kafka."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from msgspec.structs import replace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tailwatch.contracts.codec import decode, encode, header, trace_id
from tailwatch.contracts.event import Event
from tailwatch.contracts.rejects import RejectedRecord
from tailwatch.contracts.timings import RequestTimings
from tailwatch.contracts.topics import REJECTS, STATUSES, TIMINGS, TRIGGERS
from tailwatch.probe import Probe
from tailwatch.probe.adapters.background import Background
from tailwatch.probe.adapters.connection import Connection
from tailwatch.probe.adapters.topic_reader import TopicReader
from tailwatch.probe.settings import ProbeSettings
from tailwatch.runtime.pump import Delivery
from tailwatch.runtime.reader import read
from tailwatch.runtime.settings import KafkaSettings, host_name
from tests.support.examples import STATUS, TRACE, TRIGGERED

SECONDS = 10.0
SOON = 2.0
BLOCKED_SECONDS = 2.5
PARTITION = 1
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def item(request: Request) -> Response:
    """Answer with the status asked for."""
    return Response(status_code=int(request.path_params["item"]))


async def block(_: Request) -> Response:
    """Hold the event loop."""
    time.sleep(BLOCKED_SECONDS)  # noqa: ASYNC251 (that is the point)
    return Response()


async def until(holds: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait until something holds; fail after a deadline."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(0.02)


def settings_of(folder: Path, kafka: KafkaSettings, **chosen: Any) -> ProbeSettings:
    """Return the probe's settings at a broker, without captures; changed as told."""
    plain: dict[str, Any] = {
        **kafka.model_dump(),
        "profiling_enabled": False,
        "continuous_profiling_enabled": False,
        "artifact_store_url": str(folder / "store"),
        "profiling_spool_dir": folder / "spool",
        "service_version": "1.4.0",
    }
    return ProbeSettings(_env_file=None, **{**plain, **chosen})


@dataclass
class Watched:
    """A watched service and its client."""

    probe: Probe
    client: httpx.AsyncClient

    async def get(self, path: str, **headers: str) -> int:
        """Return the status of an answer."""
        return (await self.client.get(path, headers=headers)).status_code


@asynccontextmanager
async def watched(settings: ProbeSettings) -> AsyncIterator[Watched]:
    """Yield a started service; end it."""
    app = Starlette(routes=[Route("/items/{item}", item, methods=["GET", "POST"]), Route("/block", block)])
    probe = Probe(app, service="shop", settings=settings)
    await probe.start()
    try:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(probe), base_url="http://shop") as client:
            yield Watched(probe, client)
    finally:
        await probe.close()


@dataclass
class Heard:
    """Records of the timings' topic and when they came, on a thread of its own."""

    came: list[tuple[float, ConsumerRecord]] = field(default_factory=list)
    listens: threading.Event = field(default_factory=threading.Event)

    @property
    def timings(self) -> list[RequestTimings]:
        """The events, decoded by their contract, in order by target: only a partition keeps its order."""
        events: list[RequestTimings] = [decode(record.value, topic=record.topic) for _, record in self.came]
        return sorted(events, key=lambda event: event.target)

    @property
    def requests(self) -> int:
        """How many requests were reported."""
        return sum(len(event.started_at) for event in self.timings)

    async def listen(self, servers: str) -> None:
        """Read until cancelled."""
        consumer = AIOKafkaConsumer(TIMINGS.name, bootstrap_servers=servers, auto_offset_reset="earliest")
        try:
            await consumer.start()
            self.listens.set()
            async for record in consumer:
                self.came.append((time.time(), record))
        finally:
            await consumer.stop()


@pytest.fixture
async def heard(kafka: KafkaSettings) -> AsyncIterator[Heard]:
    """Yield what is heard on the timings' topic."""
    heard, background = Heard(), Background()
    listening = background.submit(heard.listen(kafka.require_kafka()))
    await until(heard.listens.is_set)
    yield heard
    listening.cancel()
    background.close(2.0)


async def put(kafka: KafkaSettings, topic: str, *values: Event | bytes, at: float | None = None) -> None:
    """Write records to one partition of a topic."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.require_kafka())
    await producer.start()
    timestamp = None if at is None else int(at * 1000)
    try:
        for value in values:
            content = value if isinstance(value, bytes) else encode(value, source="/test", at=time.time()).value
            await producer.send_and_wait(
                topic,
                value=content,
                key=b"k",
                partition=PARTITION,
                timestamp_ms=timestamp,
                headers=[("traceparent", TRACEPARENT.encode())],
            )
    finally:
        await producer.stop()


async def rejects(kafka: KafkaSettings) -> list[RejectedRecord]:
    """Return the rejected records."""
    async with asyncio.timeout(SECONDS):
        found = [each.event async for each in read(kafka, [REJECTS], follow=False) if isinstance(each, Delivery)]
    return [event for event in found if isinstance(event, RejectedRecord)]


async def test_every_request_arrives_as_a_latency_event_soon(
    kafka: KafkaSettings, heard: Heard, tmp_path: Path
) -> None:
    """Decoded by its contract: who answered what, with which status, in which order; within 2 seconds."""
    async with watched(settings_of(tmp_path, kafka)) as service:
        telemetry = service.probe.telemetry
        assert telemetry is not None
        await until(lambda: service.probe.health()["connected"])
        began = time.time()
        assert await service.get("/items/200", traceparent=TRACEPARENT) == 200
        await until(lambda: heard.requests == 1)
        assert await service.get("/items/503") == 503
        assert (await service.client.post("/nowhere")).status_code == 404
        await until(lambda: heard.requests == 3)
    assert heard.came[0][0] - began < SOON
    assert [(event.target, event.sequence, event.status, event.method) for event in heard.timings] == [
        ("GET /items/{item}", 0, (200,), ("GET",)),
        ("GET /items/{item}", 1, (503,), ("GET",)),
        ("unmatched", 0, (404,), ("POST",)),
    ]
    arrived, record = heard.came[0]
    event = heard.timings[0]
    assert (event.service, event.service_version) == ("shop", "1.4.0")
    assert (event.instance, event.boot) == (f"{host_name()}-{os.getpid()}", telemetry.identity.boot)
    assert event.under_capture == (False,)
    assert began <= event.started_at[0] <= event.sent_at <= arrived
    assert (record.key, trace_id(record.headers)) == (b"shop GET /items/{item}", TRACE)
    assert header(record.headers, "ce_source") == b"/tailwatch/probe/shop"
    assert event.slowest[0].trace_id == TRACE
    assert service.probe.metrics.value("latency_events_published_total") == 3


async def test_one_request_a_record_if_asked(kafka: KafkaSettings, heard: Heard, tmp_path: Path) -> None:
    """EVENTS_MAX_PER_RECORD=1: as many records as requests, numbered without a gap."""
    async with watched(settings_of(tmp_path, kafka, events_max_per_record=1, events_linger_ms=300)) as service:
        for _ in range(5):
            await service.get("/items/200")
        await until(lambda: heard.requests == 5)
    assert [(event.sequence, len(event.started_at)) for event in heard.timings] == [(n, 1) for n in range(5)]


async def test_a_blocked_event_loop_is_still_reported(kafka: KafkaSettings, heard: Heard, tmp_path: Path) -> None:
    """The reporting thread has a loop of its own: the age of the request arrives while nothing else can run."""
    async with watched(settings_of(tmp_path, kafka)) as service:
        await until(lambda: service.probe.health()["connected"])
        await service.get("/block")
        ended = time.time()
        await until(lambda: heard.requests == 1)
    during = [decode(record.value, topic=record.topic) for at, record in heard.came if at < ended]
    assert [(event.target, event.sequence, event.started_at) for event in during] == [
        ("GET /block", number, ()) for number in range(len(during))
    ]
    ages = [age for event in during for age in event.running_ms]
    assert len(ages) == len(during) >= 2
    assert ages == sorted(ages)
    assert 1_000 <= ages[-1] <= 1_000 * BLOCKED_SECONDS
    [answered] = [event for event in heard.timings if event.started_at]
    assert answered.duration_ms[0] >= 1_000 * BLOCKED_SECONDS
    assert answered.running_ms == ()


async def test_a_kafka_that_is_away_delays_neither_requests_nor_the_end(unused_tcp_port: int, tmp_path: Path) -> None:
    """Started, served and ended within the grace; nothing claims to be connected."""
    before = set(threading.enumerate())
    away = KafkaSettings(
        _env_file=None, kafka_bootstrap_servers=f"127.0.0.1:{unused_tcp_port}", shutdown_grace_seconds=2.0
    )
    began = time.perf_counter()
    async with watched(settings_of(tmp_path, away)) as service:
        for _ in range(20):
            assert await service.get("/items/200") == 200
        served = time.perf_counter()
        await asyncio.sleep(0.3)  # meanwhile it tries, and fails, to connect
        assert service.probe.health()["connected"] is False
        ending = time.perf_counter()
    ended = time.perf_counter()
    assert served - began < 1.0
    assert ended - ending < away.shutdown_grace_seconds
    assert "tailwatch-probe" not in {thread.name for thread in set(threading.enumerate()) - before}
    assert service.probe.metrics.value("latency_events_published_total") == 0


async def test_a_verdict_shows_up_in_health_and_garbage_is_rejected(kafka: KafkaSettings, tmp_path: Path) -> None:
    """Only this service's, the newest by its own time; what is no verdict is put aside and the reader goes on."""
    mine = replace(STATUS, service="shop")
    await put(
        kafka,
        STATUSES.name,
        b"\x00garbage",
        replace(STATUS, service="other", target="GET /other"),
        mine,
        replace(mine, at=STATUS.at - 5, explanation="An older one."),
    )
    async with watched(settings_of(tmp_path, kafka)) as service:
        await until(lambda: bool(service.probe.health()["endpoints"]))
        await put(kafka, STATUSES.name, b'{"service":"shop"}', replace(mine, target="GET /last"))
        await until(lambda: "GET /last" in service.probe.health()["endpoints"])
        health = service.probe.health()
    assert list(health["endpoints"]) == ["GET /last", STATUS.target]
    shown = health["endpoints"][STATUS.target]
    assert (shown["p95"], shown["state"], shown["explanation"]) == ("380.00ms", "breached", STATUS.explanation)
    first, second = await rejects(kafka)
    assert [(each.topic, each.partition, each.rejected_by) for each in (first, second)] == [
        (STATUSES.name, PARTITION, "probe")
    ] * 2
    assert (first.offset, first.value) == (0, b"\x00garbage")
    assert "JSON is malformed" in first.reason
    assert (second.offset, second.reason) == (4, "Object missing required field `service_version`")


async def test_a_reader_of_triggers_passes_over_the_past_and_rejects_garbage(
    kafka: KafkaSettings, tmp_path: Path
) -> None:
    """What is older than 30 seconds is neither given nor rejected; garbage is put aside, and the next one is given."""
    given: list[tuple[Any, str | None]] = []
    settings = settings_of(tmp_path, kafka)
    await put(kafka, TRIGGERS.name, replace(TRIGGERED, epoch=7), b"old garbage", at=time.time() - 60)
    await put(kafka, TRIGGERS.name, replace(TRIGGERED, epoch=8), at=time.time() - 5)
    connection = Connection(settings, source="/tailwatch/probe/shop", clock=time.time)
    reader = TopicReader(
        settings,
        topic=TRIGGERS,
        on_event=lambda event, traceparent: given.append((event, traceparent)),
        publisher=connection,
        by="probe",
        clock=time.time,
        since_seconds=30.0,
    )
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(connection.run(stop))
        group.create_task(reader.run(stop))
        await until(lambda: len(given) == 1)
        await put(kafka, TRIGGERS.name, b"[]", TRIGGERED)
        await until(lambda: len(given) == 2)
        stop.set()
    assert given == [(replace(TRIGGERED, epoch=8), TRACEPARENT), (TRIGGERED, TRACEPARENT)]
    [rejected] = await rejects(kafka)
    assert (rejected.topic, rejected.partition, rejected.offset) == (TRIGGERS.name, PARTITION, 3)
    assert (rejected.rejected_by, rejected.value) == ("probe", b"[]")
    assert rejected.reason == "Expected `object`, got `array`"
