"""One partition: what may be decided, and what may be acknowledged."""

from __future__ import annotations

from functools import partial

from services.sla_monitor.core.partition import Heads, Partition
from services.sla_monitor.core.verdict import Rules
from tailwatch.contracts.policy import Policy
from tests.support.reports import NOW, timings

POLICY = Policy()
RULES = Rules(sla=POLICY.sla, enabled=True, throttle_seconds=0)


def taken_over(*, timings: int = 0, captures: int = 0) -> Partition:
    """Return a partition whose topics reached that far."""
    return Partition(0, Heads(timings=timings, captures=captures), policy=POLICY, rules=RULES)


def test_nothing_is_decided_before_everything_was_read_again() -> None:
    """Both topics must have been read up to where they were at take-over."""
    partition = taken_over(timings=6, captures=3)
    assert not partition.decides
    _ = partition.add(timings([1.0]), arrival=NOW, now=NOW, offset=5, acknowledge=int)
    assert (partition.live, partition.decides) == (True, False)
    partition.heard_capture(2)
    assert partition.decides


def test_a_partition_without_anything_to_read_decides_at_once() -> None:
    """Nothing left to read is nothing to wait for."""
    assert taken_over().decides


def test_a_record_that_is_delivered_again_is_recognised() -> None:
    """Offsets only grow, also over records that were not understood."""
    partition = taken_over()
    partition.skip(offset=7, acknowledge=int)
    assert partition.is_repeated(7)
    assert not partition.is_repeated(8)


def test_acknowledgements_keep_the_order_of_the_offsets() -> None:
    """An unreadable record waits for the one in front of it."""
    partition, acknowledged = taken_over(), list[int]()
    _ = partition.add(timings([1.0]), arrival=NOW, now=NOW, offset=0, acknowledge=partial(acknowledged.append, 0))
    partition.skip(offset=1, acknowledge=partial(acknowledged.append, 1))
    partition.expire(NOW + 59)
    assert (acknowledged, partition.unacknowledged) == ([], 2)
    partition.expire(NOW + 60)
    assert (acknowledged, partition.unacknowledged) == ([0, 1], 0)


def test_each_target_has_its_monitor_until_it_is_forgotten() -> None:
    """One per service and target; after 15 silent minutes none."""
    partition = taken_over()
    first = partition.add(timings([1.0]), arrival=NOW, now=NOW, offset=0, acknowledge=int)
    again = partition.add(timings([1.0], sequence=1), arrival=NOW, now=NOW, offset=1, acknowledge=int)
    _ = partition.add(timings([1.0], target="GET /x"), arrival=NOW, now=NOW, offset=2, acknowledge=int)
    assert first is again
    assert [key for key, _ in partition.monitors()] == ["auth POST /tokens", "auth GET /x"]
    partition.expire(NOW + 901)
    assert list(partition.monitors()) == []
