"""Recommendations: one per fingerprint, whatever is delivered again, late or in another order."""

from __future__ import annotations

from functools import reduce
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.reporter.core.recommendations import MOST_EVIDENCE, recommendations_of
from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.recommendations import Evidence, Recommendation, RecommendationState
from tests.support.examples import ANALYSIS, AT, FINGERPRINT, IMPACT, INSTANCE, SESSION, SIGNING, SLOW, TRACE

URL = "https://reports.example/"
FINDING = ANALYSIS.findings[0]


def captured(second: int, **changes: Any) -> ProfileAnalysis:
    """Return an analysis of a capture that started ``second`` seconds after the breach."""
    start = AT + second
    return msgspec.structs.replace(
        ANALYSIS, session_id=f"profile-{second}-a", started_at=start, ended_at=start + 30, **changes
    )


def said(analysis: ProfileAnalysis, known: Recommendation | None = None) -> Recommendation:
    """Return the one recommendation that follows from what is known."""
    (found,) = recommendations_of(analysis, {known.fingerprint: known} if known else {}, public_url=URL)
    return found


def after(seconds: list[int]) -> Recommendation:
    """Return the recommendation after captures in this order."""
    first, *others = (captured(second) for second in seconds)
    return reduce(lambda known, analysis: said(analysis, known), others, said(first))


def in_state(state: RecommendationState, *, second: int = 0) -> Recommendation:
    """Return a recommendation that someone has brought into a state."""
    return msgspec.structs.replace(said(captured(second)), state=state)


def seconds_of(recommendation: Recommendation) -> list[int]:
    """Return the captures that a recommendation tells of."""
    return [int(seen.session_id.split("-")[1]) for seen in recommendation.evidence]


def test_a_finding_opens_a_recommendation() -> None:
    """All of the finding, its capture as evidence, where its report is, and the slowest requests' traces."""
    assert said(ANALYSIS) == Recommendation(
        fingerprint=FINGERPRINT,
        state=RecommendationState.OPEN,
        at=AT + 31.5,
        service="auth",
        target="POST /tokens",
        rule="operation_over_budget",
        operation="jwt_signing",
        function=None,
        severity=FINDING.severity,
        title=FINDING.title,
        issue=FINDING.issue,
        expected_impact=IMPACT,
        actions=FINDING.actions,
        metric="jwt_token_creation_duration_seconds",
        evidence=(
            Evidence(
                session_id=SESSION,
                instance=INSTANCE,
                pid=4711,
                captured_at=AT + 1.5,
                share=SIGNING,
                summary=f"{SESSION}, instance web1-4711 (pid 4711), 3.0 s after the breach began",
            ),
        ),
        first_seen=AT + 1.5,
        report=f"auto/tokens-{SESSION}.cpu-prof.html",
        report_url=f"https://reports.example/reports/tokens-{SESSION}.cpu-prof.html",
        trace_ids=(TRACE,),
    )


def test_every_finding_has_its_own_recommendation() -> None:
    """In the findings' order; a finding of no operation has no share, a request without a trace none to follow."""
    other = msgspec.structs.replace(FINDING, fingerprint="0" * 16, operation=None)
    untraced = msgspec.structs.replace(SLOW, trace_id=None)
    analysis = captured(0, findings=(other, FINDING), slowest=(untraced, SLOW, untraced))
    first, second = recommendations_of(analysis, {}, public_url=URL)
    assert (first.fingerprint, first.evidence[0].share) == ("0" * 16, None)
    assert (second.fingerprint, second.evidence[0].share) == (FINGERPRINT, SIGNING)
    assert first.trace_ids == (TRACE,)
    assert recommendations_of(captured(0, findings=()), {FINGERPRINT: second}, public_url=URL) == ()


@pytest.mark.parametrize("state", RecommendationState)
def test_the_same_analysis_again_changes_nothing(state: RecommendationState) -> None:
    """Delivered again it gives the known recommendation as it is, even one that was fixed meanwhile."""
    known = in_state(state)
    assert said(captured(0, findings=(msgspec.structs.replace(FINDING, title="other"),)), known) is known


@pytest.mark.parametrize(
    ("state", "then"),
    [
        (RecommendationState.OPEN, RecommendationState.OPEN),
        (RecommendationState.ACKNOWLEDGED, RecommendationState.ACKNOWLEDGED),
        (RecommendationState.REOPENED, RecommendationState.REOPENED),
        (RecommendationState.FIXED, RecommendationState.REOPENED),
    ],
)
def test_a_later_capture_updates_and_only_what_was_fixed_is_reopened(
    state: RecommendationState, then: RecommendationState
) -> None:
    """The newest numbers and report, the evidence of both, the first sight kept."""
    worse = msgspec.structs.replace(FINDING, issue="worse")
    updated = said(captured(60, findings=(worse,)), in_state(state))
    assert updated.state is then
    assert (updated.issue, updated.at, updated.first_seen) == ("worse", AT + 90, AT)
    assert updated.report == "auto/tokens-profile-60-a.cpu-prof.html"
    assert seconds_of(updated) == [60, 0]


@pytest.mark.parametrize("state", RecommendationState)
def test_an_older_capture_that_arrives_late_only_adds_evidence(state: RecommendationState) -> None:
    """It neither reopens nor replaces what a newer capture said; it was seen earlier, though."""
    known = in_state(state, second=60)
    late = said(captured(0, findings=(msgspec.structs.replace(FINDING, issue="older"),)), known)
    assert seconds_of(late) == [60, 0]
    assert late == msgspec.structs.replace(known, evidence=late.evidence, first_seen=AT)


def test_only_the_newest_evidence_is_kept() -> None:
    """Ten captures at most; what fell out does not come back when it is delivered again."""
    known = after(list(range(0, 720, 60)))
    assert seconds_of(known) == list(range(660, 60, -60))
    assert len(known.evidence) == MOST_EVIDENCE == 10
    assert known.first_seen == AT
    assert said(captured(0), known) == known


@given(st.lists(st.integers(0, 40).map(lambda minute: minute * 60), min_size=1, max_size=30))
def test_the_order_of_captures_does_not_matter(seconds: list[int]) -> None:
    """Late, repeated or mixed up, the same captures make the same recommendation."""
    distinct = sorted(set(seconds), reverse=True)
    known = after(seconds)
    newest = said(captured(distinct[0]))
    assert seconds_of(known) == distinct[:MOST_EVIDENCE]
    assert known == msgspec.structs.replace(newest, evidence=known.evidence, first_seen=AT + distinct[-1])
