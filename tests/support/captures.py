"""Captures made by hand: stacks as Scalene writes them, and contexts that tell a story of one cause each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from services.analyzer.core.samples import Samples, StackUse
from tailwatch.contracts.captures import Artifact, CaptureCompleted, CaptureKind, CaptureOrigin
from tailwatch.contracts.context import (
    CONTEXT_FILE,
    MANIFEST_FILE,
    SAMPLES_FILE,
    CaptureContext,
    DependencyUse,
    EndpointFrame,
    GcUse,
    Manifest,
    ManifestEntry,
    ProcessUse,
    Quantiles,
    SamplerUse,
    TargetUse,
)
from tailwatch.runtime.artifacts import ArtifactMissing, ArtifactTooLarge, StoredArtifact
from tests.support.examples import AT, BOOT, BREACH, INSTANCE, SESSION, SLOW, TARGET, TRIGGER

PROFILES = Path(__file__).parents[1] / "data" / "profiles"
HEALTH = "GET /health"
APP = "/srv/auth/services/auth"
SITE = "/srv/auth/.venv/lib/python3.11/site-packages"
STANDARD = "/usr/lib/python3.11"

LOOP = (
    "<frozen runpy> _run_module_as_main:198;",
    f"{APP}/__main__.py <module>:56;",
    f"{STANDARD}/asyncio/runners.py run:190;",
    f"{STANDARD}/asyncio/base_events.py BaseEventLoop._run_once:1922;",
)
SERVER = (
    *LOOP,
    f"{STANDARD}/asyncio/events.py Handle._run:84;",
    f"{SITE}/hypercorn/asyncio/task_group.py _handle:27;",
    "/srv/auth/tailwatch/probe/middleware.py Probe.__call__:70;",
    f"{APP}/adapters/edge.py Edge.__call__:44;",
    f"{SITE}/starlette/routing.py Route.handle:290;",
)
TOKENS = (*SERVER, f"{APP}/app.py issue_token:58;")
CHECK = (*SERVER, f"{APP}/app.py health:88;")
ISSUE = (*TOKENS, f"{APP}/core/tokens.py issue:75;")
IDLE = (*LOOP, f"{STANDARD}/selectors.py EpollSelector.select:468;")
DERIVE = (*ISSUE, f"{APP}/adapters/keys.py derive:31;")
"""Work whose name says nothing, called while a token is signed."""
SIGN = (*ISSUE, f"{SITE}/joserfc/jwt.py encode:80;", f"{SITE}/cryptography/hazmat/backends.py finalize:11;")
ENCODE = (*TOKENS, f"{APP}/adapters/lines.py written:12;", f"{STANDARD}/json/encoder.py JSONEncoder.iterencode:258;")
PARSE = (*LOOP, f"{SITE}/hypercorn/protocol/h11.py H11Protocol.handle:120;", f"{SITE}/h11/_connection.py next_event:9;")
ROUTE = (*SERVER[:-1], f"{SITE}/starlette/routing.py Router.app:700;")
HEALTHY = (*CHECK, f"{APP}/core/state.py walk:3;")

Weighted = tuple[Sequence[str], int]


def samples(*stacks: Weighted, native: float = 0.0, entrypoint_dir: str = "/srv/auth") -> Samples:
    """Return samples of equal weight, with this part (0..1) of each in native code."""
    whole = sum(count for _, count in stacks)
    return Samples(
        stacks=tuple(
            (
                tuple(frames),
                StackUse(
                    count=count,
                    python_time=count / whole * (1 - native),
                    c_time=count / whole * native,
                    cpu_samples=count / whole,
                ),
            )
            for frames, count in stacks
        ),
        entrypoint_dir=entrypoint_dir,
    )


def latency(count: int, *, p50: float, p95: float, p99: float | None = None, mean: float | None = None) -> Quantiles:
    """Return a distribution; the mean is the median unless it is given."""
    longest = p99 or p95 * 1.1
    return Quantiles(
        count=count, p50_ms=p50, p95_ms=p95, p99_ms=longest, max_ms=longest * 1.2, total_ms=count * (mean or p50)
    )


def process(*, wall: float = 30.0, cpu: float = 24.0, **changes: Any) -> ProcessUse:
    """Return what a process used; ``cpu`` is its main thread's."""
    whole = ProcessUse(
        wall_seconds=wall,
        cpu_user_seconds=cpu,
        cpu_system_seconds=0.6,
        main_thread_cpu_seconds=cpu,
        voluntary_switches=4000,
        involuntary_switches=200,
        rss_start_mb=80.0,
        rss_end_mb=81.5,
        rss_peak_mb=84.0,
        threads=4,
    )
    return msgspec.structs.replace(whole, **changes)


def use(target: str, distribution: Quantiles, *, errors: int = 0) -> TargetUse:
    """Return the requests of a target."""
    return TargetUse(target=target, requests=distribution.count, errors=errors, latency=distribution)


