"""The capture control: every request is followed, waits or is refused, and every session ends in one way."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailwatch.contracts.captures import (
    AbortReason,
    Artifact,
    CaptureAborted,
    CaptureEvent,
    CaptureFailed,
    CaptureKind,
    CaptureOrigin,
    CaptureRefused,
    CaptureStarted,
    FailureReason,
    RefusalReason,
)
from tailwatch.contracts.triggers import ProfilingTrigger, TriggerCause
from tailwatch.probe.core import capture
from tailwatch.probe.core.backoff import BackOff
from tailwatch.probe.core.capture_state import CaptureState, Step
from tailwatch.probe.core.identity import Identity
from tailwatch.probe.core.refusal import Rules
from tailwatch.probe.core.safety import Before, Measurement, SafetyLimits
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
    request_of,
    session_id,
)

NOW = 1_700_000_000.0
IDENTITY = Identity(
    service="auth",
    service_version="1",
    commit="c0ffee",
    instance="host-7",
    boot="0c8b1f2e-6f0b-4b0e-9a53-7e1a3b1f7c55",
    pid=7,
)
LIMITS = SafetyLimits(overhead_percent=2.0, loop_lag_ms=100.0, memory_growth_mb=64.0)
RULES = Rules(manual=True, automatic=True, throttle_seconds=3600.0, quota_bytes=2**30, limits=LIMITS)
BEFORE = Before(error_share=0.0, answered=100, errors=0, rss_mb=100.0)
READY = Readiness()
ARTIFACT = Artifact(name="captures/x/capture.json", size_bytes=1, sha256="0" * 64)

Wanted = TypeVar("Wanted", bound=Command)


def trigger(number: int = 0, *, at: float = NOW, cause: TriggerCause = TriggerCause.BREACH) -> ProfilingTrigger:
    """Return a trigger for this instance."""
    return ProfilingTrigger(
        id=str(UUID(int=number)),
        cause=cause,
        service="auth",
        service_version="1",
        target="POST /tokens",
        instance="host-7",
        epoch=1,
        attempt=0,
        at=at,
        condition_since=at,
        breaches=(),
        instance_share=1.0,
    )


def asked(number: int = 0, *, at: float = NOW, cause: TriggerCause = TriggerCause.BREACH) -> CaptureRequest:
    """Return what a trigger asks for."""
    return request_of(
        trigger(number, at=at, cause=cause),
        session=session_id(at, f"{number:012x}"),
        duration_seconds=30.0,
        traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01",
    )


def by_hand(number: int = 0, *, kind: CaptureKind = CaptureKind.CPU) -> CaptureRequest:
    """Return a request by hand."""
    return CaptureRequest(
        session_id=session_id(NOW, f"{number:012x}"),
        origin=CaptureOrigin.MANUAL,
        kind=kind,
        asked_at=NOW,
        duration_seconds=30.0,
    )


def measurement(at: float, **changes: Any) -> Measurement:
    """Return a healthy measurement, changed as told."""
    healthy = Measurement(
        at=at, cost_seconds=0.0, samples=0, on_cpu_samples=0, held_lag_ms=0.0, answered=100, errors=0, rss_mb=100.0
    )
    return replace(healthy, **changes)


def idle() -> CaptureState:
    """Return a control that has done nothing."""
    return CaptureState(identity=IDENTITY, rules=RULES)


def running(request: CaptureRequest | None = None) -> CaptureState:
    """Return a control with a capture that began at NOW."""
    state, _ = capture.ask(idle(), request or asked(), readiness=READY, now=NOW)
    state, _ = capture.reserved(state, now=NOW)
    state, _ = capture.started(state, BEFORE, now=NOW)
    return state


def writing() -> CaptureState:
    """Return a control whose capture has ended well."""
    state, _ = capture.measured(running(), measurement(NOW + 30))
    state, _ = capture.stopped(state, Sampled(at=NOW + 30, samples=1500))
    return state


def aborted() -> Step:
    """Return the step in which a capture was aborted because of memory."""
    state, _ = capture.measured(running(), measurement(NOW + 3, rss_mb=200.0))
    return capture.stopped(state, Sampled(at=NOW + 3, samples=150))


def only(step: Step, kind: type[Wanted]) -> Wanted:
    """Return the one command of a kind."""
    found = [command for command in step[1] if isinstance(command, kind)]
    assert len(found) == 1, step[1]
    return found[0]


def reason_of(step: Step) -> RefusalReason:
    """Return why a request was refused."""
    event = only(step, Announce).event
    assert isinstance(event, CaptureRefused)
    return event.reason


def test_an_idle_control_follows_a_trigger_and_takes_a_slot_first() -> None:
    """Idle to starting: the first command is to reserve."""
    step = capture.ask(idle(), asked(), readiness=READY, now=NOW + 1)
    assert step[0].phase is Phase.STARTING
    assert only(step, Reserve).request == asked()


def test_a_session_id_is_what_its_clients_check() -> None:
    """profile-<epoch ms>-<12 hex>."""
    assert session_id(1795374265.069, "a1b2c3d4e5f6") == "profile-1795374265069-a1b2c3d4e5f6"


def test_sampling_starts_at_50_hz_for_a_breach_and_at_20_hz_for_a_control() -> None:
    """The origin sets the rate."""
    rates = []
    for cause in TriggerCause:
        state, _ = capture.ask(idle(), asked(cause=cause), readiness=READY, now=NOW)
        rates.append(only(capture.reserved(state, now=NOW), Start).rate_hz)
    assert rates == [50.0, 20.0]


def test_started_is_announced_with_its_deadline() -> None:
    """The monitor derives a death from the deadline."""
    state, _ = capture.ask(idle(), asked(), readiness=READY, now=NOW)
    state, _ = capture.reserved(state, now=NOW)
    step = capture.started(state, BEFORE, now=NOW + 1)
    event = only(step, Announce).event
    assert isinstance(event, CaptureStarted)
    assert (event.deadline, event.target, event.trigger_id) == (NOW + 31, "POST /tokens", str(UUID(int=0)))
    assert step[0].rate_hz == 50.0
    assert only(step, Announce).traceparent == asked().traceparent


def test_a_capture_goes_through_every_phase_and_ends_completed() -> None:
    """Running, stopping, writing, publishing, idle."""
    state, commands = capture.measured(running(), measurement(NOW + 30))
    assert (state.phase, commands) == (Phase.STOPPING, (Stop(),))
    step = capture.stopped(state, Sampled(at=NOW + 30.1, samples=1500))
    write = only(step, Write)
    assert (step[0].phase, write.started_at, write.ended_at, write.partial) == (Phase.WRITING, NOW, NOW + 30.1, False)
    files = Written(artifacts=(ARTIFACT,), overhead_percent=1.4, ending_cost_seconds=0.07)
    step = capture.written(step[0], files, now=NOW + 31)
    completed = only(step, Publish).completed
    assert step[0].phase is Phase.PUBLISHING
    assert (completed.samples, completed.overhead_percent, completed.artifacts) == (1500, 1.4, (ARTIFACT,))
    state, commands = capture.published(step[0], now=NOW + 32)
    assert (state.phase, state.request, commands) == (Phase.IDLE, None, ())
    assert state.last is not None
    assert state.last.outcome == "completed"
    assert state.ending_cost_seconds == 0.07


@pytest.mark.parametrize(
    ("changes", "request_", "readiness", "reason"),
    [
        ({"closing": True}, asked(), READY, RefusalReason.SHUTTING_DOWN),
        ({"rules": replace(RULES, automatic=False)}, asked(), READY, RefusalReason.DISABLED),
        ({"rules": replace(RULES, manual=False)}, by_hand(), READY, RefusalReason.DISABLED),
        ({"seen": (str(UUID(int=0)),)}, asked(), READY, RefusalReason.DUPLICATE),
        ({}, asked(at=NOW - 30.5), READY, RefusalReason.STALE),
        ({"back_off": BackOff(until=NOW + 1, reason="memory")}, by_hand(), READY, RefusalReason.OVERHEAD_DISABLED),
        ({}, by_hand(kind=CaptureKind.HEAP), READY, RefusalReason.ENGINE_UNAVAILABLE),
        ({}, asked(), Readiness(engine="no scalene"), RefusalReason.ENGINE_UNAVAILABLE),
        ({}, by_hand(), Readiness(stored_bytes=2**30 - 2**20), RefusalReason.OVER_QUOTA),
        (
            {"last_start": {("POST /tokens", CaptureOrigin.SLA): NOW - 3599}},
            asked(),
            READY,
            RefusalReason.THROTTLED,
        ),
    ],
)
def test_a_request_is_refused_with_its_reason(
    changes: dict[str, Any], request_: CaptureRequest, readiness: Readiness, reason: RefusalReason
) -> None:
    """Each control refuses by its own name, and nothing starts."""
    step = capture.ask(replace(idle(), **changes), request_, readiness=readiness, now=NOW)
    assert reason_of(step) is reason
    assert step[0].phase is Phase.IDLE


def test_a_trigger_that_is_exactly_30_seconds_old_is_followed() -> None:
    """Stale is older than 30 s."""
    only(capture.ask(idle(), asked(at=NOW - 30), readiness=READY, now=NOW), Reserve)


def test_a_trigger_is_followed_once() -> None:
    """The same id again is a duplicate, also after its capture has ended."""
    state, _ = aborted()
    state = replace(state, back_off=BackOff())
    assert reason_of(capture.ask(state, asked(), readiness=READY, now=NOW + 4)) is RefusalReason.DUPLICATE


def test_the_throttle_counts_from_the_start_of_the_last_capture_of_that_target() -> None:
    """59 minutes later it refuses, 60 minutes later it does not."""
    files = Written(artifacts=(), overhead_percent=1.0, ending_cost_seconds=0.1)
    state, _ = capture.published(capture.written(writing(), files, now=NOW + 31)[0], now=NOW + 32)
    early = capture.ask(state, asked(1, at=NOW + 3590), readiness=READY, now=NOW + 3599)
    late = capture.ask(state, asked(2, at=NOW + 3600), readiness=READY, now=NOW + 3600)
    assert reason_of(early) is RefusalReason.THROTTLED
    only(late, Reserve)


def test_a_control_capture_does_not_throttle_the_capture_of_a_breach() -> None:
    """Each origin has a throttle of its own."""
    state = replace(idle(), last_start={("POST /tokens", CaptureOrigin.CONTROL): NOW - 60})
    only(capture.ask(state, asked(), readiness=READY, now=NOW), Reserve)


def test_captures_by_hand_are_neither_throttled_nor_stale() -> None:
    """Somebody is waiting for the answer."""
    state = replace(idle(), last_start={(None, CaptureOrigin.MANUAL): NOW})
    only(capture.ask(state, by_hand(), readiness=READY, now=NOW + 100), Reserve)


def test_a_second_trigger_is_refused_as_busy() -> None:
    """Automatic requests do not queue: the monitor asks again."""
    assert reason_of(capture.ask(running(), asked(1), readiness=READY, now=NOW + 1)) is RefusalReason.BUSY


def test_one_request_by_hand_waits_and_is_taken_up_when_the_capture_has_ended() -> None:
    """The second that would wait is refused."""
    state, commands = capture.ask(running(), by_hand(1), readiness=READY, now=NOW)
    assert commands == ()
    assert reason_of(capture.ask(state, by_hand(2), readiness=READY, now=NOW)) is RefusalReason.BUSY
    state, _ = capture.stop(state)
    state, _ = capture.stopped(state, Sampled(at=NOW + 5, samples=1))
    state, commands = capture.not_written(state, "disk full", now=NOW + 6)
    assert state.phase is Phase.STARTING
    assert state.request == by_hand(1)
    assert state.waiting is None
    assert isinstance(commands[-1], Reserve)


def test_a_request_that_waited_is_refused_when_the_capture_before_it_was_aborted() -> None:
    """An abort disables captures, whoever asks."""
    state, _ = capture.ask(running(), by_hand(1), readiness=READY, now=NOW)
    state, _ = capture.measured(state, measurement(NOW + 3, rss_mb=200.0))
    state, commands = capture.stopped(state, Sampled(at=NOW + 3, samples=150))
    last = commands[-1]
    assert isinstance(last, Announce)
    assert isinstance(last.event, CaptureRefused)
    assert last.event.reason is RefusalReason.OVERHEAD_DISABLED
    assert state.phase is Phase.IDLE


def test_a_request_without_a_slot_is_refused_and_its_folder_deleted() -> None:
    """Other processes of this host capture."""
    state, _ = capture.ask(idle(), asked(), readiness=READY, now=NOW)
    step = capture.not_reserved(state, RefusalReason.BUSY, "one runs on this host", now=NOW)
    assert reason_of(step) is RefusalReason.BUSY
    assert only(step, Discard).session_id == asked().session_id
    assert step[0].phase is Phase.IDLE


def test_a_breach_that_was_refused_a_slot_is_not_throttled() -> None:
    """Only a capture that started counts."""
    state, _ = capture.ask(idle(), asked(), readiness=READY, now=NOW)
    state, _ = capture.not_reserved(state, RefusalReason.BUSY, "", now=NOW)
    only(capture.ask(state, asked(1), readiness=READY, now=NOW + 1), Reserve)


def test_an_abort_keeps_nothing_and_disables_captures() -> None:
    """Discard, say why, rest for ten minutes."""
    step = aborted()
    event = only(step, Announce).event
    assert isinstance(event, CaptureAborted)
    assert event.reason is AbortReason.MEMORY
    only(step, Discard)
    assert step[0].back_off == BackOff(until=NOW + 603, seconds=600.0, reason=f"memory: {event.detail}")


def test_rests_double_up_to_a_day_and_a_healthy_capture_ends_the_series() -> None:
    """600, 1200, ... 86400 s; then from the beginning."""
    back_off, rests = BackOff(), []
    for _ in range(10):
        back_off = back_off.after_abort(NOW, "overhead")
        rests.append(back_off.seconds)
    assert rests[:3] == [600, 1200, 2400]
    assert rests[-1] == 86_400
    state = replace(writing(), back_off=back_off)
    files = Written(artifacts=(), overhead_percent=1.0, ending_cost_seconds=0.1)
    state, _ = capture.published(capture.written(state, files, now=NOW)[0], now=NOW)
    assert state.back_off == BackOff()


def test_a_stop_by_hand_keeps_what_was_sampled_as_partial() -> None:
    """Only for the session that is named, or whatever runs."""
    assert capture.stop(running(), "profile-1-a") == (running(), ())
    state, commands = capture.stop(running(), asked().session_id)
    assert commands == (Stop(),)
    assert only(capture.stopped(state, Sampled(at=NOW + 5, samples=250)), Write).partial


def test_nothing_runs_so_nothing_is_stopped_measured_or_broken() -> None:
    """Late ticks and stops change nothing."""
    assert capture.stop(idle()) == (idle(), ())
    assert capture.measured(idle(), measurement(NOW)) == (idle(), ())
    assert capture.broken(idle(), "late") == (idle(), ())


def test_closing_ends_a_capture_with_what_it_has_and_refuses_who_waits() -> None:
    """SIGTERM: completed, partial."""
    state, _ = capture.ask(running(), by_hand(1), readiness=READY, now=NOW)
    step = capture.close(state, now=NOW + 5)
    assert reason_of(step) is RefusalReason.SHUTTING_DOWN
    only(step, Stop)
    assert step[0].partial
    assert capture.close(idle(), now=NOW)[1] == ()


def test_closing_while_a_slot_is_looked_for_turns_the_request_away() -> None:
    """It had not started; so it is refused."""
    state, _ = capture.ask(idle(), asked(), readiness=READY, now=NOW)
    state, commands = capture.close(state, now=NOW)
    assert commands == ()
    assert reason_of(capture.reserved(state, now=NOW)) is RefusalReason.SHUTTING_DOWN


def test_a_broken_engine_fails_the_capture() -> None:
    """Whether it breaks while sampling or while stopping."""
    state, commands = capture.broken(running(), "KeyError: 1")
    assert commands == (Stop(),)
    for step in (
        capture.stopped(state, Sampled(at=NOW, samples=0)),
        capture.stopped(capture.stop(running())[0], Sampled(at=NOW, samples=0), fault="KeyError: 1"),
    ):
        event = only(step, Announce).event
        assert isinstance(event, CaptureFailed)
        assert (event.reason, event.detail) == (FailureReason.ENGINE_ERROR, "KeyError: 1")
        only(step, Discard)


def test_files_that_cannot_be_written_fail_the_capture() -> None:
    """And the folder is deleted."""
    step = capture.not_written(writing(), "disk full", now=NOW + 31)
    event = only(step, Announce).event
    assert isinstance(event, CaptureFailed)
    assert (event.reason, event.detail) == (FailureReason.WRITE_FAILED, "disk full")
    only(step, Discard)


def test_a_measurement_that_changes_the_rate_leads_to_a_command() -> None:
    """Half of the budget spent twice over: the rate goes down."""
    state, _ = capture.measured(running(), measurement(NOW + 1, cost_seconds=0.03, samples=50, on_cpu_samples=50))
    step = capture.measured(state, measurement(NOW + 2, cost_seconds=0.06, samples=100, on_cpu_samples=100))
    assert state.rate_hz < 50
    assert step[0].rate_hz <= state.rate_hz
    with pytest.raises(ValueError, match="no session is idle"):
        capture.reserved(idle(), now=NOW)
    first = capture.measured(running(), measurement(NOW + 1, cost_seconds=0.03, samples=50, on_cpu_samples=50))
    assert only(first, Adapt).rate_hz == state.rate_hz


WORDS = ["trigger", "hand", "go", "fail", "stop", "break", "harm", "close", "wait"]


class Shell:
    """Carries out commands well or badly, and keeps the books."""

    def __init__(self) -> None:
        """Begin with an idle control."""
        self.state, self.now = idle(), NOW
        self.started: list[str] = []
        self.ended: list[str] = []
        self.completing = ""
        self.pending: list[Command] = []

    def take(self, step: Step) -> None:
        """Take a step: note its facts, keep its work for later."""
        self.state = step[0]
        for command in step[1]:
            if isinstance(command, Announce):
                self.note(command.event)
            elif not isinstance(command, (Discard, Adapt)):
                assert not self.pending, "two kinds of work at a time"
                self.pending.append(command)

    def note(self, event: CaptureEvent) -> None:
        """Count the beginnings and ends of sessions."""
        if isinstance(event, CaptureStarted):
            assert len(self.started) == len(self.ended), "two sessions at a time"
            self.started.append(event.session_id)
        elif isinstance(event, (CaptureAborted, CaptureFailed)):
            self.ended.append(event.session_id)

    def hear(self, word: str, number: int) -> None:
        """Let something happen from outside."""
        state, now = self.state, self.now
        match word:
            case "trigger":
                self.take(capture.ask(state, asked(number, at=now), readiness=READY, now=now))
            case "hand":
                self.take(capture.ask(state, by_hand(number + 100), readiness=READY, now=now))
            case "stop":
                self.take(capture.stop(state))
            case "break":
                self.take(capture.broken(state, "broken"))
            case "harm":
                self.take(capture.measured(state, measurement(now, rss_mb=500.0)))
            case "wait":
                self.now += 40
                self.take(capture.measured(state, measurement(self.now)))
            case "close":
                self.take(capture.close(state, now=now))
            case _:
                if self.pending:
                    self.work(self.pending.pop(), well=word == "go")

    def work(self, command: Command, *, well: bool) -> None:
        """Do what was asked for, well or badly."""
        state, now = self.state, self.now
        refused = partial(capture.not_reserved, state, RefusalReason.BUSY, "", now=now)
        files = Written(artifacts=(), overhead_percent=1.0, ending_cost_seconds=0.1)
        match command:
            case Reserve():
                self.take(capture.reserved(state, now=now) if well else refused())
            case Start():
                self.take(capture.started(state, BEFORE, now=now) if well else refused())
            case Stop():
                self.take(capture.stopped(state, Sampled(at=now, samples=1), fault=None if well else "broken"))
            case Write():
                self.take(capture.written(state, files, now=now) if well else capture.not_written(state, "", now=now))
            case Publish(completed=completed):
                if well:
                    self.ended.append(completed.session_id)
                self.take(capture.published(state, now=now) if well else capture.not_written(state, "", now=now))
            case _:
                raise AssertionError(command)


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, 6)), max_size=60))
def test_every_session_ends_in_exactly_one_fact_and_sessions_never_overlap(inputs: list[tuple[str, int]]) -> None:
    """Whatever comes in, in whatever order, however well the work goes."""
    shell = Shell()
    for word, number in inputs:
        shell.now += 1
        shell.hear(word, number)
        assert (shell.state.phase is Phase.IDLE) == (shell.state.request is None)
        assert shell.ended == shell.started[: len(shell.ended)]
        assert len(shell.started) - len(shell.ended) <= 1
