"""The histogram against sorted lists."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from services.sla_monitor.core.histogram import EMPTY, LEAST_MS, RELATIVE_ERROR, Histogram, merged

durations = st.lists(st.floats(min_value=LEAST_MS, max_value=600_000), min_size=1, max_size=200)


def nearest_rank(values: list[float], percent: int) -> float:
    """Return the percentile by its definition."""
    return sorted(values)[max(math.ceil(percent * len(values) / 100), 1) - 1]


def test_the_bound_on_the_error_is_below_one_percent() -> None:
    """The promised relative error is at most 1 %."""
    assert RELATIVE_ERROR <= 0.01


@given(durations, st.integers(0, 100))
def test_a_quantile_is_within_the_relative_error(values: list[float], percent: int) -> None:
    """Every quantile is the nearest-rank percentile within the relative error."""
    shown = Histogram.of(values).quantile(percent)
    assert shown is not None
    assert math.isclose(shown, nearest_rank(values, percent), rel_tol=RELATIVE_ERROR * 1.02)


@given(st.lists(durations, max_size=5))
def test_merging_is_the_same_as_counting_together(parts: list[list[float]]) -> None:
    """A merged histogram has the quantiles of all values together."""
    whole = Histogram.of([value for part in parts for value in part])
    together = merged(Histogram.of(part) for part in parts)
    assert together.total == whole.total
    assert [together.quantile(q) for q in (1, 50, 95, 99)] == [whole.quantile(q) for q in (1, 50, 95, 99)]


def test_an_empty_histogram_has_no_quantile() -> None:
    """Nothing measured is None, not zero."""
    assert Histogram.of([]) is EMPTY
    assert merged([EMPTY, EMPTY]).quantile(95) is None


def test_no_duration_is_counted_as_the_least() -> None:
    """Zero milliseconds have a bucket."""
    shown = Histogram.of([0.0]).quantile(50)
    assert shown is not None
    assert math.isclose(shown, LEAST_MS, rel_tol=0.01)
