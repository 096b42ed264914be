"""Intervals: Wilson's score interval, against what it is defined by."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.analyzer.core.intervals import Z95, effective_samples, share_interval, wilson

COUNTS = st.integers(1, 100_000)


@given(COUNTS, st.data())
def test_the_ends_are_where_the_score_test_just_accepts(samples: int, data: st.DataObject) -> None:
    """The interval holds exactly the shares p with (share - p)^2 = z^2 p (1 - p) / n at its ends."""
    share = data.draw(st.integers(0, samples)) / samples
    for end in wilson(share, samples):
        if 0 < end < 1:
            assert (share - end) ** 2 == pytest.approx(Z95**2 * end * (1 - end) / samples, rel=1e-6, abs=1e-12)


@given(COUNTS, st.floats(0, 1))
def test_the_interval_holds_its_share_and_stays_in_range(samples: int, share: float) -> None:
    """Low <= share <= high, within 0 and 1."""
    low, high = wilson(share, samples)
    assert 0 <= low <= share <= high <= 1


@given(COUNTS, st.floats(0, 1))
def test_more_samples_make_it_narrower(samples: int, share: float) -> None:
    """Four times the samples never widen the interval."""
    few, many = wilson(share, samples), wilson(share, samples * 4)
    assert many[1] - many[0] <= few[1] - few[0] + 1e-12


def test_a_known_interval() -> None:
    """10 of 100: the textbook's 0.0552 to 0.1744."""
    assert wilson(0.1, 100) == pytest.approx((0.0552, 0.1744), abs=5e-5)


def test_without_samples_nothing_is_known() -> None:
    """Anything is possible."""
    assert wilson(0.5, 0) == (0.0, 1.0)
    empty = share_interval(0.0, 0.0, samples=0, effective=0.0)
    assert (empty.share, empty.low, empty.high) == (0.0, 0.0, 1.0)


@given(st.lists(st.tuples(st.integers(1, 1000), st.floats(1e-6, 1.0)), min_size=1, max_size=30))
def test_unequal_samples_carry_less(pairs: list[tuple[int, float]]) -> None:
    """The effective number is at most the number, and equal when every sample weighs the same."""
    counts = [count for count, _ in pairs]
    weights = [count * weight for count, weight in pairs]
    assume(sum(weights) > 0)
    assert effective_samples(counts, weights) <= sum(counts) * (1 + 1e-9)
    assert effective_samples(counts, [float(count) for count in counts]) == pytest.approx(sum(counts))


def test_heavy_samples_widen_the_interval() -> None:
    """100 samples of which one weighs as much as all others are worth far fewer than 100."""
    effective = effective_samples([99, 1], [99.0, 99.0])
    assert effective < 5
    assert (
        share_interval(99, 198, samples=100, effective=effective).low
        < share_interval(99, 198, samples=100, effective=100).low
    )
