"""The view of a report: everything that it says, in its order, as plain data. Printing it adds only form.

Texts may hold names from the watched program, which may be anything: whoever prints them escapes them. What stands
between backticks is code.
"""

from __future__ import annotations

from dataclasses import dataclass

from services.reporter.core import numbers
from services.reporter.core.names import slug_of
from services.reporter.core.sections import (
    budgets,
    compared,
    consumers,
    header,
    measured,
    memory,
    opportunities,
    performance,
    work_or_wait,
)
from services.reporter.core.shapes import Opportunity, Section
from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import CaptureOrigin


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportView:
    """One report."""

    title: str
    session: str
    slug: str
    captured: str
    verdict: str
    """The verdict's kind, a word."""
    summary: str
    header: Section
    performance: Section
    work_or_wait: Section
    budgets: Section
    consumers: Section
    memory: Section
    compared: Section
    opportunities: tuple[Opportunity, ...]
    measured: Section

    @property
    def before_opportunities(self) -> tuple[Section, ...]:
        """The sections in their order, up to the recommendations."""
        return self.performance, self.work_or_wait, self.budgets, self.consumers, self.memory, self.compared


def view_of(analysis: ProfileAnalysis) -> ReportView:
    """Return what the report of an analysis says."""
    return ReportView(
        title=f"CPU profile: {analysis.service} {analysis.target or '(every target)'}",
        session=analysis.session_id,
        slug=slug_of(analysis.target),
        captured=numbers.moment(analysis.started_at),
        verdict=analysis.verdict.kind.value,
        summary=analysis.verdict.summary,
        header=header(analysis),
        performance=performance(analysis),
        work_or_wait=work_or_wait(analysis),
        budgets=budgets(analysis),
        consumers=consumers(analysis, by_hand=analysis.origin is CaptureOrigin.MANUAL),
        memory=memory(analysis),
        compared=compared(),
        opportunities=opportunities(analysis),
        measured=measured(analysis),
    )
