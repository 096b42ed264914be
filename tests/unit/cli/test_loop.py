"""Whether the loop closed: what counts as a step, and what is said about the one that is missing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from services.cli.core.loop import Loop, delay, result
from tailwatch.contracts.analyses import BudgetStatus, OperationCost, ShareInterval
from tailwatch.contracts.event import Event
from tailwatch.contracts.triggers import trigger_id
from tests.support.examples import (
    ABORTED,
    ANALYSIS,
    AT,
    COMPLETED,
    EVICTED,
    EXAMPLES,
    FAILED,
    FINGERPRINT,
    RECOMMENDATION,
    REFUSED,
    REJECT,
    SESSION,
    STARTED,
    STATUS,
    TARGET,
    TRIGGERED,
)

replace = msgspec.structs.replace

STEPS: tuple[Event, ...] = (STATUS, TRIGGERED, STARTED, COMPLETED, ANALYSIS, RECOMMENDATION)
REFUSAL = replace(REFUSED, target=TARGET)
ANOTHER = "profile-1764000099000-aaaaaaaaaaaa"
SECOND = replace(TRIGGERED, id=trigger_id("auth", TARGET, 1, 1), attempt=1, instance="web2-5")
KONG = OperationCost(
    operation="kong_lookup",
    title="Kong look-up",
    cpu_ms=14_000.0,
    cpu_ms_per_request=None,
    share=ShareInterval(share=0.70, low=0.6, high=0.8, samples=1400),
    budget=None,
    status=BudgetStatus.NONE,
    top_function=None,
)


def after(events: Sequence[Event], *, reported_at: float | None = None) -> Loop:
    """Return a loop that has seen some events."""
    loop = Loop(service="auth", target=TARGET, reported_at=reported_at)
    for event in events:
        loop.observe(event)
    return loop


def shown(loop: Loop) -> tuple[bool, str, dict[str, Any]]:
    """Return all that a loop says."""
    return loop.closed, loop.missing(), summary(loop)


def summary(loop: Loop, **changes: Any) -> dict[str, Any]:
    """Return the demo's result of a loop."""
    facts: dict[str, Any] = {
        "fault": "slow-signer",
        "planted": "spread",
        "onset": AT - 2.0,
        "serving_pid": 4711,
        "requests": 900,
        "failed": 3,
        "report": "/profiles/report.md",
    }
    return result(loop, **(facts | changes))


def test_a_loop_is_closed_by_its_last_step() -> None:
    """Trigger, capture, analysis, recommendation and report: with any one missing it is open."""
    assert after(STEPS, reported_at=AT + 34.0).closed
    assert not after(STEPS).closed
    assert not after(STEPS[:-1], reported_at=AT + 34.0).closed
    assert not after([STATUS, TRIGGERED, STARTED, COMPLETED, RECOMMENDATION], reported_at=AT + 34.0).closed
    assert not after([STATUS, TRIGGERED, STARTED, ANALYSIS, RECOMMENDATION], reported_at=AT + 34.0).closed
    assert not after([STATUS, STARTED, COMPLETED, ANALYSIS, RECOMMENDATION], reported_at=AT + 34.0).closed


def test_an_analysis_without_findings_needs_no_recommendation() -> None:
    """As many recommendations are awaited as the analysis leads to."""
    assert after([*STEPS[:4], replace(ANALYSIS, findings=())], reported_at=AT + 34.0).closed


def test_the_order_in_which_the_steps_are_seen_changes_nothing() -> None:
    """Topics are in no order together."""
    for order in itertools.permutations(STEPS[1:]):
        loop = after(order, reported_at=AT + 34.0)
        assert loop.trigger is TRIGGERED
        assert loop.closed


def test_the_trigger_is_the_newest_until_a_capture_follows_one() -> None:
    """Before the capture the newest counts, afterwards the one that it names, and no other."""
    assert after([]).trigger is None
    assert after([TRIGGERED, SECOND]).trigger is SECOND
    assert after([TRIGGERED, SECOND, STARTED]).trigger is TRIGGERED
    assert after([SECOND, STARTED]).trigger is None


@pytest.mark.parametrize("changes", [{"service": "billing"}, {"target": "GET /health"}])
def test_events_of_other_targets_change_nothing(changes: dict[str, str]) -> None:
    """Another service's and another target's story leaves the loop as it was."""
    others = [replace(event, **changes) for event in EXAMPLES if hasattr(event, "service")]
    assert len(others) == 11
    assert shown(after([*others, REJECT])) == shown(after([]))


@pytest.mark.parametrize(
    "event",
    [
        replace(COMPLETED, session_id=ANOTHER),
        replace(ANALYSIS, session_id=ANOTHER),
        replace(RECOMMENDATION, evidence=(replace(RECOMMENDATION.evidence[0], session_id=ANOTHER),)),
        replace(RECOMMENDATION, evidence=()),
        replace(ABORTED, session_id=ANOTHER),
        replace(FAILED, session_id=ANOTHER),
        EVICTED,
    ],
    ids=["completed", "analysis", "recommendation", "no-evidence", "aborted", "failed", "evicted"],
)
def test_events_of_other_sessions_change_nothing(event: Event) -> None:
    """What other captures left in the topics is no step, before ours began or after; nor is an eviction."""
    assert shown(after([event])) == shown(after([]))
    assert shown(after([TRIGGERED, STARTED, event])) == shown(after([TRIGGERED, STARTED]))


def test_the_first_capture_is_the_loops() -> None:
    """A second capture of the target takes nothing from the first."""
    assert after([TRIGGERED, STARTED, replace(STARTED, session_id=ANOTHER)]).started is STARTED


