"""Starts the SLA monitor: ``python -m services.sla_monitor``."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from services.sla_monitor.adapters.worker import Worker
from services.sla_monitor.app import NAME, SlaMonitor
from services.sla_monitor.settings import SlaMonitorSettings, rules_of
from tailwatch.runtime.heartbeat import Heartbeat
from tailwatch.runtime.kafka import open_publisher
from tailwatch.runtime.logs import logger
from tailwatch.runtime.policy import load_policy
from tailwatch.runtime.process import Process, run

log = logger("services.sla_monitor")

ORDERLY_SECONDS = 3.0
"""For the last commit after SIGTERM. What is not committed is read again: the log is the state."""


async def monitor(settings: SlaMonitorSettings, process: Process) -> None:
    """Watch until the process is told to stop, then end in order, or without order when Kafka is away."""
    watching = asyncio.ensure_future(watch(settings, process))
    stopping = asyncio.ensure_future(process.stop.wait())
    await asyncio.wait({watching, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await asyncio.wait({watching}, timeout=min(ORDERLY_SECONDS, settings.shutdown_grace_seconds / 2))
    if not watching.done():
        log.warning("ended_without_commit", remedy="none needed: the next owner reads the window again")
        watching.cancel()
    await asyncio.wait({watching})
    if not watching.cancelled():
        watching.result()


async def watch(settings: SlaMonitorSettings, process: Process) -> None:
    """Build the service and run it."""
    policy = load_policy(settings.tailwatch_config_dir)
    with tempfile.TemporaryDirectory(prefix="tailwatch-sla_monitor-") as data_dir:
        worker = Worker(settings, data_dir=Path(data_dir), longest_wait_seconds=policy.sla.long_window_seconds)
        async with open_publisher(settings, source=f"/tailwatch/{NAME}", clock=process.clock) as publisher:
            watching = SlaMonitor(
                policy,
                rules_of(settings, policy),
                latches=worker.latches,
                outgoing=publisher,
                heads=worker.heads,
                clock=process.clock,
            )
            worker.attach(watching)
            heartbeat = Heartbeat(settings.heartbeat_file)

            def ticked() -> None:
                if worker.consuming:
                    heartbeat.beat()

            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(worker.run(process.stop))
                tasks.create_task(watching.tick_until(process.stop, ticked=ticked))


def main() -> int:
    """Run the service; return its exit status."""
    return run(NAME, SlaMonitorSettings, monitor)


if __name__ == "__main__":
    sys.exit(main())
