"""One target under watch, against a brute-force count and a brute-force trigger."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from services.sla_monitor.core.decision import Condition
from services.sla_monitor.core.latch import Latch, confirmed
from services.sla_monitor.core.monitor import Monitor
from services.sla_monitor.core.verdict import Rules
from tailwatch.contracts.policy import SlaPolicy
from tailwatch.contracts.statuses import Limits, SlaReason, SlaState
from tailwatch.contracts.timings import RequestTimings
from tests.support.reports import NOW, SERVICE, TARGET, timings

LIMITS = Limits(p95_ms=100, p99_ms=200)
SMALL = SlaPolicy(
    long_window_seconds=6,
    short_window_seconds=2,
    minimum_samples_long=8,
    minimum_samples_short=3,
    rearm_after_seconds=4,
    next_instance_after_seconds=2,
    cooldown_seconds=0,
)


def small() -> Monitor:
    """Return a monitor with windows of 6 and 2 s."""
    return Monitor(SERVICE, TARGET, limits=LIMITS, rules=Rules(sla=SMALL, enabled=True, throttle_seconds=0))


@dataclass(frozen=True)
class Arrival:
    """One record and when it came."""

    now: float
    record: RequestTimings


@st.composite
def arrivals(draw: st.DrawFn) -> list[Arrival]:
    """Draw records of up to three processes: late, skewed, repeated, lost, captured, with hanging requests."""
    came: list[Arrival] = []
    now = NOW
    following = {"a-1": 0, "b-1": 0, "c-1": 0}
    for _ in range(draw(st.integers(1, 25))):
        now += draw(st.sampled_from([0.0, 0.1, 0.5, 1.0, 1.7, 9.0]))
        instance = draw(st.sampled_from(sorted(following)))
        count = draw(st.integers(0, 6))
        durations = draw(st.lists(st.sampled_from([5.0, 100.0, 101.0, 250.0]), min_size=count, max_size=count))
        ends = [now + draw(st.sampled_from([0.0, -0.3, -1.5, -4.0, -7.0, 1.5, 3.0])) for _ in durations]
        sequence = max(0, following[instance] + draw(st.sampled_from([0, 0, 0, 0, -1, 2])))
        following[instance] = max(following[instance], sequence + 1)
        came.append(
            Arrival(
                now=now,
                record=timings(
                    durations,
                    ended_at=ends,
                    instance=instance,
                    sequence=sequence,
                    under_capture=[draw(st.sampled_from([False, False, False, True])) for _ in durations],
                    running_ms=draw(st.lists(st.sampled_from([20.0, 150.0, 900.0]), max_size=3)),
                ),
            )
        )
    return came


def counted(came: Sequence[Arrival]) -> list[Arrival]:
    """Return the records that are not repeated: each (process, sequence) once, none from before the first."""
    kept: list[Arrival] = []
    first: dict[str, int] = {}
    seen: set[tuple[str, int]] = set()
    for arrival in came:
        record = arrival.record
        if record.sequence >= first.setdefault(record.boot, record.sequence) and (
            (record.boot, record.sequence) not in seen
        ):
            kept.append(arrival)
        seen.add((record.boot, record.sequence))
    return kept


def by_definition(came: Sequence[Arrival], seconds: int, now: float) -> tuple[int, int, int]:
    """Return (all, over P95, over P99) in the last ``seconds``, request by request."""
    everything: list[float] = []
    for arrival in counted(came):
        record = arrival.record
        for start, duration, under in zip(record.started_at, record.duration_ms, record.under_capture, strict=True):
            end = start + duration / 1000
            end = arrival.now if end > arrival.now + 2 else end
            in_time = math.floor(end) > math.floor(arrival.now) - SMALL.long_window_seconds
            if in_time and math.floor(end) > math.floor(now) - seconds and not under:
                everything.append(duration)
    newest: dict[str, Arrival] = {}
    for arrival in counted(came):
        known = newest.get(arrival.record.boot)
        stale = known is None or arrival.now - known.now > 5
        if known is None or stale or arrival.record.sequence >= known.record.sequence:
            newest[arrival.record.boot] = arrival
    for arrival in newest.values():
        if now - arrival.now <= 5:
            everything.extend(age for age in arrival.record.running_ms if age > 100)
    return len(everything), sum(d > 100 for d in everything), sum(d > 200 for d in everything)


def condition_by_definition(came: Sequence[Arrival], now: float) -> bool:
    """Return whether both windows have enough requests and one percentile above its limit in both."""
    windows = [by_definition(came, seconds, now) for seconds in (6, 2)]
    enough = windows[0][0] >= 8 and windows[1][0] >= 3
    p95 = all(over * 100 > 5 * total for total, over, _ in windows)
    p99 = all(over * 100 > 1 * total for total, _, over in windows)
    return enough and (p95 or p99)


@given(arrivals())
def test_the_windows_hold_exactly_what_the_definition_counts(came: list[Arrival]) -> None:
    """After every record, counts are those of a brute-force count over all requests."""
    monitor = small()
    for place, arrival in enumerate(came, 1):
        _ = monitor.add(arrival.record, arrival=arrival.now, now=arrival.now, live=True)
        found = monitor.assess()
        for counts, seconds in ((found.long, 6), (found.short, 2)):
            expected = by_definition(came[:place], seconds, arrival.now)
            assert (counts.total, counts.over_p95, counts.over_p99) == expected
        assert (found.condition is Condition.BREACHED) == condition_by_definition(came[:place], arrival.now)


@given(arrivals())
def test_the_monitor_fires_exactly_when_the_definition_says_so(came: list[Arrival]) -> None:
    """Per arming one process after the other is asked; an arming ends after 4 s in which all is well."""
    monitor, latch = small(), Latch()
    fired: list[tuple[float, int, int]] = []
    for arrival in came:
        _ = monitor.add(arrival.record, arrival=arrival.now, now=arrival.now, live=True)
        verdict = monitor.judge(latch, monitor.assess(), now=arrival.now, last_fired_at=None)
        latch = verdict.latch
        if verdict.ask is not None:
            fired.append((arrival.now, verdict.ask.epoch, verdict.ask.attempt))
            latch = confirmed(latch, verdict.ask.id)
    assert [(now, epoch) for now, epoch, attempt in fired if attempt == 0] == firsts_by_definition(came)


def firsts_by_definition(came: Sequence[Arrival]) -> list[tuple[float, int]]:
    """Return when each arming first asks: the first true condition after the last one was disarmed."""
    firsts: list[tuple[float, int]] = []
    fired, well_since = False, None
    for place, arrival in enumerate(came, 1):
        now, seen = arrival.now, came[:place]
        long, short = by_definition(seen, 6, now), by_definition(seen, 2, now)
        fine = [total * 5 >= p95 * 100 and total >= p99 * 100 for total, p95, p99 in (long, short)]
        if condition_by_definition(seen, now):
            if not fired:
                firsts.append((now, len(firsts)))
            fired, well_since = True, None
        elif long[0] >= 8 and fine[0] and (fine[1] or short[0] < 3):
            well_since = now if well_since is None else well_since
            if fired and now - well_since >= 4:
                fired, well_since = False, None
        else:
            well_since = None
    return firsts


def watched(*records: RequestTimings, now: float = NOW) -> Monitor:
    """Return a monitor with the default policy that has read some records."""
    monitor = Monitor(SERVICE, TARGET, limits=LIMITS, rules=Rules(sla=SlaPolicy(), enabled=True, throttle_seconds=3600))
    for record in records:
        _ = monitor.add(record, arrival=now, now=now, live=True)
    return monitor


def slow_and_fast() -> Monitor:
    """Return a monitor of two processes, of which ``slow-2`` serves most slow requests."""
    return watched(
        timings([20.0] * 150 + [150.0] * 5, instance="fast-1"), timings([20.0] * 100 + [250.0] * 15, instance="slow-2")
    )


def test_the_trigger_names_the_worst_process_and_its_slowest_requests() -> None:
    """Who is asked, what is broken by how much, and traces of that process."""
    monitor = slow_and_fast()
    found = monitor.assess()
    verdict = monitor.judge(Latch(), found, now=NOW + 0.2, last_fired_at=None)
    assert verdict.ask is not None
    trigger = monitor.trigger(verdict.ask, verdict, found, now=NOW + 0.2)
    assert (trigger.instance, trigger.instance_share) == ("slow-2", 0.75)
    assert (trigger.condition_since, trigger.at, trigger.epoch, trigger.attempt) == (NOW, NOW + 0.2, 0, 0)
    assert [(breach.percentile, breach.over, breach.samples) for breach in trigger.breaches] == [
        ("p95", 20, 270),
        ("p99", 15, 270),
    ]
    assert math.isclose(trigger.breaches[0].measured_ms, 250, rel_tol=0.01)
    assert [slow.duration_ms for slow in trigger.slowest] == [250.0] * 5
    assert all(slow.request_id.startswith("slow-2") for slow in trigger.slowest)


def test_a_status_says_where_the_target_stands() -> None:
    """State, reason, both windows, the worst process, the counters."""
    monitor = slow_and_fast()
    found = monitor.assess()
    verdict = monitor.judge(Latch(), found, now=NOW, last_fired_at=None)
    status = monitor.status(verdict, found, now=NOW, last_fired_at=None)
    assert (status.state, status.reason, status.instances) == (SlaState.BREACHED, SlaReason.TRIGGERED, 2)
    assert (status.worst_instance, status.worst_share, status.breached_since) == ("slow-2", 0.75, NOW)
    assert (status.long.samples, status.short.samples, status.long.over_p95) == (270, 270, 20)
    assert status.long.p50_ms is not None
    assert math.isclose(status.long.p50_ms, 20, rel_tol=0.01)
    assert status.last_trigger_id == verdict.latch.last_trigger_id
    assert status.throttled_until is None


def test_what_is_shown_never_contradicts_what_was_counted() -> None:
    """A percentile just above or below its limit is not moved over it by the histogram's error."""
    above = watched(timings([100.001] * 200))
    below = watched(timings([99.999] * 200))
    views = []
    for monitor in (above, below):
        found = monitor.assess()
        verdict = monitor.judge(Latch(), found, now=NOW, last_fired_at=None)
        views.append(monitor.status(verdict, found, now=NOW, last_fired_at=None).long)
    assert views[0].p95_ms is not None
    assert views[0].p95_ms >= 100
    assert views[1].p95_ms is not None
    assert views[1].p95_ms <= 100


