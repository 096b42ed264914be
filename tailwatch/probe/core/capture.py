"""The capture control: a pure machine. Requests, time and measurements come in; commands go out.

::

    idle --ask--> starting --> running --deadline | stop | abort--> stopping --> writing --> publishing --> idle
      `--refused, with a reason

Every function returns the next state and what is to be done now. Nothing is dropped: a request is followed, waits
(one by hand may), or is refused with its reason.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TypedDict

from tailwatch.contracts.captures import (
    CaptureAborted,
    CaptureCompleted,
    CaptureFailed,
    CaptureKind,
    CaptureOrigin,
    CaptureRefused,
    CaptureStarted,
    FailureReason,
    RefusalReason,
)
from tailwatch.contracts.units import (
    BootId,
    Count,
    EventId,
    InstanceId,
    Instant,
    ServiceName,
    SessionId,
    Target,
)
from tailwatch.probe.core.backoff import BackOff
from tailwatch.probe.core.capture_state import CaptureState, Outcome, Step
from tailwatch.probe.core.refusal import refusal
from tailwatch.probe.core.safety import Before, Measurement, Watch, judge
from tailwatch.probe.core.session import (
    Adapt,
    Announce,
    CaptureRequest,
    Command,
    Discard,
    Phase,
    Publish,
    Readiness,
    Reserve,
    Sampled,
    Start,
    Stop,
    Write,
    Written,
)

KEPT_TRIGGERS = 1_000


def ask(state: CaptureState, request: CaptureRequest, *, readiness: Readiness, now: Instant) -> Step:
    """Follow a request, let it wait, or refuse it with the reason."""
    reason = refusal(
        request,
        state.rules,
        readiness,
        now=now,
        closing=state.closing,
        duplicate=request.trigger_id in state.seen,
        back_off=state.back_off,
        last_start=state.last_start.get((request.target, request.origin)) if state.request is None else None,
    )
    if request.trigger_id is not None:
        state = replace(state, seen=(*state.seen, request.trigger_id)[-KEPT_TRIGGERS:])
    if reason is not None:
        return _refused(state, request, *reason, now)
    if state.request is None:
        return _begun(state, request)
    if request.origin is CaptureOrigin.MANUAL and state.waiting is None:
        return replace(state, waiting=request), ()
    return _refused(state, request, RefusalReason.BUSY, f"{state.request.session_id} is {state.phase}", now)


def reserved(state: CaptureState, *, now: Instant) -> Step:
    """Go on to sampling: there is a slot and a folder."""
    request = _active(state)
    if state.closing:
        return _turned_away(state, RefusalReason.SHUTTING_DOWN, "the process ends", now)
    return state, (Start(request=request, rate_hz=request.rate_hz),)


def not_reserved(state: CaptureState, reason: RefusalReason, detail: str, *, now: Instant) -> Step:
    """Refuse after all: there was no slot or no folder, or the engine would not start."""
    return _turned_away(state, reason, detail, now)


def started(state: CaptureState, before: Before, *, now: Instant) -> Step:
    """Take note that samples are being taken, and say so."""
    request = _active(state)
    deadline = now + request.duration_seconds
    first = Measurement(
        at=now,
        cost_seconds=0.0,
        samples=0,
        on_cpu_samples=0,
        held_lag_ms=0.0,
        answered=before.answered,
        errors=before.errors,
        rss_mb=before.rss_mb,
    )
    watch = Watch(
        started_at=now,
        deadline=deadline,
        nominal_hz=request.rate_hz,
        ceiling_hz=request.ceiling_hz,
        rate_hz=request.rate_hz,
        before=before,
        ending_cost_seconds=state.ending_cost_seconds,
        history=(first,),
    )
    last_start = MappingProxyType({**state.last_start, (request.target, request.origin): now})
    state = replace(state, phase=Phase.RUNNING, started_at=now, watch=watch, last_start=last_start)
    event = CaptureStarted(
        **_facts(state, request, now),
        session_id=request.session_id,
        duration_seconds=request.duration_seconds,
        deadline=deadline,
        rate_hz=request.rate_hz,
    )
    return state, (Announce(event=event, traceparent=request.traceparent),)


def measured(state: CaptureState, now: Measurement) -> Step:
    """Compare a running capture with its limits; adapt it, end it, or go on."""
    if state.phase is not Phase.RUNNING or state.watch is None:
        return state, ()
    if now.at >= state.watch.deadline:
        return replace(state, phase=Phase.STOPPING), (Stop(),)
    watch, judgement = judge(state.watch, now, limits=state.rules.limits)
    state = replace(state, watch=watch)
    if judgement.abort is not None:
        return replace(state, phase=Phase.STOPPING, abort=judgement.abort), (Stop(),)
    return state, (Adapt(rate_hz=judgement.rate_hz),) if judgement.rate_hz is not None else ()


def broken(state: CaptureState, detail: str) -> Step:
    """End a running capture whose engine has failed."""
    if state.phase is not Phase.RUNNING:
        return state, ()
    return replace(state, phase=Phase.STOPPING, fault=detail), (Stop(),)


def stop(state: CaptureState, session: SessionId | None = None) -> Step:
    """End a running capture (of that session, if one is named) before its time, and keep what was sampled."""
    if state.phase is not Phase.RUNNING or session not in {None, _active(state).session_id}:
        return state, ()
    return replace(state, phase=Phase.STOPPING, partial=True), (Stop(),)


def close(state: CaptureState, *, now: Instant) -> Step:
    """Accept nothing any more: refuse who waits, and end a running capture with what it has."""
    waiting = state.waiting
    state = replace(state, closing=True, waiting=None)
    refused: tuple[Command, ...] = ()
    if waiting is not None:
        state, refused = _refused(state, waiting, RefusalReason.SHUTTING_DOWN, "the process ends", now)
    state, stopping = stop(state)
    return state, (*refused, *stopping)


def stopped(state: CaptureState, sampled: Sampled, *, fault: str | None = None) -> Step:
    """Write what was sampled, unless the capture was aborted or broke (``fault``: while it was stopped)."""
    request = _active(state)
    state = replace(state, sampled=sampled, fault=state.fault or fault)
    if state.fault is not None:
        return _failed(state, FailureReason.ENGINE_ERROR, state.fault, sampled.at)
    if state.abort is not None:
        event = CaptureAborted(
            **_facts(state, request, sampled.at),
            session_id=request.session_id,
            reason=state.abort.reason,
            detail=state.abort.detail,
        )
        back_off = state.back_off.after_abort(sampled.at, f"{state.abort.reason}: {state.abort.detail}")
        outcome = Outcome(session_id=request.session_id, outcome="aborted", detail=state.abort.detail, at=sampled.at)
        ended, follow_up = _ended(replace(state, back_off=back_off), outcome)
        announcement = Announce(event=event, traceparent=request.traceparent)
        return ended, (Discard(session_id=request.session_id), announcement, *follow_up)
    write = Write(request=request, started_at=state.started_at, ended_at=sampled.at, partial=state.partial)
    return replace(state, phase=Phase.WRITING), (write,)


def written(state: CaptureState, files: Written, *, now: Instant) -> Step:
    """Publish: every file is there, and so is what it cost to get them."""
    request = _active(state)
    sampled = state.sampled or Sampled(at=now, samples=0)
    event = CaptureCompleted(
        **_facts(state, request, now),
        session_id=request.session_id,
        started_at=state.started_at,
        ended_at=sampled.at,
        partial=state.partial,
        samples=sampled.samples,
        overhead_percent=files.overhead_percent,
        artifacts=files.artifacts,
    )
    state = replace(state, phase=Phase.PUBLISHING, ending_cost_seconds=files.ending_cost_seconds)
    return state, (Publish(completed=event, traceparent=request.traceparent),)


def not_written(state: CaptureState, detail: str, *, now: Instant) -> Step:
    """Give the session up: its files could not be written."""
    return _failed(state, FailureReason.WRITE_FAILED, detail, now)


def published(state: CaptureState, *, now: Instant) -> Step:
    """End the session well: its files are in the store. A healthy capture ends a series of aborts."""
    request = _active(state)
    outcome = Outcome(session_id=request.session_id, outcome="completed", detail="", at=now)
    return _ended(replace(state, back_off=BackOff()), outcome)


class _Facts(TypedDict):
    service: ServiceName
    target: Target | None
    instance: InstanceId
    boot: BootId
    pid: Count
    at: Instant
    origin: CaptureOrigin
    kind: CaptureKind
    trigger_id: EventId | None


def _facts(state: CaptureState, request: CaptureRequest, at: Instant) -> _Facts:
    me = state.identity
    return _Facts(
        service=me.service,
        target=request.target,
        instance=me.instance,
        boot=me.boot,
        pid=me.pid,
        at=at,
        origin=request.origin,
        kind=request.kind,
        trigger_id=request.trigger_id,
    )


def _active(state: CaptureState) -> CaptureRequest:
    if state.request is None:
        raise ValueError(f"no session is {state.phase}")
    return state.request


def _begun(state: CaptureState, request: CaptureRequest) -> Step:
    return replace(state, phase=Phase.STARTING, request=request), (Reserve(request=request),)


def _refused(state: CaptureState, request: CaptureRequest, reason: RefusalReason, detail: str, now: Instant) -> Step:
    event = CaptureRefused(**_facts(state, request, now), reason=reason, detail=detail)
    last = Outcome(session_id=request.session_id, outcome="refused", detail=f"{reason}: {detail}", at=now)
    return replace(state, last=last), (Announce(event=event, traceparent=request.traceparent),)


def _turned_away(state: CaptureState, reason: RefusalReason, detail: str, now: Instant) -> Step:
    request = _active(state)
    state, refused = _refused(state, request, reason, detail, now)
    ended, follow_up = _ended(state, state.last)
    return ended, (Discard(session_id=request.session_id), *refused, *follow_up)


def _failed(state: CaptureState, reason: FailureReason, detail: str, now: Instant) -> Step:
    request = _active(state)
    event = CaptureFailed(**_facts(state, request, now), session_id=request.session_id, reason=reason, detail=detail)
    outcome = Outcome(session_id=request.session_id, outcome="failed", detail=f"{reason}: {detail}", at=now)
    ended, follow_up = _ended(state, outcome)
    announcement = Announce(event=event, traceparent=request.traceparent)
    return ended, (Discard(session_id=request.session_id), announcement, *follow_up)


def _ended(state: CaptureState, outcome: Outcome | None) -> Step:
    """Return to idle, and take up the request that waits, unless captures were disabled meanwhile."""
    idle = replace(
        state,
        phase=Phase.IDLE,
        request=None,
        waiting=None,
        started_at=0.0,
        watch=None,
        partial=False,
        abort=None,
        fault=None,
        sampled=None,
        last=outcome,
    )
    if state.waiting is None:
        return idle, ()
    now = outcome.at if outcome is not None else 0.0
    if state.back_off.holds(now):
        reason = state.back_off.reason or "an earlier capture was aborted"
        return _refused(idle, state.waiting, RefusalReason.OVERHEAD_DISABLED, reason, now)
    return _begun(idle, state.waiting)
