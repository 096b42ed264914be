"""Every event as one line for a person."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given

from services.cli.core.sentences import sentence
from tailwatch.contracts.event import Event
from tailwatch.contracts.triggers import Breach, TriggerCause
from tests.support.examples import (
    ABORTED,
    ANALYSIS,
    BREACH,
    COMPLETED,
    EVICTED,
    FAILED,
    RECOMMENDATION,
    REFUSED,
    REJECT,
    SESSION,
    STARTED,
    STATUS,
    TIMINGS,
    TRIGGERED,
)
from tests.support.strategies import events

P99 = Breach(percentile="p99", limit_ms=200.5, measured_ms=401.6, over=30, samples=200, window_seconds=60.0)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (TIMINGS, "web1-4711 answered 2 requests, slowest 402.5 ms, 1 running"),
        (STATUS, f"breached (triggered): {STATUS.explanation}"),
        (TRIGGERED, "breach P95 380 ms (limit 100 ms): capture asked of web1-4711"),
        (STARTED, f"{SESSION} started in web1-4711 for 30 s"),
        (COMPLETED, f"{SESSION} completed: 2910 samples, overhead 0.90 % of a core"),
        (REFUSED, "web1-4711 refused: busy (a capture is running until 16:00:31)"),
        (ABORTED, f"{SESSION} aborted: loop_lag (event-loop lag rose by 140 ms, allowed 100 ms)"),
        (FAILED, f"{SESSION} failed: write_failed (no space left on device)"),
        (EVICTED, f"{SESSION} evicted, 61852 bytes freed"),
        (ANALYSIS, f"{SESSION}: 71 % of the slow time is work. Top function: TokenIssuer.issue"),
        (RECOMMENDATION, f"HIGH open: JWT signing is over its CPU budget: {RECOMMENDATION.issue}"),
        (REJECT, "profiling.captures.v1[2]@40 by analyzer: JSON is malformed: invalid character (byte 0)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Event) else "",
)
def test_an_event_says_what_happened(event: Event, said: str) -> None:
    """Who, what and how much, in the event's own words."""
    assert sentence(event) == said


@pytest.mark.parametrize(
    ("event", "changes", "said"),
    [
        (TIMINGS, {"running_ms": ()}, "web1-4711 answered 2 requests, slowest 402.5 ms"),
        (
            TIMINGS,
            {"started_at": (), "duration_ms": (), "status": (), "method": (), "under_capture": ()},
            "web1-4711 answered 0 requests, slowest 0.0 ms, 1 running",
        ),
        (
            TRIGGERED,
            {"breaches": (BREACH, P99)},
            "breach P95 380 ms (limit 100 ms) P99 402 ms (limit 200.5 ms): capture asked of web1-4711",
        ),
        (TRIGGERED, {"cause": TriggerCause.CONTROL, "breaches": ()}, "control: capture asked of web1-4711"),
        (ANALYSIS, {"functions": ()}, f"{SESSION}: 71 % of the slow time is work. Top function: none"),
        (COMPLETED, {"partial": True}, f"{SESSION} completed: 2910 samples, overhead 0.90 % of a core, ended early"),
    ],
    ids=["nothing-running", "nothing-answered", "two-limits", "control", "no-function", "partial"],
)
def test_what_an_event_does_not_hold_is_not_said(event: Event, changes: dict[str, Any], said: str) -> None:
    """Empty lists leave no half-sentences behind."""
    assert sentence(msgspec.structs.replace(event, **changes)) == said


class NewerEvent(Event, frozen=True, kw_only=True):
    """An event that this version has no sentence for."""


def test_an_event_without_a_sentence_is_named() -> None:
    """A type that is unknown here is shown by its name."""
    assert sentence(NewerEvent()) == "NewerEvent"


@given(event=events())
def test_every_event_that_the_contracts_allow_has_a_sentence(event: Event) -> None:
    """Extreme numbers and odd texts included, and none is shown by its type's name alone."""
    assert sentence(event) not in {"", type(event).__name__}
