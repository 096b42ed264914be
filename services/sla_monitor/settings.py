"""What an operator may set for the SLA monitor, beside the limits in ``tailwatch.toml``."""

from __future__ import annotations

from pydantic import Field

from services.sla_monitor.core.verdict import Rules
from tailwatch.contracts.policy import Policy
from tailwatch.runtime.settings import KafkaSettings, ProfilingSettings


class SlaMonitorSettings(KafkaSettings, ProfilingSettings):
    """The environment of one monitor worker."""

    sla_monitor_member_id: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9._-]{1,200}$",
        description="Stable name of this worker: a restart takes over at once; unset: after the session time-out.",
    )
    sla_monitor_commit_seconds: float = Field(1.0, ge=0.1, le=60, description="Seconds between commits of offsets.")
    sla_monitor_latch_replicas: int = Field(1, ge=1, le=9, description="Copies of the latches' topic on a cluster.")


def rules_of(settings: SlaMonitorSettings, policy: Policy) -> Rules:
    """Return what the settings and the policy together allow."""
    return Rules(
        sla=policy.sla,
        enabled=settings.automatic_captures,
        throttle_seconds=settings.continuous_profiling_throttle_minutes * 60.0,
    )
