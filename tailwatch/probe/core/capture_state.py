"""All that the capture control knows between two inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tailwatch.contracts.captures import CaptureOrigin
from tailwatch.contracts.units import EventId, Hertz, Instant, Seconds, SessionId, Target
from tailwatch.probe.core.backoff import BackOff
from tailwatch.probe.core.identity import Identity
from tailwatch.probe.core.refusal import Rules
from tailwatch.probe.core.safety import Abort, Watch
from tailwatch.probe.core.session import CaptureRequest, Command, Phase, Sampled

ENDING_COST_SECONDS: Seconds = 0.05
"""What writing is taken to cost before it was measured."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How the last request ended."""

    session_id: SessionId
    outcome: str
    """The tag of its event: ``completed``, ``refused``, ``aborted``, ``failed``."""
    detail: str
    at: Instant


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptureState:
    """All that the control knows."""

    identity: Identity
    rules: Rules
    phase: Phase = Phase.IDLE
    request: CaptureRequest | None = None
    """Whose session runs; None only in ``idle``."""
    waiting: CaptureRequest | None = None
    started_at: Instant = 0.0
    watch: Watch | None = None
    partial: bool = False
    abort: Abort | None = None
    fault: str | None = None
    sampled: Sampled | None = None
    closing: bool = False
    seen: tuple[EventId, ...] = ()
    last_start: Mapping[tuple[Target | None, CaptureOrigin], Instant] = field(
        default_factory=lambda: MappingProxyType({})
    )
    back_off: BackOff = field(default_factory=BackOff)
    ending_cost_seconds: Seconds = ENDING_COST_SECONDS
    last: Outcome | None = None

    @property
    def rate_hz(self) -> Hertz:
        """Samples per second now; 0 when none are taken."""
        return self.watch.rate_hz if self.watch is not None and self.phase is Phase.RUNNING else 0.0


Step = tuple[CaptureState, tuple[Command, ...]]
