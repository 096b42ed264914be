"""The SLA monitor as a process, on the embedded broker: what it says, how fast, and what a kill costs."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tailwatch.contracts.captures import CaptureCompleted, CaptureKind, CaptureOrigin, CaptureStarted
from tailwatch.contracts.codec import decode, encode
from tailwatch.contracts.event import Event
from tailwatch.contracts.rejects import RejectedRecord
from tailwatch.contracts.statuses import SlaReason, SlaStatus
from tailwatch.contracts.topics import REJECTS, STATUSES, TIMINGS, TRIGGERS
from tailwatch.contracts.triggers import ProfilingTrigger, trigger_id
from tailwatch.runtime.embedded_broker import EmbeddedBroker
from tests.support.components import requires
from tests.support.reports import SERVICE, TARGET, boot_of, timings

ROOT = Path(__file__).parents[2]
PATIENCE = 40.0
FAST, SLOW = "fast-1", "slow-2"
log = logging.getLogger(__name__)
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def servers() -> Iterator[str]:
    """Yield a broker of this test alone: nothing of another test is in its window."""
    requires("embedded")
    with EmbeddedBroker() as broker:
        yield broker.bootstrap_servers


@dataclass
class Heard:
    """Everything the monitor said, with the time at which it was heard."""

    events: list[tuple[float, Any]] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for _, event in self.events if isinstance(event, kind)]

    def first(self, kind: type[Any]) -> tuple[float, Any]:
        return next((at, event) for at, event in self.events if isinstance(event, kind))

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        try:
            async with asyncio.timeout(PATIENCE), self.news:
                await self.news.wait_for(holds)
        except TimeoutError:
            said = [(event.reason, event.explanation) for event in self.of(SlaStatus)[-3:]]
            pytest.fail(f"not within {PATIENCE} s: {what}; heard {len(self.events)} events, last {said}")


@asynccontextmanager
async def hearing(servers: str) -> AsyncIterator[Heard]:
    """Yield what is said on the monitor's topics from now on."""
    consumer = AIOKafkaConsumer(
        STATUSES.name,
        TRIGGERS.name,
        REJECTS.name,
        bootstrap_servers=servers,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=50,
    )
    heard = Heard()

    async def listen() -> None:
        async for message in consumer:
            async with heard.news:
                heard.events.append((time.time(), decode(message.value, topic=message.topic)))
                heard.news.notify_all()

    await consumer.start()
    listening = asyncio.create_task(listen())
    try:
        yield heard
    finally:
        listening.cancel()
        await asyncio.wait({listening})
        await consumer.stop()


class Load:
    """Two processes of the service under load, of which one can be made slow."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer
        self._sequence = 0
        self._ended: list[tuple[float, bool]] = []
        self.slow = False
        self.condition_at: float | None = None
        """When the record was sent with which the condition became true, counted request by request."""

    async def send(self, event: Event) -> None:
        record = encode(event, source="/test", at=time.time())
        await self._producer.send_and_wait(
            record.topic, key=record.key, value=record.value, headers=list(record.headers)
        )

    async def send_bytes(self, value: bytes) -> None:
        await self._producer.send_and_wait(TIMINGS.name, value, key=f"{SERVICE} {TARGET}".encode())

    async def flow(self) -> None:
        """Send 10 requests of each process every 100 ms."""
        while True:
            for instance in (FAST, SLOW):
                slow = self.slow and instance == SLOW
                now = time.time()
                record = timings(
                    [150.0 if slow else 20.0] * 10, ended_at=now, instance=instance, sequence=self._sequence
                )
                await self.send(record)
                self._ended += [(now, slow)] * 10
                self._count(time.time())
            self._sequence += 1
            await asyncio.sleep(0.1)

    def _count(self, now: float) -> None:
        def broken(seconds: int, least: int) -> bool:
            window = [slow for end, slow in self._ended if int(end) > int(now) - seconds]
            return len(window) >= least and sum(window) * 100 > 5 * len(window)

        if self.slow and self.condition_at is None and broken(60, 100) and broken(10, 20):
            self.condition_at = now


@asynccontextmanager
async def loading(servers: str) -> AsyncIterator[Load]:
    """Yield a running load."""
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    load = Load(producer)
    flowing = asyncio.create_task(load.flow())
    try:
        yield load
    finally:
        flowing.cancel()
        await asyncio.wait({flowing})
        await producer.stop()


async def start(servers: str, cwd: Path, **settings: str) -> asyncio.subprocess.Process:
    """Start the monitor as an operator does, in a directory of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CONTINUOUS_")}
    environment |= {
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "KAFKA_EMBEDDED": "true",
        "CONTINUOUS_PROFILING_ENABLED": "true",
        "PYTHONPATH": str(ROOT),
        **settings,
    }
    with (cwd / "log.jsonl").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.sla_monitor", cwd=cwd, env=environment, stderr=log
        )


