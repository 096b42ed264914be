"""The sections of a report, each from the analysis alone."""

from __future__ import annotations

from typing import assert_never

from services.reporter.core import numbers
from services.reporter.core.shapes import Cell, Fact, Opportunity, Section, Table
from tailwatch.contracts.analyses import BudgetStatus, HotFunction, OperationCost, ProfileAnalysis
from tailwatch.contracts.captures import CaptureOrigin
from tailwatch.contracts.context import Quantiles
from tailwatch.contracts.triggers import Breach

MOST_ROWS = 20
SHARED = "shared"
STATUS = {
    BudgetStatus.EXCEEDED: "EXCEEDED",
    BudgetStatus.AT_RISK: "at risk",
    BudgetStatus.MET: "met",
    BudgetStatus.UNKNOWN: "unknown (under 200 samples)",
    BudgetStatus.NONE: "no budget",
}


def header(analysis: ProfileAnalysis) -> Section:
    """Return what was captured, where, when, and why."""
    seconds = analysis.ended_at - analysis.started_at
    facts = [
        Fact("Service", f"{analysis.service} {analysis.service_version}"),
        Fact("Target", analysis.target or "every target of the service"),
        Fact(
            "Captured", f"{numbers.moment(analysis.started_at)}, {seconds:.1f} s{' (ended early)' * analysis.partial}"
        ),
        Fact("Why", _why(analysis)),
        Fact("Process", f"instance {analysis.instance}, pid {analysis.pid}, Python {analysis.python}"),
        Fact("Commit", analysis.commit),
        Fact("Session", analysis.session_id),
    ]
    traces = ", ".join(slow.trace_id for slow in analysis.slowest if slow.trace_id)
    return Section("Capture", facts=(*facts, *([Fact("Slowest traces", traces)] if traces else [])))


def performance(analysis: ProfileAnalysis) -> Section:
    """Return where the target stood against its limits."""
    limits = analysis.limits
    rows = [
        _latency_row("60 s before the capture", analysis.latency_before),
        _latency_row("During the capture", analysis.latency_during),
    ]
    if limits is not None:
        cells = (Cell("Limit"), Cell(numbers.DASH), _ms(limits.p95_ms), _ms(limits.p99_ms), Cell(numbers.DASH))
        rows.insert(0, (*cells, Cell(numbers.DASH)))
    table = Table(
        None, ("", "P50", "P95", "P99", "Max", "Requests"), (False, True, True, True, True, True), tuple(rows)
    )
    broken = tuple(
        f"{breach.percentile.upper()} {breach.measured_ms:.1f} ms > {breach.limit_ms:.0f} ms: {breach.over:,} of "
        f"{breach.samples:,} requests in {breach.window_seconds:.0f} s were slower than the limit"
        for breach in analysis.breaches
    )
    return Section(
        "Performance Summary", sentences=(f"**SLA**: {sla_status(analysis)}",), points=broken, tables=(table,)
    )


def sla_status(analysis: ProfileAnalysis) -> str:
    """Return one word or two on the SLA, from measured latencies."""
    if analysis.breaches:
        return "BROKEN"
    latency = analysis.latency_before if analysis.latency_before.count else analysis.latency_during
    if analysis.limits is None or not latency.count:
        return "UNKNOWN (no limit is set, or no request was measured)"
    over = latency.p95_ms > analysis.limits.p95_ms or latency.p99_ms > analysis.limits.p99_ms
    return "BROKEN" if over else "MET"


