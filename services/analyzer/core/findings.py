"""Findings: the rules of the catalogue that hold for a capture, worst first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.analyzer.core import impact
from services.analyzer.core.catalogue import Catalogue, Condition, Rule, filled
from services.analyzer.core.costs import unattributed_share
from services.analyzer.core.hotspots import Owner, owners
from services.analyzer.core.operations import APPLICATION, UNATTRIBUTED
from services.analyzer.core.stacks import StackState
from services.analyzer.core.table import CaptureTable
from services.analyzer.core.workload import Workload
from tailwatch.contracts.analyses import (
    BudgetStatus,
    Finding,
    HotFunction,
    Impact,
    OperationCost,
    Severity,
    ShareInterval,
    Verdict,
    VerdictKind,
)
from tailwatch.contracts.recommendations import fingerprint

ORDER = tuple(Severity)
OVER = frozenset({BudgetStatus.EXCEEDED, BudgetStatus.AT_RISK})
CPU = frozenset({VerdictKind.CPU_BOUND, VerdictKind.QUEUEING, VerdictKind.THROTTLED_CPU, VerdictKind.GC})
"""Verdicts under which less CPU makes requests faster."""
FAR_OVER = 2.0
"""Lower end of the interval over the budget, from which on an excess is large."""
SMALL_GAIN = 0.1
"""Part of a request's CPU below which a saving is of little use."""
GOAL_OF_HOT = 0.1
"""Share that a hot function without a budget is expected to be brought to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One capture as the rules see it."""

    service: str
    target: str | None
    breached: bool
    verdict: Verdict
    load: Workload
    table: CaptureTable
    costs: tuple[OperationCost, ...]
    functions: tuple[HotFunction, ...]
    unattributed_limit: float


def findings(case: Case, catalogue: Catalogue) -> tuple[Finding, ...]:
    """Return what holds, by severity, then by the expected gain."""
    named = {rule.operation for rule in catalogue.rules.values() if rule.operation}
    held = [finding for name, rule in catalogue.rules.items() for finding in _held(name, rule, case, named)]
    return tuple(
        sorted(held, key=lambda found: (ORDER.index(found.severity), -(found.impact.p95_ms_high or 0.0), found.rule))
    )


def _held(name: str, rule: Rule, case: Case, named: set[str]) -> list[Finding]:
    return _CONDITIONS[rule.when](name, rule, case, named)


def _budgets(name: str, rule: Rule, case: Case, named: set[str]) -> list[Finding]:
    wanted = [cost for cost in case.costs if cost.status in OVER]
    mine = [cost for cost in wanted if _speaks_of(rule, cost.operation, named)]
    return [_over_budget(name, rule, case, cost) for cost in mine]


def _verdict(name: str, rule: Rule, case: Case, _: set[str]) -> list[Finding]:
    return [_of_verdict(name, rule, case)] if case.verdict.kind is rule.verdict else []


def _incomplete(name: str, rule: Rule, case: Case, _: set[str]) -> list[Finding]:
    return [_unattributed(name, rule, case)] if unattributed_share(case.costs) > case.unattributed_limit else []


def _speaks_of(rule: Rule, operation: str, named: set[str]) -> bool:
    return operation == rule.operation if rule.operation else operation not in named


def _over_budget(name: str, rule: Rule, case: Case, cost: OperationCost) -> Finding:
    part = case.table.on_cpu[case.table.on_cpu["operation"] == cost.operation]
    cause = next(iter(owners(part, case.table)), None)
    excess = cost.share.low / cost.budget if cost.budget else 0.0
    expected = impact.of_budget(cost, case.load)
    severity = _severity(excess, case, expected) if cost.status is BudgetStatus.EXCEEDED else Severity.LOW
    values = _operation_values(case, cost) | _owner_values(cause)
    return _finding(
        name,
        rule,
        case,
        severity=rule.severity or severity,
        operation=cost.operation,
        function=f"{cause.file}: {cause.function}" if cause else cost.top_function,
        expected=expected,
        values=values,
    )


def _of_verdict(name: str, rule: Rule, case: Case) -> Finding:
    load, kind = case.load, case.verdict.kind
    hottest = next(iter(case.functions), None)
    held = kind in {VerdictKind.EVENT_LOOP_BLOCKED, VerdictKind.LOCK}
    rows = case.table.rows
    part = rows[rows["state"] == StackState.LOCK.value] if kind is VerdictKind.LOCK else case.table.on_cpu
    cause = next(iter(owners(part, case.table)), None) if held else None
    if kind is VerdictKind.WAITING_ON_KONG:
        expected, operation = impact.of_kong(load), "kong"
    elif held:
        expected, operation = impact.of_blocking(load), None
    else:
        expected, operation = impact.unknown("what the process is kept from is outside of its own profile"), None
    values = _owner_values(cause)
    if hottest is not None and kind is VerdictKind.EVENT_LOOP_BLOCKED:
        values |= _function_values(hottest)
    return _finding(
        name,
        rule,
        case,
        severity=rule.severity or (Severity.CRITICAL if case.breached else Severity.MEDIUM),
        operation=operation,
        function=f"{cause.file}: {cause.function}" if cause else None,
        expected=expected,
        values=values,
    )


