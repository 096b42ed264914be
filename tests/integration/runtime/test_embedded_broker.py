"""The embedded broker: loopback only, gone with whoever started it."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import aclosing

import psutil
import pytest

from tailwatch.contracts.event import Event
from tailwatch.contracts.topics import STATUSES, TIMINGS, TOPICS
from tailwatch.runtime.embedded_broker import EmbeddedBroker
from tailwatch.runtime.kafka import open_publisher
from tailwatch.runtime.pump import Delivery
from tailwatch.runtime.reader import Unreadable, read
from tailwatch.runtime.settings import KafkaSettings
from tailwatch.runtime.topics import ensure_topics, touch_topics
from tests.support.components import requires
from tests.support.examples import STATUS
from tests.support.examples import TIMINGS as TIMED

PARENT = """
import sys
from tailwatch.runtime.embedded_broker import EmbeddedBroker
broker = EmbeddedBroker()
print(broker.pid, flush=True)
sys.stdin.read()
"""


def gone(pid: int, *, within: float) -> bool:
    """Return whether a process ends within some seconds."""
    deadline = time.monotonic() + within
    while psutil.pid_exists(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_broker_ends_with_its_context() -> None:
    """Leaving the context ends the process."""
    requires("embedded")
    with EmbeddedBroker() as broker:
        assert broker.poll() is None
        pid = broker.pid
    assert gone(pid, within=3)
    assert broker.poll() is not None


def test_a_broker_listens_on_loopback_only() -> None:
    """Nothing of it can be reached from another machine."""
    requires("embedded")
    with EmbeddedBroker() as broker:
        listening = [
            connection.laddr.ip
            for connection in psutil.Process(broker.pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening
        assert set(listening) == {"127.0.0.1"}


def test_a_broker_ends_when_its_parent_is_killed() -> None:
    """Kill -9 of whoever started it leaves no process behind."""
    requires("embedded")
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    parent.communicate()
    assert gone(pid, within=5)


async def test_topics_are_called_into_being(kafka: KafkaSettings) -> None:
    """The embedded broker makes every topic on first use, with the partitions of the table."""
    assert await ensure_topics(kafka, replication=1) == {topic.name: "present" for topic in TOPICS}
    await touch_topics(kafka.require_kafka(), ["pipeline.rejects.v1"])


async def sent(kafka: KafkaSettings, *events: Event) -> None:
    """Publish events."""
    async with open_publisher(kafka, source="/tailwatch/test", clock=time.time) as publisher:
        for event in events:
            await publisher.publish(event)


@pytest.mark.parametrize("follow", [False, True])
async def test_a_reader_reads_from_the_beginning(kafka: KafkaSettings, *, follow: bool) -> None:
    """All partitions of all topics asked for, without a group; without ``follow`` it ends."""
    await sent(kafka, STATUS, TIMED)
    found: list[Event] = []
    async with aclosing(read(kafka, [STATUSES, TIMINGS], follow=follow)) as deliveries:
        async for delivery in deliveries:
            assert isinstance(delivery, Delivery)
            found.append(delivery.event)
            if follow and len(found) == 2:
                break
    assert sorted(type(event).__name__ for event in found) == ["RequestTimings", "SlaStatus"]


async def test_a_reader_yields_what_it_cannot_read_and_goes_on(kafka: KafkaSettings) -> None:
    """People see garbage with its position; the reader does not stop there."""
    async with open_publisher(kafka, source="/tailwatch/test", clock=time.time) as publisher:
        await publisher._producer.send_and_wait(STATUSES.name, b"garbage", key=STATUS.key.encode())
        await publisher.publish(STATUS)
    bad, good = [found async for found in read(kafka, [STATUSES], follow=False)]
    assert isinstance(bad, Unreadable)
    assert (bad.value, bad.error.offset) == (b"garbage", 0)
    assert isinstance(good, Delivery)
    assert good.event == STATUS


async def test_a_reader_of_an_empty_topic_ends(kafka: KafkaSettings) -> None:
    """Nothing there is nothing to wait for."""
    assert [found async for found in read(kafka, [STATUSES], follow=False)] == []


async def test_a_reader_passes_over_what_is_older(kafka: KafkaSettings) -> None:
    """``since`` goes by the time at which the record was written."""
    await sent(kafka, STATUS)
    assert [found async for found in read(kafka, [STATUSES], since=time.time() + 60, follow=False)] == []
    found = [found async for found in read(kafka, [STATUSES], since=time.time() - 60, follow=False)]
    assert len(found) == 1
