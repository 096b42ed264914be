"""Everything that is measured in the process while it is captured, on the server's own thread.

Before a capture the instruments note, once a second, how the process is; during it they take samples, walk the tasks
and watch the vitals; after it they say what was found.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from tailwatch.contracts.context import AwaitSite, CaptureContext, GcUse, ProcessUse, Quantiles, SamplerUse
from tailwatch.contracts.errors import PipelineError
from tailwatch.contracts.units import Instant
from tailwatch.probe.adapters.awaits import AwaitSites
from tailwatch.probe.adapters.forked_writer import ForkedWriter
from tailwatch.probe.adapters.gc_pauses import GcPauses
from tailwatch.probe.adapters.loop_lag import LoopLag
from tailwatch.probe.adapters.scalene_engine import Options, Samples
from tailwatch.probe.adapters.vitals import Vitals, read_vitals, rss_mb, use_between
from tailwatch.probe.core.activity import CAPTURE_MEMORY, Activity
from tailwatch.probe.core.identity import Identity
from tailwatch.probe.core.safety import Before, Measurement, overhead_percent
from tailwatch.probe.core.session import CaptureRequest, Write

LAG_SPAN_SECONDS = 5.0
POLL_SECONDS = 0.05
KEPT_NOTES = 30
"""Seconds before a capture that it is compared with."""


class WriterFailed(PipelineError):
    """The samples could not be written."""


class Engine(Protocol):
    """What takes samples; every call on the main thread."""

    name: str

    def available(self) -> str | None:
        """Return why it cannot be used, or None."""

    def prepare(self) -> float:
        """Get ready, before anyone waits for an answer; return the CPU seconds that it took."""

    def start(self, options: Options) -> None:
        """Start sampling."""

    def adapt(self, rate_hz: float) -> None:
        """Go on at another rate."""

    def progress(self) -> Samples:
        """Return what was sampled so far."""

    def stop(self) -> Samples:
        """Stop sampling."""

    def write(self, folder: Path) -> ForkedWriter:
        """Write what was sampled, in a child."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Note:
    at: float
    answered: int
    errors: int
    rss_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What one capture measured beside its samples."""

    process: ProcessUse
    samples: Samples
    loop_lag: Quantiles
    gc: GcUse
    await_sites: tuple[AwaitSite, ...]
    await_walks: int
    cost_seconds: float

    def overhead_percent(self, cost_seconds: float) -> float:
        """Return a cost per wall second of the capture, in percent of one core."""
        return overhead_percent(cost_seconds, self.process.wall_seconds)


class Instruments:
    """The instruments of one process."""

    def __init__(self, engine: Engine, activity: Activity) -> None:
        """Measure with ``engine`` and read requests from ``activity``."""
        self.engine, self._activity = engine, activity
        self.lag = LoopLag(lambda: engine.progress().held_seconds)
        self._gc = GcPauses()
        self._awaits = AwaitSites(activity.target_of)
        self._notes: deque[_Note] = deque(maxlen=KEPT_NOTES)
        self._start: Vitals | None = None
        self._peak_mb = 0.0
        self._ticks_cost = 0.0

    def note(self) -> None:
        """Note how the process is while nothing is captured; called once a second."""
        answered, errors = self._activity.counts()
        self._notes.append(_Note(at=time.perf_counter(), answered=answered, errors=errors, rss_mb=rss_mb()))

    def before(self) -> Before:
        """Return how the process was in the last seconds."""
        self.note()
        first, last = self._notes[0], self._notes[-1]
        elapsed, answered = last.at - first.at, last.answered - first.answered
        return Before(
            error_share=(last.errors - first.errors) / answered if answered else 0.0,
            answered=last.answered,
            errors=last.errors,
            rss_mb=last.rss_mb,
            rss_growth_mb_per_second=(last.rss_mb - first.rss_mb) / elapsed if elapsed >= LAG_SPAN_SECONDS else 0.0,
        )

    def start(self, options: Options) -> None:
        """Start sampling and counting; EngineUnavailable, and nothing started, when the engine cannot."""
        self._start = read_vitals()
        self.engine.start(options)
        self._peak_mb, self._ticks_cost = self._start.rss_mb, 0.0
        self._gc.start()
        self._awaits.start(self._activity.endpoints())
        self._activity.start_capturing()

    def measure(self, at: Instant, *, walk: bool) -> Measurement:
        """Return how the capture and the process are; with ``walk``, look where tasks are suspended."""
        began = time.thread_time()
        if walk:
            self._awaits.walk()
        answered, errors = self._activity.counts()
        resident = rss_mb()
        self._peak_mb = max(self._peak_mb, resident)
        samples = self.engine.progress()
        self._ticks_cost += time.thread_time() - began
        return Measurement(
            at=at,
            cost_seconds=samples.cost_seconds + self._ticks_cost,
            samples=samples.samples,
            on_cpu_samples=samples.samples - samples.idle_samples,
            held_lag_ms=self.lag.held_ms(LAG_SPAN_SECONDS),
            answered=answered,
            errors=errors,
            rss_mb=resident,
        )

    def stop(self) -> Findings:
        """Stop sampling and counting; return what was found."""
        self._activity.capturing = False
        gc_use = self._gc.stop()
        samples = self.engine.stop()
        start, end = self._start or read_vitals(), read_vitals()
        return Findings(
            process=use_between(start, end, peak_mb=self._peak_mb),
            samples=samples,
            loop_lag=self.lag.between(start.wall, end.wall),
            gc=gc_use,
            await_sites=self._awaits.sites(),
            await_walks=self._awaits.walks,
            cost_seconds=samples.cost_seconds + self._ticks_cost,
        )

    async def written(self, folder: Path) -> float:
        """Have the samples written into ``folder``; return the CPU seconds it took. Raises WriterFailed."""
        child = self.engine.write(folder)
        try:
            end = child.poll()
            while end is None:
                await asyncio.sleep(POLL_SECONDS)
                end = child.poll()
        except asyncio.CancelledError:
            child.kill()
            raise
        if not end.ok:
            raise WriterFailed(f"the writer failed: {end.detail}")
        return end.cpu_seconds + child.fork_seconds

    def context(self, write: Write, found: Findings, identity: Identity, *, ending_cost: float) -> bytes:
        """Return ``capture.json``; may run on any thread."""
        request: CaptureRequest = write.request
        trigger = request.trigger
        cost = found.cost_seconds + ending_cost
        return msgspec.json.encode(
            CaptureContext(
                session_id=request.session_id,
                trigger_id=request.trigger_id,
                origin=request.origin,
                kind=request.kind,
                service=identity.service,
                service_version=identity.service_version,
                commit=identity.commit,
                target=request.target,
                instance=identity.instance,
                boot=identity.boot,
                pid=identity.pid,
                python=platform.python_version(),
                started_at=write.started_at,
                ended_at=write.ended_at,
                partial=write.partial,
                process=found.process,
                sampler=SamplerUse(
                    engine=self.engine.name,
                    rate_hz=found.samples.rate_hz,
                    samples=found.samples.samples,
                    idle_samples=found.samples.idle_samples,
                    cost_seconds=cost,
                    overhead_percent=found.overhead_percent(cost),
                    await_walks=found.await_walks,
                ),
                loop_lag=found.loop_lag,
                gc=found.gc,
                requests=self._activity.uses(write.started_at, write.ended_at),
                requests_before=self._activity.uses(write.started_at - CAPTURE_MEMORY, write.started_at),
                dependencies=self._activity.dependency_uses(write.started_at, write.ended_at),
                await_sites=found.await_sites,
                endpoints=self._activity.endpoints(),
                asked_at=request.asked_at,
                condition_since=trigger.condition_since if trigger is not None else None,
                breaches=trigger.breaches if trigger is not None else (),
                slowest=trigger.slowest if trigger is not None else (),
                source_root=str(Path.cwd()),
            )
        )
