"""``pipeline.rejects.v1``: a record that could not be understood."""

from __future__ import annotations

from typing import ClassVar

from typing_extensions import override

from tailwatch.contracts.event import Event, derived_id
from tailwatch.contracts.units import Count, Instant

MAX_REJECTED_BYTES = 64 * 1024


class RejectedRecord(Event, frozen=True, kw_only=True):
    """Where the record stands, why it was rejected, and its bytes (at most 64 KB)."""

    TYPE: ClassVar[str] = "tailwatch.pipeline.reject.v1"

    topic: str
    partition: Count
    offset: Count
    reason: str
    rejected_by: str
    """The consumer: its service's name."""
    at: Instant
    size_bytes: Count
    value: bytes
    """The first 64 KB; base64 in JSON."""

    @property
    @override
    def key(self) -> str:
        return self.topic

    @property
    @override
    def event_id(self) -> str:
        return derived_id("reject", self.rejected_by, self.topic, self.partition, self.offset)
