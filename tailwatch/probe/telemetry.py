"""What runs behind the probe, on a thread of its own: the emitter, the readers, and the capture agent's other half."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Self
from uuid import uuid4

from tailwatch.contracts.policy import Policy
from tailwatch.contracts.statuses import SlaStatus
from tailwatch.contracts.topics import STATUSES
from tailwatch.probe.adapters.background import Background
from tailwatch.probe.adapters.connection import Connection
from tailwatch.probe.adapters.emitter import Emitter
from tailwatch.probe.adapters.topic_reader import TopicReader
from tailwatch.probe.agent import CaptureAgent
from tailwatch.probe.core.activity import Activity
from tailwatch.probe.core.batch import Answered, Packer
from tailwatch.probe.core.health import sla_view
from tailwatch.probe.core.identity import Identity
from tailwatch.probe.core.routes import Routes
from tailwatch.probe.settings import ProbeSettings
from tailwatch.runtime.artifacts import ArtifactStore
from tailwatch.runtime.logs import logger
from tailwatch.runtime.metrics import Metrics
from tailwatch.runtime.policy import load_policy
from tailwatch.runtime.settings import host_name

log = logger(__name__)

AGENTS_PART = 0.6
"""Of the shutdown's grace: to end and publish a running capture."""
LEAST_SECONDS = 0.5


class Telemetry:
    """One per process start; made by :meth:`start`, ended by :meth:`close`."""

    def __init__(
        self,
        identity: Identity,
        settings: ProbeSettings,
        policy: Policy,
        *,
        activity: Activity,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.identity, self.routes = identity, Routes(identity.service, policy)
        self._settings, self._clock = settings, clock
        store = ArtifactStore(settings.artifact_store_url)
        self._background = Background()
        self._closed = False
        self._stop = asyncio.Event()
        self._statuses: dict[str, SlaStatus] = {}
        self._standing: list[concurrent.futures.Future[None]] = []
        connection: Connection | None = None
        self._emitter: Emitter | None = None
        if settings.kafka_bootstrap_servers:
            source = f"/tailwatch/probe/{identity.service}"
            connection = Connection(settings, source=source, clock=clock)
            readers = TopicReader(
                settings, topic=STATUSES, on_event=self._judged, publisher=connection, by="probe", clock=clock
            )
            self._standing += [self._submit(connection.run), self._submit(readers.run)]
            if settings.latency_events_enabled:
                packer = Packer(identity, settings.events_max_per_record)
                self._emitter = Emitter(settings, activity=activity, packer=packer, metrics=metrics, clock=clock)
                self._standing.append(self._submit(self._emitter.run))
        self.agent = CaptureAgent(
            settings,
            identity=identity,
            activity=activity,
            background=self._background,
            publisher=connection,
            store=store,
            metrics=metrics,
            clock=clock,
        )

    @classmethod
    async def start(
        cls,
        service: str,
        settings: ProbeSettings,
        *,
        activity: Activity,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> Self:
        """Return the running telemetry of this process; ConfigurationError when the policy cannot be used."""
        pid = os.getpid()
        identity = Identity(
            service=service,
            service_version=settings.service_version,
            commit=settings.git_commit,
            instance=f"{host_name()}-{pid}",
            boot=str(uuid4()),
            pid=pid,
        )
        policy = load_policy(settings.tailwatch_config_dir)
        started = cls(identity, settings, policy, activity=activity, metrics=metrics, clock=clock)
        try:
            await started.agent.start()
        except BaseException:
            await started.close()
            raise
        if not settings.kafka_bootstrap_servers:
            log.warning("no_kafka", remedy="set KAFKA_BOOTSTRAP_SERVERS=host:port to publish latency events")
        return started

    def offer(self, request: Answered) -> None:
        """Report one answered request; never waits."""
        if self._emitter is not None:
            self._emitter.offer(request)

    def health(self) -> dict[str, Any]:
        """Return ``slaMonitor`` for ``/health``."""
        capture, now = self.agent.state(), self._clock()
        quota_mb = self._settings.continuous_profiling_max_storage_gb * 1024
        used_mb = capture.stored_bytes / (1 << 20)
        return {
            "enabled": self._settings.continuous_profiling_enabled,
            "autoTrigger": self._settings.continuous_profiling_auto_trigger_on_sla,
            "connected": self._emitter is not None and self._emitter.connected,
            **sla_view(self._statuses.values(), now=now),
            "capture": {
                "active": capture.session_id,
                "phase": capture.phase.value,
                "target": capture.target,
                "queue": capture.queue,
                "overheadPercent": None if capture.overhead_percent is None else round(capture.overhead_percent, 3),
                "disabledUntil": capture.disabled_until,
                "reason": capture.reason,
                "last": capture.last,
            },
            "storage": {
                "usedMb": round(used_mb, 3),
                "quotaMb": quota_mb,
                "percent": f"{100 * used_mb / quota_mb:.2f}%",
            },
        }

    async def close(self) -> None:
        """End a running capture with what it has, publish what is queued, end the thread; within the grace."""
        if self._closed:
            return
        self._closed = True
        grace = self._settings.shutdown_grace_seconds
        await self.agent.close(grace * AGENTS_PART)
        await asyncio.wrap_future(self._background.submit(self._set_stop()))
        with suppress(TimeoutError):
            async with asyncio.timeout(max(LEAST_SECONDS, grace * (1 - AGENTS_PART) / 2)):
                await asyncio.gather(*map(asyncio.wrap_future, self._standing), return_exceptions=True)
        await asyncio.to_thread(self._background.close, LEAST_SECONDS)

    def _judged(self, status: SlaStatus, _: str | None) -> None:
        known = self._statuses.get(status.target)
        if status.service == self.identity.service and (known is None or known.at <= status.at):
            self._statuses[status.target] = status

    def _submit(self, work: Callable[[asyncio.Event], Any]) -> concurrent.futures.Future[None]:
        future: concurrent.futures.Future[None] = self._background.submit(work(self._stop))
        future.add_done_callback(_said)
        return future

    async def _set_stop(self) -> None:
        self._stop.set()


def _said(future: concurrent.futures.Future[None]) -> None:
    if not future.cancelled() and (error := future.exception()) is not None:
        log.error("telemetry_failed", exc_info=error)
