"""The agent with an engine of straw: what it announces, refuses and aborts, and in which order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from typing_extensions import override

from tailwatch.contracts.captures import (
    AbortReason,
    CaptureAborted,
    CaptureCompleted,
    CaptureFailed,
    CaptureKind,
    CaptureOrigin,
    CaptureRefused,
    CaptureStarted,
    FailureReason,
    RefusalReason,
)
from tailwatch.contracts.context import MANIFEST_FILE, SAMPLES_FILE, STACKS_FILE
from tailwatch.contracts.errors import StoreUnavailable
from tailwatch.contracts.event import Event
from tailwatch.contracts.triggers import ProfilingTrigger, TriggerCause
from tailwatch.probe.adapters.background import Background
from tailwatch.probe.adapters.forked_writer import ForkedWriter
from tailwatch.probe.adapters.scalene_engine import Options, Samples
from tailwatch.probe.adapters.scalene_entry import EngineUnavailable
from tailwatch.probe.adapters.spool import SessionRecord, Spool
from tailwatch.probe.agent import CaptureAgent
from tailwatch.probe.core.activity import Activity, Running
from tailwatch.probe.core.identity import Identity
from tailwatch.probe.core.session import Phase
from tailwatch.probe.settings import ProbeSettings
from tailwatch.runtime.artifacts import ArtifactStore
from tailwatch.runtime.metrics import Metrics
from tailwatch.runtime.settings import load

TRACEPARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@dataclass
class StrawEngine:
    """Takes no samples; costs and breaks as told."""

    name: str = "straw"
    missing: str | None = None
    prepare_fails: bool = False
    start_fails: Exception | None = None
    stop_fails: bool = False
    cost_share: float = 0.001
    holds: float = 0.0
    fault: str | None = None
    rate: float = 0.0
    began: float = 0.0
    writes: Callable[[Path], None] | None = None

    def available(self) -> str | None:
        """Return why it cannot be used."""
        return self.missing

    def prepare(self) -> float:
        """Get ready."""
        if self.prepare_fails:
            raise EngineUnavailable("made of straw")
        return 0.1

    def start(self, options: Options) -> None:
        """Start."""
        if self.start_fails is not None:
            raise self.start_fails
        self.rate, self.began = options.rate_hz, time.perf_counter()

    def adapt(self, rate_hz: float) -> None:
        """Change the rate."""
        self.rate = rate_hz

    def progress(self) -> Samples:
        """Say what was done."""
        wall = time.perf_counter() - self.began
        count = int(wall * 50)
        return Samples(
            samples=count,
            idle_samples=0,
            cost_seconds=self.cost_share * wall,
            wall_seconds=wall,
            held_seconds=self.holds * wall,
            fault=self.fault,
        )

    def stop(self) -> Samples:
        """Stop."""
        if self.stop_fails:
            raise KeyError("straw")
        return self.progress()

    def write(self, folder: Path) -> ForkedWriter:
        """Write both files."""

        def work() -> None:
            if self.writes is not None:
                self.writes(folder)
            (folder / SAMPLES_FILE).write_bytes(b"samples")
            (folder / STACKS_FILE).write_bytes(b"stacks")

        return ForkedWriter(work, deadline_seconds=10)


@dataclass
class Told:
    """A publisher that keeps what it was told, once Kafka is there."""

    events: list[Event] = field(default_factory=list)
    traceparents: list[str | None] = field(default_factory=list)
    away: bool = False

    async def publish(self, event: Event, *, traceparent: str | None = None) -> None:
        """Keep the event."""
        while self.away:
            await asyncio.sleep(0.02)
        self.events.append(event)
        self.traceparents.append(traceparent)


@dataclass
class Rig:
    """An agent and all that it touches."""

    agent: CaptureAgent
    engine: StrawEngine
    told: Told
    activity: Activity
    metrics: Metrics
    identity: Identity
    store: Path
    spool: Path

    async def until(self, holds: Callable[[], bool], seconds: float = 15) -> None:
        """Wait until something holds."""
        async with asyncio.timeout(seconds):
            while not holds():
                await asyncio.sleep(0.01)

    async def told_of(self, *kinds: type[Event]) -> list[Any]:
        """Return the events once there are as many as kinds, which they must match."""
        await self.until(lambda: len(self.told.events) >= len(kinds))
        assert [type(event) for event in self.told.events] == list(kinds)
        return list(self.told.events)

    def trigger(self, number: int = 0, **changes: Any) -> ProfilingTrigger:
        """Return a trigger for this process."""
        plain = ProfilingTrigger(
            id=str(UUID(int=number)),
            cause=TriggerCause.BREACH,
            service=self.identity.service,
            service_version="1",
            target="POST /tokens",
            instance=self.identity.instance,
            epoch=1,
            attempt=0,
            at=time.time(),
            condition_since=time.time(),
            breaches=(),
            instance_share=1.0,
        )
        return msgspec.structs.replace(plain, **changes)


@asynccontextmanager
async def rigged(folder: Path, *, store: ArtifactStore | None = None, **settings: Any) -> AsyncIterator[Rig]:
    """Yield a started agent; close it."""
    chosen = {
        "profiling_enabled": True,
        "continuous_profiling_enabled": True,
        "continuous_profiling_duration_seconds": 5,
        "profiling_spool_dir": folder / "spool",
        "artifact_store_url": str(folder / "store"),
        "kafka_bootstrap_servers": None,
        **settings.pop("plain", {}),
    }
    engine, told, activity, metrics = StrawEngine(**settings), Told(), Activity(), Metrics()
    identity = Identity(
        service="auth", service_version="1", commit="c0ffee", instance="host-7", boot=str(uuid4()), pid=7
    )
    background = Background()
    agent = CaptureAgent(
        load(ProbeSettings, **chosen),
        identity=identity,
        activity=activity,
        background=background,
        publisher=told,
        store=store or ArtifactStore(str(folder / "store")),
        metrics=metrics,
        clock=time.time,
        engine=engine,
    )
    await agent.start()
    try:
        yield Rig(agent, engine, told, activity, metrics, identity, folder / "store", folder / "spool")
    finally:
        told.away = False
        await agent.close(3)
        background.close(3)


async def test_a_trigger_leads_to_started_and_completed_and_to_files(tmp_path: Path) -> None:
    """In this order, in the trigger's trace, the requests meanwhile marked."""
    async with rigged(tmp_path) as rig:
        rig.agent.trigger(rig.trigger(), TRACEPARENT)
        await rig.until(lambda: rig.agent.state().phase is Phase.RUNNING)
        state = rig.agent.state()
        capturing = rig.activity.capturing
        assert capturing
        assert (state.target, state.origin, state.rate_hz) == ("POST /tokens", CaptureOrigin.SLA, 50.0)
        assert rig.agent.stop(state.session_id)
        started, completed = await rig.told_of(CaptureStarted, CaptureCompleted)
        assert not rig.activity.capturing
        assert completed.partial
        assert started.session_id == completed.session_id == state.session_id
        assert {str(parent).split("-")[1] for parent in rig.told.traceparents} == {"a" * 32}
        for artifact in completed.artifacts:
            assert (rig.store / artifact.name).stat().st_size == artifact.size_bytes
        assert completed.artifacts[-1].name.endswith(MANIFEST_FILE)
        await rig.until(lambda: [path.name for path in rig.spool.iterdir()] == ["slot-0.lock"])
        assert rig.metrics.value("profiling_sessions_total", kind="cpu", outcome="completed") == 1
        assert rig.metrics.value("profiling_overhead_percent") == completed.overhead_percent > 0
        last = rig.agent.state().last
        assert last is not None
        assert last.outcome == "completed"


