"""Costs: CPU time per request, and each operation's part of it against its budget.

A request's cost is its target's own work over the target's requests, plus the shared work over all requests. A
share moves when anything else moves; a cost does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from services.analyzer.core.intervals import effective_samples, share_interval
from services.analyzer.core.operations import UNATTRIBUTED, title_of
from services.analyzer.core.table import CaptureTable
from tailwatch.contracts.analyses import BudgetStatus, OperationCost, ShareInterval
from tailwatch.contracts.context import CaptureContext
from tailwatch.contracts.policy import Operation

MINIMUM_SAMPLES = 200
"""On-CPU samples below which nothing is said about a budget."""


@dataclass(frozen=True, slots=True)
class Served:
    """Requests that were served during the capture."""

    by_target: Mapping[str, int]

    @property
    def all(self) -> int:
        """Requests of every target."""
        return sum(self.by_target.values())

    def of(self, target: str | None) -> int:
        """Return the requests of a target; of all of them for None."""
        return self.all if target is None else self.by_target.get(target, 0)


def served(context: CaptureContext) -> Served:
    """Return how many requests a capture saw."""
    counted: dict[str, int] = {}
    for use in context.requests:
        counted[use.target] = counted.get(use.target, 0) + use.requests
    return Served(counted)


def per_request(rows: pd.DataFrame, requests: Served, target: str | None) -> float | None:
    """Return the CPU milliseconds in ``rows`` per request of a target; None when it served none."""
    if requests.of(target) == 0:
        return None
    if target is None:
        return float(rows["self_ms"].sum()) / requests.all
    own = float(rows.loc[rows["target"] == target, "self_ms"].sum())
    shared = float(rows.loc[rows["target"].isna(), "self_ms"].sum())
    return own / requests.of(target) + shared / requests.all


def budget_status(share: ShareInterval, budget: float | None) -> BudgetStatus:
    """Return where an operation stands against its budget."""
    if budget is None:
        return BudgetStatus.NONE
    if share.samples < MINIMUM_SAMPLES:
        return BudgetStatus.UNKNOWN
    if share.low > budget:
        return BudgetStatus.EXCEEDED
    return BudgetStatus.AT_RISK if share.share > budget else BudgetStatus.MET


def operation_costs(
    table: CaptureTable, requests: Served, target: str | None, operations: Mapping[str, Operation]
) -> tuple[OperationCost, ...]:
    """Return every operation's cost, dearest first; those with a budget are there even when nothing was found."""
    rows = table.on_cpu
    named = [name for name, operation in operations.items() if operation.cpu_budget_percent is not None]
    names = sorted({*named, *(str(name) for name in rows["operation"].unique())})
    costs = [_cost(name, rows, table, requests, target, operations) for name in names]
    return tuple(sorted(costs, key=lambda cost: (-cost.share.share, cost.operation)))


def unattributed_share(costs: tuple[OperationCost, ...]) -> float:
    """Return the part of the CPU time that no operation of the map claims."""
    return next((cost.share.share for cost in costs if cost.operation == UNATTRIBUTED), 0.0)


def share_of(part: pd.DataFrame, table: CaptureTable) -> ShareInterval:
    """Return the share of a part of the on-CPU rows, with its interval."""
    rows = table.on_cpu
    effective = effective_samples([int(n) for n in rows["samples"]], [float(w) for w in rows["weight"]])
    return share_interval(
        float(part["weight"].sum()), float(rows["weight"].sum()), samples=table.on_cpu_samples, effective=effective
    )


def _cost(
    name: str,
    rows: pd.DataFrame,
    table: CaptureTable,
    requests: Served,
    target: str | None,
    operations: Mapping[str, Operation],
) -> OperationCost:
    part = rows[rows["operation"] == name]
    percent = operations[name].cpu_budget_percent if name in operations else None
    budget = percent / 100 if percent is not None else None
    share = share_of(part, table)
    each = per_request(part, requests, target)
    return OperationCost(
        operation=name,
        title=title_of(name, operations),
        cpu_ms=round(float(part["self_ms"].sum()), 4),
        cpu_ms_per_request=None if each is None else round(each, 6),
        share=share,
        budget=budget,
        status=budget_status(share, budget),
        top_function=_top_function(part, table),
    )


def _top_function(part: pd.DataFrame, table: CaptureTable) -> str | None:
    if part.empty:
        return None
    heaviest = part.groupby("function", sort=True)["weight"].sum()
    top = table.functions[int(str(heaviest.idxmax()))]
    return f"{top.file}: {top.function}"