def work_or_wait(analysis: ProfileAnalysis) -> Section:
    """Return the verdict with its evidence, and what requests awaited."""
    columns = ("Dependency", "Operation", "Target", "Calls", "P50", "P95", "Total")
    rows = tuple(
        (
            Cell(use.dependency),
            Cell(use.operation),
            Cell(use.target or SHARED),
            Cell(f"{use.latency.count:,}", use.latency.count),
            _ms(use.latency.p50_ms),
            _ms(use.latency.p95_ms),
            _ms(use.latency.total_ms),
        )
        for use in analysis.dependencies
    )
    waits = (Table("Time awaiting dependencies", columns, (False,) * 3 + (True,) * 4, rows),) if rows else ()
    kind = analysis.verdict.kind.value.replace("_", " ").upper()
    return Section(
        "Work or Wait",
        sentences=(f"**{kind}**: {analysis.verdict.summary}",),
        points=analysis.verdict.evidence,
        tables=waits,
    )


def budgets(analysis: ProfileAnalysis) -> Section:
    """Return every operation against its budget."""
    columns = ("Operation", "CPU share", "95% interval", "Budget", "Status", "CPU per request", "Hottest function")
    table = Table(
        None,
        columns,
        (False, True, True, True, False, True, False),
        tuple(_operation_row(cost) for cost in analysis.operations),
    )
    each = numbers.milliseconds(analysis.cpu_ms_per_request, 2)
    whose = analysis.target or "any target"
    told = f"Shares of {analysis.on_cpu_samples:,} on-CPU samples. A request of {whose} costs {each} of CPU."
    return Section("CPU Budgets", sentences=(told,), tables=(table,))


def consumers(analysis: ProfileAnalysis, *, by_hand: bool) -> Section:
    """Return the hottest functions, by self time: the target's and the shared ones before those of other targets."""
    columns = ("#", "Function", "Where", "Operation", "Target", "Self", "95% interval", "Self CPU", "With callees")
    rows = tuple(_function_row(at, hot) for at, hot in enumerate(analysis.functions[:MOST_ROWS], start=1))
    numeric = (True, False, False, False, False, True, True, True, True)
    table = Table("Hot Functions" if by_hand else None, columns, numeric, rows)
    if not rows:
        return Section("Top CPU Consumers", sentences=("Nothing was found running on the CPU.",))
    return Section("Top CPU Consumers", tables=(table,))


def memory(analysis: ProfileAnalysis) -> Section:
    """Return what a CPU capture knows of memory."""
    process, pauses, seconds = analysis.process, analysis.gc.pauses, analysis.process.wall_seconds
    change = process.rss_end_mb - process.rss_start_mb
    facts = (
        Fact(
            "Resident",
            f"{numbers.megabytes(process.rss_start_mb)} at the start, {process.rss_end_mb:,.1f} MB at the end",
        ),
        Fact("Peak", numbers.megabytes(process.rss_peak_mb)),
        Fact("Change", f"{change:+,.1f} MB in {seconds:.1f} s (too short for a rate per hour)"),
        Fact(
            "Garbage collections",
            f"{pauses.count:,} ({', '.join(f'{count:,}' for count in analysis.gc.by_generation)} by generation), "
            f"{pauses.total_ms:,.1f} ms in all, longest {pauses.max_ms:.1f} ms",
        ),
    )
    return Section("Memory Usage", facts=facts, sentences=("Allocations by function need a heap capture.",))


def compared() -> Section:
    """Return that nothing was compared."""
    return Section("Compared with", sentences=("Nothing: this capture was looked at by itself.",))


def opportunities(analysis: ProfileAnalysis) -> tuple[Opportunity, ...]:
    """Return the findings as recommendations, worst first."""
    return tuple(
        Opportunity(
            severity=finding.severity.value.upper(),
            title=finding.title,
            issue=finding.issue,
            impact=numbers.expected(finding.impact, analysis.target),
            actions=finding.actions,
            evidence=evidence(analysis),
            fingerprint=finding.fingerprint,
        )
        for finding in analysis.findings
    )


def evidence(analysis: ProfileAnalysis) -> str:
    """Return where a finding was seen."""
    since = analysis.condition_since
    after = "" if since is None else f", {analysis.started_at - since:.1f} s after the breach began"
    return f"{analysis.session_id}, instance {analysis.instance} (pid {analysis.pid}){after}"