async def test_triggers_for_others_are_passed_over(tmp_path: Path) -> None:
    """Another instance, another service."""
    async with rigged(tmp_path) as rig:
        rig.agent.trigger(rig.trigger(instance="host-8"), None)
        rig.agent.trigger(rig.trigger(service="billing"), None)
        assert rig.agent.state().phase is Phase.IDLE
    assert rig.told.events == []


async def test_a_second_trigger_and_an_old_one_are_refused(tmp_path: Path) -> None:
    """By the instance that was asked, with the reason."""
    async with rigged(tmp_path) as rig:
        rig.agent.trigger(rig.trigger(1, at=time.time() - 31), None)
        rig.agent.trigger(rig.trigger(2), None)
        rig.agent.trigger(rig.trigger(3), None)
        await rig.until(lambda: len(rig.told.events) >= 3)
        refused = [event for event in rig.told.events if isinstance(event, CaptureRefused)]
        assert [event.reason for event in refused] == [RefusalReason.STALE, RefusalReason.BUSY]
        assert [event.trigger_id for event in refused] == [str(UUID(int=1)), str(UUID(int=3))]


async def test_a_capture_that_costs_too_much_at_10_hz_is_aborted_and_nothing_is_kept(tmp_path: Path) -> None:
    """Then captures are disabled, and /health says until when and why."""
    async with rigged(tmp_path, cost_share=0.5) as rig:
        await rig.agent.request_manual(duration_seconds=30)
        _, aborted = await rig.told_of(CaptureStarted, CaptureAborted)
        assert aborted.reason is AbortReason.OVERHEAD
        assert rig.engine.rate == 10.0
        state = rig.agent.state()
        assert state.disabled_until is not None
        assert state.disabled_until > time.time() + 590
        assert state.reason is not None
        assert "overhead" in state.reason
        await rig.until(lambda: [path.name for path in rig.spool.iterdir()] == ["slot-0.lock"])
        assert not (rig.store / "captures").exists()
        answer = await rig.agent.request_manual(duration_seconds=5)
        assert not answer.accepted
        assert "overhead_disabled" in answer.detail


