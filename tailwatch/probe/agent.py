"""The capture agent: carries out, in the server's own process, what the capture control decides.

Sampling starts and stops on the server's loop, which is the main thread's; Kafka, disk and uploads are the background
loop's. Only the instance that a trigger names captures.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tailwatch.contracts.captures import CaptureKind, CaptureOrigin
from tailwatch.contracts.topics import TRIGGERS
from tailwatch.contracts.triggers import ProfilingTrigger
from tailwatch.contracts.units import Count, Hertz, Instant, Percent, Seconds, SessionId, Target
from tailwatch.probe.adapters.background import Background
from tailwatch.probe.adapters.conductor import TICK_SECONDS, Conductor
from tailwatch.probe.adapters.instruments import Engine, Instruments
from tailwatch.probe.adapters.publication import Publication, Publishing
from tailwatch.probe.adapters.scalene_engine import ScaleneEngine
from tailwatch.probe.adapters.scalene_entry import EngineUnavailable
from tailwatch.probe.adapters.spool import Spool
from tailwatch.probe.adapters.topic_reader import TopicReader
from tailwatch.probe.core import capture
from tailwatch.probe.core.activity import Activity
from tailwatch.probe.core.capture_state import CaptureState, Outcome
from tailwatch.probe.core.identity import Identity
from tailwatch.probe.core.refusal import STALE_SECONDS, Rules
from tailwatch.probe.core.safety import SafetyLimits
from tailwatch.probe.core.session import (
    CaptureRequest,
    Phase,
    Readiness,
    request_of,
    session_id,
)
from tailwatch.probe.settings import ProbeSettings
from tailwatch.runtime.artifacts import ArtifactStore
from tailwatch.runtime.logs import logger
from tailwatch.runtime.metrics import Metrics

log = logger(__name__)

NOTE_SECONDS = 1.0
QUOTA_SECONDS = 300.0
GIGABYTE = 2**30


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentState:
    """The agent, for ``/health``."""

    enabled: bool
    """Whether automatic captures are on."""
    manual: bool
    phase: Phase
    session_id: SessionId | None
    target: Target | None
    origin: CaptureOrigin | None
    queue: int
    rate_hz: Hertz
    overhead_percent: Percent | None
    """Of the running capture so far, else of the last completed one."""
    disabled_until: Instant | None
    reason: str | None
    """Why nothing can be captured now."""
    last: Outcome | None
    stored_bytes: Count
    """In the artifact store, when it was last counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ManualAnswer:
    """What became of a request by hand."""

    session_id: SessionId
    accepted: bool
    waiting: bool
    detail: str