def measured(analysis: ProfileAnalysis) -> Section:
    """Return how the numbers were made, and what is not in them."""
    sampler, process = analysis.sampler, analysis.process
    cpu = process.cpu_user_seconds + process.cpu_system_seconds
    elsewhere = max(0.0, cpu - process.main_thread_cpu_seconds)
    served = "; ".join(f"{use.target} {use.requests:,} ({use.errors:,} errors)" for use in analysis.requests)
    facts = (
        Fact("Sampler", f"{sampler.engine}, {sampler.rate_hz:.0f} Hz on average"),
        Fact(
            "Samples",
            f"{sampler.samples:,}, of which {sampler.idle_samples:,} idle; {analysis.on_cpu_samples:,} on the CPU",
        ),
        Fact("Overhead", f"{sampler.overhead_percent:.2f}% of one core ({sampler.cost_seconds:.2f} s), measured"),
        Fact(
            "Process CPU", f"{cpu:.2f} s in {process.wall_seconds:.1f} s, of which {elsewhere:.2f} s on other threads"
        ),
        Fact("Requests served", served or "none"),
        Fact("Unattributed", f"{numbers.percent(analysis.unattributed)} of the CPU time belongs to no operation"),
    )
    excluded = (
        "Not in the CPU shares: idle time in the event loop's selector, waiting for locks, the sampler itself, and "
        "other threads than the event loop's where the sampler leaves them out. Intervals are Wilson 95 % intervals."
    )
    return Section("How this was measured", facts=facts, sentences=(excluded,))


def _why(analysis: ProfileAnalysis) -> str:
    match analysis.origin:
        case CaptureOrigin.SLA:
            worst = max(analysis.breaches, key=_excess, default=None)
            if worst is None:
                return "the SLA was broken"
            return f"{worst.percentile.upper()} {worst.measured_ms:.1f} ms, limit {worst.limit_ms:.0f} ms"
        case CaptureOrigin.CONTROL:
            return "a healthy control capture, to compare breaches with"
        case CaptureOrigin.MANUAL:
            return "asked for by hand"
        case _:
            assert_never(analysis.origin)


def _excess(breach: Breach) -> float:
    return breach.measured_ms / breach.limit_ms if breach.limit_ms else float("inf")


def _latency_row(label: str, latency: Quantiles) -> tuple[Cell, ...]:
    if not latency.count:
        return (Cell(label), *(Cell(numbers.DASH),) * 4, Cell("0", 0))
    values = (latency.p50_ms, latency.p95_ms, latency.p99_ms, latency.max_ms)
    return (Cell(label), *(_ms(value) for value in values), Cell(f"{latency.count:,}", latency.count))


def _ms(value: float, digits: int = 1) -> Cell:
    return Cell(numbers.milliseconds(value, digits), value)


def _operation_row(cost: OperationCost) -> tuple[Cell, ...]:
    return (
        Cell(cost.title),
        Cell(numbers.percent(cost.share.share), cost.share.share, bar=cost.share.share),
        Cell(numbers.interval(cost.share), cost.share.low),
        Cell(numbers.DASH if cost.budget is None else f"<{cost.budget:.0%}", cost.budget or 0.0),
        Cell(STATUS[cost.status]),
        Cell(numbers.milliseconds(cost.cpu_ms_per_request, 3), cost.cpu_ms_per_request or 0.0),
        Cell(cost.top_function or numbers.DASH, code=cost.top_function is not None),
    )


def _function_row(at: int, hot: HotFunction) -> tuple[Cell, ...]:
    return (
        Cell(str(at), at),
        Cell(hot.function, code=True),
        Cell(f"{hot.file}:{hot.line}", code=True),
        Cell(hot.operation),
        Cell(hot.target or SHARED),
        Cell(numbers.percent(hot.self_share.share), hot.self_share.share, bar=hot.self_share.share),
        Cell(numbers.interval(hot.self_share), hot.self_share.low),
        _ms(hot.self_ms),
        _ms(hot.total_ms),
    )