async def test_errors_that_rise_abort_a_capture(tmp_path: Path) -> None:
    """The patient's health comes first."""
    async with rigged(tmp_path) as rig:
        await rig.agent.request_manual(duration_seconds=30)
        await rig.until(lambda: rig.agent.state().phase is Phase.RUNNING)
        for _ in range(40):
            request = Running(time.time(), under_capture=True, resolve=lambda: "GET /")
            rig.activity.ended(request, target="GET /", status=500, at=time.time())
        _, aborted = await rig.told_of(CaptureStarted, CaptureAborted)
        assert aborted.reason is AbortReason.ERRORS


@pytest.mark.parametrize("holds", [1.0, 0.0], ids=["by the sampler", "by the service"])
async def test_a_held_loop_aborts_a_capture_only_when_the_sampler_holds_it(tmp_path: Path, holds: float) -> None:
    """A service that gets worse by itself is what a capture is there to see."""
    async with rigged(tmp_path, plain={"profiling_max_loop_lag_ms": 20}, holds=holds) as rig:
        await rig.agent.request_manual(duration_seconds=30)
        await rig.until(lambda: rig.agent.state().phase is Phase.RUNNING)
        for _ in range(12):
            time.sleep(0.25)  # noqa: ASYNC251 - the fault
            await asyncio.sleep(0.02)
        rig.agent.stop()
        _, ended = await rig.told_of(CaptureStarted, CaptureAborted if holds else CaptureCompleted)
        assert getattr(ended, "reason", None) is (AbortReason.LOOP_LAG if holds else None)


async def test_memory_that_grows_aborts_a_capture(tmp_path: Path) -> None:
    """64 MB by default; 20 MB here."""
    async with rigged(tmp_path, plain={"profiling_max_memory_mb": 20}) as rig:
        await rig.agent.request_manual(duration_seconds=30)
        await rig.until(lambda: rig.agent.state().phase is Phase.RUNNING)
        hoard = bytearray(b"x" * 80 * 2**20)
        _, aborted = await rig.told_of(CaptureStarted, CaptureAborted)
        assert aborted.reason is AbortReason.MEMORY
        assert len(hoard) > 0


