"""The safety controls of a running capture: each is tripped, and each stays quiet just below its limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tailwatch.contracts.captures import AbortReason
from tailwatch.probe.core.safety import (
    LEAST_HZ,
    MOST_HZ,
    Abort,
    Before,
    Judgement,
    Measurement,
    SafetyLimits,
    Watch,
    judge,
    overhead_percent,
)

NOW = 1_000.0
LIMITS = SafetyLimits(overhead_percent=2.0, loop_lag_ms=100.0, memory_growth_mb=64.0)
FIRST = Measurement(
    at=NOW, cost_seconds=0.0, samples=0, on_cpu_samples=0, held_lag_ms=0.0, answered=0, errors=0, rss_mb=100.0
)
WATCH = Watch(
    started_at=NOW,
    deadline=NOW + 30,
    nominal_hz=50.0,
    ceiling_hz=100.0,
    rate_hz=50.0,
    before=Before(error_share=0.1, answered=0, errors=0, rss_mb=100.0),
    ending_cost_seconds=0.05,
    history=(FIRST,),
)


def at(seconds: float, **changes: Any) -> Measurement:
    """Return a measurement so long after the start: 50 busy samples a second at 0.2 ms, changed as told."""
    count = round(50 * seconds)
    healthy = replace(FIRST, at=NOW + seconds, cost_seconds=0.0002 * count, samples=count, on_cpu_samples=count)
    return replace(healthy, **changes)


def abort_of(*measurements: Measurement, watch: Watch = WATCH) -> Abort | None:
    """Return the abort that the last of some measurements leads to."""
    judgement = Judgement()
    for measurement in measurements:
        watch, judgement = judge(watch, measurement, limits=LIMITS)
    return judgement.abort


def test_overhead_is_cpu_per_wall_second_in_percent_of_a_core() -> None:
    """0.3 s in 30 s is 1 %; nothing is nothing."""
    assert overhead_percent(0.3, 30) == 1.0
    assert overhead_percent(0.3, 0) == 0.0


def test_a_cheap_capture_goes_on_as_it_is() -> None:
    """1 % of a core at 50 Hz: no change."""
    assert judge(WATCH, at(2), limits=LIMITS)[1] == Judgement()


def test_nothing_is_decided_about_overhead_in_the_first_second() -> None:
    """Starting costs a few milliseconds at once."""
    assert judge(WATCH, at(0.25, cost_seconds=0.1), limits=LIMITS)[1] == Judgement()


def test_the_rate_goes_down_to_what_is_affordable() -> None:
    """1 ms a sample: 2 % less what writing will cost, less a margin, is 16.5 Hz."""
    _, judgement = judge(WATCH, at(2, cost_seconds=0.1), limits=LIMITS)
    assert judgement.rate_hz is not None
    assert 16 < judgement.rate_hz < 17


def test_the_rate_never_goes_below_10_hz() -> None:
    """5 ms a sample would need 3 Hz."""
    assert judge(WATCH, at(2, cost_seconds=0.5), limits=LIMITS)[1].rate_hz == LEAST_HZ


def test_too_dear_at_10_hz_for_2_seconds_is_aborted() -> None:
    """Not at once, and not when it gets cheaper meanwhile."""
    slow = replace(WATCH, rate_hz=LEAST_HZ)
    dear = [at(seconds, cost_seconds=0.03 * seconds, samples=10 * int(seconds)) for seconds in (2, 3, 3.9)]
    assert abort_of(*dear, watch=slow) is None
    abort = abort_of(*dear, at(4.1, cost_seconds=0.13, samples=41), watch=slow)
    assert abort is not None
    assert abort.reason is AbortReason.OVERHEAD
    assert "limit 2 %" in abort.detail
    cheap = at(6, cost_seconds=0.03 * 3.9, samples=60)
    again = [at(seconds, cost_seconds=0.03 * seconds, samples=int(10 * seconds)) for seconds in (8, 9.9)]
    assert abort_of(*dear, cheap, *again, watch=slow) is None


def test_an_idle_process_is_sampled_faster_so_that_there_is_enough() -> None:
    """1 sample in 10 is on the CPU: 200 of them need more than 50 Hz."""
    _, judgement = judge(WATCH, at(2, on_cpu_samples=10), limits=LIMITS)
    assert judgement.rate_hz is not None
    assert 65 < judgement.rate_hz <= MOST_HZ


def test_a_control_capture_is_never_raised_above_its_ceiling() -> None:
    """20 Hz, however idle the process is."""
    control = replace(WATCH, nominal_hz=20.0, ceiling_hz=20.0, rate_hz=20.0)
    assert judge(control, at(2, on_cpu_samples=0), limits=LIMITS)[1] == Judgement()


def test_enough_samples_bring_the_rate_back() -> None:
    """201 busy samples: the nominal rate is enough, also at the very end."""
    fast = replace(WATCH, rate_hz=90.0)
    assert judge(fast, at(10, on_cpu_samples=201), limits=LIMITS)[1].rate_hz == 50.0
    assert judge(replace(fast, deadline=NOW + 10), at(10, on_cpu_samples=3), limits=LIMITS)[1].rate_hz == 50.0


def test_without_samples_the_rate_stays_as_it_is() -> None:
    """Nothing is known about their cost."""
    assert judge(WATCH, at(2, cost_seconds=0.0, samples=0, on_cpu_samples=0), limits=LIMITS)[1] == Judgement()


def test_memory_growth_above_the_limit_is_aborted() -> None:
    """64 MB more than before is allowed, 65 MB are not."""
    assert abort_of(at(2, rss_mb=164.0)) is None
    abort = abort_of(at(2, rss_mb=165.0))
    assert abort is not None
    assert abort.reason is AbortReason.MEMORY


def test_growth_that_was_there_before_is_not_the_captures() -> None:
    """A leak of 10 MB/s goes on at 10 MB/s."""
    leaking = replace(WATCH, before=replace(WATCH.before, rss_growth_mb_per_second=10.0))
    assert abort_of(at(10, rss_mb=260.0), watch=leaking) is None
    assert abort_of(at(10, rss_mb=265.0), watch=leaking) is not None


def test_a_sampler_that_holds_the_event_loop_is_aborted() -> None:
    """Above the limit, and not in the first two seconds."""
    assert abort_of(at(2, held_lag_ms=100.0)) is None
    assert abort_of(at(1, held_lag_ms=101.0)) is None
    abort = abort_of(at(2, held_lag_ms=101.0))
    assert abort is not None
    assert abort.reason is AbortReason.LOOP_LAG


def test_errors_that_rise_by_5_points_are_aborted() -> None:
    """10 % before: 15 % of 100 are allowed, 16 % are not, and 19 answers say nothing."""
    assert abort_of(at(2, answered=100, errors=15)) is None
    assert abort_of(at(2, answered=19, errors=19)) is None
    abort = abort_of(at(2, answered=100, errors=16))
    assert abort is not None
    assert abort.reason is AbortReason.ERRORS


def test_errors_are_counted_over_the_last_5_seconds() -> None:
    """Old errors are forgiven, and the past is not kept for ever."""
    watch = WATCH
    for tick in range(1, 120):
        watch, judgement = judge(watch, at(tick / 4, answered=tick * 10, errors=min(tick, 8)), limits=LIMITS)
        assert judgement.abort is None
    assert len(watch.history) <= 23


def test_a_long_silence_leaves_the_last_measurement_to_compare_with() -> None:
    """A blocked loop ticks late."""
    watch, _ = judge(WATCH, at(20), limits=LIMITS)
    assert watch.history[0] == FIRST


@given(st.floats(1e-6, 0.1), st.floats(0.0, 1.0), st.floats(0.5, 50))
def test_the_rate_stays_between_10_and_100_hz(cost: float, busy: float, limit: float) -> None:
    """Whatever a sample costs and however idle the process is."""
    watch = WATCH
    limits = replace(LIMITS, overhead_percent=limit)
    total = spent = on_cpu = 0.0
    for tick in range(1, 110):
        taken = watch.rate_hz / 4
        total, spent, on_cpu = total + taken, spent + taken * cost, on_cpu + taken * busy
        now = at(tick / 4, cost_seconds=spent, samples=int(total), on_cpu_samples=int(on_cpu))
        watch, judgement = judge(watch, now, limits=limits)
        assert LEAST_HZ <= watch.rate_hz <= MOST_HZ
        if judgement.abort is not None:
            assert cost * LEAST_HZ * 100 > limit * 0.8
            return
