"""The verdict on one target: may a capture be asked for now, of whom, and if not, why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from services.sla_monitor.core.decision import Assessment, Condition
from services.sla_monitor.core.latch import Latch, armed_anew, asking
from tailwatch.contracts.policy import SlaPolicy
from tailwatch.contracts.statuses import SlaReason, SlaState
from tailwatch.contracts.triggers import trigger_id
from tailwatch.contracts.units import Count, EventId, InstanceId, Instant, Seconds, ServiceName, Target

LONGEST_PAUSE_SECONDS = 60.0
"""Between two rounds that ask every process; the pause doubles with each round up to this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """What an operator allows."""

    sla: SlaPolicy
    enabled: bool
    """Whether a broken limit may start a capture at all."""
    throttle_seconds: Seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A trigger to send."""

    id: EventId
    instance: InstanceId
    epoch: Count
    attempt: Count


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Where the target stands, the latch to keep before anything is sent, and the trigger to send, if any."""

    state: SlaState
    reason: SlaReason
    latch: Latch
    ask: Ask | None = None


def judge(
    latch: Latch,
    found: Assessment,
    candidates: Sequence[InstanceId],
    rules: Rules,
    *,
    service: ServiceName,
    target: Target,
    since: Instant,
    now: Instant,
    last_fired_at: Instant | None,
) -> Verdict:
    """Return the verdict at ``now``.

    ``candidates`` are the processes, the worst first; ``since`` is when the newest evidence came about, in event time:
    what a condition that is new has been true since; ``last_fired_at`` is when this worker last began to ask, for any
    target.
    """
    if found.condition is not Condition.BREACHED:
        return _unbroken(latch, found.condition, rules, now=now)
    latch = _broken(latch, rules, since=since, now=now)
    reason = _hindrance(latch, rules, now=now, last_fired_at=last_fired_at)
    if reason is not None:
        return Verdict(state=SlaState.BREACHED, reason=reason, latch=latch)
    if latch.attempt and not latch.confirmed:
        attempt, instance = latch.attempt - 1, latch.asked[-1]
        latch = msgspec.structs.replace(latch, asked_at=now, last_trigger_at=now)
    else:
        fresh = [instance for instance in candidates if instance not in latch.asked]
        if latch.attempt and now < _ask_again_at(latch, rules, new_round=not fresh):
            return Verdict(state=SlaState.BREACHED, reason=SlaReason.TRIGGERED, latch=latch)
        attempt, instance = latch.attempt, (fresh or list(candidates))[0]
        latch = asking(
            latch, instance, id=trigger_id(service, target, latch.epoch, attempt), now=now, new_round=not fresh
        )
    id_ = trigger_id(service, target, latch.epoch, attempt)
    ask = Ask(id=id_, instance=instance, epoch=latch.epoch, attempt=attempt)
    return Verdict(state=SlaState.BREACHED, reason=SlaReason.TRIGGERED, latch=latch, ask=ask)


def throttled_until(latch: Latch, rules: Rules) -> Instant | None:
    """Return until when no automatic capture may be asked for, or None when none has started."""
    return None if latch.started_at is None else latch.started_at + rules.throttle_seconds


def _unbroken(latch: Latch, condition: Condition, rules: Rules, *, now: Instant) -> Verdict:
    used = latch.attempt > 0 or latch.condition_since is not None
    if condition is not Condition.HEALTHY or not used:
        latch = latch if latch.healthy_since is None else msgspec.structs.replace(latch, healthy_since=None)
    elif latch.healthy_since is None:
        latch = msgspec.structs.replace(latch, healthy_since=now)
    elif now - latch.healthy_since >= rules.sla.rearm_after_seconds:
        latch = (
            armed_anew(latch)
            if latch.attempt
            else msgspec.structs.replace(latch, condition_since=None, healthy_since=None)
        )
    if condition is Condition.TOO_FEW:
        state, reason = SlaState.UNKNOWN, SlaReason.BELOW_MINIMUM_SAMPLES
    else:
        state = SlaState.RECOVERING if latch.attempt else SlaState.OK
        if condition is Condition.NOT_SUSTAINED:
            reason = SlaReason.NOT_SUSTAINED
        else:
            reason = SlaReason.RECOVERING if latch.attempt else SlaReason.HEALTHY
    if latch.running(now):
        # What a capture slows down does not count, so the windows run empty: that is no recovery, and no lack of load.
        state = SlaState.BREACHED if state is SlaState.UNKNOWN and latch.captured else state
        reason = SlaReason.CAPTURE_RUNNING
    return Verdict(state=state, reason=reason, latch=latch)


def _broken(latch: Latch, rules: Rules, *, since: Instant, now: Instant) -> Latch:
    until = throttled_until(latch, rules)
    if latch.captured and rules.throttle_seconds and until is not None and now >= until and not latch.running(now):
        return armed_anew(latch, condition_since=now)
    if latch.condition_since is None or latch.healthy_since is not None:
        first = since if latch.condition_since is None else latch.condition_since
        return msgspec.structs.replace(latch, condition_since=first, healthy_since=None)
    return latch


def _hindrance(latch: Latch, rules: Rules, *, now: Instant, last_fired_at: Instant | None) -> SlaReason | None:
    if not rules.enabled:
        return SlaReason.DISABLED
    if latch.running(now):
        return SlaReason.CAPTURE_RUNNING
    until = throttled_until(latch, rules)
    if until is not None and now < until:
        return SlaReason.THROTTLED
    if latch.captured:
        return SlaReason.TRIGGERED
    cooling = last_fired_at is not None and now < last_fired_at + rules.sla.cooldown_seconds
    return SlaReason.COOLING_DOWN if cooling and not latch.attempt else None


def _ask_again_at(latch: Latch, rules: Rules, *, new_round: bool) -> Instant:
    wait = float(rules.sla.next_instance_after_seconds)
    if new_round:
        return latch.asked_at + max(wait, min(wait * (1 << min(latch.round, 16)), LONGEST_PAUSE_SECONDS))
    return latch.asked_at if latch.refused else latch.asked_at + wait