def test_a_repeated_recommendation_is_kept_once() -> None:
    """The newest state of a fingerprint counts."""
    newer = replace(RECOMMENDATION, issue="newer")
    assert after([*STEPS, newer]).recommendations == (newer,)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (REFUSAL, "CaptureRefused busy: a capture is running until 16:00:31"),
        (ABORTED, "CaptureAborted loop_lag: event-loop lag rose by 140 ms, allowed 100 ms"),
        (FAILED, "CaptureFailed write_failed: no space left on device"),
    ],
    ids=["refused", "aborted", "failed"],
)
def test_what_stood_in_the_way_is_kept(event: Event, said: str) -> None:
    """A refusal, abort or failure is remembered in its own words, the newest only."""
    assert after([STARTED, event]).obstacle == said
    assert after([STARTED, REFUSAL, ABORTED, FAILED, event]).obstacle == said


@pytest.mark.parametrize(
    ("seen", "reported_at", "said"),
    [
        ([], None, "no trigger: the monitor has said nothing yet"),
        ([STATUS], None, f"no trigger: {STATUS.explanation}"),
        ([STATUS, REFUSAL], None, "no trigger: CaptureRefused busy: a capture is running until 16:00:31"),
        ([TRIGGERED], None, "no capture started in web1-4711: the process stayed silent"),
        (
            [TRIGGERED, REFUSAL],
            None,
            "no capture started in web1-4711: CaptureRefused busy: a capture is running until 16:00:31",
        ),
        ([TRIGGERED, STARTED], None, f"{SESSION} did not complete: no word from the process"),
        (
            [TRIGGERED, STARTED, FAILED],
            None,
            f"{SESSION} did not complete: CaptureFailed write_failed: no space left on device",
        ),
        ([TRIGGERED, STARTED, COMPLETED], None, f"{SESSION} was not analysed"),
        ([*STEPS[1:4], ANALYSIS], None, f"{SESSION} was analysed, but no report was written"),
        ([*STEPS[1:4], ANALYSIS], AT + 34.0, f"the recommendations of {SESSION} were not published"),
    ],
)
def test_the_first_missing_step_is_named_with_what_is_known(
    seen: list[Event], reported_at: float | None, said: str
) -> None:
    """One line that says where to look."""
    loop = after(seen, reported_at=reported_at)
    assert not loop.closed
    assert loop.missing() == said


@pytest.mark.parametrize(
    ("earlier", "later", "seconds"),
    [(AT, AT + 1.2345, 1.234), (AT + 1.0, AT, -1.0), (None, AT, None), (AT, None, None), (0.0, 0.0, 0.0)],
)
def test_a_delay_is_in_seconds_or_unknown(earlier: float | None, later: float | None, seconds: float | None) -> None:
    """Rounded to milliseconds; the epoch itself is an instant, not a missing one."""
    assert delay(earlier, later) == seconds


def test_the_result_of_a_closed_loop_holds_every_number() -> None:
    """As plain data, the delays between the steps, the dearest operation first."""
    analysis = replace(ANALYSIS, operations=(*ANALYSIS.operations, KONG))
    loop = after([STATUS, TRIGGERED, STARTED, COMPLETED, analysis, RECOMMENDATION], reported_at=AT + 33.25)
    assert summary(loop) == {
        "closed": True,
        "fault": "slow-signer",
        "plantedFunction": "spread",
        "sessionId": SESSION,
        "pid": 4711,
        "servingPid": 4711,
        "onsetToTriggerSeconds": 2.0,
        "breachToTriggerSeconds": 1.5,
        "triggerToStartSeconds": 1.5,
        "captureSeconds": 30.0,
        "captureToReportSeconds": 1.75,
        "verdict": "cpu_bound",
        "topFunction": "TokenIssuer.issue",
        "topOperation": "kong_lookup",
        "operations": [
            {"operation": "kong_lookup", "title": "Kong look-up", "share": 0.7, "budget": None, "status": "none"},
            {"operation": "jwt_signing", "title": "JWT signing", "share": 0.62, "budget": 0.4, "status": "exceeded"},
        ],
        "requests": 900,
        "failedRequests": 3,
        "report": "/profiles/report.md",
        "recommendations": [
            {
                "fingerprint": FINGERPRINT,
                "severity": "high",
                "title": "JWT signing is over its CPU budget",
                "issue": "JWT signing takes 62 % (58..66) of the CPU time, its budget is 40 %.",
                "reportUrl": f"http://127.0.0.1:3080/reports/{SESSION}",
            }
        ],
    }


@pytest.mark.parametrize("seen", [[], [STATUS]], ids=["nothing", "a-status"])
def test_what_was_not_seen_is_none_in_the_result(seen: list[Event]) -> None:
    """An open loop has the same members, empty."""
    found = summary(
        after(seen), planted=None, onset=None, serving_pid=None, report=None, fault="none", requests=0, failed=0
    )
    assert {name for name, value in found.items() if value is not None} == {
        "closed", "fault", "operations", "requests", "failedRequests", "recommendations",
    }  # fmt: skip
    assert (found["closed"], found["operations"], found["recommendations"]) == (False, [], [])


def test_an_empty_analysis_has_no_top_of_anything() -> None:
    """A capture without samples names neither a function nor an operation, and a trigger alone has its delays."""
    found = summary(after([*STEPS[:4], replace(ANALYSIS, functions=(), operations=())]))
    assert (found["verdict"], found["topFunction"], found["topOperation"]) == ("cpu_bound", None, None)
    early = summary(after([replace(TRIGGERED, condition_since=None)]))
    assert (early["onsetToTriggerSeconds"], early["breachToTriggerSeconds"]) == (2.0, None)
    assert (early["triggerToStartSeconds"], early["captureToReportSeconds"]) == (None, None)
