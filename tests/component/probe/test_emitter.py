"""The emitter without Kafka: a full queue drops, a refusal is counted, and nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from tailwatch.contracts.codec import decode
from tailwatch.contracts.topics import TIMINGS
from tailwatch.probe.adapters import emitter as module
from tailwatch.probe.adapters.emitter import Emitter
from tailwatch.probe.core.activity import Activity
from tailwatch.probe.core.batch import Answered, Packer
from tailwatch.probe.core.identity import Identity
from tailwatch.probe.settings import ProbeSettings
from tailwatch.runtime.metrics import Metrics
from tests.support.examples import AT, BOOT, INSTANCE

WHO = Identity(service="shop", service_version="1", commit="c0ffee", instance=INSTANCE, boot=BOOT, pid=4711)


@dataclass
class StrawProducer:
    """Keeps what it is sent; refuses at once, or later, as told."""

    refuses: Exception | None = None
    fails: Exception | None = None
    started: bool = False
    values: list[bytes] = field(default_factory=list)

    async def start(self) -> None:
        self.started = True

    async def stop(self) -> None:
        self.started = False

    async def send(self, topic: str, *, key: bytes, value: bytes, headers: Any) -> asyncio.Future[None]:
        if self.refuses is not None:
            raise self.refuses
        acknowledged = asyncio.get_running_loop().create_future()
        if self.fails is not None:
            acknowledged.set_exception(self.fails)
        else:
            acknowledged.set_result(None)
        self.values.append(value)
        return acknowledged

    def methods(self) -> list[list[str]]:
        """Return the methods in every record that came."""
        return [list(decode(value, topic=TIMINGS.name).method) for value in self.values]


@dataclass
class Rig:
    """An emitter that is not running yet."""

    emitter: Emitter
    metrics: Metrics
    producer: StrawProducer

    def offer(self, *methods: str) -> None:
        """Offer requests that are told apart by their method."""
        for method in methods:
            self.emitter.offer(Answered("/", AT, 1.0, 200, method, under_capture=False, request_id="", trace_id=None))

    def counted(self) -> tuple[float, float, float]:
        """Return how many requests were published, dropped by a full queue, and lost by Kafka."""
        dropped = [self.metrics.value("latency_events_dropped_total", reason=why) for why in ("queue_full", "kafka")]
        return self.metrics.value("latency_events_published_total"), dropped[0], dropped[1]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the emitter meanwhile."""
        stop = asyncio.Event()
        running = asyncio.ensure_future(self.emitter.run(stop))
        try:
            yield
        finally:
            stop.set()
            await running

    async def until(self, published: int, full: int, lost: int) -> None:
        """Wait until so many requests were counted."""
        async with asyncio.timeout(5):
            while self.counted() != (published, full, lost):
                await asyncio.sleep(0.005)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    """Return an emitter with a queue of 100 requests and a producer of straw."""
    producer, metrics = StrawProducer(), Metrics()
    monkeypatch.setattr(module, "AIOKafkaProducer", lambda **_: producer)
    settings = ProbeSettings(
        _env_file=None, kafka_bootstrap_servers="127.0.0.1:9", events_queue_size=100, events_linger_ms=10
    )
    packer = Packer(WHO, 1_000)
    return Rig(
        Emitter(settings, activity=Activity(), packer=packer, metrics=metrics, clock=lambda: AT), metrics, producer
    )


async def test_a_full_queue_drops_the_newest_and_counts_it(rig: Rig) -> None:
    """100 fit while nothing is published; ``offer`` returns at once. The first 100 are sent later, in order."""
    methods = [f"M{number}" for number in range(103)]
    rig.offer(*methods)
    assert rig.counted() == (0, 3, 0)
    async with rig.running():
        await rig.until(100, 3, 0)
        rig.offer("GET")
        await rig.until(101, 3, 0)
    assert rig.producer.methods() == [methods[:100], ["GET"]]


async def test_what_is_queued_at_the_end_is_still_published(rig: Rig) -> None:
    """Told to stop before it began, it publishes once; then it is no longer connected."""
    rig.offer("GET", "POST")
    stop = asyncio.Event()
    stop.set()
    await rig.emitter.run(stop)
    assert rig.producer.methods() == [["GET", "POST"]]
    assert (rig.producer.started, rig.emitter.connected) == (False, False)


@pytest.mark.parametrize(
    ("refuses", "fails"), [(MessageSizeTooLargeError(), None), (OSError("reset"), None), (None, KafkaTimeoutError())]
)
async def test_what_kafka_does_not_take_is_counted_and_the_emitter_goes_on(
    rig: Rig, refuses: Exception | None, fails: Exception | None
) -> None:
    """Refused at once or never acknowledged: lost, and not connected until a record gets through."""
    rig.producer.refuses, rig.producer.fails = refuses, fails
    async with rig.running():
        rig.offer("GET", "POST")
        await rig.until(0, 0, 2)
        lost = rig.emitter.connected
        rig.producer.refuses = rig.producer.fails = None
        rig.offer("PUT")
        await rig.until(1, 0, 2)
        assert (lost, rig.emitter.connected) == (False, True)


async def test_a_cancelled_emitter_closes_its_producer(rig: Rig) -> None:
    """However it ends, no connection stays open."""
    running = asyncio.ensure_future(rig.emitter.run(asyncio.Event()))
    async with asyncio.timeout(5):
        while not rig.emitter.connected:
            await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (rig.producer.started, rig.emitter.connected) == (False, False)