def test_a_service_that_hangs_is_seen_before_anything_ends() -> None:
    """Requests running beyond the limits breach, and their process is asked."""
    monitor = watched(timings([20.0] * 100, instance="a-1"), timings([], running_ms=[900.0] * 30, instance="b-2"))
    found = monitor.assess()
    verdict = monitor.judge(Latch(), found, now=NOW, last_fired_at=None)
    assert verdict.ask is not None
    assert verdict.ask.instance == "b-2"
    status = monitor.status(verdict, found, now=NOW, last_fired_at=None)
    assert (status.long.samples, status.long.over_p99) == (130, 30)
    assert status.long.p95_ms is not None
    assert math.isclose(status.long.p95_ms, 900, rel_tol=0.01)


def test_requests_under_a_capture_lend_no_trace_to_a_trigger() -> None:
    """What the capture slowed down is no evidence."""
    monitor = watched(timings([900.0, 300.0] + [150.0] * 200, under_capture=[True] + [False] * 201, slowest=3))
    found = monitor.assess()
    verdict = monitor.judge(Latch(), found, now=NOW, last_fired_at=None)
    assert verdict.ask is not None
    assert [slow.duration_ms for slow in monitor.trigger(verdict.ask, verdict, found, now=NOW).slowest] == [300, 150]


