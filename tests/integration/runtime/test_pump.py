"""The consumer pump over a broker: at least once, rejects instead of halts, waits instead of losses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tailwatch.contracts.errors import CaptureRejected, StoreUnavailable
from tailwatch.contracts.event import Event
from tailwatch.contracts.rejects import RejectedRecord
from tailwatch.contracts.topics import ANALYSES, CAPTURES, REJECTS, Topic
from tailwatch.runtime.kafka import Publisher, open_publisher
from tailwatch.runtime.pump import Delivery, Pump
from tailwatch.runtime.reader import read
from tailwatch.runtime.settings import KafkaSettings
from tests.support.examples import ANALYSIS, COMPLETED, SESSION, TRACE

SECONDS = 20.0
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds; fail after a deadline."""
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.02)


async def put(kafka: KafkaSettings, *values: Event | bytes | None, traceparent: str | None = None) -> None:
    """Write records to the captures topic, all on one partition."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.require_kafka())
    await producer.start()
    try:
        for value in values:
            content = msgspec.json.encode(value) if isinstance(value, Event) else value
            headers = [("traceparent", traceparent.encode())] if traceparent else []
            await producer.send_and_wait(CAPTURES.name, value=content, key=b"k", partition=1, headers=headers)
    finally:
        await producer.stop()


async def on(kafka: KafkaSettings, topic: Topic) -> list[Delivery]:
    """Return everything that stands on a topic."""
    async with asyncio.timeout(SECONDS):
        return [found async for found in read(kafka, [topic], follow=False) if isinstance(found, Delivery)]


async def rejects(kafka: KafkaSettings) -> list[RejectedRecord]:
    """Return the rejected records."""
    found = [delivery.event for delivery in await on(kafka, REJECTS)]
    return [event for event in found if isinstance(event, RejectedRecord)]


async def committed(kafka: KafkaSettings) -> int | None:
    """Return the analyzer's committed offset of the captures' partition 1."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.require_kafka(), group_id="tailwatch.analyzer", enable_auto_commit=False
    )
    await consumer.start()
    try:
        offset: int | None = await consumer.committed(TopicPartition(CAPTURES.name, 1))
        return offset
    finally:
        await consumer.stop()


@dataclass
class Analyzer:
    """A handler that notes what it was given and answers with an analysis, or as told."""

    seen: list[Delivery] = field(default_factory=list)
    answer: Callable[[Delivery], Awaitable[Sequence[Event]]] | None = None

    async def __call__(self, delivery: Delivery) -> Sequence[Event]:
        self.seen.append(delivery)
        return [ANALYSIS] if self.answer is None else await self.answer(delivery)


@asynccontextmanager
async def pumping(kafka: KafkaSettings, handle: Analyzer) -> AsyncIterator[asyncio.Event]:
    """Run a pump; yield its stop event; end it, which must work within the grace."""
    async with open_publisher(kafka, source="/tailwatch/analyzer", clock=time.time) as publisher:
        pump = Pump(kafka, group="analyzer", topics=[CAPTURES], handle=handle, publisher=publisher, clock=time.time)
        stop = asyncio.Event()
        running = asyncio.ensure_future(pump.run(stop))
        try:
            yield stop
        finally:
            stop.set()
            await asyncio.wait_for(running, kafka.shutdown_grace_seconds)


async def test_an_event_leads_to_an_event_and_is_committed(kafka: KafkaSettings) -> None:
    """What the handler returns is published in the input's trace; then the input is committed."""
    await put(kafka, COMPLETED, traceparent=TRACEPARENT)
    analyzer = Analyzer()
    async with pumping(kafka, analyzer):
        await until(lambda: len(analyzer.seen) == 1)
    [delivery] = analyzer.seen
    assert (delivery.event, delivery.topic, delivery.offset) == (COMPLETED, CAPTURES.name, 0)
    assert delivery.traceparent == TRACEPARENT
    [published] = await on(kafka, ANALYSES)
    assert published.event == ANALYSIS
    assert published.traceparent is not None
    assert published.traceparent.split("-")[1] == TRACE
    assert published.traceparent != TRACEPARENT
    assert await committed(kafka) == 1


async def test_what_was_committed_is_not_given_again(kafka: KafkaSettings) -> None:
    """A second life of the service goes on where the first one ended."""
    await put(kafka, COMPLETED)
    first, second = Analyzer(), Analyzer()
    async with pumping(kafka, first):
        await until(lambda: len(first.seen) == 1)
    await put(kafka, COMPLETED)
    async with pumping(kafka, second):
        await until(lambda: len(second.seen) == 1)
    assert [delivery.offset for delivery in (*first.seen, *second.seen)] == [0, 1]


async def test_what_cannot_be_decoded_is_rejected_and_the_pump_goes_on(kafka: KafkaSettings) -> None:
    """Garbage, a foreign event and a tombstone become rejects with position and reason; the next event is handled."""
    await put(kafka, b"\x00garbage", b'{"outcome":"exploded"}', None, COMPLETED)
    analyzer = Analyzer()
    async with pumping(kafka, analyzer):
        await until(lambda: len(analyzer.seen) == 1)
    assert analyzer.seen[0].offset == 3
    found = await rejects(kafka)
    assert [(record.topic, record.partition, record.offset, record.value) for record in found] == [
        (CAPTURES.name, 1, 0, b"\x00garbage"),
        (CAPTURES.name, 1, 1, b'{"outcome":"exploded"}'),
        (CAPTURES.name, 1, 2, b""),
    ]
    assert "JSON is malformed" in found[0].reason
    assert "exploded" in found[1].reason
    assert found[2].reason == "no value (a tombstone)"
    assert {record.rejected_by for record in found} == {"analyzer"}
    assert await committed(kafka) == 4


