"""What the middleware notes of requests and waits, and the distributions made of it."""

from __future__ import annotations

import functools
import gc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailwatch.contracts.context import DependencyUse, Quantiles, TargetUse
from tailwatch.probe.core.activity import (
    KEPT_ENDPOINTS,
    KEPT_REQUESTS,
    KEPT_WAITS,
    Activity,
    Running,
    Wait,
    nearest_rank,
    quantiles,
)

NOW = 1_000.0
BUY, SELL = "POST /buy", "POST /sell"
durations = st.lists(st.floats(0, 1e6), min_size=1, max_size=250)


class Task:
    """What a request runs in."""


def running(target: str | None = BUY, *, age: float = 1.0, under_capture: bool = False) -> Running:
    """Return a request that began so many seconds ago."""
    return Running(NOW - age, under_capture, lambda: target)


def answer(activity: Activity, target: str | None, *, status: int = 200, at: float = NOW, seconds: float = 1.0) -> None:
    """Note a whole request that ended at a time."""
    request = Running(at - seconds, under_capture=False, resolve=lambda: target)
    activity.began(request, task=None)
    activity.ended(request, target=target, status=status, at=at)


def wait(operation: str, target: str | None, *, at: float = NOW, milliseconds: float = 1.0) -> Wait:
    """Return a wait for Kong that ended at a time."""
    return Wait(dependency="kong", operation=operation, target=target, ended_at=at, duration_ms=milliseconds)


def evenly(count: int, milliseconds: float) -> Quantiles:
    """Return the distribution of equal durations."""
    return Quantiles(
        count=count,
        p50_ms=milliseconds,
        p95_ms=milliseconds,
        p99_ms=milliseconds,
        max_ms=milliseconds,
        total_ms=milliseconds * count,
    )


def lowest_covering(values: Sequence[float], percent: int) -> float:
    """Return the smallest value such that at least ``percent`` % of the values are at most it, the slow way."""
    return min(value for value in values if 100 * sum(other <= value for other in values) >= percent * len(values))


@given(durations, st.integers(0, 100))
def test_a_percentile_is_the_smallest_value_that_covers_enough(values: list[float], percent: int) -> None:
    """Nearest rank agrees with its definition, whatever the values and the percentage."""
    assert nearest_rank(sorted(values), percent) == lowest_covering(values, percent)


@given(durations)
def test_a_distribution_is_exact_whatever_the_order(values: list[float]) -> None:
    """Count, percentiles, greatest and sum are those of the values themselves."""
    found = quantiles(iter(values))
    assert (found.count, found.max_ms) == (len(values), max(values))
    assert found.total_ms == pytest.approx(sum(values))
    assert [found.p50_ms, found.p95_ms, found.p99_ms] == [lowest_covering(values, each) for each in (50, 95, 99)]


def test_the_distribution_of_nothing_is_zeros() -> None:
    """No percentile is made up."""
    assert quantiles([]) == Quantiles(count=0, p50_ms=0, p95_ms=0, p99_ms=0, max_ms=0, total_ms=0)


def test_running_requests_are_reported_by_target_oldest_first() -> None:
    """Ages in milliseconds, at most so many a target; one from the future has age 0."""
    activity = Activity()
    for each in (running(age=1), running(age=3), running(age=2), running(SELL, age=-5)):
        activity.began(each, task=None)
    assert activity.oldest_running(NOW, most=2) == {BUY: (3_000.0, 2_000.0), SELL: (0.0,)}


def test_running_requests_of_no_target_or_under_capture_are_not_reported() -> None:
    """Before the router has matched there is no target, and a capture's own slowness is nobody's."""
    activity = Activity()
    activity.began(running(None), task=None)
    activity.began(running(under_capture=True), task=None)
    assert activity.oldest_running(NOW, most=2) == {}


def test_a_request_that_ended_or_was_dropped_no_longer_runs() -> None:
    """Also when it is ended twice; a dropped one was never answered."""
    activity = Activity()
    answered, dropped = running(), running()
    activity.began(answered, task=None)
    activity.began(dropped, task=None)
    activity.ended(answered, target=BUY, status=200, at=NOW)
    activity.dropped(dropped)
    activity.dropped(dropped)
    assert activity.running == {}
    assert activity.counts() == (1, 0)


def test_answers_from_500_on_are_errors_watched_or_not() -> None:
    """499 is the client's matter; a route that is not watched counts, and is in no target's use."""
    activity = Activity()
    for status in (200, 499, 500, 599):
        answer(activity, BUY, status=status)
    answer(activity, None, status=503)
    assert activity.counts() == (5, 3)
    assert activity.uses(0, NOW + 1) == (TargetUse(target=BUY, requests=4, errors=2, latency=evenly(4, 1_000.0)),)