def _hot(name: str, rule: Rule, case: Case, _: set[str]) -> list[Finding]:
    """Return the hottest function of the application's own work, when no budget names that work."""
    if case.verdict.kind not in CPU:
        return []
    limit = (rule.share_percent or 0) / 100
    mine = [f for f in case.functions if f.operation == APPLICATION and f.target in {case.target or f.target, None}]
    hottest = max(mine, key=lambda found: found.self_share.low, default=None)
    if hottest is None or hottest.self_share.low < limit:
        return []
    values = _function_values(hottest) | _share_values(hottest.self_share)
    expected = impact.of_cut(hottest.self_share, hottest.self_ms_per_request, GOAL_OF_HOT, case.load)
    return [
        _finding(
            name,
            rule,
            case,
            severity=rule.severity or _severity(hottest.self_share.low / limit, case, expected),
            operation=hottest.operation,
            function=f"{hottest.file}: {hottest.function}",
            expected=expected,
            values=values,
        )
    ]


def _unattributed(name: str, rule: Rule, case: Case) -> Finding:
    cost = next(cost for cost in case.costs if cost.operation == UNATTRIBUTED)
    hottest = next((found for found in case.functions if found.operation == UNATTRIBUTED), None)
    return _finding(
        name,
        rule,
        case,
        severity=rule.severity or Severity.INFO,
        operation=UNATTRIBUTED,
        function=None,
        expected=impact.unknown("the map of operations has to name this work before its cost means anything"),
        values=_operation_values(case, cost)
        | {"budget": f"{case.unattributed_limit:.0%}"}
        | (_function_values(hottest) if hottest else {}),
    )


def _finding(
    name: str,
    rule: Rule,
    case: Case,
    *,
    severity: Severity,
    operation: str | None,
    function: str | None,
    expected: Impact,
    values: Mapping[str, str],
) -> Finding:
    known = _case_values(case) | dict(values)
    issue = filled(rule.issue, known) or case.verdict.summary
    return Finding(
        rule=name,
        fingerprint=fingerprint(case.service, case.target, name, operation, function),
        severity=severity,
        title=filled(rule.title, known) or name,
        operation=operation,
        function=function,
        issue=issue,
        impact=expected,
        actions=tuple(text for action in rule.actions if (text := filled(action, known)) is not None),
        metric=rule.metric,
    )


def _severity(excess: float, case: Case, expected: Impact) -> Severity:
    """Return how much an excess matters: little where requests do not wait for CPU, or would hardly gain any."""
    if case.verdict.kind not in CPU:
        return Severity.LOW
    if expected.cpu_share is not None and expected.cpu_share < SMALL_GAIN:
        return Severity.MEDIUM if case.breached else Severity.LOW
    if case.breached:
        return Severity.CRITICAL if excess >= FAR_OVER else Severity.HIGH
    return Severity.HIGH if excess >= FAR_OVER else Severity.MEDIUM


def _case_values(case: Case) -> dict[str, str]:
    load = case.load
    return {
        "target": load.subject or case.service,
        "summary": case.verdict.summary,
        "kong_wait": f"{load.kong.per_request_ms:.1f}",
        "kong_calls": f"{load.kong.calls:,}",
        "requests": f"{load.requests:,}",
        "samples": f"{case.table.on_cpu_samples:,}",
        **({"lag": f"{load.lag.p95_ms:.1f}"} if load.lag.count else {}),
        **({"other": load.busiest_other} if load.busiest_other else {}),
    }


def _share_values(share: ShareInterval) -> dict[str, str]:
    return {"share": f"{share.share:.1%}", "interval": f"{share.low * 100:.1f}-{share.high * 100:.1f}%"}


def _operation_values(case: Case, cost: OperationCost) -> dict[str, str]:
    budget = {} if cost.budget is None else {"budget": f"{cost.budget:.0%}"}
    each = {} if cost.cpu_ms_per_request is None else {"per_request": f"{cost.cpu_ms_per_request:.2f}"}
    hottest = next((found for found in case.functions if found.operation == cost.operation), None)
    named = _function_values(hottest) if hottest else {}
    return {"title": cost.title, "operation": cost.operation, **budget, **each, **named, **_share_values(cost.share)}


def _function_values(found: HotFunction) -> dict[str, str]:
    return {"function": found.function, "file": found.file, "line": str(found.line)}


def _owner_values(owner: Owner | None) -> dict[str, str]:
    if owner is None:
        return {}
    return {"owner": owner.function, "owner_file": owner.file, "owner_share": f"{owner.share:.0%}"}


_CONDITIONS = {
    Condition.OPERATION_OVER_BUDGET: _budgets,
    Condition.VERDICT: _verdict,
    Condition.HOT_FUNCTION: _hot,
    Condition.UNATTRIBUTED: _incomplete,
}