async def raise_rejected(_: Delivery) -> Sequence[Event]:
    """Find the capture's files wanting."""
    raise CaptureRejected(session_id=SESSION, reason="samples.json.zst: SHA-256 differs")


async def raise_bug(_: Delivery) -> Sequence[Event]:
    """Have a bug, quoting half a character."""
    raise ZeroDivisionError("half \ud800")


async def return_nonsense(_: Delivery) -> Sequence[Event]:
    """Return an event that its readers would reject."""
    return [msgspec.structs.replace(ANALYSIS, pid=-1)]


async def return_too_much(_: Delivery) -> Sequence[Event]:
    """Return an event that Kafka would not take."""
    return [msgspec.structs.replace(ANALYSIS, commit="c" * 2_000_000)]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (raise_rejected, "samples.json.zst: SHA-256 differs"),
        (raise_bug, "unexpected ZeroDivisionError: half ?"),
        (return_nonsense, "ProfileAnalysis breaks its contract"),
        (return_too_much, "MessageSizeTooLargeError"),
    ],
)
async def test_what_cannot_be_handled_is_rejected_and_the_pump_goes_on(
    kafka: KafkaSettings, answer: Callable[[Delivery], Awaitable[Sequence[Event]]], reason: str
) -> None:
    """Bad files, a bug, an answer that no reader would take: none of them stops the consumer."""
    await put(kafka, COMPLETED, COMPLETED)
    analyzer = Analyzer(answer=answer)
    async with pumping(kafka, analyzer):
        await until(lambda: len(analyzer.seen) == 2)
    found = await rejects(kafka)
    assert [record.offset for record in found] == [0, 1]
    assert all(reason in record.reason for record in found), found
    assert await on(kafka, ANALYSES) == []
    assert await committed(kafka) == 2


async def test_a_store_that_is_away_is_waited_for(kafka: KafkaSettings) -> None:
    """Nothing is rejected and nothing committed until the store is back; then the event is handled, in order."""
    away = True

    async def answer(_: Delivery) -> Sequence[Event]:
        if away:
            raise StoreUnavailable("s3: connection refused")
        return [ANALYSIS]

    await put(kafka, COMPLETED, COMPLETED)
    analyzer = Analyzer(answer=answer)
    async with pumping(kafka, analyzer):
        await until(lambda: len(analyzer.seen) >= 3)
        assert {delivery.offset for delivery in analyzer.seen} == {0}
        away = False
        await until(lambda: analyzer.seen[-1].offset == 1)
    assert len(await on(kafka, ANALYSES)) == 2
    assert await rejects(kafka) == []
    assert await committed(kafka) == 2


async def test_stopping_while_the_store_is_away_leaves_the_record_for_the_next_life(kafka: KafkaSettings) -> None:
    """The pump ends within the grace, cleanly; the record is neither rejected nor committed."""

    async def answer(_: Delivery) -> Sequence[Event]:
        raise StoreUnavailable("s3: connection refused")

    await put(kafka, COMPLETED)
    waiting, working = Analyzer(answer=answer), Analyzer()
    async with pumping(kafka, waiting):
        await until(lambda: len(waiting.seen) >= 1)
    assert await committed(kafka) is None
    assert await rejects(kafka) == []
    async with pumping(kafka, working):
        await until(lambda: len(working.seen) == 1)
    assert working.seen[0].event == COMPLETED


async def test_a_record_in_hand_is_finished_before_the_end(kafka: KafkaSettings) -> None:
    """Told to stop while it works, the pump publishes and commits what it has begun, and begins nothing more."""
    began, go_on = asyncio.Event(), asyncio.Event()

    async def answer(_: Delivery) -> Sequence[Event]:
        began.set()
        await go_on.wait()
        return [ANALYSIS]

    await put(kafka, COMPLETED, COMPLETED)
    analyzer = Analyzer(answer=answer)
    async with pumping(kafka, analyzer) as stop:
        await asyncio.wait_for(began.wait(), SECONDS)
        stop.set()
        go_on.set()
    assert len(await on(kafka, ANALYSES)) == 1
    assert await committed(kafka) == 1


async def test_a_pump_without_a_broker_still_ends_when_told_to(unused_tcp_port: int) -> None:
    """Kafka away at the start: it waits; told to stop, it ends within the grace."""
    settings = KafkaSettings(
        _env_file=None, kafka_bootstrap_servers=f"127.0.0.1:{unused_tcp_port}", shutdown_grace_seconds=2.0
    )
    publisher = Publisher(cast("Any", None), source="/tailwatch/analyzer", clock=time.time)
    pump = Pump(settings, group="analyzer", topics=[CAPTURES], handle=Analyzer(), publisher=publisher, clock=time.time)
    stop = asyncio.Event()
    running = asyncio.ensure_future(pump.run(stop))
    finished, _ = await asyncio.wait({running}, timeout=0.5)
    assert not finished
    stop.set()
    await asyncio.wait_for(running, settings.shutdown_grace_seconds)
