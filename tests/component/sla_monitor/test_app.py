"""The monitor's shell, with fakes for the table, the outgoing topics and the acknowledgements."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from services.sla_monitor.adapters.worker import Consumed
from services.sla_monitor.app import SlaMonitor
from services.sla_monitor.core.latch import Latch
from services.sla_monitor.core.partition import Heads
from services.sla_monitor.core.verdict import Rules
from tailwatch.contracts.captures import RefusalReason
from tailwatch.contracts.codec import encode
from tailwatch.contracts.event import Event
from tailwatch.contracts.policy import Policy, ServicePolicy, TargetPolicy
from tailwatch.contracts.rejects import RejectedRecord
from tailwatch.contracts.statuses import SlaReason, SlaStatus
from tailwatch.contracts.triggers import ProfilingTrigger, trigger_id
from tests.support.reports import NOW, SERVICE, TARGET, completed, refused, started, timings

KEY = f"{SERVICE} {TARGET}"
POLICY = Policy(
    services={SERVICE: ServicePolicy(targets={TARGET: TargetPolicy(routes=(TARGET,), p95_ms=100.0, p99_ms=200.0)})}
)
RULES = Rules(sla=POLICY.sla, enabled=True, throttle_seconds=3600)


class Table:
    """Latches in memory; ``log`` is shared with the outgoing topics to show the order."""

    def __init__(self, log: list[object]) -> None:
        self.rows: dict[str, Latch] = {}
        self.log = log

    def of(self, key: str) -> Latch:
        return self.rows.get(key, Latch())

    async def keep(self, key: str, latch: Latch) -> None:
        self.rows[key] = latch
        self.log.append(latch)

    def last_fired_at(self) -> float | None:
        return max((row.fired_at for row in self.rows.values() if row.fired_at is not None), default=None)


class Killed(Exception):
    """The worker was killed at this point."""


class Topics:
    """Collects what is published; dies on a trigger when told to."""

    def __init__(self, log: list[object]) -> None:
        self.log = log
        self.traces: list[str | None] = []
        self.dies_on_trigger: str | None = None

    async def publish(self, event: Event, *, traceparent: str | None = None) -> None:
        if isinstance(event, ProfilingTrigger) and self.dies_on_trigger == "before":
            raise Killed
        self.log.append(event)
        self.traces.append(traceparent)
        if isinstance(event, ProfilingTrigger) and self.dies_on_trigger == "after":
            raise Killed


class Life:
    """One worker, its fakes and its clock."""

    def __init__(self, table: Table | None = None, *, heads: Heads | None = None) -> None:
        self.log: list[object] = []
        self.table = table or Table(self.log)
        self.table.log = self.log
        self.topics = Topics(self.log)
        self.now = NOW
        self.heads = heads or Heads(timings=0, captures=0)
        self.acknowledged: list[tuple[str, int]] = []
        self.offsets = {"timings": 0, "captures": 0}
        self.monitor = SlaMonitor(
            POLICY,
            RULES,
            latches=self.table,
            outgoing=self.topics,
            heads=self.heads_of,
            clock=lambda: self.now,
        )

    async def heads_of(self, _: int) -> Heads:
        return self.heads

    async def read(self, record: Event | bytes | None, *, topic: str = "timings", offset: int | None = None) -> None:
        place = self.offsets[topic] if offset is None else offset
        self.offsets[topic] = place + 1
        value = encode(record, source="/test", at=self.now).value if isinstance(record, Event) else record
        handle = self.monitor.timings if topic == "timings" else self.monitor.captures
        await handle(
            Consumed(
                partition=0,
                offset=place,
                value=value,
                timestamp=self.now,
                acknowledge=lambda: self.acknowledged.append((topic, place)),
            )
        )

    def of_type(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.log if isinstance(event, kind)]


def breach(sequence: int = 0, *, instance: str = "host-1", ended_at: float = NOW) -> Event:
    """Return a record that alone makes the condition true."""
    return timings([20.0] * 150 + [250.0] * 50, instance=instance, sequence=sequence, ended_at=ended_at)


async def test_a_breach_triggers_once_and_says_so() -> None:
    """Latch, trigger, latch, status: in this order, and no second trigger for the next record."""
    life = Life()
    await life.read(breach())
    await life.read(breach(1))
    assert [type(entry).__name__ for entry in life.log] == ["Latch", "ProfilingTrigger", "Latch", "SlaStatus"]
    [trigger] = life.of_type(ProfilingTrigger)
    assert (trigger.id, trigger.instance) == (trigger_id(SERVICE, TARGET, 0, 0), "host-1")
    assert life.table.rows[KEY].confirmed
    assert life.of_type(SlaStatus)[0].reason is SlaReason.TRIGGERED


async def test_a_trigger_continues_the_trace_of_the_slowest_request() -> None:
    """Its traceparent is of that trace; the slowest request of the record is its 151st."""
    life = Life()
    await life.read(breach())
    [trigger] = life.of_type(ProfilingTrigger)
    trace = life.topics.traces[0]
    assert trace is not None
    assert trace.split("-")[1] == trigger.slowest[0].trace_id


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_worker_killed_around_the_trigger_sends_it_again_under_the_same_id(moment: str) -> None:
    """Whatever the broker had, the next owner sends the same id to the same process, once."""
    first = Life()
    first.topics.dies_on_trigger = moment
    with pytest.raises(Killed):
        await first.read(breach(instance="a-1"))
    second = Life(first.table, heads=Heads(timings=1, captures=0))
    second.now = NOW + 8
    await second.read(breach(instance="a-1"))
    await second.read(breach(1, instance="b-1", ended_at=NOW + 8))
    await second.read(breach(2, instance="b-1", ended_at=NOW + 8))
    sent = [(trigger.id, trigger.instance) for trigger in second.of_type(ProfilingTrigger)]
    assert sent == [(trigger_id(SERVICE, TARGET, 0, 0), "a-1")]


async def test_nothing_is_decided_while_the_window_is_read_again() -> None:
    """Partial counts are no evidence, and half-read captures no reason to fire."""
    life = Life(heads=Heads(timings=2, captures=1))
    await life.read(breach())
    await life.read(breach(1))
    await life.monitor.tick()
    assert life.log == []
    await life.read(started(NOW), topic="captures")
    await life.read(breach(2))
    assert life.of_type(SlaStatus)[0].reason is SlaReason.CAPTURE_RUNNING
    assert life.of_type(ProfilingTrigger) == []


async def test_an_unreadable_record_is_rejected_and_acknowledged_in_its_turn() -> None:
    """It lands in the rejects with position and reason; the consumer goes on; no hole is left."""
    life = Life()
    await life.read(breach())
    await life.read(b"\xff not a record")
    await life.read(None)
    await life.read(b"{}", topic="captures")
    await life.read(breach(1))
    rejects = life.of_type(RejectedRecord)
    assert [(reject.topic, reject.partition, reject.offset) for reject in rejects] == [
        ("http.request-timings.v1", 0, 1),
        ("http.request-timings.v1", 0, 2),
        ("profiling.captures.v1", 0, 0),
    ]
    assert rejects[0].value == b"\xff not a record"
    assert life.acknowledged == [("captures", 0)]
    life.now = NOW + 60
    await life.monitor.tick()
    assert life.acknowledged[1:] == [("timings", offset) for offset in range(4)]


async def test_a_record_delivered_twice_counts_once() -> None:
    """Kafka may repeat offsets around a rebalance."""
    life = Life()
    half = timings([20.0] * 60)
    await life.read(half)
    await life.read(half, offset=0)
    assert life.of_type(SlaStatus)[0].long.samples == 60
    life.now = NOW + 6
    await life.monitor.tick()
    assert life.of_type(SlaStatus)[-1].long.samples == 60


async def test_after_a_revocation_everything_is_counted_from_zero() -> None:
    """What is read again is counted again, and the old acknowledgements are dropped."""
    life = Life()
    await life.read(timings([20.0] * 60))
    life.monitor.forget()
    await life.read(timings([20.0] * 60), offset=0)
    assert [status.long.samples for status in life.of_type(SlaStatus)] == [60, 60]
    life.now = NOW + 60
    await life.monitor.tick()
    assert life.acknowledged == [("timings", 0)]


@pytest.mark.parametrize("topic", ["timings", "captures"])
async def test_a_partition_revoked_during_its_take_over_is_not_touched(topic: str) -> None:
    """The record will be read again by whoever owns the partition then."""
    life = Life()
    going_on = asyncio.Event()
    asked = asyncio.Event()

    async def slow_heads(_: int) -> Heads:
        asked.set()
        await going_on.wait()
        return Heads(timings=0, captures=0)

    life.monitor._heads = slow_heads
    record = breach() if topic == "timings" else started(NOW)
    reading = asyncio.create_task(life.read(record, topic=topic))
    await asked.wait()
    life.monitor.forget()
    going_on.set()
    await reading
    assert (life.log, life.acknowledged) == ([], [])


@pytest.mark.parametrize("topic", ["timings", "captures"])
async def test_a_partition_revoked_during_a_reject_is_not_acknowledged(topic: str) -> None:
    """After an await the partition may be another worker's."""
    life = Life()
    publish = life.topics.publish

    async def publish_and_lose(event: Event, *, traceparent: str | None = None) -> None:
        life.monitor.forget()
        await publish(event, traceparent=traceparent)

    life.topics.publish = publish_and_lose  # type: ignore[method-assign]
    await life.read(b"?", topic=topic)
    life.now = NOW + 99
    await life.monitor.tick()
    assert life.acknowledged == []