def kong(distribution: Quantiles, target: str | None = TARGET) -> DependencyUse:
    """Return waits for Kong."""
    return DependencyUse(dependency="kong", operation="consumer", target=target, latency=distribution)


def context(**changes: Any) -> CaptureContext:
    """Return the context of a capture of POST /tokens whose event loop works 80 % of the time."""
    slow = latency(600, p50=95.0, p95=240.0, mean=110.0)
    whole = CaptureContext(
        session_id=SESSION,
        trigger_id=TRIGGER,
        origin=CaptureOrigin.SLA,
        kind=CaptureKind.CPU,
        service="auth",
        service_version="1.4.0",
        commit="4b825dc",
        target=TARGET,
        instance=INSTANCE,
        boot=BOOT,
        pid=4711,
        python="3.11.7",
        started_at=AT + 1.5,
        ended_at=AT + 31.5,
        partial=False,
        process=process(),
        sampler=SamplerUse(
            engine="scalene 2.4.0, entered from inside",
            rate_hz=50.0,
            samples=1500,
            idle_samples=300,
            cost_seconds=0.45,
            overhead_percent=1.5,
            await_walks=60,
        ),
        loop_lag=latency(600, p50=20.0, p95=70.0, mean=30.0),
        gc=GcUse(pauses=latency(12, p50=0.4, p95=1.0), by_generation=(10, 1, 1)),
        requests=(use(TARGET, slow), use(HEALTH, latency(30, p50=4.0, p95=9.0))),
        requests_before=(use(TARGET, latency(1200, p50=90.0, p95=230.0, mean=100.0)),),
        dependencies=(kong(latency(600, p50=0.05, p95=0.2)),),
        await_sites=(),
        endpoints=(
            EndpointFrame(file=f"{APP}/app.py", function="issue_token", line=50, target=TARGET),
            EndpointFrame(file=f"{APP}/app.py", function="health", line=80, target=HEALTH),
        ),
        asked_at=AT,
        condition_since=AT - 1.5,
        breaches=(BREACH,),
        slowest=(SLOW,),
    )
    return msgspec.structs.replace(whole, **changes)


def slow_signer() -> Samples:
    """Return samples of a service that burns CPU while it signs."""
    return samples((IDLE, 300), (DERIVE, 900), (SIGN, 60), (ENCODE, 30), (PARSE, 90), (ROUTE, 90), (HEALTHY, 30))


class MemoryStore:
    """An artifact store in memory; ``away`` makes it raise, ``written`` counts writes by name."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files = dict(files or {})
        self.written: dict[str, int] = {}
        self.away: Exception | None = None

    async def read(self, name: str, limit: int) -> bytes:
        self._answer()
        if name not in self.files:
            raise ArtifactMissing(name)
        if len(self.files[name]) > limit:
            raise ArtifactTooLarge(name)
        return self.files[name]

    async def write(self, name: str, data: bytes) -> None:
        self._answer()
        self.files[name] = data
        self.written[name] = self.written.get(name, 0) + 1

    async def names(self, prefix: str) -> list[StoredArtifact]:
        self._answer()
        return [StoredArtifact(name, len(data), 0.0) for name, data in self.files.items() if name.startswith(prefix)]

    def _answer(self) -> None:
        if self.away is not None:
            raise self.away


def scalene_json(found: Samples) -> bytes:
    """Return samples as Scalene's JSON, with fields that are not read."""
    return msgspec.json.encode({"elapsed_time_sec": 30.0, "files": {}, **msgspec.to_builtins(found)})


def stored(
    about: CaptureContext, profile: bytes, *, packed: bytes | None = None
) -> tuple[CaptureCompleted, dict[str, bytes]]:
    """Return what a capture agent announces and stores; ``packed`` stands in for the compressed samples."""
    files = {
        CONTEXT_FILE: msgspec.json.encode(about),
        SAMPLES_FILE: zstandard.compress(profile) if packed is None else packed,
    }
    entries = tuple(
        ManifestEntry(file=name, size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in files.items()
    )
    files[MANIFEST_FILE] = msgspec.json.encode(Manifest(session_id=about.session_id, files=entries))
    event = CaptureCompleted(
        service=about.service,
        target=about.target,
        instance=about.instance,
        boot=about.boot,
        pid=about.pid,
        at=about.ended_at + 0.4,
        origin=about.origin,
        kind=about.kind,
        trigger_id=about.trigger_id,
        session_id=about.session_id,
        started_at=about.started_at,
        ended_at=about.ended_at,
        partial=about.partial,
        samples=about.sampler.samples,
        overhead_percent=about.sampler.overhead_percent,
        artifacts=tuple(
            Artifact(
                name=f"captures/{about.session_id}/{name}",
                size_bytes=len(data),
                sha256=hashlib.sha256(data).hexdigest(),
            )
            for name, data in files.items()
        ),
    )
    return event, {f"captures/{about.session_id}/{name}": data for name, data in files.items()}
