"""The sections of a report: every number with its unit, and nothing that was not measured."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.reporter.core import sections
from services.reporter.core.shapes import Cell, Fact, Opportunity, Section
from tailwatch.contracts.analyses import BudgetStatus, ProfileAnalysis
from tailwatch.contracts.captures import CaptureOrigin
from tailwatch.contracts.context import GcUse, Quantiles
from tailwatch.contracts.triggers import Breach
from tests.support.captures import latency, process, use
from tests.support.examples import ANALYSIS, BREACH, FINGERPRINT, LATENCY, LIMITS, SESSION, SLOW, TRACE

NOTHING = Quantiles(count=0)
WORST = Breach(percentile="p99", limit_ms=10.0, measured_ms=60.0, over=1200, samples=20_000, window_seconds=60.0)
UNKNOWN = "UNKNOWN (no limit is set, or no request was measured)"


def analysis(**changes: Any) -> ProfileAnalysis:
    """Return the example with changes."""
    return msgspec.structs.replace(ANALYSIS, **changes)


def facts(section: Section) -> dict[str, str]:
    """Return a section's facts by label."""
    return {fact.label: fact.value for fact in section.facts}


def texts(section: Section) -> list[list[str]]:
    """Return the rows of a section's only table."""
    (table,) = section.tables
    return [[cell.text for cell in row] for row in table.rows]


def test_the_header_says_what_where_when_and_why() -> None:
    """Service, target, time, process, commit, session and the traces to follow."""
    assert facts(sections.header(ANALYSIS)) == {
        "Service": "auth 1.4.0",
        "Target": "POST /tokens",
        "Captured": "2025-11-24 16:00:01.5 UTC, 30.0 s",
        "Why": "P95 380.0 ms, limit 100 ms",
        "Process": "instance web1-4711, pid 4711, Python 3.11.7",
        "Commit": "4b825dc",
        "Session": SESSION,
        "Slowest traces": TRACE,
    }


def test_the_header_of_a_whole_service_has_no_target_and_no_traces_of_its_own() -> None:
    """What is not there is said in words, or left out; a capture that ended early is called so."""
    untraced = (msgspec.structs.replace(SLOW, trace_id=None),)
    told = facts(sections.header(analysis(target=None, partial=True, slowest=untraced)))
    assert told["Target"] == "every target of the service"
    assert told["Captured"].endswith(", 30.0 s (ended early)")
    assert "Slowest traces" not in told


@pytest.mark.parametrize(
    ("origin", "breaches", "why"),
    [
        (CaptureOrigin.SLA, (BREACH, WORST), "P99 60.0 ms, limit 10 ms"),
        (CaptureOrigin.SLA, (), "the SLA was broken"),
        (CaptureOrigin.CONTROL, (), "a healthy control capture, to compare breaches with"),
        (CaptureOrigin.MANUAL, (BREACH,), "asked for by hand"),
    ],
)
def test_a_capture_says_why_it_was_taken(origin: CaptureOrigin, breaches: tuple[Breach, ...], why: str) -> None:
    """Of several broken limits the one that is exceeded most is named."""
    assert facts(sections.header(analysis(origin=origin, breaches=breaches)))["Why"] == why


def test_the_performance_summary_has_limits_latencies_and_what_was_broken() -> None:
    """The limit first, then before and during the capture, which may have served nothing."""
    section = sections.performance(analysis(breaches=(BREACH, WORST)))
    assert section.sentences == ("**SLA**: BROKEN",)
    assert section.points == (
        "P95 380.0 ms > 100 ms: 41 of 200 requests in 60 s were slower than the limit",
        "P99 60.0 ms > 10 ms: 1,200 of 20,000 requests in 60 s were slower than the limit",
    )
    assert texts(section) == [
        ["Limit", "-", "100.0 ms", "200.0 ms", "-", "-"],
        ["60 s before the capture", "61.0 ms", "380.0 ms", "401.0 ms", "402.5 ms", "200"],
        ["During the capture", "-", "-", "-", "-", "0"],
    ]


