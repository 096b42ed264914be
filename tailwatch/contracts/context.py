"""``capture.json``: what was measured beside the samples of a CPU capture, because a flame graph alone misleads."""

from __future__ import annotations

from typing_extensions import override

from tailwatch.contracts.captures import CaptureKind, CaptureOrigin
from tailwatch.contracts.event import Fact
from tailwatch.contracts.timings import SlowRequest
from tailwatch.contracts.triggers import Breach
from tailwatch.contracts.units import (
    BootId,
    Count,
    EventId,
    Hertz,
    InstanceId,
    Instant,
    Megabytes,
    Milliseconds,
    Percent,
    Seconds,
    ServiceName,
    SessionId,
    Target,
)

CONTEXT_FILE = "capture.json"
SAMPLES_FILE = "samples.json.zst"
STACKS_FILE = "stacks.folded"
MANIFEST_FILE = "manifest.json"


class Quantiles(Fact, frozen=True, kw_only=True):
    """A distribution in milliseconds; ``count`` 0 means that nothing was measured and the rest is 0."""

    count: Count
    p50_ms: Milliseconds = 0.0
    p95_ms: Milliseconds = 0.0
    p99_ms: Milliseconds = 0.0
    max_ms: Milliseconds = 0.0
    total_ms: Milliseconds = 0.0


class TargetUse(Fact, frozen=True, kw_only=True):
    """Requests of one target that ended in a span of time."""

    target: Target
    requests: Count
    errors: Count
    latency: Quantiles


class DependencyUse(Fact, frozen=True, kw_only=True):
    """Time that requests of one target spent awaiting one operation of a dependency, by the client's own timer."""

    dependency: str
    """``kong``, ``redis``, ..."""
    operation: str
    target: Target | None
    latency: Quantiles


class AwaitSite(Fact, frozen=True, kw_only=True):
    """An innermost await at which tasks were found suspended."""

    file: str
    function: str
    line: Count
    target: Target | None
    tasks: Count
    """Tasks found there, summed over the walks."""


class EndpointFrame(Fact, frozen=True, kw_only=True):
    """The function that serves a target: a stack with this frame in it belongs to that target."""

    file: str
    function: str
    line: Count
    target: Target


class ProcessUse(Fact, frozen=True, kw_only=True):
    """What the process used between start and end of the capture."""

    wall_seconds: Seconds
    cpu_user_seconds: Seconds
    cpu_system_seconds: Seconds
    main_thread_cpu_seconds: Seconds
    voluntary_switches: Count
    involuntary_switches: Count
    rss_start_mb: Megabytes
    rss_end_mb: Megabytes
    rss_peak_mb: Megabytes
    threads: Count
    cgroup_throttled_ms: Milliseconds | None = None
    """None where ``cpu.stat`` cannot be read."""
    cpu_pressure_percent: Percent | None = None
    """Part of the time some task of the cgroup (else the host) waited for a CPU (PSI), None where unreadable."""


class GcUse(Fact, frozen=True, kw_only=True):
    """Pauses by the cyclic garbage collector."""

    pauses: Quantiles
    by_generation: tuple[Count, Count, Count] = (0, 0, 0)


class SamplerUse(Fact, frozen=True, kw_only=True):
    """What the sampler did and what it cost."""

    engine: str
    """``scalene 2.4.0, entered from inside``."""
    rate_hz: Hertz
    """Mean over the capture."""
    samples: Count
    idle_samples: Count
    """Of these: in the event loop's selector, so not CPU."""
    cost_seconds: Seconds
    """CPU time spent by the capture: in the sampler, start, stop and writer."""
    overhead_percent: Percent
    """``cost_seconds`` per wall second, in percent of one core."""
    await_walks: Count = 0


class CaptureContext(Fact, frozen=True, kw_only=True):
    """Everything about a capture except its samples."""

    session_id: SessionId
    trigger_id: EventId | None
    origin: CaptureOrigin
    kind: CaptureKind
    service: ServiceName
    service_version: str
    commit: str
    target: Target | None
    instance: InstanceId
    boot: BootId
    pid: Count
    python: str
    started_at: Instant
    ended_at: Instant
    partial: bool
    process: ProcessUse
    sampler: SamplerUse
    loop_lag: Quantiles
    gc: GcUse
    requests: tuple[TargetUse, ...]
    """During the capture."""
    requests_before: tuple[TargetUse, ...]
    """In the up to 60 s before the capture."""
    dependencies: tuple[DependencyUse, ...]
    await_sites: tuple[AwaitSite, ...]
    endpoints: tuple[EndpointFrame, ...]
    asked_at: Instant | None = None
    condition_since: Instant | None = None
    breaches: tuple[Breach, ...] = ()
    slowest: tuple[SlowRequest, ...] = ()
    source_root: str = ""
    """Folder that the service was started in, absolute: paths below it are shown from there. Empty: not known."""

    @override
    def __repr__(self) -> str:
        return f"CaptureContext({self.session_id} of {self.instance})"


class ManifestEntry(Fact, frozen=True, kw_only=True):
    """One file of the capture's folder."""

    file: str
    size_bytes: Count
    sha256: str


class Manifest(Fact, frozen=True, kw_only=True):
    """``manifest.json``: written last, so that a folder with it is complete."""

    session_id: SessionId
    files: tuple[ManifestEntry, ...]
