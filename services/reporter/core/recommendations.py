"""Recommendations: what an analysis' findings make of what is already known.

One fingerprint is one recommendation. A later capture updates it and keeps its state and its first sight; one that
was fixed is reopened. The same analysis again changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from services.reporter.core.names import names_of
from services.reporter.core.sections import evidence
from tailwatch.contracts.analyses import Finding, ProfileAnalysis, ShareInterval
from tailwatch.contracts.recommendations import Evidence, Recommendation, RecommendationState

MOST_EVIDENCE = 10
Known = Mapping[str, Recommendation]
"""The newest state of each recommendation, by fingerprint."""


def recommendations_of(analysis: ProfileAnalysis, known: Known, *, public_url: str) -> tuple[Recommendation, ...]:
    """Return the recommendations to publish for an analysis, one per finding."""
    fresh = [_fresh(finding, analysis, public_url) for finding in analysis.findings]
    return tuple(updated(known.get(new.fingerprint), new) for new in fresh)


def updated(old: Recommendation | None, new: Recommendation) -> Recommendation:
    """Return what a finding makes of the recommendation that is known.

    It is the known one, as it is, when it already tells of this capture, and the known one with one more piece of
    evidence when it tells of a later capture.
    """
    if old is None:
        return new
    if any(seen.session_id == new.evidence[0].session_id for seen in old.evidence):
        return old
    together = sorted((*old.evidence, *new.evidence), key=lambda seen: (-seen.captured_at, seen.session_id))
    first_seen, kept = min(old.first_seen, new.first_seen), tuple(together[:MOST_EVIDENCE])
    if old.at > new.at:
        return msgspec.structs.replace(old, evidence=kept, first_seen=first_seen)
    fixed = old.state is RecommendationState.FIXED
    return msgspec.structs.replace(
        new, evidence=kept, first_seen=first_seen, state=RecommendationState.REOPENED if fixed else old.state
    )


def _fresh(finding: Finding, analysis: ProfileAnalysis, public_url: str) -> Recommendation:
    names = names_of(analysis)
    return Recommendation(
        fingerprint=finding.fingerprint,
        state=RecommendationState.OPEN,
        at=analysis.ended_at,
        service=analysis.service,
        target=analysis.target,
        rule=finding.rule,
        operation=finding.operation,
        function=finding.function,
        severity=finding.severity,
        title=finding.title,
        issue=finding.issue,
        expected_impact=finding.impact,
        actions=finding.actions,
        metric=finding.metric,
        evidence=(
            Evidence(
                session_id=analysis.session_id,
                instance=analysis.instance,
                pid=analysis.pid,
                captured_at=analysis.started_at,
                share=_share(finding, analysis),
                summary=evidence(analysis),
            ),
        ),
        first_seen=analysis.started_at,
        report=names.html,
        report_url=f"{public_url.rstrip('/')}/reports/{names.page}",
        trace_ids=tuple(slow.trace_id for slow in analysis.slowest if slow.trace_id),
    )


def _share(finding: Finding, analysis: ProfileAnalysis) -> ShareInterval | None:
    return next((cost.share for cost in analysis.operations if cost.operation == finding.operation), None)
