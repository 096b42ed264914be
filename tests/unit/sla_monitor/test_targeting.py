"""Which process is asked."""

from __future__ import annotations

from services.sla_monitor.core.counts import InstanceCounts
from services.sla_monitor.core.targeting import ranked, share_of


def process(name: str, over_p95: int, over_p99: int = 0, *, alive: bool = True) -> InstanceCounts:
    """Return the counts of one process."""
    return InstanceCounts(instance=name, over_p95=over_p95, over_p99=over_p99, alive=alive)


def test_the_process_with_the_most_slow_requests_is_first() -> None:
    """The worst is asked first, a process without slow requests never."""
    assert ranked([process("a-1", 3), process("b-1", 9), process("c-1", 0)], ("p95",)) == ["b-1", "a-1"]


def test_when_only_p99_is_broken_its_limit_ranks() -> None:
    """The process that breaks the limit that is broken is asked."""
    assert ranked([process("a-1", 9, 1), process("b-1", 5, 4)], ("p99",)) == ["b-1", "a-1"]
    assert ranked([process("a-1", 9, 1), process("b-1", 5, 4)], ("p95", "p99")) == ["a-1", "b-1"]


def test_a_process_that_went_silent_comes_last() -> None:
    """One that has ended cannot be captured, however slow it was."""
    assert ranked([process("a-1", 90, alive=False), process("b-1", 1)], ("p95",)) == ["b-1", "a-1"]


def test_equals_are_ranked_by_p99_then_by_name() -> None:
    """The order does not depend on who reported first."""
    assert ranked([process("b-1", 1), process("c-1", 1, 1), process("a-1", 1)], ()) == ["c-1", "a-1", "b-1"]


def test_a_share_is_of_the_slow_requests() -> None:
    """Three of four slow requests are 0.75; of none it is 0."""
    counts = [process("a-1", 3), process("b-1", 1)]
    assert share_of("a-1", counts, ("p95",)) == 0.75
    assert share_of("z-9", counts, ("p95",)) == 0.0
    assert share_of("a-1", [process("a-1", 0)], ("p95",)) == 0.0