def test_uses_hold_what_ended_in_the_span_by_target() -> None:
    """The start of the span is in it, its end is not; targets are in order."""
    activity = Activity()
    for target, at in ((SELL, NOW), (BUY, NOW - 0.1), (BUY, NOW), (BUY, NOW + 9.9), (BUY, NOW + 10)):
        answer(activity, target, at=at, seconds=0.5)
    assert activity.uses(NOW, NOW + 10) == (
        TargetUse(target=BUY, requests=2, errors=0, latency=evenly(2, 500.0)),
        TargetUse(target=SELL, requests=1, errors=0, latency=evenly(1, 500.0)),
    )


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    """A request that ended before it began took no time."""
    activity = Activity()
    answer(activity, BUY, seconds=-3)
    assert activity.uses(0, NOW + 1)[0].latency == evenly(1, 0.0)


def test_waits_are_grouped_by_dependency_operation_and_target() -> None:
    """Those that ended in the span; the ones of no target come first."""
    activity = Activity()
    for each in (
        wait("get", SELL, milliseconds=2),
        wait("get", None, milliseconds=3),
        wait("get", SELL, milliseconds=2, at=NOW + 9.9),
        wait("create", SELL, milliseconds=4),
        wait("get", SELL, at=NOW - 0.1),
        wait("get", SELL, at=NOW + 10),
    ):
        activity.waited(each)
    assert activity.dependency_uses(NOW, NOW + 10) == (
        DependencyUse(dependency="kong", operation="create", target=SELL, latency=evenly(1, 4.0)),
        DependencyUse(dependency="kong", operation="get", target=None, latency=evenly(1, 3.0)),
        DependencyUse(dependency="kong", operation="get", target=SELL, latency=evenly(2, 2.0)),
    )


def test_a_capture_marks_what_runs_and_not_what_has_ended() -> None:
    """Requests that overlap the capture are marked; those that begin later are told by ``capturing``."""
    activity = Activity()
    before, during = running(), running()
    activity.began(before, task=None)
    activity.ended(before, target=BUY, status=200, at=NOW)
    activity.began(during, task=None)
    activity.start_capturing()
    assert (activity.capturing, before.under_capture, during.under_capture) == (True, False, True)


def test_a_task_belongs_to_the_target_of_its_newest_request() -> None:
    """No task and a task without a request belong to none."""
    activity, task = Activity(), Task()
    activity.began(running(SELL), task=task)
    activity.began(running(BUY), task=task)
    assert activity.target_of(task) == BUY
    assert activity.target_of(Task()) is None
    assert activity.target_of(None) is None


def test_a_task_that_is_gone_is_not_remembered() -> None:
    """Noting a request keeps no task alive."""
    activity = Activity()
    activity.began(running(), task=Task())
    gc.collect()
    assert len(activity._tasks) == 0


def test_the_past_is_bounded() -> None:
    """The oldest requests and waits are forgotten; the running totals are not."""
    activity = Activity()
    for number in range(KEPT_REQUESTS + 2):
        answer(activity, SELL if number < 2 else BUY)
    for number in range(KEPT_WAITS + 2):
        activity.waited(wait("first" if number < 2 else "later", BUY))
    assert [(use.target, use.requests) for use in activity.uses(0, NOW + 1)] == [(BUY, KEPT_REQUESTS)]
    assert [(use.operation, use.latency.count) for use in activity.dependency_uses(0, NOW + 1)] == [
        ("later", KEPT_WAITS)
    ]
    assert activity.counts() == (KEPT_REQUESTS + 2, 0)


def test_an_endpoint_is_known_by_the_function_that_was_written() -> None:
    """A decorated endpoint by what it wraps, once per target; what has no code is passed over."""

    def sell() -> None:
        """Sell."""

    @functools.wraps(sell)
    def decorated() -> None:
        """Do something first."""

    activity = Activity()
    for function in (sell, decorated, Task, None):
        activity.endpoint(function, SELL)
    activity.endpoint(sell, BUY)
    code = sell.__code__
    assert [(each.file, each.function, each.line, each.target) for each in activity.endpoints()] == [
        (__file__, code.co_qualname, code.co_firstlineno, SELL),
        (__file__, code.co_qualname, code.co_firstlineno, BUY),
    ]


def test_endpoints_are_bounded() -> None:
    """A service that makes endpoints all the time does not fill the memory."""
    activity = Activity()
    for number in range(KEPT_ENDPOINTS + 1):
        activity.endpoint(wait, f"GET /{number}")
    assert len(activity.endpoints()) == KEPT_ENDPOINTS
    assert activity.endpoints()[-1].target == f"GET /{KEPT_ENDPOINTS - 1}"