async def test_a_partition_revoked_while_the_latch_is_written_sends_nothing() -> None:
    """The new owner finds the unconfirmed latch and sends the trigger itself."""
    life = Life()
    keep = life.table.keep

    async def keep_and_lose(key: str, latch: Latch) -> None:
        await keep(key, latch)
        life.monitor.forget()

    life.table.keep = keep_and_lose  # type: ignore[method-assign]
    await life.read(breach())
    assert [type(entry).__name__ for entry in life.log] == ["Latch"]


async def test_a_partition_revoked_while_the_trigger_is_sent_leaves_the_latch_alone() -> None:
    """Only the owner writes."""
    life = Life()
    publish = life.topics.publish

    async def publish_and_lose(event: Event, *, traceparent: str | None = None) -> None:
        await publish(event, traceparent=traceparent)
        life.monitor.forget()

    life.topics.publish = publish_and_lose  # type: ignore[method-assign]
    await life.read(breach())
    assert not life.table.rows[KEY].confirmed


async def test_a_started_capture_throttles_its_target() -> None:
    """started, completed, then throttled until an hour after the start."""
    life = Life()
    await life.read(breach())
    [trigger] = life.of_type(ProfilingTrigger)
    await life.read(started(NOW + 1, trigger_id=trigger.id), topic="captures")
    await life.read(breach(1))
    await life.read(completed(NOW + 31, trigger_id=trigger.id), topic="captures")
    life.now = NOW + 31
    await life.read(breach(2, ended_at=NOW + 31))
    last = life.of_type(SlaStatus)[-1]
    assert (last.reason, last.throttled_until) == (SlaReason.THROTTLED, NOW + 3601)
    assert life.of_type(ProfilingTrigger) == [trigger]
    assert life.acknowledged == [("captures", 0), ("captures", 1)]


