"""What the operator of a watched service may set for its probe."""

from __future__ import annotations

from pydantic import Field

from tailwatch.runtime.settings import KafkaSettings, ProfilingSettings, StoreSettings


class ProbeSettings(KafkaSettings, StoreSettings, ProfilingSettings):
    """Latency events and captures of one watched process."""

    latency_events_enabled: bool = Field(default=True, description="Publish latency events.")
    events_max_per_record: int = Field(512, ge=1, le=512, description="Most requests in one record.")
    events_linger_ms: int = Field(100, ge=1, le=5_000, description="Milliseconds a request waits for its record.")
    events_queue_size: int = Field(10_000, ge=100, le=1_000_000, description="Requests queued; more are dropped.")
