"""The monitor's shell: records in, the decision asked, triggers and statuses out, in the order that loses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from services.sla_monitor.adapters.worker import Consumed
from services.sla_monitor.core.decision import Assessment, Condition
from services.sla_monitor.core.latch import Latch, confirmed, informed
from services.sla_monitor.core.monitor import Monitor
from services.sla_monitor.core.partition import Heads, Partition
from services.sla_monitor.core.verdict import Ask, Rules, Verdict
from tailwatch.contracts.captures import CaptureEvent
from tailwatch.contracts.codec import decode
from tailwatch.contracts.errors import ContractError
from tailwatch.contracts.event import Event, subject
from tailwatch.contracts.policy import Policy
from tailwatch.contracts.timings import RequestTimings
from tailwatch.contracts.topics import CAPTURES, TIMINGS, Topic
from tailwatch.contracts.units import Instant
from tailwatch.runtime.logs import logger
from tailwatch.runtime.rejects import rejected
from tailwatch.runtime.tracing import traceparent

log = logger(__name__)

NAME = "sla_monitor"
TICK_SECONDS = 1.0


class LatchStore(Protocol):
    """Where latches outlive a worker."""

    def of(self, key: str) -> Latch:
        """Return the latch of a target."""

    async def keep(self, key: str, latch: Latch) -> None:
        """Store a latch; return once it is durable."""

    def last_fired_at(self) -> Instant | None:
        """Return when this worker last began to ask for a capture, for any target."""


class Outgoing(Protocol):
    """Where events go."""

    async def publish(self, event: Event, *, traceparent: str | None = None) -> None:
        """Send an event; return once the broker has acknowledged it."""


class SlaMonitor:
    """What one worker knows, and what it does with each record."""

    def __init__(
        self,
        policy: Policy,
        rules: Rules,
        *,
        latches: LatchStore,
        outgoing: Outgoing,
        heads: Callable[[int], Awaitable[Heads]],
        clock: Callable[[], float],
    ) -> None:
        """``heads`` says how far the topics reach when a partition is taken over."""
        self._policy, self._rules = policy, rules
        self._latches, self._outgoing, self._heads, self._clock = latches, outgoing, heads, clock
        self._partitions: dict[int, Partition] = {}
        self._assignment = 0
        self._taking_over = asyncio.Lock()

    async def timings(self, consumed: Consumed) -> None:
        """Count one record of the timings and decide on its target."""
        partition = await self._partition(consumed.partition)
        if partition is None or partition.is_repeated(consumed.offset):
            return
        try:
            record: RequestTimings = _decoded(TIMINGS, consumed)
        except ContractError as error:
            await self._reject(consumed, error)
            if self._owns(partition):
                partition.skip(offset=consumed.offset, acknowledge=consumed.acknowledge)
            return
        now = self._clock()
        monitor = partition.add(
            record,
            arrival=min(now, consumed.timestamp),
            now=now,
            offset=consumed.offset,
            acknowledge=consumed.acknowledge,
        )
        if partition.decides:
            await self._decide(partition, monitor, now=now)

    async def captures(self, consumed: Consumed) -> None:
        """Note in the latch of the target what became of a capture."""
        partition = await self._partition(consumed.partition)
        if partition is None:
            return
        try:
            event: CaptureEvent = _decoded(CAPTURES, consumed)
        except ContractError as error:
            await self._reject(consumed, error)
        else:
            if event.target is not None:
                key = subject(event.service, event.target)
                latch = self._latches.of(key)
                after = informed(latch, event, service=event.service, target=event.target)
                if after != latch:
                    await self._latches.keep(key, after)
        if self._owns(partition):
            partition.heard_capture(consumed.offset)
            consumed.acknowledge()

    def forget(self) -> None:
        """Drop every partition: what is read again is counted again, from zero."""
        self._partitions.clear()
        self._assignment += 1

    async def tick(self) -> None:
        """Let time pass where no records come: acknowledge what left the window, repeat the statuses."""
        now = self._clock()
        due: list[Event] = []
        for partition in list(self._partitions.values()):
            partition.expire(now)
            if partition.decides:
                for key, monitor in partition.monitors():
                    monitor.advance(now)
                    due.extend(self._repeated(key, monitor, now=now))
        await asyncio.gather(*(self._outgoing.publish(status) for status in due))

    async def tick_until(self, stop: asyncio.Event, *, ticked: Callable[[], None]) -> None:
        """Tick every second until ``stop`` is set; call ``ticked`` after each."""
        while not stop.is_set():
            await self.tick()
            ticked()
            try:
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)
            except TimeoutError:
                continue

    def _repeated(self, key: str, monitor: Monitor, *, now: Instant) -> list[Event]:
        # Latches are written while a record is handled, so what must be written first waits for the next record.
        found, verdict, last_fired_at = self._verdict(monitor, self._latches.of(key), now=now)
        if verdict.ask is not None or not monitor.status_due(verdict, found, now=now):
            return []
        return [monitor.status(verdict, found, now=now, last_fired_at=last_fired_at)]

    def _verdict(self, monitor: Monitor, latch: Latch, *, now: Instant) -> tuple[Assessment, Verdict, Instant | None]:
        found = monitor.assess()
        last_fired_at = self._latches.last_fired_at() if found.condition is Condition.BREACHED else None
        return found, monitor.judge(latch, found, now=now, last_fired_at=last_fired_at), last_fired_at

    async def _decide(self, partition: Partition, monitor: Monitor, *, now: Instant) -> None:
        key = subject(monitor.service, monitor.target)
        latch = self._latches.of(key)
        found, verdict, last_fired_at = self._verdict(monitor, latch, now=now)
        if verdict.latch != latch:
            await self._latches.keep(key, verdict.latch)
        if verdict.ask is not None and self._owns(partition):
            await self._ask(partition, monitor, verdict.ask, verdict, found, now=now)
        if self._owns(partition) and monitor.status_due(verdict, found, now=now):
            await self._outgoing.publish(monitor.status(verdict, found, now=now, last_fired_at=last_fired_at))

    async def _ask(
        self, partition: Partition, monitor: Monitor, ask: Ask, verdict: Verdict, found: Assessment, *, now: Instant
    ) -> None:
        # The latch knows of the trigger before it is sent and after it was acknowledged. Killed in between, the next
        # owner sends it again, to the same process under the same id.
        trigger = monitor.trigger(ask, verdict, found, now=now)
        trace_id = next((slow.trace_id for slow in trigger.slowest if slow.trace_id is not None), None)
        trace = traceparent(trace_id)
        await self._outgoing.publish(trigger, traceparent=trace)
        log.info(
            "triggered",
            trigger_id=trigger.id,
            key=trigger.key,
            instance=trigger.instance,
            epoch=trigger.epoch,
            attempt=trigger.attempt,
            trace_id=trace.split("-")[1],
        )
        if self._owns(partition):
            await self._latches.keep(trigger.key, confirmed(self._latches.of(trigger.key), trigger.id))

    async def _reject(self, consumed: Consumed, error: ContractError) -> None:
        log.warning("rejected", topic=error.topic, partition=error.partition, offset=error.offset, reason=error.reason)
        await self._outgoing.publish(rejected(consumed.value, error=error, by=NAME, at=self._clock()))

    async def _partition(self, number: int) -> Partition | None:
        """Return the partition; None when it was revoked meanwhile, and the record will be read again."""
        async with self._taking_over:
            known = self._partitions.get(number)
            if known is None:
                assignment = self._assignment
                heads = await self._heads(number)
                if assignment != self._assignment:
                    return None
                known = Partition(number, heads, policy=self._policy, rules=self._rules)
                self._partitions[number] = known
                log.info("partition_taken_over", partition=number, timings=heads.timings, captures=heads.captures)
            return known

    def _owns(self, partition: Partition) -> bool:
        return self._partitions.get(partition.number) is partition


def _decoded(topic: Topic, consumed: Consumed) -> Any:
    return decode(consumed.value, topic=topic.name, partition=consumed.partition, offset=consumed.offset)
