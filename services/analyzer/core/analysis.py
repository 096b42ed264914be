"""The analysis of a capture: its context and samples in, one event out. The same input gives the same bytes."""

from __future__ import annotations

from services.analyzer.core.catalogue import Catalogue
from services.analyzer.core.costs import operation_costs, per_request, served, unattributed_share
from services.analyzer.core.findings import Case, findings
from services.analyzer.core.hotspots import hot_functions
from services.analyzer.core.operations import operation_map
from services.analyzer.core.samples import Samples
from services.analyzer.core.table import table_of
from services.analyzer.core.verdict import verdict_of
from services.analyzer.core.workload import workload
from tailwatch.contracts.analyses import ProfileAnalysis, analysis_id
from tailwatch.contracts.context import CaptureContext, Quantiles, TargetUse
from tailwatch.contracts.policy import Policy
from tailwatch.contracts.units import Target

MOST_TARGETS = 50
MOST_SITES = 20


def analyse(context: CaptureContext, samples: Samples, policy: Policy, catalogue: Catalogue) -> ProfileAnalysis:
    """Return what a CPU capture says."""
    table = table_of(samples, context, operation_map(policy.operations))
    requests = served(context)
    load = workload(context, table)
    verdict = verdict_of(load)
    functions = hot_functions(table, requests, context.target)
    costs = operation_costs(table, requests, context.target, policy.operations)
    case = Case(
        service=context.service,
        target=context.target,
        breached=bool(context.breaches),
        verdict=verdict,
        load=load,
        table=table,
        costs=costs,
        functions=functions,
        unattributed_limit=policy.unattributed_limit_percent / 100,
    )
    each = per_request(table.on_cpu, requests, context.target)
    return ProfileAnalysis(
        id=analysis_id(context.session_id),
        session_id=context.session_id,
        trigger_id=context.trigger_id,
        origin=context.origin,
        kind=context.kind,
        service=context.service,
        service_version=context.service_version,
        commit=context.commit,
        target=context.target,
        instance=context.instance,
        pid=context.pid,
        python=context.python,
        started_at=context.started_at,
        ended_at=context.ended_at,
        partial=context.partial,
        condition_since=context.condition_since,
        asked_at=context.asked_at,
        breaches=context.breaches,
        slowest=context.slowest,
        limits=policy.limits_of(context.service, load.subject) if load.subject else None,
        verdict=verdict,
        latency_before=_latency(context.requests_before, load.subject),
        latency_during=_latency(context.requests, load.subject),
        requests=_most_used(context.requests),
        cpu_ms_per_request=None if each is None else round(each, 6),
        process=context.process,
        sampler=context.sampler,
        loop_lag=context.loop_lag,
        gc=context.gc,
        dependencies=context.dependencies[:MOST_TARGETS],
        await_sites=tuple(sorted(context.await_sites, key=lambda site: -site.tasks)[:MOST_SITES]),
        on_cpu_samples=table.on_cpu_samples,
        functions=functions,
        operations=costs,
        unattributed=unattributed_share(costs),
        findings=findings(case, catalogue),
    )


def _latency(requests: tuple[TargetUse, ...], target: Target | None) -> Quantiles:
    return next((use.latency for use in requests if use.target == target), Quantiles(count=0))


def _most_used(requests: tuple[TargetUse, ...]) -> tuple[TargetUse, ...]:
    return tuple(sorted(requests, key=lambda use: (-use.requests, use.target))[:MOST_TARGETS])
