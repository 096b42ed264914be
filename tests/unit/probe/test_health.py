"""What ``/health`` shows of the newest verdicts."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tailwatch.probe.core.health import sla_view
from tests.support.examples import AT, STATUS, TARGET, TRIGGER

QUIET = replace(
    STATUS,
    target="GET /health",
    at=AT - 3,
    long=STATUS.short,
    throttled_until=None,
    last_trigger_id=None,
    last_trigger_at=None,
)


def test_without_verdicts_nothing_is_claimed() -> None:
    """No age, no endpoints, no throttle."""
    assert sla_view([], now=AT) == {
        "statusAgeSeconds": None,
        "endpoints": {},
        "lastTriggers": {},
        "throttledUntil": None,
    }


def test_a_verdict_is_shown_with_limits_state_and_reason() -> None:
    """Durations with their unit, instants in epoch seconds, the sentence for a person as it is."""
    assert sla_view([STATUS], now=AT + 1.23456) == {
        "statusAgeSeconds": 1.235,
        "endpoints": {
            TARGET: {
                "p50": "61.00ms",
                "p95": "380.00ms",
                "p99": "401.00ms",
                "limits": {"p95": "100.00ms", "p99": "200.00ms"},
                "samples": 200,
                "state": "breached",
                "reason": "triggered",
                "explanation": STATUS.explanation,
            }
        },
        "lastTriggers": {TARGET: {"id": TRIGGER, "at": AT}},
        "throttledUntil": AT + 3600,
    }


def test_a_target_without_samples_or_triggers_shows_none() -> None:
    """No percentile of nothing, and no trigger that never was."""
    view = sla_view([QUIET], now=AT)
    assert [view["endpoints"]["GET /health"][name] for name in ("p50", "p95", "p99")] == [None, None, None]
    assert view["lastTriggers"] == {}
    assert view["throttledUntil"] is None


def test_targets_are_in_order_and_the_newest_verdict_gives_the_age() -> None:
    """Whatever order they came in."""
    for statuses in ([STATUS, QUIET], [QUIET, STATUS]):
        view = sla_view(iter(statuses), now=AT + 2)
        assert list(view["endpoints"]) == ["GET /health", TARGET]
        assert view["statusAgeSeconds"] == 2.0


def test_a_verdict_from_a_clock_ahead_has_age_0() -> None:
    """No negative ages."""
    assert sla_view([STATUS], now=AT - 5)["statusAgeSeconds"] == 0.0


@pytest.mark.parametrize(("now", "until"), [(AT, AT + 7200), (AT + 3600, AT + 7200), (AT + 7200, None)])
def test_the_latest_throttle_that_still_holds_is_shown(now: float, until: float | None) -> None:
    """One that has run out no longer holds."""
    other = replace(QUIET, throttled_until=AT + 7200)
    assert sla_view([other, STATUS], now=now)["throttledUntil"] == until