@pytest.mark.parametrize("when", ["sampling", "stopping", "writing"])
async def test_an_engine_that_breaks_fails_the_capture_and_the_agent_goes_on(tmp_path: Path, when: str) -> None:
    """The reason is announced, and the next capture may start."""
    faults: dict[str, dict[str, Any]] = {
        "sampling": {"fault": "KeyError: 1"},
        "stopping": {"stop_fails": True},
        "writing": {"writes": fail},
    }
    async with rigged(tmp_path, **faults[when]) as rig:
        await rig.agent.request_manual(duration_seconds=30)
        await rig.until(lambda: rig.agent.state().phase is not Phase.STARTING)
        rig.agent.stop()
        _, failed = await rig.told_of(CaptureStarted, CaptureFailed)
        assert failed.reason is (FailureReason.WRITE_FAILED if when == "writing" else FailureReason.ENGINE_ERROR)
        assert rig.agent.state().phase is Phase.IDLE
        rig.engine.fault, rig.engine.stop_fails, rig.engine.writes = None, False, None
        assert (await rig.agent.request_manual(duration_seconds=5)).accepted


def fail(_: Path) -> None:
    """Be a writer that cannot."""
    raise OSError("disk full")


@pytest.mark.parametrize("error", [EngineUnavailable("taken"), RuntimeError("unforeseen")])
async def test_an_engine_that_does_not_start_refuses(tmp_path: Path, error: Exception) -> None:
    """Nothing was started, so nothing has failed."""
    async with rigged(tmp_path, start_fails=error) as rig:
        await rig.agent.request_manual(duration_seconds=5)
        (refused,) = await rig.told_of(CaptureRefused)
        assert refused.reason is RefusalReason.ENGINE_UNAVAILABLE
        assert refused.detail == str(error)
        assert not rig.activity.capturing


async def test_an_engine_that_is_missing_is_said_in_health(tmp_path: Path) -> None:
    """And the service starts all the same."""
    async with rigged(tmp_path, prepare_fails=True) as rig:
        assert rig.agent.state().reason == "made of straw"
        answer = await rig.agent.request_manual(duration_seconds=5)
        assert answer.detail == "engine_unavailable: made of straw"


async def test_heap_captures_are_refused(tmp_path: Path) -> None:
    """Not in this version."""
    async with rigged(tmp_path) as rig:
        answer = await rig.agent.request_manual(duration_seconds=5, kind=CaptureKind.HEAP)
        assert answer.detail.startswith("engine_unavailable")


async def test_one_request_by_hand_waits_for_the_one_before(tmp_path: Path) -> None:
    """And runs then."""
    async with rigged(tmp_path) as rig:
        first = await rig.agent.request_manual(duration_seconds=30)
        second = await rig.agent.request_manual(duration_seconds=30)
        assert (first.accepted, second.accepted, second.waiting) == (True, False, True)
        assert rig.agent.state().queue == 1
        await rig.until(lambda: rig.agent.state().phase is Phase.RUNNING)
        rig.agent.stop()
        await rig.until(lambda: rig.agent.state().session_id == second.session_id)


async def test_a_spool_that_cannot_be_written_refuses_with_its_name(tmp_path: Path) -> None:
    """The remedy is in the reason."""
    (tmp_path / "spool").write_text("a file, not a folder")
    async with rigged(tmp_path) as rig:
        await rig.agent.request_manual(duration_seconds=5)
        (refused,) = await rig.told_of(CaptureRefused)
        assert "PROFILING_SPOOL_DIR" in refused.detail


async def test_another_capture_on_this_host_makes_it_busy(tmp_path: Path) -> None:
    """CONTINUOUS_PROFILING_MAX_CONCURRENT counts over processes."""
    other = Spool(tmp_path / "spool", slots=1)
    record = SessionRecord(
        session_id="profile-1-abc",
        service="auth",
        target=None,
        instance="host-9",
        boot=str(uuid4()),
        pid=9,
        at=1.0,
        origin=CaptureOrigin.MANUAL,
        kind=CaptureKind.CPU,
        trigger_id=None,
        traceparent=None,
    )
    assert other.reserve(record)
    async with rigged(tmp_path) as rig:
        await rig.agent.request_manual(duration_seconds=5)
        (refused,) = await rig.told_of(CaptureRefused)
        assert refused.reason is RefusalReason.BUSY
    other.discard("profile-1-abc")


