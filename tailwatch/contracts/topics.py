"""The topics: one table that code, documents and clusters are made from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import (
    CaptureAborted,
    CaptureCompleted,
    CaptureEvent,
    CaptureEvicted,
    CaptureFailed,
    CaptureRefused,
    CaptureStarted,
)
from tailwatch.contracts.event import Event
from tailwatch.contracts.recommendations import Recommendation
from tailwatch.contracts.rejects import RejectedRecord
from tailwatch.contracts.statuses import SlaStatus
from tailwatch.contracts.timings import RequestTimings
from tailwatch.contracts.triggers import ProfilingTrigger

HOUR = 3_600_000
DAY = 24 * HOUR


class Cleanup(StrEnum):
    """Kafka's ``cleanup.policy``."""

    DELETE = "delete"
    COMPACT = "compact"
    COMPACT_DELETE = "compact,delete"


@dataclass(frozen=True, kw_only=True)
class Topic:
    """One topic: its name, what its records are, and how a cluster keeps it."""

    name: str
    noun: str
    """Short name on the command line."""
    key: str
    record: str
    events: tuple[type[Event], ...]
    value: Any
    """The type that a value decodes to."""
    partitions: int
    cleanup: Cleanup
    retention_ms: int
    written_by: tuple[str, ...]
    read_by: tuple[str, ...]

    @property
    def config(self) -> dict[str, str]:
        """Kafka's topic configuration."""
        return {"cleanup.policy": self.cleanup.value, "retention.ms": str(self.retention_ms)}


TIMINGS = Topic(
    name="http.request-timings.v1",
    noun="timings",
    key="service + target",
    record="a batch of per-request latency events from one process",
    events=(RequestTimings,),
    value=RequestTimings,
    partitions=4,
    cleanup=Cleanup.DELETE,
    retention_ms=6 * HOUR,
    written_by=("probe",),
    read_by=("sla_monitor",),
)
STATUSES = Topic(
    name="sla.statuses.v1",
    noun="statuses",
    key="service + target",
    record="the verdict on one target, on every change and every 5 s",
    events=(SlaStatus,),
    value=SlaStatus,
    partitions=4,
    cleanup=Cleanup.COMPACT_DELETE,
    retention_ms=3 * DAY,
    written_by=("sla_monitor",),
    read_by=("probe", "reporter", "people"),
)
TRIGGERS = Topic(
    name="profiling.triggers.v1",
    noun="triggers",
    key="service + target",
    record="capture now: what was breached, by how much, in which process",
    events=(ProfilingTrigger,),
    value=ProfilingTrigger,
    partitions=4,
    cleanup=Cleanup.DELETE,
    retention_ms=7 * DAY,
    written_by=("sla_monitor",),
    read_by=("probe", "reporter"),
)
CAPTURES = Topic(
    name="profiling.captures.v1",
    noun="captures",
    key="service + target (manual: service)",
    record="what became of a request for a capture, with the names of its files",
    events=(CaptureStarted, CaptureCompleted, CaptureRefused, CaptureAborted, CaptureFailed, CaptureEvicted),
    value=CaptureEvent,
    partitions=4,
    cleanup=Cleanup.DELETE,
    retention_ms=7 * DAY,
    written_by=("probe",),
    read_by=("sla_monitor", "analyzer", "reporter"),
)
ANALYSES = Topic(
    name="profiling.analyses.v1",
    noun="analyses",
    key="service + target",
    record="ranked functions, operations against budgets, work or wait, findings",
    events=(ProfileAnalysis,),
    value=ProfileAnalysis,
    partitions=4,
    cleanup=Cleanup.DELETE,
    retention_ms=7 * DAY,
    written_by=("analyzer",),
    read_by=("reporter",),
)
RECOMMENDATIONS = Topic(
    name="profiling.recommendations.v1",
    noun="recommendations",
    key="the finding's fingerprint",
    record="the newest state of one recommendation",
    events=(Recommendation,),
    value=Recommendation,
    partitions=4,
    cleanup=Cleanup.COMPACT,
    retention_ms=-1,
    written_by=("reporter",),
    read_by=("anyone", "reporter"),
)
REJECTS = Topic(
    name="pipeline.rejects.v1",
    noun="rejects",
    key="source topic",
    record="a record that could not be understood: position, reason, bytes",
    events=(RejectedRecord,),
    value=RejectedRecord,
    partitions=4,
    cleanup=Cleanup.DELETE,
    retention_ms=21 * DAY,
    written_by=("sla_monitor", "analyzer", "reporter", "probe"),
    read_by=("people",),
)

TOPICS: tuple[Topic, ...] = (TIMINGS, STATUSES, TRIGGERS, CAPTURES, ANALYSES, RECOMMENDATIONS, REJECTS)
BY_NAME: dict[str, Topic] = {topic.name: topic for topic in TOPICS}
BY_EVENT: dict[type[Event], Topic] = {event: topic for topic in TOPICS for event in topic.events}


def topic_named(name: str) -> Topic | None:
    """Return the topic of that full name or noun, or None."""
    return BY_NAME.get(name) or next((topic for topic in TOPICS if topic.noun == name), None)
