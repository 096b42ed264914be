"""What two windows say together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sla_monitor.core.counts import Counts
from services.sla_monitor.core.decision import Condition, assess, broken_in
from tailwatch.contracts.policy import SlaPolicy

POLICY = SlaPolicy()


def counts(total: int, over_p95: int = 0, over_p99: int = 0) -> Counts:
    """Return counts of one window."""
    return Counts(total=total, over_p95=over_p95, over_p99=over_p99)


@given(st.lists(st.floats(0, 300), min_size=1, max_size=300))
def test_broken_is_the_same_as_a_percentile_above_its_limit(durations: list[float]) -> None:
    """More than 5 % slower than the limit is P95 (nearest rank) above the limit, and the same for P99."""
    ordered = sorted(durations)
    p95, p99 = (ordered[math.ceil(percent * len(ordered) / 100) - 1] for percent in (95, 99))
    found = counts(len(ordered), sum(d > 100 for d in durations), sum(d > 200 for d in durations))
    assert ("p95" in broken_in(found)) == (p95 > 100)
    assert ("p99" in broken_in(found)) == (p99 > 200)


@pytest.mark.parametrize(("slow", "broken"), [(7, False), (8, True)])
def test_percentages_are_integers(slow: int, *, broken: bool) -> None:
    """Exactly 5 % is allowed: 7 of 140 is, 8 of 140 is not."""
    assert bool(broken_in(counts(140, slow))) is broken


@pytest.mark.parametrize(
    ("long", "short", "condition", "broken"),
    [
        (counts(99, 99, 99), counts(99, 99, 99), Condition.TOO_FEW, ()),
        (counts(100, 100, 0), counts(19, 19, 0), Condition.TOO_FEW, ()),
        (counts(100, 6), counts(20, 2), Condition.BREACHED, ("p95",)),
        (counts(100, 2, 2), counts(20, 1, 1), Condition.BREACHED, ("p99",)),
        (counts(100, 10, 10), counts(20, 10, 10), Condition.BREACHED, ("p95", "p99")),
        (counts(100, 6), counts(20, 1), Condition.NOT_SUSTAINED, ()),
        (counts(1000, 20), counts(20, 20), Condition.NOT_SUSTAINED, ()),
        (counts(100, 6, 0), counts(20, 1, 1), Condition.NOT_SUSTAINED, ()),
        (counts(100, 5, 1), counts(20, 1, 0), Condition.HEALTHY, ()),
        (counts(1000), counts(3, 3, 3), Condition.HEALTHY, ()),
        (counts(100), counts(0), Condition.HEALTHY, ()),
    ],
)
def test_both_windows_must_be_over_the_same_limit(
    long: Counts, short: Counts, condition: Condition, broken: tuple[str, ...]
) -> None:
    """Breached is: enough in both windows, and one limit that both are over."""
    found = assess(long, short, POLICY)
    assert (found.condition, found.broken) == (condition, broken)
