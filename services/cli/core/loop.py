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
from tailwatch.contracts.units import Fingerprint, Instant, SessionId


@dataclass(slots=True)
class Loop:
    """What one run of the pipeline has shown so far, for one service's target. Topics are in no order together."""

    service: str
    target: str
    status: SlaStatus | None = None
    started: CaptureStarted | None = None
    """The first capture that began: its session is the loop's."""
    triggers: list[ProfilingTrigger] = field(default_factory=list)
    obstacle: str | None = None
    """The newest refusal, or the abort or failure of the loop's session."""
    reported_at: Instant | None = None
    """When the report was written, set by whoever sees the file."""
    _completed: dict[SessionId, CaptureCompleted] = field(default_factory=dict)
    _analyses: dict[SessionId, ProfileAnalysis] = field(default_factory=dict)
    _recommendations: dict[Fingerprint, Recommendation] = field(default_factory=dict)

    def observe(self, event: Event) -> None:
        """Take in one event of any topic; those of other targets change nothing, nor do those of other sessions."""
        if getattr(event, "service", None) != self.service or getattr(event, "target", None) != self.target:
            return
        match event:
            case SlaStatus():
                self.status = event
            case ProfilingTrigger():
                self.triggers.append(event)
            case CaptureStarted() if self.started is None:
                self.started = event
            case CaptureCompleted():
                self._completed[event.session_id] = event
            case ProfileAnalysis():
                self._analyses[event.session_id] = event
            case Recommendation():
                self._recommendations[event.fingerprint] = event
            case CaptureRefused():
                self.obstacle = _in_the_way(event)
            case CaptureAborted() | CaptureFailed() if event.session_id == self.session_id:
                self.obstacle = _in_the_way(event)
            case _:
                return

    @property
    def session_id(self) -> SessionId | None:
        """The loop's session, once its capture has begun."""
        return self.started.session_id if self.started else None

    @property
    def completed(self) -> CaptureCompleted | None:
        """The end of the loop's capture."""
        return self._completed.get(self.session_id) if self.session_id else None

    @property
    def analysis(self) -> ProfileAnalysis | None:
        """The analysis of the loop's capture."""
        return self._analyses.get(self.session_id) if self.session_id else None

    @property
    def recommendations(self) -> tuple[Recommendation, ...]:
        """The newest states of those recommendations that rest on the loop's capture."""
        return tuple(
            found
            for found in self._recommendations.values()
            if any(seen.session_id == self.session_id for seen in found.evidence)
        )

    @property
    def trigger(self) -> ProfilingTrigger | None:
        """The trigger that the capture followed; before it started, the newest."""
        followed = (trigger for trigger in self.triggers if self.started and trigger.id == self.started.trigger_id)
        return next(followed, None if self.started or not self.triggers else self.triggers[-1])

    @property
    def closed(self) -> bool:
        """Whether every step was seen, to the report and each recommendation that the analysis leads to."""
        return (
            self.trigger is not None
            and self.completed is not None
            and self.analysis is not None
            and self.reported_at is not None
            and {finding.fingerprint for finding in self.analysis.findings}
            <= {found.fingerprint for found in self.recommendations}
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


def _in_the_way(event: CaptureRefused | CaptureAborted | CaptureFailed) -> str:
    return f"{type(event).__name__} {event.reason.value}: {event.detail}"


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
            for recommendation in loop.recommendations
        ],
    }