async def test_what_a_killed_predecessor_left_is_ended_or_finished(tmp_path: Path) -> None:
    """Unfinished: failed, process_died. Complete: uploaded and announced."""
    spool = Spool(tmp_path / "spool", slots=2)
    async with rigged(tmp_path) as rig:
        await rig.agent.request_manual(duration_seconds=30)
        await rig.until(lambda: rig.agent.state().phase is Phase.RUNNING)
        rig.told.away = True
        rig.agent.stop()
        await rig.until(lambda: (rig.store / "captures").exists() and rig.agent.state().phase is Phase.IDLE)
        sealed = next((tmp_path / "spool").glob("profile-*"))
        copies = {file.name: file.read_bytes() for file in sealed.iterdir()}
    left = tmp_path / "spool" / sealed.name
    left.mkdir()
    for name, content in copies.items():
        (left / name).write_bytes(content)
    unfinished = tmp_path / "spool/.profile-1-abc.partial"
    unfinished.mkdir()
    record = msgspec.json.decode(copies["session.json"], type=SessionRecord)
    died = msgspec.structs.replace(record, session_id="profile-1-abc", pid=4711)
    (unfinished / "session.json").write_bytes(msgspec.json.encode(died))
    for file in (tmp_path / "store/captures" / sealed.name).iterdir():
        file.unlink()
    async with rigged(tmp_path) as rig:
        failed, completed = await rig.told_of(CaptureFailed, CaptureCompleted)
        assert (failed.reason, failed.pid) == (FailureReason.PROCESS_DIED, 4711)
        assert completed.session_id == sealed.name
        assert len(list((rig.store / "captures" / sealed.name).iterdir())) == 4
        await rig.until(lambda: [path.name for path in rig.spool.iterdir()] == ["slot-0.lock"])
    assert spool.leftovers().unfinished == []


class Flaky(ArtifactStore):
    """A store that is away at first."""

    refusals = 2

    @override
    async def write(self, name: str, data: bytes) -> None:
        """Write on the third try."""
        if self.refusals:
            self.refusals -= 1
            raise StoreUnavailable("away")
        await super().write(name, data)


async def test_a_store_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Uploaded once it is back; announced after that."""
    async with rigged(tmp_path, store=Flaky(str(tmp_path / "store"))) as rig:
        await rig.agent.request_manual(duration_seconds=30)
        await rig.until(lambda: rig.agent.state().phase is Phase.RUNNING)
        rig.agent.stop()
        await rig.told_of(CaptureStarted, CaptureCompleted)


async def test_closing_while_kafka_is_away_leaves_the_rest_to_the_next_start(tmp_path: Path) -> None:
    """Within its time; nothing is lost."""
    async with rigged(tmp_path) as rig:
        rig.told.away = True
        await rig.agent.request_manual(duration_seconds=30)
        await rig.until(lambda: rig.agent.state().phase is Phase.RUNNING)
        began = time.monotonic()
        await rig.agent.close(1.5)
        assert time.monotonic() - began < 5
        assert len(list(rig.spool.glob("profile-*"))) == 1


async def test_with_everything_off_nothing_starts(tmp_path: Path) -> None:
    """No engine, no task; a trigger is refused all the same."""
    off = {"profiling_enabled": False, "continuous_profiling_enabled": False}
    async with rigged(tmp_path, prepare_fails=True, plain=off) as rig:
        state = rig.agent.state()
        assert state.reason is not None
        assert state.reason.startswith("disabled")
        rig.agent.trigger(rig.trigger(), None)
        (refused,) = await rig.told_of(CaptureRefused)
        assert refused.reason is RefusalReason.DISABLED
        assert not rig.spool.exists()
    assert replace(state) == state