@asynccontextmanager
async def monitoring(servers: str, cwd: Path, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Yield a running monitor, killed at the end if it still runs."""
    process = await start(servers, cwd, **settings)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def files_in(directory: Path) -> list[str]:
    """Return the names of what a directory holds."""
    return [path.name for path in directory.iterdir()]


def wait_for_line(path: Path, part: str) -> None:
    """Return once a file holds some text; for at most 10 s."""
    until = time.monotonic() + 10
    while part not in path.read_text(encoding="utf-8") and time.monotonic() < until:
        time.sleep(0.02)


def capture_of(trigger: ProfilingTrigger, at: float) -> tuple[CaptureStarted, CaptureCompleted]:
    """Return what the agent of the process that was asked would say: a capture of 1 s."""
    common: dict[str, Any] = {
        "service": trigger.service,
        "target": trigger.target,
        "instance": trigger.instance,
        "boot": boot_of(trigger.instance),
        "pid": 2,
        "origin": CaptureOrigin.SLA,
        "kind": CaptureKind.CPU,
        "trigger_id": trigger.id,
        "session_id": f"profile-{int(at * 1000)}-aaaaaaaaaaaa",
    }
    began = CaptureStarted(**common, at=at, duration_seconds=1, deadline=at + 30, rate_hz=50)
    ended = CaptureCompleted(
        **common,
        at=at + 1,
        started_at=at,
        ended_at=at + 1,
        partial=False,
        samples=50,
        overhead_percent=1.0,
        artifacts=(),
    )
    return began, ended


async def test_a_breach_leads_to_one_trigger_for_the_worst_process_within_3_s(servers: str, tmp_path: Path) -> None:
    """From the moment the condition is true; then the capture is followed, and nothing else is asked."""
    async with hearing(servers) as heard, loading(servers) as load, monitoring(servers, tmp_path):
        await heard.until(lambda: bool(heard.of(SlaStatus)), "a first status")
        assert heard.of(SlaStatus)[0].reason is SlaReason.HEALTHY
        await load.send_bytes(b"this is no record")
        load.slow = True
        await heard.until(lambda: bool(heard.of(ProfilingTrigger)), "a trigger")
        at, trigger = heard.first(ProfilingTrigger)
        assert load.condition_at is not None
        delay = at - load.condition_at
        log.info("condition true to trigger heard: %.3f s", delay)
        assert delay < 3
        assert (trigger.instance, trigger.instance_share, trigger.id) == (SLOW, 1.0, trigger_id(SERVICE, TARGET, 0, 0))
        assert trigger.condition_since is not None
        assert abs(trigger.condition_since - load.condition_at) < 3
        assert {slow.duration_ms for slow in trigger.slowest} == {150.0}

        began, ended = capture_of(trigger, time.time())
        await load.send(began)
        await heard.until(lambda: heard.of(SlaStatus)[-1].reason is SlaReason.CAPTURE_RUNNING, "a running capture")
        await load.send(ended)
        await heard.until(lambda: heard.of(SlaStatus)[-1].reason is SlaReason.THROTTLED, "the throttle")
        statuses = len(heard.of(SlaStatus))
        await heard.until(lambda: len(heard.of(SlaStatus)) > statuses + 1, "two more statuses: 5 s went by")
        assert heard.of(ProfilingTrigger) == [trigger]
        [reject] = heard.of(RejectedRecord)
        assert (reject.topic, reject.value, reject.rejected_by) == (TIMINGS.name, b"this is no record", "sla_monitor")


async def test_a_monitor_killed_in_a_breach_loses_no_trigger_and_invents_none(servers: str, tmp_path: Path) -> None:
    """Killed before it could see the breach, and again as soon as its trigger is out."""
    async with hearing(servers) as heard, loading(servers) as load:
        async with monitoring(servers, tmp_path) as first:
            await heard.until(lambda: bool(heard.of(SlaStatus)), "a first status")
            first.send_signal(signal.SIGKILL)
            await first.wait()
        load.slow = True
        await load.send_bytes(b"\x00")
        restarted = time.time()
        async with monitoring(servers, tmp_path) as second:
            await heard.until(lambda: bool(heard.of(ProfilingTrigger)), "the trigger after the first kill")
            at, trigger = heard.first(ProfilingTrigger)
            log.info("restart after kill -9 to the trigger heard: %.1f s", at - restarted)
            second.send_signal(signal.SIGKILL)
            await second.wait()
        statuses = len(heard.of(SlaStatus))
        began, _ = capture_of(trigger, time.time())
        await load.send(began)
        async with monitoring(servers, tmp_path):
            await heard.until(lambda: len(heard.of(SlaStatus)) > statuses + 1, "statuses after the second kill")
            assert heard.of(SlaStatus)[-1].reason is SlaReason.CAPTURE_RUNNING
        assert {(sent.id, sent.instance) for sent in heard.of(ProfilingTrigger)} == {
            (trigger_id(SERVICE, TARGET, 0, 0), SLOW)
        }
        assert {(reject.offset, reject.value) for reject in heard.of(RejectedRecord)} == {
            (heard.of(RejectedRecord)[0].offset, b"\x00")
        }


async def test_the_process_listens_nowhere_leaves_nothing_and_ends_with_status_0(servers: str, tmp_path: Path) -> None:
    """No web server, no files in the working directory, and a quick end on SIGTERM."""
    async with hearing(servers) as heard, loading(servers), monitoring(servers, tmp_path) as process:
        await heard.until(lambda: bool(heard.of(SlaStatus)), "a first status")
        connections = psutil.Process(process.pid).net_connections(kind="inet")
        assert connections
        assert [connection for connection in connections if connection.status == psutil.CONN_LISTEN] == []
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0
        assert time.monotonic() - began < 5
    assert files_in(tmp_path) == ["log.jsonl"]


async def test_sigterm_ends_a_monitor_that_is_still_starting(servers: str, tmp_path: Path) -> None:
    """Faust takes seconds to join its group; the end does not wait for that."""
    async with monitoring(servers, tmp_path) as process:
        await asyncio.wait_for(asyncio.to_thread(wait_for_line, tmp_path / "log.jsonl", '"started"'), 15)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 8) == 0


async def test_sigterm_ends_a_monitor_that_waits_for_kafka(tmp_path: Path) -> None:
    """Nothing that only Kafka could finish holds up the end."""
    async with monitoring("127.0.0.1:1", tmp_path) as process:
        await asyncio.wait_for(asyncio.to_thread(wait_for_line, tmp_path / "log.jsonl", "kafka_retry"), 15)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 8) == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"KAFKA_BOOTSTRAP_SERVERS": ""}, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        ({"SLA_MONITOR_COMMIT_SECONDS": "0"}, "accepted 0.1..60"),
        ({"CONTINUOUS_PROFILING_THROTTLE_MINUTES": "1441"}, "accepted 0..1440"),
        ({"CONTINUOUS_PROFILING_THROTTLE_MINUTES": "0", "APP_ENV": "production"}, "refused in production"),
    ],
)
async def test_a_bad_setting_is_one_line_and_status_2(tmp_path: Path, settings: dict[str, str], said: str) -> None:
    """Name, value and what is accepted."""
    async with monitoring("127.0.0.1:1", tmp_path, **settings) as process:
        assert await asyncio.wait_for(process.wait(), 20) == 2
    lines = [
        line for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines() if not line.startswith("{")
    ]
    assert len(lines) == 1
    assert said in lines[0]
