"""One record, counted."""

from __future__ import annotations

import math

import pytest

from services.sla_monitor.core.counts import CAPTURED, ERRORS, OVER_P95, OVER_P99, TOTAL
from services.sla_monitor.core.tally import tally
from tailwatch.contracts.statuses import Limits
from tests.support.reports import NOW, timings

LIMITS = Limits(p95_ms=100, p99_ms=200)
LONG_AGO = int(NOW) - 60


def test_a_request_counts_in_the_second_in_which_it_ended() -> None:
    """A request that took 3 s counts where it ended, not where it started."""
    counted = tally(timings([3000.0], ended_at=NOW + 0.5), LIMITS, arrival=NOW + 1, after=LONG_AGO)
    assert counted.first == int(NOW)
    assert counted.rows.shape[0] == 1


def test_exactly_the_limit_is_not_over_it() -> None:
    """The limits are exclusive, and what is over P99's limit is over P95's too."""
    counted = tally(timings([100.0, 100.1, 200.0, 200.1]), LIMITS, arrival=NOW, after=LONG_AGO)
    row = counted.rows[0]
    assert (row[TOTAL], row[OVER_P95], row[OVER_P99]) == (4, 3, 1)


def test_the_first_slow_request_says_since_when() -> None:
    """Of those that count and are over the limit, the earliest end; none without one."""
    record = timings(
        [150.0, 101.0, 100.0, 900.0],
        ended_at=[NOW, NOW - 0.4, NOW - 0.6, NOW - 0.8],
        under_capture=[False, False, False, True],
    )
    assert tally(record, LIMITS, arrival=NOW, after=LONG_AGO).slow_since == pytest.approx(NOW - 0.4, abs=1e-5)
    assert tally(timings([100.0]), LIMITS, arrival=NOW, after=LONG_AGO).slow_since is None


def test_requests_under_a_capture_count_as_that_and_nothing_else() -> None:
    """A capture cannot trigger itself."""
    record = timings([500.0, 10.0], under_capture=[True, False], status=500)
    counted = tally(record, LIMITS, arrival=NOW, after=LONG_AGO)
    row = counted.rows[0]
    assert [row[column] for column in (TOTAL, OVER_P95, OVER_P99, ERRORS, CAPTURED)] == [1, 0, 0, 1, 1]
    assert counted.histograms[0].total == 1


def test_what_ended_before_the_window_is_late() -> None:
    """Late requests are counted as late and as nothing else."""
    record = timings([10.0, 10.0], ended_at=[NOW, NOW - 60])
    counted = tally(record, LIMITS, arrival=NOW, after=LONG_AGO)
    assert (counted.late, int(counted.rows[:, TOTAL].sum())) == (1, 1)


def test_a_record_that_is_late_as_a_whole_adds_no_row() -> None:
    """A record from before the window leaves no trace but its lateness."""
    counted = tally(timings([10.0], ended_at=NOW - 100), LIMITS, arrival=NOW, after=LONG_AGO)
    assert (counted.late, len(counted.rows), counted.histograms) == (1, 0, ())


def test_an_end_in_the_future_is_set_to_the_arrival() -> None:
    """More than 2 s ahead of the arrival is a wrong clock; up to 2 s is kept."""
    record = timings([10.0, 10.0, 10.0], ended_at=[NOW + 1.9, NOW + 2.5, 1e300])
    counted = tally(record, LIMITS, arrival=NOW, after=LONG_AGO)
    assert counted.skewed == 2
    assert counted.rows[:, TOTAL].tolist() == [2, 1]


def test_each_second_has_the_histogram_of_its_requests() -> None:
    """A record over several seconds is spread over their histograms."""
    record = timings([10.0, 20.0, 30.0], ended_at=[NOW, NOW - 2, NOW - 2])
    counted = tally(record, LIMITS, arrival=NOW, after=LONG_AGO)
    assert counted.first == math.floor(NOW - 2)
    assert [histogram.total for histogram in counted.histograms] == [2, 0, 1]
