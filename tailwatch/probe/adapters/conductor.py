"""Carries out what the capture control decides: its commands become work on the server's loop and behind it.

Sampling starts and stops on the server's loop, which is the main thread's; disk, uploads and Kafka are the background
loop's.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar, assert_never

from tailwatch.contracts.captures import Artifact, CaptureEvent, RefusalReason
from tailwatch.contracts.units import Hertz, Percent, Seconds, SessionId
from tailwatch.probe.adapters.background import Background
from tailwatch.probe.adapters.instruments import Findings, Instruments, WriterFailed
from tailwatch.probe.adapters.publication import Publication
from tailwatch.probe.adapters.scalene_engine import Options
from tailwatch.probe.adapters.scalene_entry import EngineUnavailable
from tailwatch.probe.adapters.spool import SessionRecord, Spool
from tailwatch.probe.core import capture
from tailwatch.probe.core.capture_state import CaptureState, Step
from tailwatch.probe.core.session import (
    Adapt,
    Announce,
    CaptureRequest,
    Command,
    Discard,
    Phase,
    Publish,
    Reserve,
    Sampled,
    Start,
    Stop,
    Write,
    Written,
)
from tailwatch.runtime.logs import logger
from tailwatch.runtime.metrics import Metrics

log = logger(__name__)

TICK_SECONDS = 0.25
WALK_EVERY_TICKS = 2

Result = TypeVar("Result")


class Conductor:
    """Holds the control's state and keeps the process in step with it."""

    def __init__(
        self,
        state: CaptureState,
        *,
        instruments: Instruments,
        spool: Spool,
        publication: Publication,
        background: Background,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        """Begin with ``state``; :meth:`apply` is called on the server's loop only."""
        self.state = state
        self.overhead: Percent | None = None
        """Of the last completed capture."""
        self._instruments, self._spool, self._publication = instruments, spool, publication
        self._background, self._metrics, self._clock = background, metrics, clock
        self._findings: Findings | None = None
        self._working: set[asyncio.Task[None]] = set()
        self._behind: set[concurrent.futures.Future[Any]] = set()

    async def settle(self, within: Seconds) -> None:
        """Wait, at most so long, until nothing is under way; then cancel what still is."""
        try:
            async with asyncio.timeout(within):
                while self._working:
                    await asyncio.wait(set(self._working))
                while self._behind:
                    await asyncio.wait([asyncio.wrap_future(future) for future in self._behind])
        except TimeoutError:
            log.warning("capture_left_for_the_next_start", phase=self.state.phase)
        for task in (unfinished := set(self._working)):
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    def apply(self, step: Step) -> None:
        """Take the next state and do what follows from it."""
        self.state, commands = step
        for command in commands:
            log.info("capture", phase=self.state.phase, command=type(command).__name__, **_named(command, self.state))
            self._do(command)

    def _do(self, command: Command) -> None:
        match command:
            case Reserve(request=request):
                self._work(self._reserve(request))
            case Start(request=request, rate_hz=rate_hz):
                self._start_sampling(request, rate_hz)
            case Adapt(rate_hz=rate_hz):
                self._instruments.engine.adapt(rate_hz)
            case Stop():
                self._stop_sampling()
            case Write():
                self._work(self._write(command))
            case Publish():
                self._work(self._publish(command))
            case Discard(session_id=session):
                self.submit(asyncio.to_thread(self._spool.discard, session))
            case Announce(event=event, traceparent=traceparent):
                self._metrics.count("profiling_sessions_total", kind=event.kind.value, outcome=_outcome(event))
                self.submit(self._publication.announce(event, traceparent))
            case _:
                assert_never(command)

    async def _reserve(self, request: CaptureRequest) -> None:
        me = self.state.identity
        record = SessionRecord(
            session_id=request.session_id,
            service=me.service,
            target=request.target,
            instance=me.instance,
            boot=me.boot,
            pid=me.pid,
            at=self._clock(),
            origin=request.origin,
            kind=request.kind,
            trigger_id=request.trigger_id,
            traceparent=request.traceparent,
        )
        try:
            free = await self._behind_the_loop(asyncio.to_thread(self._spool.reserve, record))
        except OSError as error:
            detail = f"PROFILING_SPOOL_DIR cannot be written: {error}"
            step = capture.not_reserved(self.state, RefusalReason.ENGINE_UNAVAILABLE, detail, now=self._clock())
        else:
            busy = "as many captures run on this host as CONTINUOUS_PROFILING_MAX_CONCURRENT allows"
            step = (
                capture.reserved(self.state, now=self._clock())
                if free
                else capture.not_reserved(self.state, RefusalReason.BUSY, busy, now=self._clock())
            )
        self.apply(step)

    def _start_sampling(self, request: CaptureRequest, rate_hz: Hertz) -> None:
        before = self._instruments.before()
        try:
            self._instruments.start(Options(rate_hz=rate_hz, duration_seconds=request.duration_seconds))
        except Exception as error:
            if not isinstance(error, EngineUnavailable):
                log.exception("engine_failed")
            detail = str(error) or type(error).__name__
            self.apply(capture.not_reserved(self.state, RefusalReason.ENGINE_UNAVAILABLE, detail, now=self._clock()))
            return
        self.apply(capture.started(self.state, before, now=self._clock()))
        self._work(self._watch())

    async def _watch(self) -> None:
        ticks = 0
        while self.state.phase is Phase.RUNNING:
            watch = self.state.watch
            left = watch.deadline - self._clock() if watch is not None else 0.0
            await asyncio.sleep(max(0.0, min(TICK_SECONDS, left)))
            ticks += 1
            measurement = self._instruments.measure(self._clock(), walk=ticks % WALK_EVERY_TICKS == 0)
            fault = self._instruments.engine.progress().fault
            self.apply(
                capture.broken(self.state, fault) if fault is not None else capture.measured(self.state, measurement)
            )

    def _stop_sampling(self) -> None:
        fault: str | None = None
        samples = 0
        try:
            self._findings = self._instruments.stop()
            samples, fault = self._findings.samples.samples, self._findings.samples.fault
        except Exception as error:
            log.exception("engine_failed")
            fault = f"{type(error).__name__}: {error}"
        self.apply(capture.stopped(self.state, Sampled(at=self._clock(), samples=samples), fault=fault))

    async def _write(self, write: Write) -> None:
        session, found = write.request.session_id, self._findings
        if found is None:
            self.apply(capture.not_written(self.state, "nothing was measured", now=self._clock()))
            return
        try:
            ending_cost = await self._instruments.written(self._spool.folder(session))
            context = partial(self._instruments.context, write, found, self.state.identity, ending_cost=ending_cost)
            artifacts = await self._behind_the_loop(asyncio.to_thread(self._completed, session, context))
        except (OSError, WriterFailed) as error:
            self.apply(capture.not_written(self.state, str(error), now=self._clock()))
            return
        self.overhead = found.overhead_percent(found.cost_seconds + ending_cost)
        self._metrics.gauge("profiling_overhead_percent", self.overhead)
        self._metrics.observe(
            "profiling_session_duration_seconds", found.process.wall_seconds, kind=write.request.kind.value
        )
        files = Written(artifacts=artifacts, overhead_percent=self.overhead, ending_cost_seconds=ending_cost)
        self.apply(capture.written(self.state, files, now=self._clock()))

    def _completed(self, session: SessionId, context: Callable[[], bytes]) -> tuple[Artifact, ...]:
        return self._spool.complete(session, context())

    async def _publish(self, publish: Publish) -> None:
        try:
            await self._behind_the_loop(self._publication.publish(publish.completed))
        except OSError as error:
            self.apply(capture.not_written(self.state, str(error), now=self._clock()))
            return
        completed = publish.completed
        self._metrics.count("profiling_sessions_total", kind=completed.kind.value, outcome="completed")
        self.submit(self._publication.announce(completed, publish.traceparent, ends=completed.session_id))
        self.apply(capture.published(self.state, now=self._clock()))

    def _work(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._working.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("capture_step_failed", exc_info=error)

    def submit(self, work: Coroutine[Any, Any, Any]) -> None:
        """Do something behind the loop."""
        future = self._background.submit(work)
        self._behind.add(future)
        future.add_done_callback(self._submitted)

    def _submitted(self, future: concurrent.futures.Future[Any]) -> None:
        self._behind.discard(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            log.error("capture_background_failed", exc_info=error)

    async def _behind_the_loop(self, work: Coroutine[Any, Any, Result]) -> Result:
        return await asyncio.wrap_future(self._background.submit(work))


def _outcome(event: CaptureEvent) -> str:
    return event.TYPE.split(".")[-2]


def _named(command: Command, state: CaptureState) -> dict[str, Any]:
    if isinstance(command, Announce):
        return {"outcome": _outcome(command.event), "detail": getattr(command.event, "detail", "")}
    return {"session": state.request.session_id} if state.request is not None else {}
