"""Whether the loop closed: from the planted fault to the report, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import CaptureAborted, CaptureCompleted, CaptureFailed, CaptureRefused, CaptureStarted
from tailwatch.contracts.event import Event
from tailwatch.contracts.recommendations import Recommendation
from tailwatch.contracts.statuses import SlaStatus
from tailwatch.contracts.triggers import ProfilingTrigger
from tailwatch.contracts.units import Instant


@dataclass(slots=True)
class Loop:
    """What one run of the pipeline has shown so far, for one service's target."""

    service: str
    target: str
    status: SlaStatus | None = None
    started: CaptureStarted | None = None
    completed: CaptureCompleted | None = None
    analysis: ProfileAnalysis | None = None
    analyses: int = 0
    triggers: list[ProfilingTrigger] = field(default_factory=list)
    recommendations: dict[str, Recommendation] = field(default_factory=dict)
    obstacle: str | None = None
    """The newest refusal, abort or failure."""
    reported_at: Instant | None = None
    """When the report was written, set by whoever sees the file."""

    def observe(self, event: Event) -> None:
        """Take in one event of any topic; those of other targets and sessions change nothing."""
        if getattr(event, "service", None) != self.service or getattr(event, "target", None) != self.target:
            return
        match event:
            case SlaStatus():
                self.status = event
            case ProfilingTrigger():
                self.triggers.append(event)
            case CaptureStarted() if self.started is None:
                self.started = event
            case CaptureCompleted() if self._ours(event.session_id):
                self.completed = event
            case ProfileAnalysis() if self._ours(event.session_id):
                self.analysis = event
                self.analyses += 1
            case Recommendation() if self.started and event.evidence[0].session_id == self.started.session_id:
                self.recommendations[event.fingerprint] = event
            case CaptureRefused() | CaptureAborted() | CaptureFailed():
                self.obstacle = f"{type(event).__name__} {event.reason.value}: {event.detail}"
            case _:
                return

    def _ours(self, session_id: str) -> bool:
        return self.started is not None and self.started.session_id == session_id

    @property
    def trigger(self) -> ProfilingTrigger | None:
        """The trigger that the capture followed; before it started, the newest. Topics are in no order together."""
        followed = (trigger for trigger in self.triggers if self.started and trigger.id == self.started.trigger_id)
        return next(followed, None if self.started or not self.triggers else self.triggers[-1])

    @property
    def closed(self) -> bool:
        """Whether every step was seen, to the report and each recommendation that the analysis leads to."""
        return (
            self.trigger is not None
            and self.analysis is not None
            and self.reported_at is not None
            and {finding.fingerprint for finding in self.analysis.findings} <= set(self.recommendations)
        )

    def missing(self) -> str:
        """Return why the loop is not closed: the first step that was not seen, with what is known about it."""
        if self.trigger is None:
            said = self.status.explanation if self.status else "the monitor has said nothing yet"
            return f"no trigger: {self.obstacle or said}"
        if self.started is None:
            return f"no capture started in {self.trigger.instance}: {self.obstacle or 'the process stayed silent'}"
        if self.completed is None:
            return f"{self.started.session_id} did not complete: {self.obstacle or 'no word from the process'}"
        if self.analysis is None:
            return f"{self.started.session_id} was not analysed"
        if self.reported_at is None:
            return f"{self.started.session_id} was analysed, but no report was written"
        return f"the recommendations of {self.started.session_id} were not published"


def delay(earlier: Instant | None, later: Instant | None) -> float | None:
    """Return the seconds between two instants, rounded to milliseconds, or None when one is not known."""
    return None if earlier is None or later is None else round(later - earlier, 3)


def result(
    loop: Loop,
    *,
    fault: str,
    planted: str | None,
    onset: Instant | None,
    serving_pid: int | None,
    requests: int,
    failed: int,
    report: str | None,
) -> dict[str, Any]:
    """Return the demo's result as plain data; what was not seen is None."""
    trigger, started, completed, analysis = loop.trigger, loop.started, loop.completed, loop.analysis
    functions = analysis.functions if analysis else ()
    operations = sorted(analysis.operations, key=lambda item: -item.share.share) if analysis else []
    return {
        "closed": loop.closed,
        "fault": fault,
        "plantedFunction": planted,
        "sessionId": started.session_id if started else None,
        "pid": started.pid if started else None,
        "servingPid": serving_pid,
        "onsetToTriggerSeconds": delay(onset, trigger.at if trigger else None),
        "breachToTriggerSeconds": delay(trigger.condition_since, trigger.at) if trigger else None,
        "triggerToStartSeconds": delay(trigger.at, started.at) if trigger and started else None,
        "captureSeconds": delay(completed.started_at, completed.ended_at) if completed else None,
        "captureToReportSeconds": delay(completed.ended_at, loop.reported_at) if completed else None,
        "verdict": analysis.verdict.kind.value if analysis else None,
        "topFunction": functions[0].function if functions else None,
        "topOperation": operations[0].operation if operations else None,
        "operations": [
            {
                "operation": operation.operation,
                "title": operation.title,
                "share": round(operation.share.share, 4),
                "budget": operation.budget,
                "status": operation.status.value,
            }
            for operation in operations
        ],
        "requests": requests,
        "failedRequests": failed,
        "report": report,
        "recommendations": [
            {
                "fingerprint": recommendation.fingerprint,
                "severity": recommendation.severity.value,
                "title": recommendation.title,
                "issue": recommendation.issue,
                "reportUrl": recommendation.report_url,
            }
            for recommendation in loop.recommendations.values()
        ],
    }