def test_without_a_limit_none_is_printed() -> None:
    """A service that no policy names has latencies and nothing to hold them against."""
    section = sections.performance(analysis(limits=None, breaches=()))
    assert [row[0] for row in texts(section)] == ["60 s before the capture", "During the capture"]
    assert section.points == ()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"breaches": (BREACH,), "limits": None}, "BROKEN"),
        ({"limits": None}, UNKNOWN),
        ({"latency_before": NOTHING}, UNKNOWN),
        ({"latency_before": LATENCY}, "BROKEN"),
        ({"latency_before": latency(9, p50=1.0, p95=100.0, p99=200.0)}, "MET"),
        ({"latency_before": latency(9, p50=1.0, p95=100.1, p99=200.0)}, "BROKEN"),
        ({"latency_before": latency(9, p50=1.0, p95=100.0, p99=200.1)}, "BROKEN"),
        ({"latency_before": NOTHING, "latency_during": latency(9, p50=1.0, p95=9.0)}, "MET"),
        ({"latency_before": NOTHING, "latency_during": LATENCY}, "BROKEN"),
    ],
)
def test_the_sla_is_judged_by_measured_latencies(changes: dict[str, Any], status: str) -> None:
    """What the monitor saw counts first, then before the capture, then during it; at the limit it is met."""
    given = {"breaches": (), "limits": LIMITS, "latency_during": NOTHING} | changes
    assert sections.sla_status(analysis(**given)) == status


def test_work_or_wait_is_the_verdict_with_its_evidence_and_the_waits() -> None:
    """Waits of no target in particular are shared."""
    shared = msgspec.structs.replace(ANALYSIS.dependencies[0], target=None)
    section = sections.work_or_wait(analysis(dependencies=(*ANALYSIS.dependencies, shared)))
    assert section.sentences == ("**CPU BOUND**: 71 % of the slow time is work.",)
    assert section.points == ("1240 of 2000",)
    assert texts(section) == [
        ["kong", "get_consumer", target, "200", "61.0 ms", "380.0 ms", "19,800.0 ms"]
        for target in ("POST /tokens", "shared")
    ]
    assert sections.work_or_wait(analysis(dependencies=())).tables == ()


@pytest.mark.parametrize(
    ("status", "printed"),
    [
        (BudgetStatus.EXCEEDED, "EXCEEDED"),
        (BudgetStatus.AT_RISK, "at risk"),
        (BudgetStatus.MET, "met"),
        (BudgetStatus.UNKNOWN, "unknown (under 200 samples)"),
        (BudgetStatus.NONE, "no budget"),
    ],
)
def test_every_operation_stands_against_its_budget(status: BudgetStatus, printed: str) -> None:
    """Share with interval and bar, budget, status, cost per request and the hottest function as code."""
    cost = msgspec.structs.replace(ANALYSIS.operations[0], status=status)
    section = sections.budgets(analysis(operations=(cost,)))
    assert section.sentences == ("Shares of 2,000 on-CPU samples. A request of POST /tokens costs 44.00 ms of CPU.",)
    assert section.tables[0].rows == (
        (
            Cell("JWT signing"),
            Cell("62.0%", 0.62, bar=0.62),
            Cell("58.0-66.0%", 0.58),
            Cell("<40%", 0.4),
            Cell(printed),
            Cell("62.000 ms", 62.0),
            Cell("TokenIssuer.issue", code=True),
        ),
    )


def test_what_an_operation_does_not_have_is_a_dash() -> None:
    """No budget, no cost per request and no function is no zero."""
    bare = msgspec.structs.replace(
        ANALYSIS.operations[0], budget=None, cpu_ms_per_request=None, top_function=None, status=BudgetStatus.NONE
    )
    section = sections.budgets(analysis(operations=(bare,), cpu_ms_per_request=None, target=None))
    assert section.sentences[0].endswith("A request of any target costs - of CPU.")
    assert section.tables[0].rows[0][3:] == (Cell("-", 0.0), Cell("no budget"), Cell("-", 0.0), Cell("-"))


def test_the_twenty_hottest_functions_are_listed_in_their_order() -> None:
    """Function and place are code; the rank, the share and the times sort as numbers."""
    hot = ANALYSIS.functions[0]
    many = (hot, *(msgspec.structs.replace(hot, function=f"f{at}", target=None) for at in range(2, 30)))
    (table,) = sections.consumers(analysis(functions=many), by_hand=False).tables
    assert [row[1].text for row in table.rows] == ["TokenIssuer.issue", *(f"f{at}" for at in range(2, 21))]
    assert table.rows[0] == (
        Cell("1", 1),
        Cell("TokenIssuer.issue", code=True),
        Cell("services/auth/core/token.py:61", code=True),
        Cell("jwt_signing"),
        Cell("POST /tokens"),
        Cell("62.0%", 0.62, bar=0.62),
        Cell("58.0-66.0%", 0.58),
        Cell("12,400.0 ms", 12_400.0),
        Cell("12,500.0 ms", 12_500.0),
    )
    assert table.rows[1][4] == Cell("shared")
    assert table.caption is None