async def test_a_refusal_asks_the_next_process() -> None:
    """Attempt 1 goes to the next worst at once."""
    life = Life()
    await life.read(timings([20.0] * 100, instance="b-1"))
    await life.read(timings([250.0], instance="b-1", sequence=1))
    await life.read(breach(instance="a-1"))
    [trigger] = life.of_type(ProfilingTrigger)
    await life.read(refused(NOW, RefusalReason.BUSY, trigger_id=trigger.id), topic="captures")
    await life.read(breach(1, instance="a-1"))
    assert [(sent.instance, sent.attempt) for sent in life.of_type(ProfilingTrigger)] == [("a-1", 0), ("b-1", 1)]


async def test_a_capture_of_the_whole_service_is_nothing_to_a_target() -> None:
    """Manual captures have no target."""
    life = Life()
    event = started(NOW)
    content = json.loads(msgspec.json.encode(event)) | {"target": None}
    await life.read(json.dumps(content).encode(), topic="captures")
    assert (life.table.rows, life.acknowledged) == ({}, [("captures", 0)])


async def test_statuses_are_repeated_while_there_is_traffic() -> None:
    """Every 5 s from the timer, and a last one when the traffic ends."""
    life = Life()
    await life.read(timings([20.0] * 200))
    reasons: list[tuple[float, SlaReason]] = []
    for second in range(1, 80):
        life.now = NOW + second
        before = len(life.of_type(SlaStatus))
        await life.monitor.tick()
        reasons += [(second, status.reason) for status in life.of_type(SlaStatus)[before:]]
    assert reasons == [
        *((second, SlaReason.HEALTHY) for second in range(5, 60, 5)),
        (60, SlaReason.BELOW_MINIMUM_SAMPLES),
    ]


async def test_the_timer_leaves_asking_to_the_next_record() -> None:
    """A latch can only be written while a record is handled."""
    life = Life()
    await life.read(breach())
    before = list(life.log)
    life.now = NOW + 6
    await life.monitor.tick()
    assert life.log == before


async def test_ticking_ends_with_the_process() -> None:
    """The loop ticks at once and stops when told to, within its second."""
    life = Life()
    ticks = asyncio.Semaphore(0)

    async def tick() -> None:
        ticks.release()

    life.monitor.tick = tick  # type: ignore[method-assign]
    stop = asyncio.Event()
    ticking = asyncio.create_task(life.monitor.tick_until(stop, ticked=lambda: None))
    async with asyncio.timeout(5):
        await ticks.acquire()
        await ticks.acquire()
    stop.set()
    await asyncio.wait_for(ticking, 1)


def test_the_fakes_are_what_the_shell_expects() -> None:
    """A sequence of events has one key, so that one partition holds them all."""
    events: Sequence[Event] = (breach(), started(NOW))
    assert {event.key for event in events} == {KEY}