class CaptureAgent:
    """One per process; make it, ``await start()`` before the server is ready, ``await close()`` when it ends."""

    def __init__(
        self,
        settings: ProbeSettings,
        *,
        identity: Identity,
        activity: Activity,
        background: Background,
        publisher: Publishing | None,
        store: ArtifactStore,
        metrics: Metrics,
        clock: Callable[[], float],
        engine: Engine | None = None,
    ) -> None:
        """Make an idle agent; ``publisher`` lives on the background loop, None is a process without Kafka."""
        self._settings, self._identity, self._clock = settings, identity, clock
        self._background, self._publisher = background, publisher
        self._instruments = Instruments(engine or ScaleneEngine(), activity)
        spool = Spool(settings.profiling_spool_dir, slots=settings.continuous_profiling_max_concurrent)
        self._publication = Publication(spool, store, publisher, clock=clock)
        self._conductor = Conductor(
            CaptureState(identity=identity, rules=_rules(settings)),
            instruments=self._instruments,
            spool=spool,
            publication=self._publication,
            background=background,
            metrics=metrics,
            clock=clock,
        )
        self._engine_fault: str | None = None
        self._stored_bytes = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._standing: set[asyncio.Task[None]] = set()
        self._reader: concurrent.futures.Future[None] | None = None

    async def start(self) -> None:
        """Get ready on the server's loop; with every kind of capture off, do nothing and import nothing."""
        if not self._settings.any_captures:
            return
        self._loop = asyncio.get_running_loop()
        try:
            took = self._instruments.engine.prepare()
            log.info("engine_ready", engine=self._instruments.engine.name, cpu_seconds=round(took, 3))
        except EngineUnavailable as error:
            self._engine_fault = str(error)
            log.warning("engine_unavailable", engine=self._instruments.engine.name, reason=str(error))
        self._standing = {asyncio.ensure_future(self._instruments.lag.run()), asyncio.ensure_future(self._notes())}
        self._conductor.submit(self._publication.recover())
        if self._publisher is not None and self._settings.kafka_bootstrap_servers:
            reader = TopicReader(
                self._settings,
                topic=TRIGGERS,
                on_event=self._from_kafka,
                publisher=self._publisher,
                by="probe",
                clock=self._clock,
                since_seconds=STALE_SECONDS,
            )
            self._reader = self._background.submit(reader.run(asyncio.Event()))

    async def close(self, within: Seconds = 8.0) -> None:
        """End a running capture with what it has, publish it, and leave; the next start finishes what takes longer."""
        if self._loop is None:
            return
        if self._reader is not None:
            self._reader.cancel()
        self._conductor.apply(capture.close(self._conductor.state, now=self._clock()))
        await self._conductor.settle(within)
        for task in self._standing:
            task.cancel()
        await asyncio.gather(*self._standing, return_exceptions=True)
        self._loop = None

    def state(self) -> AgentState:
        """Return how the agent stands."""
        state, request, now = self._conductor.state, self._conductor.state.request, self._clock()
        running = self._instruments.engine.progress() if state.phase is Phase.RUNNING else None
        return AgentState(
            enabled=state.rules.automatic,
            manual=state.rules.manual,
            phase=state.phase,
            session_id=request.session_id if request is not None else None,
            target=request.target if request is not None else None,
            origin=request.origin if request is not None else None,
            queue=int(state.waiting is not None),
            rate_hz=state.rate_hz,
            overhead_percent=(
                100 * running.cost_seconds / max(running.wall_seconds, TICK_SECONDS)
                if running
                else self._conductor.overhead
            ),
            disabled_until=state.back_off.until if state.back_off.holds(now) else None,
            reason=self._cannot(now),
            last=state.last,
            stored_bytes=self._stored_bytes,
        )

    async def request_manual(
        self, *, duration_seconds: Seconds, kind: CaptureKind = CaptureKind.CPU, target: Target | None = None
    ) -> ManualAnswer:
        """Ask for a capture by hand; works without Kafka."""
        now = self._clock()
        request = CaptureRequest(
            session_id=session_id(now, secrets.token_hex(6)),
            origin=CaptureOrigin.MANUAL,
            kind=kind,
            target=target,
            asked_at=now,
            duration_seconds=duration_seconds,
        )
        self._ask(request)
        accepted, waiting = self._conductor.state.request is request, self._conductor.state.waiting is request
        last = self._conductor.state.last
        detail = last.detail if last is not None and not (accepted or waiting) else ""
        return ManualAnswer(session_id=request.session_id, accepted=accepted, waiting=waiting, detail=detail)

    def stop(self, session: SessionId | None = None) -> bool:
        """End the running capture, or that session's, before its time; return whether there was one."""
        step = capture.stop(self._conductor.state, session)
        self._conductor.apply(step)
        return bool(step[1])

    def trigger(self, event: ProfilingTrigger, traceparent: str | None) -> None:
        """Take a trigger, on the server's loop; others' are passed over."""
        if event.service != self._identity.service or event.instance != self._identity.instance:
            return
        self._ask(
            request_of(
                event,
                session=session_id(self._clock(), secrets.token_hex(6)),
                duration_seconds=self._settings.continuous_profiling_duration_seconds,
                traceparent=traceparent,
            )
        )

    def _from_kafka(self, event: ProfilingTrigger, traceparent: str | None) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended meanwhile
                self._loop.call_soon_threadsafe(self.trigger, event, traceparent)

    def _ask(self, request: CaptureRequest) -> None:
        engine = self._engine_fault or self._instruments.engine.available()
        readiness = Readiness(engine=engine, stored_bytes=self._stored_bytes)
        self._conductor.apply(capture.ask(self._conductor.state, request, readiness=readiness, now=self._clock()))

    def _cannot(self, now: Instant) -> str | None:
        if not self._settings.any_captures:
            return "disabled: set CONTINUOUS_PROFILING_ENABLED=true (automatic) or PROFILING_ENABLED=true (by hand)"
        if self._conductor.state.back_off.holds(now):
            return self._conductor.state.back_off.reason
        return self._engine_fault

    async def _notes(self) -> None:
        seconds = 0.0
        while True:
            if seconds % QUOTA_SECONDS == 0:
                self._conductor.submit(self._count_storage())
            if self._conductor.state.phase is not Phase.RUNNING:
                self._instruments.note()
            await asyncio.sleep(NOTE_SECONDS)
            seconds += NOTE_SECONDS

    async def _count_storage(self) -> None:
        self._stored_bytes = await self._publication.stored_bytes() or self._stored_bytes


def _rules(settings: ProbeSettings) -> Rules:
    return Rules(
        manual=settings.profiling_enabled,
        automatic=settings.automatic_captures,
        throttle_seconds=settings.continuous_profiling_throttle_minutes * 60.0,
        quota_bytes=int(settings.continuous_profiling_max_storage_gb * GIGABYTE),
        limits=SafetyLimits(
            overhead_percent=settings.profiling_max_overhead_percent,
            loop_lag_ms=settings.profiling_max_loop_lag_ms,
            memory_growth_mb=settings.profiling_max_memory_mb,
        ),
    )
