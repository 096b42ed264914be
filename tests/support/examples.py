"""One example of every event, the story of one breach: the golden records, and material for anyone's tests."""

from __future__ import annotations

from tailwatch.contracts.analyses import (
    BudgetStatus,
    Finding,
    HotFunction,
    Impact,
    OperationCost,
    ProfileAnalysis,
    Severity,
    ShareInterval,
    Verdict,
    VerdictKind,
    analysis_id,
)
from tailwatch.contracts.captures import (
    AbortReason,
    Artifact,
    CaptureAborted,
    CaptureCompleted,
    CaptureEvicted,
    CaptureFailed,
    CaptureKind,
    CaptureOrigin,
    CaptureRefused,
    CaptureStarted,
    FailureReason,
    RefusalReason,
)
from tailwatch.contracts.context import AwaitSite, DependencyUse, GcUse, ProcessUse, Quantiles, SamplerUse, TargetUse
from tailwatch.contracts.event import Event
from tailwatch.contracts.recommendations import Evidence, Recommendation, RecommendationState, fingerprint
from tailwatch.contracts.rejects import RejectedRecord
from tailwatch.contracts.statuses import Limits, SlaReason, SlaState, SlaStatus, WindowView
from tailwatch.contracts.timings import RequestTimings, SlowRequest
from tailwatch.contracts.triggers import Breach, ProfilingTrigger, TriggerCause, trigger_id

AT = 1_764_000_000.0
"""2025-11-24T16:00:00Z: the moment of the breach."""
TARGET = "POST /tokens"
INSTANCE = "web1-4711"
BOOT = "0f9a1c52-4a0b-4c1e-9f57-2f6a3f0f9b11"
SESSION = "profile-1764000001500-9f57a1b2c3d4"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRIGGER = trigger_id("auth", TARGET, 1, 0)
LIMITS = Limits(p95_ms=100.0, p99_ms=200.0)
FINGERPRINT = fingerprint("auth", TARGET, "operation_over_budget", "jwt_signing", None)

SLOW = SlowRequest(request_id="req-8f3a", trace_id=TRACE, started_at=AT - 0.41, duration_ms=402.5)
BREACH = Breach(percentile="p95", limit_ms=100.0, measured_ms=380.0, over=41, samples=200, window_seconds=60.0)
LATENCY = Quantiles(count=200, p50_ms=61.0, p95_ms=380.0, p99_ms=401.0, max_ms=402.5, total_ms=19_800.0)
SIGNING = ShareInterval(share=0.62, low=0.58, high=0.66, samples=1240)
IMPACT = Impact(
    p95_ms_low=120.0, p95_ms_high=210.0, cpu_share=0.22, basis="from 62 % of the CPU time down to its budget of 40 %"
)

