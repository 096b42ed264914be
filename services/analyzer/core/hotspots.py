"""Hotspots: the functions that were found running, hottest first, by target."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from services.analyzer.core.costs import Served, share_of
from services.analyzer.core.table import NO_OWNER, CaptureTable
from tailwatch.contracts.analyses import HotFunction
from tailwatch.contracts.units import Target

MOST_FUNCTIONS = 60


@dataclass(frozen=True, slots=True)
class Owner:
    """A function of the application's own code, and its part of some work."""

    file: str
    function: str
    share: float


def hot_functions(table: CaptureTable, requests: Served, target: Target | None) -> tuple[HotFunction, ...]:
    """Return functions by self time: the captured target's and the shared ones first, then other targets'.

    One function is listed once per target that it worked for, so that what is slow for one target is never blamed
    on the traffic of another.
    """
    rows = table.on_cpu
    if rows.empty:
        return ()
    # pandas drops groups whose key is missing, so shared work carries an empty name in here.
    rows = rows.assign(whose=rows["target"].fillna(""))
    own = rows.groupby(["function", "whose"], sort=True)["weight"].sum()
    with_callees = table.calls.merge(rows[["whose", "weight"]], left_on="stack", right_index=True)
    total = with_callees.groupby(["function", "whose"], sort=True)["weight"].sum()
    ranked = pd.DataFrame({"own": own, "total": total}).fillna(0.0).reset_index()
    ranked = ranked[ranked["own"] > 0]
    foreign = ~ranked["whose"].isin(["", target]) if target is not None else ranked["whose"].isna()
    ranked = ranked.assign(foreign=foreign).sort_values(
        ["foreign", "own", "total", "function"], ascending=[True, False, False, True], kind="stable"
    )
    return tuple(
        _hot(table, rows, requests, (int(function), str(whose), float(total)))
        for function, whose, total in ranked.head(MOST_FUNCTIONS)[["function", "whose", "total"]].itertuples(
            index=False, name=None
        )
    )


def owners(part: pd.DataFrame, table: CaptureTable) -> tuple[Owner, ...]:
    """Return who, of the application's own code, caused the work in ``part``: largest part first."""
    whole = float(part["weight"].sum())
    owned = part[part["owner"] != NO_OWNER].groupby("owner", sort=True)["weight"].sum()
    ranked = owned.sort_values(ascending=False, kind="stable")
    return tuple(
        Owner(table.functions[int(str(at))].file, table.functions[int(str(at))].function, float(cost) / whole)
        for at, cost in ranked.items()
    )


def _hot(table: CaptureTable, rows: pd.DataFrame, requests: Served, row: tuple[int, str, float]) -> HotFunction:
    position, whose, total = row
    key, part = table.functions[position], rows[(rows["function"] == position) & (rows["whose"] == whose)]
    target = whose or None
    count = requests.of(target)
    heaviest = part["weight"].idxmax()
    lines = table.calls[(table.calls["stack"] == heaviest) & (table.calls["function"] == position)]["line"]
    by_operation = part.groupby("operation", sort=True)["weight"].sum()
    self_ms = float(part["self_ms"].sum())
    total_share = min(1.0, total / float(rows["weight"].sum()))
    return HotFunction(
        file=key.file,
        module=table.modules[position],
        function=key.function,
        line=int(lines.iloc[0]),
        operation=str(by_operation.idxmax()),
        target=target,
        self_ms=round(self_ms, 4),
        total_ms=round(max(self_ms, total_share * table.cpu_ms), 4),
        self_share=share_of(part, table),
        total_share=round(total_share, 6),
        self_ms_per_request=round(self_ms / count, 6) if count else None,
    )
