"""Requests that are still running."""

from __future__ import annotations

from services.sla_monitor.core.running import STALE_SECONDS, Running
from tailwatch.contracts.statuses import Limits
from tests.support.reports import NOW, timings

LIMITS = Limits(p95_ms=100, p99_ms=200)


def test_only_requests_beyond_a_limit_count() -> None:
    """What runs within the limits has not failed anyone yet."""
    running = Running(LIMITS)
    running.note(timings(running_ms=[50, 100, 150, 250]), at=NOW)
    [report] = running.hanging()
    assert (report.over_p95, report.over_p99) == (2, 1)


def test_the_newest_record_of_a_boot_wins() -> None:
    """A record with an older number changes nothing, a newer one replaces all."""
    running = Running(LIMITS)
    running.note(timings(running_ms=[500, 500], sequence=2), at=NOW)
    running.note(timings(running_ms=[500], sequence=1), at=NOW)
    assert [report.over_p95 for report in running.hanging()] == [2]
    running.note(timings(sequence=3), at=NOW)
    assert running.hanging() == []


def test_an_old_report_says_nothing() -> None:
    """A process that died takes its hanging requests with it after 5 s."""
    running = Running(LIMITS)
    running.note(timings(running_ms=[500]), at=NOW)
    running.advance(NOW + STALE_SECONDS)
    assert running.hanging()
    running.advance(NOW + STALE_SECONDS + 0.1)
    assert not running.hanging()