def test_a_status_is_due_on_a_change_and_every_5_s_with_traffic() -> None:
    """A silent target says once that it is silent, and then nothing."""
    monitor = watched(timings([20.0] * 200))

    def due(now: float) -> bool:
        monitor.advance(now)
        found = monitor.assess()
        verdict = monitor.judge(Latch(), found, now=now, last_fired_at=None)
        due = monitor.status_due(verdict, found, now=now)
        if due:
            _ = monitor.status(verdict, found, now=now, last_fired_at=None)
        return due

    assert [due(NOW + second) for second in (0, 4.9, 5, 9)] == [True, False, True, False]
    assert [due(NOW + second) for second in (61, 70, 80)] == [True, False, False]


def test_late_requests_are_counted_only_when_they_are_live() -> None:
    """What a new owner reads again has been counted as late by the old one."""
    monitor = watched()
    late = timings([20.0], ended_at=NOW - 100)
    _ = monitor.add(late, arrival=NOW, now=NOW, live=False)
    _ = monitor.add(timings([20.0], ended_at=NOW - 100, sequence=1), arrival=NOW, now=NOW, live=True)
    found = monitor.assess()
    verdict = monitor.judge(Latch(), found, now=NOW, last_fired_at=None)
    assert monitor.status(verdict, found, now=NOW, last_fired_at=None).late == 1


def test_a_record_is_needed_until_its_requests_have_left_the_window() -> None:
    """A new owner must read it again before then, and need not after."""
    monitor = watched()
    needed = [
        monitor.add(record, arrival=NOW, now=NOW, live=True)
        for record in (
            timings([20.0], ended_at=NOW + 0.5),
            timings([20.0], ended_at=NOW + 0.5, sequence=0),
            timings([20.0], ended_at=NOW - 200, sequence=1),
            timings([], running_ms=[20.0], sequence=2),
        )
    ]
    assert needed == [NOW + 60, NOW, NOW, NOW + 5]


def test_a_target_without_reports_is_forgotten_after_15_minutes() -> None:
    """Routes that nobody calls any more take no room."""
    monitor = watched(timings([20.0]))
    assert not monitor.forgotten(NOW + 900)
    assert monitor.forgotten(NOW + 901)


def test_a_hanging_process_outlives_a_very_short_window() -> None:
    """With a window shorter than a report's validity the process is still named."""
    policy = SlaPolicy(long_window_seconds=1, short_window_seconds=1, minimum_samples_long=1, minimum_samples_short=1)
    rules = Rules(sla=policy, enabled=True, throttle_seconds=0)
    monitor = Monitor(SERVICE, TARGET, limits=LIMITS, rules=rules)
    _ = monitor.add(timings([], running_ms=[900.0]), arrival=NOW, now=NOW, live=True)
    monitor.advance(NOW + 3)
    verdict = monitor.judge(Latch(), monitor.assess(), now=NOW + 3, last_fired_at=None)
    assert verdict.ask is not None
    assert verdict.ask.instance == "host-1"
