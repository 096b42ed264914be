"""The latch of one target: armed, fired, captured. The only state that outlives a worker.

::

    armed --condition--> asking --started--> captured --60 s healthy, or the throttle ran out in a breach--> armed
                           |  ^                                                                          (epoch + 1)
                           +--+ refused, or silent: the next process (attempt + 1)
"""

from __future__ import annotations

import msgspec

from tailwatch.contracts.captures import (
    CaptureAborted,
    CaptureCompleted,
    CaptureEvent,
    CaptureFailed,
    CaptureOrigin,
    CaptureRefused,
    CaptureStarted,
    RefusalReason,
)
from tailwatch.contracts.triggers import trigger_id
from tailwatch.contracts.units import Count, EventId, InstanceId, Instant, ServiceName, SessionId, Target


class Latch(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has been asked for, for one target, and what became of it."""

    epoch: Count = 0
    """Counts the armings."""
    attempt: Count = 0
    """How often this arming has asked; 0 is armed."""
    round: Count = 0
    """How often this arming has asked every process in vain."""
    asked: tuple[InstanceId, ...] = ()
    """Who was asked in this round, in order."""
    asked_at: Instant = 0.0
    confirmed: bool = False
    """Whether the broker has the newest trigger; if not, it is sent again under the same id."""
    refused: bool = False
    """Whether the newest ask came to nothing."""
    captured: bool = False
    """Whether this arming has led to a capture; it asks no more."""
    condition_since: Instant | None = None
    """When the condition first became true in this arming."""
    healthy_since: Instant | None = None
    """Since when the target has been under its limits, while that may arm the trigger anew."""
    fired_at: Instant | None = None
    """When any arming asked for the first time: the cooldown over all targets counts from here."""
    last_trigger_id: EventId | None = None
    last_trigger_at: Instant | None = None
    started_at: Instant | None = None
    """When the newest automatic capture started: the throttle counts from here."""
    session_id: SessionId | None = None
    """The capture that is running, unless its deadline has passed."""
    deadline: Instant = 0.0

    def running(self, now: Instant) -> bool:
        """Return whether a capture of this target is running; one that never ended is over at its deadline."""
        return self.session_id is not None and now < self.deadline


def armed_anew(latch: Latch, *, condition_since: Instant | None = None) -> Latch:
    """Return the latch of the next arming; what throttles it stays."""
    return Latch(
        epoch=latch.epoch + 1,
        condition_since=condition_since,
        fired_at=latch.fired_at,
        last_trigger_id=latch.last_trigger_id,
        last_trigger_at=latch.last_trigger_at,
        started_at=latch.started_at,
        session_id=latch.session_id,
        deadline=latch.deadline,
    )


def asking(latch: Latch, instance: InstanceId, *, id: EventId, now: Instant, new_round: bool) -> Latch:  # noqa: A002
    """Return the latch that is about to ask one more process: kept before the trigger is sent."""
    return msgspec.structs.replace(
        latch,
        attempt=latch.attempt + 1,
        round=latch.round + new_round,
        asked=(instance,) if new_round else (*latch.asked, instance),
        asked_at=now,
        confirmed=False,
        refused=False,
        fired_at=now if latch.attempt == 0 else latch.fired_at,
        last_trigger_id=id,
        last_trigger_at=now,
    )


def confirmed(latch: Latch, id: EventId) -> Latch:  # noqa: A002
    """Return the latch once the broker has acknowledged that trigger; of an older one it changes nothing."""
    return msgspec.structs.replace(latch, confirmed=True) if latch.last_trigger_id == id else latch


def informed(latch: Latch, event: CaptureEvent, *, service: ServiceName, target: Target) -> Latch:
    """Return the latch after what a capture agent said. Hearing it again, or late, changes nothing."""
    match event:
        case CaptureStarted():
            return _started(latch, event, mine=_asked_with(latch, event.trigger_id, service, target))
        case CaptureCompleted():
            return _ended(latch, event.session_id)
        case CaptureFailed() | CaptureAborted():
            never_started = event.trigger_id is not None and event.trigger_id == latch.last_trigger_id
            ended = _ended(latch, event.session_id)
            return ended if latch.captured or not never_started else msgspec.structs.replace(ended, refused=True)
        case CaptureRefused():
            refused = event.trigger_id == latch.last_trigger_id and event.reason is not RefusalReason.DUPLICATE
            return msgspec.structs.replace(latch, refused=True) if refused and not latch.captured else latch
        case _:
            return latch


def _started(latch: Latch, event: CaptureStarted, *, mine: bool) -> Latch:
    automatic = event.origin is CaptureOrigin.SLA
    newest = event.deadline >= latch.deadline
    return msgspec.structs.replace(
        latch,
        session_id=event.session_id if newest else latch.session_id,
        deadline=event.deadline if newest else latch.deadline,
        started_at=max(event.at, latch.started_at or 0.0) if automatic else latch.started_at,
        captured=latch.captured or mine,
        refused=latch.refused and not mine,
    )


def _ended(latch: Latch, session_id: SessionId) -> Latch:
    return msgspec.structs.replace(latch, session_id=None) if latch.session_id == session_id else latch


def _asked_with(latch: Latch, id: EventId | None, service: ServiceName, target: Target) -> bool:  # noqa: A002
    attempts = range(latch.attempt - 1, -1, -1)
    return id is not None and any(id == trigger_id(service, target, latch.epoch, attempt) for attempt in attempts)
