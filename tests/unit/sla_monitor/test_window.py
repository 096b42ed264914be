"""The ring of one-second buckets."""

from __future__ import annotations

from services.sla_monitor.core.counts import Counts
from services.sla_monitor.core.tally import tally
from services.sla_monitor.core.window import Window
from tailwatch.contracts.statuses import Limits
from tailwatch.contracts.timings import RequestTimings
from tests.support.reports import NOW, timings

LIMITS = Limits(p95_ms=100, p99_ms=200)


def add(window: Window, record: RequestTimings, *, now: float = NOW) -> None:
    """Add a record as the monitor does."""
    window.advance(now)
    counted = tally(record, LIMITS, arrival=now, after=window.after)
    window.add(record.instance, counted, at=now, slowest=record.slowest)


def test_a_request_leaves_the_window_with_its_second() -> None:
    """It counts for 60 seconds, in the short window for 10."""
    window = Window(long=60, short=10)
    add(window, timings([150.0], ended_at=NOW + 0.9), now=NOW + 0.9)
    for now, long, short in ((NOW + 9.9, 1, 1), (NOW + 10, 1, 0), (NOW + 59.9, 1, 0), (NOW + 60, 0, 0)):
        window.advance(now)
        assert (window.long().total, window.short().total) == (long, short)
        assert (window.long_histogram().total, window.short_histogram().total) == (long, short)


def test_a_long_silence_empties_the_window() -> None:
    """A jump over the whole ring leaves nothing behind."""
    window = Window(long=5, short=2)
    add(window, timings([150.0]))
    window.advance(NOW + 1_000_000)
    assert window.long() == Counts()
    assert window.instances() == []


def test_a_clock_that_went_back_changes_nothing() -> None:
    """Time only goes forward here."""
    window = Window(long=5, short=2)
    add(window, timings([150.0]))
    window.advance(NOW - 100)
    assert window.long().total == 1


def test_an_instance_is_forgotten_with_its_requests() -> None:
    """Processes of old deployments take no room; the others keep their counts."""
    window = Window(long=5, short=2)
    add(window, timings([150.0], instance="old-1"))
    add(window, timings([250.0, 150.0], ended_at=NOW + 4, instance="new-1"), now=NOW + 4)
    window.advance(NOW + 6)
    [left] = window.instances()
    assert (left.instance, left.over_p95, left.over_p99) == ("new-1", 2, 1)


def test_an_instance_that_reports_nothing_slow_is_still_heard() -> None:
    """Alive is: heard within the short window."""
    window = Window(long=5, short=2)
    add(window, timings([150.0], instance="a-1"))
    add(window, timings([], instance="b-1"), now=NOW + 2)
    assert {known.instance: known.alive for known in window.instances()} == {"a-1": False, "b-1": True}


def test_the_slowest_of_a_process_are_kept_while_they_are_in_the_window() -> None:
    """The five slowest of all its records, the slowest first."""
    window = Window(long=5, short=2)
    add(window, timings([10.0 * n for n in range(1, 8)], slowest=7))
    add(window, timings([500.0, 15.0], ended_at=NOW + 2, sequence=1), now=NOW + 2)
    add(window, timings([900.0], instance="other-1"), now=NOW + 2)
    add(window, timings([999.0], ended_at=NOW - 30, sequence=2), now=NOW + 2)
    assert [slow.duration_ms for slow in window.slowest("host-1")] == [500, 70, 60, 50, 40]
    window.advance(NOW + 5)
    assert [slow.duration_ms for slow in window.slowest("host-1")] == [500, 15]