def test_a_capture_by_hand_calls_its_table_hot_functions() -> None:
    """The guide's heading of a report that someone asked for; without a sample there is no table to head."""
    assert sections.consumers(ANALYSIS, by_hand=True).tables[0].caption == "Hot Functions"
    nothing = sections.consumers(analysis(functions=()), by_hand=True)
    assert nothing == Section("Top CPU Consumers", sentences=("Nothing was found running on the CPU.",))


@pytest.mark.parametrize(
    ("section", "columns"),
    [
        (sections.performance(ANALYSIS), 6),
        (sections.work_or_wait(ANALYSIS), 7),
        (sections.budgets(ANALYSIS), 7),
        (sections.consumers(ANALYSIS, by_hand=False), 9),
    ],
    ids=lambda value: value.title if isinstance(value, Section) else str(value),
)
def test_rows_are_as_wide_as_their_headings(section: Section, columns: int) -> None:
    """Every column has a name, an alignment and a cell in each row."""
    (table,) = section.tables
    assert {len(table.columns), len(table.numeric), *(len(row) for row in table.rows)} == {columns}


def test_memory_is_told_without_a_rate_that_a_short_capture_does_not_carry() -> None:
    """Resident memory with the sign of its change, and what garbage collection cost."""
    churn = GcUse(pauses=latency(1200, p50=1.0, p95=5.0, p99=10.0, mean=2.0), by_generation=(1100, 90, 10))
    shrunk = process(rss_start_mb=1290.0, rss_end_mb=1288.5, rss_peak_mb=1291.0)
    section = sections.memory(analysis(gc=churn, process=shrunk))
    assert section.facts == (
        Fact("Resident", "1,290.0 MB at the start, 1,288.5 MB at the end"),
        Fact("Peak", "1,291.0 MB"),
        Fact("Change", "-1.5 MB in 30.0 s (too short for a rate per hour)"),
        Fact("Garbage collections", "1,200 (1,100, 90, 10 by generation), 2,400.0 ms in all, longest 12.0 ms"),
    )
    assert section.sentences == ("Allocations by function need a heap capture.",)


def test_a_comparison_that_was_not_made_is_not_claimed() -> None:
    """The section stands and says that nothing was compared."""
    assert sections.compared() == Section(
        "Compared with", sentences=("Nothing: this capture was looked at by itself.",)
    )


def test_a_finding_is_an_opportunity_with_its_impact_and_evidence() -> None:
    """In the analysis' order, worst first; a capture without a breach has no breach to count from."""
    (found,) = sections.opportunities(analysis(condition_since=None))
    assert found == Opportunity(
        severity="HIGH",
        title="JWT signing is over its CPU budget",
        issue="JWT signing takes 62 % (58..66) of the CPU time, its budget is 40 %.",
        impact="-120 to -210 ms P95 latency on POST /tokens, -22% CPU per request "
        "(from 62 % of the CPU time down to its budget of 40 %)",
        actions=("Reuse the imported key instead of parsing it for every token.",),
        evidence=f"{SESSION}, instance web1-4711 (pid 4711)",
        fingerprint=FINGERPRINT,
    )
    assert sections.evidence(ANALYSIS) == f"{found.evidence}, 3.0 s after the breach began"


def test_how_it_was_measured_has_rate_samples_overhead_and_requests() -> None:
    """CPU of other threads is the process's without the event loop's."""
    section = sections.measured(
        analysis(requests=(*ANALYSIS.requests, use("GET /health", latency(1500, p50=1, p95=2))))
    )
    assert facts(section) == {
        "Sampler": "scalene 2.4.0, entered from inside, 97 Hz on average",
        "Samples": "2,910, of which 910 idle; 2,000 on the CPU",
        "Overhead": "0.90% of one core (0.27 s), measured",
        "Process CPU": "21.00 s in 30.0 s, of which 0.50 s on other threads",
        "Requests served": "POST /tokens 200 (1 errors); GET /health 1,500 (0 errors)",
        "Unattributed": "3.0% of the CPU time belongs to no operation",
    }
    assert section.sentences[0].startswith("Not in the CPU shares: idle time in the event loop's selector")


def test_clocks_that_disagree_give_no_negative_cpu() -> None:
    """The thread's clock may run ahead of the process's; nothing served is said in a word."""
    told = facts(sections.measured(analysis(requests=(), process=process(cpu=9.0, cpu_user_seconds=8.0))))
    assert told["Process CPU"] == "8.60 s in 30.0 s, of which 0.00 s on other threads"
    assert told["Requests served"] == "none"
