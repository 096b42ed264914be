"""The verdict: may a capture be asked for, of whom, and if not, why not."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from services.sla_monitor.core.counts import Counts
from services.sla_monitor.core.decision import Assessment, Condition, assess
from services.sla_monitor.core.latch import Latch, confirmed, informed
from services.sla_monitor.core.verdict import Rules, Verdict, judge
from tailwatch.contracts.captures import RefusalReason
from tailwatch.contracts.policy import SlaPolicy
from tailwatch.contracts.statuses import SlaReason, SlaState
from tailwatch.contracts.triggers import trigger_id
from tests.support.reports import NOW, SERVICE, TARGET, completed, refused, started

RULES = Rules(sla=SlaPolicy(), enabled=True, throttle_seconds=3600.0)
LAG = 0.25
"""From the end of a slow request to the judgement."""
UNTHROTTLED = replace(RULES, throttle_seconds=0.0)


def found(condition: Condition) -> Assessment:
    """Return counts for which a condition holds."""
    long, short = {
        Condition.TOO_FEW: (Counts(total=1), Counts()),
        Condition.HEALTHY: (Counts(total=1000), Counts(total=100)),
        Condition.NOT_SUSTAINED: (Counts(total=1000, over_p95=100), Counts(total=100)),
        Condition.BREACHED: (Counts(total=1000, over_p95=100), Counts(total=100, over_p95=50)),
    }[condition]
    assessment = assess(long, short, RULES.sla)
    assert assessment.condition is condition
    return assessment


class Target:
    """One target over time: judged at offsets from NOW, its latch kept, its triggers collected."""

    def __init__(self, rules: Rules = RULES, *, candidates: tuple[str, ...] = ("a-1", "b-1")) -> None:
        self.rules, self.candidates, self.latch = rules, candidates, Latch()
        self.asks: list[tuple[float, str, int, int]] = []

    def at(self, seconds: float, condition: Condition, *, last_fired_at: float | None = None) -> Verdict:
        verdict = judge(
            self.latch,
            found(condition),
            self.candidates,
            self.rules,
            service=SERVICE,
            target=TARGET,
            since=NOW + seconds - LAG,
            now=NOW + seconds,
            last_fired_at=last_fired_at if last_fired_at is not None else self.latch.fired_at,
        )
        self.latch = verdict.latch
        if verdict.ask is not None:
            self.asks.append((seconds, verdict.ask.instance, verdict.ask.epoch, verdict.ask.attempt))
            self.latch = confirmed(self.latch, verdict.ask.id)
        return verdict

    def hear_started(self, seconds: float) -> None:
        event = started(NOW + seconds, trigger_id=self.latch.last_trigger_id)
        self.latch = informed(self.latch, event, service=SERVICE, target=TARGET)

    def hear_completed(self, seconds: float) -> None:
        self.latch = informed(self.latch, completed(NOW + seconds), service=SERVICE, target=TARGET)

    def hear_refused(self, seconds: float) -> None:
        event = refused(NOW + seconds, RefusalReason.BUSY, trigger_id=self.latch.last_trigger_id)
        self.latch = informed(self.latch, event, service=SERVICE, target=TARGET)


def test_the_worst_process_is_asked_when_the_condition_becomes_true() -> None:
    """The first breached judgement asks; its id is that of epoch 0, attempt 0."""
    target = Target()
    assert target.at(0, Condition.HEALTHY).reason is SlaReason.HEALTHY
    verdict = target.at(1, Condition.BREACHED)
    assert (verdict.state, verdict.reason) == (SlaState.BREACHED, SlaReason.TRIGGERED)
    assert verdict.ask is not None
    assert verdict.ask.id == trigger_id(SERVICE, TARGET, 0, 0)
    assert target.asks == [(1, "a-1", 0, 0)]
    assert target.latch.condition_since == NOW + 1 - LAG


@pytest.mark.parametrize(
    ("condition", "state", "reason"),
    [
        (Condition.TOO_FEW, SlaState.UNKNOWN, SlaReason.BELOW_MINIMUM_SAMPLES),
        (Condition.HEALTHY, SlaState.OK, SlaReason.HEALTHY),
        (Condition.NOT_SUSTAINED, SlaState.OK, SlaReason.NOT_SUSTAINED),
    ],
)
def test_without_the_condition_nothing_is_asked(condition: Condition, state: SlaState, reason: SlaReason) -> None:
    """Each condition has its state and reason, and leaves an unused latch as it is."""
    target = Target()
    verdict = target.at(0, condition)
    assert (verdict.state, verdict.reason, verdict.ask, verdict.latch) == (state, reason, None, Latch())


def test_nothing_is_asked_while_captures_are_disabled() -> None:
    """The kill switch lets verdicts go on."""
    target = Target(replace(RULES, enabled=False))
    assert target.at(0, Condition.BREACHED).reason is SlaReason.DISABLED
    assert target.asks == []


def test_a_silent_process_is_followed_by_the_next_after_5_s() -> None:
    """The next worst is asked after 5 s; when all were asked a new round begins, later and later."""
    target = Target()
    for tenth in range(1000):
        target.at(tenth / 10, Condition.BREACHED)
    assert target.asks == [
        (0, "a-1", 0, 0),
        (5, "b-1", 0, 1),
        (10, "a-1", 0, 2),
        (15, "b-1", 0, 3),
        (25, "a-1", 0, 4),
        (30, "b-1", 0, 5),
        (50, "a-1", 0, 6),
        (55, "b-1", 0, 7),
        (95, "a-1", 0, 8),
    ]


def test_the_pause_between_rounds_ends_at_a_minute() -> None:
    """The only process is asked again after 5, 10, 20, 40 and then every 60 s."""
    target = Target(candidates=("a-1",))
    for second in range(260):
        target.at(second, Condition.BREACHED)
    assert [second for second, *_ in target.asks] == [0, 5, 15, 35, 75, 135, 195, 255]


def test_a_refusal_is_followed_by_the_next_process_at_once() -> None:
    """Only when no process is left does a refusal wait."""
    target = Target()
    target.at(0, Condition.BREACHED)
    target.hear_refused(0.1)
    target.at(0.2, Condition.BREACHED)
    target.hear_refused(0.3)
    for tenth in range(4, 80):
        target.at(tenth / 10, Condition.BREACHED)
    assert target.asks == [(0, "a-1", 0, 0), (0.2, "b-1", 0, 1), (5.2, "a-1", 0, 2)]


def test_an_unconfirmed_trigger_is_sent_again_as_it_was() -> None:
    """After a kill between latch and acknowledgement: same process, same id, and 5 s to answer from then on."""
    target = Target()
    first = target.at(0, Condition.BREACHED)
    target.latch = msgspec.structs.replace(target.latch, confirmed=False)
    target.candidates = ("b-1", "a-1")
    again = target.at(9, Condition.BREACHED)
    assert again.ask == first.ask
    assert (again.latch.attempt, again.latch.asked) == (1, ("a-1",))
    assert target.at(13.9, Condition.BREACHED).ask is None
    assert target.at(14, Condition.BREACHED).ask is not None


def test_a_running_capture_is_the_reason_for_whatever_is_seen() -> None:
    """While it runs the windows run empty: the breach stands, and nothing is asked."""
    target = Target()
    target.at(0, Condition.BREACHED)
    target.hear_started(1)
    for second, condition, state in (
        (2, Condition.BREACHED, SlaState.BREACHED),
        (12, Condition.TOO_FEW, SlaState.BREACHED),
        (20, Condition.HEALTHY, SlaState.RECOVERING),
    ):
        verdict = target.at(second, condition)
        assert (verdict.state, verdict.reason) == (state, SlaReason.CAPTURE_RUNNING)
    assert len(target.asks) == 1


def test_a_capture_that_never_ended_is_over_at_its_deadline() -> None:
    """Nobody sends an event for a process that was killed."""
    target = Target()
    target.at(0, Condition.BREACHED)
    target.hear_started(1)
    assert target.at(40.9, Condition.BREACHED).reason is SlaReason.CAPTURE_RUNNING
    assert target.at(41, Condition.BREACHED).reason is SlaReason.THROTTLED


def test_the_throttle_runs_from_the_start_of_the_capture() -> None:
    """A breach that outlasts the throttle is asked about again, in a new arming."""
    target = Target()
    target.at(0, Condition.BREACHED)
    target.hear_started(1)
    target.hear_completed(31)
    assert target.at(3600.9, Condition.BREACHED).reason is SlaReason.THROTTLED
    assert target.at(3601, Condition.BREACHED).reason is SlaReason.TRIGGERED
    assert target.asks == [(0, "a-1", 0, 0), (3601, "a-1", 1, 0)]
    assert target.latch.condition_since == NOW + 3601


def test_without_a_throttle_one_breach_is_captured_once() -> None:
    """The trigger is armed anew by 60 s under the limits, not by the end of the capture."""
    target = Target(UNTHROTTLED)
    target.at(0, Condition.BREACHED)
    target.hear_started(1)
    target.hear_completed(31)
    assert target.at(500, Condition.BREACHED).reason is SlaReason.TRIGGERED
    assert len(target.asks) == 1


def test_the_trigger_is_armed_anew_after_60_healthy_seconds() -> None:
    """Under the limits for 60 s without a break; then a breach is a new one."""
    target = Target(UNTHROTTLED)
    target.at(0, Condition.BREACHED)
    target.hear_started(1)
    target.hear_completed(31)
    assert target.at(100, Condition.HEALTHY).reason is SlaReason.RECOVERING
    assert target.at(150, Condition.BREACHED).reason is SlaReason.TRIGGERED
    assert target.at(151, Condition.HEALTHY).state is SlaState.RECOVERING
    assert target.at(210.9, Condition.HEALTHY).reason is SlaReason.RECOVERING
    assert target.at(211, Condition.HEALTHY).reason is SlaReason.HEALTHY
    target.at(300, Condition.BREACHED)
    assert target.asks == [(0, "a-1", 0, 0), (300, "a-1", 1, 0)]


@pytest.mark.parametrize("interruption", [Condition.TOO_FEW, Condition.NOT_SUSTAINED])
def test_silence_is_no_recovery(interruption: Condition) -> None:
    """A time without enough requests, or not quite under the limits, starts the 60 s again."""
    target = Target()
    target.at(0, Condition.BREACHED)
    target.at(10, Condition.HEALTHY)
    target.at(60, interruption)
    assert target.at(75, Condition.HEALTHY).state is SlaState.RECOVERING
    assert target.at(134.9, Condition.HEALTHY).state is SlaState.RECOVERING
    assert target.at(135, Condition.HEALTHY).state is SlaState.OK


def test_a_condition_that_asked_nobody_is_forgotten_after_60_healthy_seconds() -> None:
    """The start of an old condition is not the start of a new one; no epoch was used."""
    target = Target(replace(RULES, enabled=False))
    target.at(0, Condition.BREACHED)
    target.at(10, Condition.BREACHED)
    assert target.latch.condition_since == NOW - LAG
    target.at(20, Condition.HEALTHY)
    target.at(80, Condition.HEALTHY)
    assert target.latch == Latch()


def test_another_target_that_fired_cools_this_one_down() -> None:
    """Within 120 s of the first ask for any target no other begins to ask."""
    target = Target()
    assert target.at(119, Condition.BREACHED, last_fired_at=NOW).reason is SlaReason.COOLING_DOWN
    assert target.at(120, Condition.BREACHED, last_fired_at=NOW).reason is SlaReason.TRIGGERED


def test_the_cooldown_does_not_stop_the_next_attempt() -> None:
    """Who has begun to ask goes on asking."""
    target = Target()
    target.at(0, Condition.BREACHED)
    target.at(5, Condition.BREACHED, last_fired_at=NOW + 4)
    assert len(target.asks) == 2