TIMINGS = RequestTimings(
    service="auth",
    service_version="1.4.0",
    target=TARGET,
    instance=INSTANCE,
    boot=BOOT,
    sequence=17,
    sent_at=AT,
    started_at=(AT - 0.41, AT - 0.09),
    duration_ms=(402.5, 61.25),
    status=(200, 503),
    method=("POST", "GET"),
    under_capture=(False, False),
    slowest=(SLOW,),
    running_ms=(812.0,),
)
STATUS = SlaStatus(
    service="auth",
    service_version="1.4.0",
    target=TARGET,
    at=AT,
    state=SlaState.BREACHED,
    reason=SlaReason.TRIGGERED,
    explanation="41 of 200 requests in 60 s were slower than 100 ms (20.5 %, allowed 5 %); web1-4711 was asked.",
    limits=LIMITS,
    long=WindowView(
        seconds=60.0, samples=200, over_p95=41, over_p99=30, errors=1, p50_ms=61.0, p95_ms=380.0, p99_ms=401.0
    ),
    short=WindowView(seconds=10.0, samples=0, over_p95=0, over_p99=0, errors=0, p50_ms=None, p95_ms=None, p99_ms=None),
    instances=2,
    worst_instance=INSTANCE,
    worst_share=0.9,
    breached_since=AT - 1.5,
    throttled_until=AT + 3600.0,
    last_trigger_id=TRIGGER,
    last_trigger_at=AT,
    late=2,
)
TRIGGERED = ProfilingTrigger(
    id=TRIGGER,
    cause=TriggerCause.BREACH,
    service="auth",
    service_version="1.4.0",
    target=TARGET,
    instance=INSTANCE,
    epoch=1,
    attempt=0,
    at=AT,
    condition_since=AT - 1.5,
    breaches=(BREACH,),
    instance_share=0.9,
    slowest=(SLOW,),
)
STARTED = CaptureStarted(
    service="auth",
    target=TARGET,
    instance=INSTANCE,
    boot=BOOT,
    pid=4711,
    at=AT + 1.5,
    origin=CaptureOrigin.SLA,
    kind=CaptureKind.CPU,
    trigger_id=TRIGGER,
    session_id=SESSION,
    duration_seconds=30.0,
    deadline=AT + 61.5,
    rate_hz=97.0,
)
COMPLETED = CaptureCompleted(
    service="auth",
    target=TARGET,
    instance=INSTANCE,
    boot=BOOT,
    pid=4711,
    at=AT + 31.8,
    origin=CaptureOrigin.SLA,
    kind=CaptureKind.CPU,
    trigger_id=TRIGGER,
    session_id=SESSION,
    started_at=AT + 1.5,
    ended_at=AT + 31.5,
    partial=False,
    samples=2910,
    overhead_percent=0.9,
    artifacts=(
        Artifact(name=f"auth/{SESSION}/samples.json.zst", size_bytes=61_440, sha256="ab" * 32),
        Artifact(name=f"auth/{SESSION}/manifest.json", size_bytes=412, sha256="0c" * 32),
    ),
)
REFUSED = CaptureRefused(
    service="auth",
    target=None,
    instance=INSTANCE,
    boot=BOOT,
    pid=4711,
    at=AT + 1.5,
    origin=CaptureOrigin.MANUAL,
    kind=CaptureKind.HEAP,
    trigger_id=None,
    reason=RefusalReason.BUSY,
    detail="a capture is running until 16:00:31",
)
ABORTED = CaptureAborted(
    service="auth",
    target=TARGET,
    instance=INSTANCE,
    boot=BOOT,
    pid=4711,
    at=AT + 9.0,
    origin=CaptureOrigin.SLA,
    kind=CaptureKind.CPU,
    trigger_id=TRIGGER,
    session_id=SESSION,
    reason=AbortReason.LOOP_LAG,
    detail="event-loop lag rose by 140 ms, allowed 100 ms",
)
FAILED = CaptureFailed(
    service="auth",
    target=TARGET,
    instance=INSTANCE,
    boot=BOOT,
    pid=4711,
    at=AT + 31.8,
    origin=CaptureOrigin.SLA,
    kind=CaptureKind.CPU,
    trigger_id=TRIGGER,
    session_id=SESSION,
    reason=FailureReason.WRITE_FAILED,
    detail="no space left on device",
)
EVICTED = CaptureEvicted(
    service="auth",
    target=TARGET,
    instance=INSTANCE,
    boot=BOOT,
    pid=4711,
    at=AT + 86_400.0,
    origin=CaptureOrigin.SLA,
    kind=CaptureKind.CPU,
    trigger_id=TRIGGER,
    session_id=SESSION,
    freed_bytes=61_852,
)
ANALYSIS = ProfileAnalysis(
    id=analysis_id(SESSION),
    session_id=SESSION,
    trigger_id=TRIGGER,
    origin=CaptureOrigin.SLA,
    kind=CaptureKind.CPU,
    service="auth",
    service_version="1.4.0",
    commit="4b825dc",
    target=TARGET,
    instance=INSTANCE,
    pid=4711,
    python="3.11.7",
    started_at=AT + 1.5,
    ended_at=AT + 31.5,
    partial=False,
    condition_since=AT - 1.5,
    asked_at=AT,
    breaches=(BREACH,),
    slowest=(SLOW,),
    limits=LIMITS,
    verdict=Verdict(kind=VerdictKind.CPU_BOUND, summary="71 % of the slow time is work.", evidence=("1240 of 2000",)),
    latency_before=LATENCY,
    latency_during=Quantiles(count=0),
    requests=(TargetUse(target=TARGET, requests=200, errors=1, latency=LATENCY),),
    cpu_ms_per_request=44.0,
    process=ProcessUse(
        wall_seconds=30.0,
        cpu_user_seconds=20.0,
        cpu_system_seconds=1.0,
        main_thread_cpu_seconds=20.5,
        voluntary_switches=900,
        involuntary_switches=40,
        rss_start_mb=88.0,
        rss_end_mb=90.0,
        rss_peak_mb=91.0,
        threads=5,
    ),
    sampler=SamplerUse(
        engine="scalene 2.4.0, entered from inside",
        rate_hz=97.0,
        samples=2910,
        idle_samples=910,
        cost_seconds=0.27,
        overhead_percent=0.9,
        await_walks=60,
    ),
    loop_lag=Quantiles(count=300, p50_ms=1.0, p95_ms=40.0, p99_ms=61.0, max_ms=70.0, total_ms=900.0),
    gc=GcUse(pauses=Quantiles(count=0), by_generation=(3, 1, 0)),
    dependencies=(DependencyUse(dependency="kong", operation="get_consumer", target=TARGET, latency=LATENCY),),
    await_sites=(AwaitSite(file="httpx:_client.py", function="get", line=1780, target=None, tasks=12),),
    on_cpu_samples=2000,
    functions=(
        HotFunction(
            file="services/auth/core/token.py",
            module="services.auth.core.token",
            function="TokenIssuer.issue",
            line=61,
            operation="jwt_signing",
            target=TARGET,
            self_ms=12_400.0,
            total_ms=12_500.0,
            self_share=SIGNING,
            total_share=0.63,
            self_ms_per_request=62.0,
        ),
    ),
    operations=(
        OperationCost(
            operation="jwt_signing",
            title="JWT signing",
            cpu_ms=12_400.0,
            cpu_ms_per_request=62.0,
            share=SIGNING,
            budget=0.4,
            status=BudgetStatus.EXCEEDED,
            top_function="TokenIssuer.issue",
        ),
    ),
    unattributed=0.03,
    findings=(
        Finding(
            rule="operation_over_budget",
            fingerprint=FINGERPRINT,
            severity=Severity.HIGH,
            title="JWT signing is over its CPU budget",
            operation="jwt_signing",
            function=None,
            issue="JWT signing takes 62 % (58..66) of the CPU time, its budget is 40 %.",
            impact=IMPACT,
            actions=("Reuse the imported key instead of parsing it for every token.",),
            metric="jwt_token_creation_duration_seconds",
        ),
    ),
)
RECOMMENDATION = Recommendation(
    fingerprint=FINGERPRINT,
    state=RecommendationState.OPEN,
    at=AT + 33.0,
    service="auth",
    target=TARGET,
    rule="operation_over_budget",
    operation="jwt_signing",
    function=None,
    severity=Severity.HIGH,
    title="JWT signing is over its CPU budget",
    issue="JWT signing takes 62 % (58..66) of the CPU time, its budget is 40 %.",
    expected_impact=IMPACT,
    actions=("Reuse the imported key instead of parsing it for every token.",),
    metric="jwt_token_creation_duration_seconds",
    evidence=(
        Evidence(
            session_id=SESSION, instance=INSTANCE, pid=4711, captured_at=AT + 1.5, share=SIGNING, summary="62 % of CPU"
        ),
    ),
    first_seen=AT + 33.0,
    report=f"auth/{SESSION}/report.html",
    report_url=f"http://127.0.0.1:3080/reports/{SESSION}",
    trace_ids=(TRACE,),
)
REJECT = RejectedRecord(
    topic="profiling.captures.v1",
    partition=2,
    offset=40,
    reason="JSON is malformed: invalid character (byte 0)",
    rejected_by="analyzer",
    at=AT + 40.0,
    size_bytes=6,
    value=b"\x00\xffhi\r\n",
)

EXAMPLES: tuple[Event, ...] = (
    TIMINGS,
    STATUS,
    TRIGGERED,
    STARTED,
    COMPLETED,
    REFUSED,
    ABORTED,
    FAILED,
    EVICTED,
    ANALYSIS,
    RECOMMENDATION,
    REJECT,
)
