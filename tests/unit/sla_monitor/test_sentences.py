"""The sentences for people, as a person reads them."""

from __future__ import annotations

import pytest

from services.sla_monitor.core.counts import Counts
from services.sla_monitor.core.decision import assess
from services.sla_monitor.core.latch import Latch
from services.sla_monitor.core.sentences import explanation
from services.sla_monitor.core.verdict import Rules, Verdict
from tailwatch.contracts.policy import SlaPolicy
from tailwatch.contracts.statuses import Limits, SlaReason, SlaState
from tests.support.reports import NOW, SESSION, TARGET

RULES = Rules(sla=SlaPolicy(), enabled=True, throttle_seconds=3600)
BROKEN = Counts(total=1000, over_p95=80, over_p99=5), Counts(total=100, over_p95=50, over_p99=1)
OVER = "POST /tokens breaks its SLA: of 1000 requests 80 slower than 100 ms (8.0 %, P95 allows 5 %) in 60 s; "


@pytest.mark.parametrize(
    ("reason", "counts", "latch", "sentence"),
    [
        (
            SlaReason.HEALTHY,
            (Counts(total=1000, over_p95=12), Counts(total=100)),
            Latch(),
            (
                "POST /tokens keeps its SLA: of 1000 requests 12 slower than 100 ms (1.2 %, P95 allows 5 %) and "
                "0 slower than 200 ms (0.0 %, P99 allows 1 %) in 60 s."
            ),
        ),
        (
            SlaReason.BELOW_MINIMUM_SAMPLES,
            (Counts(), Counts()),
            Latch(),
            "POST /tokens has too few requests for a verdict: 0 in 60 s (at least 100), 0 in 10 s (at least 20).",
        ),
        (
            SlaReason.NOT_SUSTAINED,
            (Counts(total=1000, over_p95=80), Counts(total=100)),
            Latch(),
            (
                "POST /tokens is not over the same limit in both windows: only in that of 60 s, of 1000 requests "
                "80 slower than 100 ms (8.0 %, P95 allows 5 %)."
            ),
        ),
        (
            SlaReason.NOT_SUSTAINED,
            (Counts(total=1000, over_p95=80), Counts(total=100, over_p95=2, over_p99=2)),
            Latch(),
            (
                "POST /tokens is not over the same limit in both windows: in that of 60 s, of 1000 requests "
                "80 slower than 100 ms (8.0 %, P95 allows 5 %); in that of 10 s, of 100 requests 2 slower than 200 ms "
                "(2.0 %, P99 allows 1 %)."
            ),
        ),
        (
            SlaReason.RECOVERING,
            (Counts(total=1000), Counts(total=100)),
            Latch(healthy_since=NOW - 12.4),
            "POST /tokens has been under its limits for 13 s: armed again in 48 s.",
        ),
        (
            SlaReason.RECOVERING,
            (Counts(total=1000), Counts(total=100)),
            Latch(),
            "POST /tokens has been under its limits for 0 s: armed again in 60 s.",
        ),
        (
            SlaReason.CAPTURE_RUNNING,
            BROKEN,
            Latch(session_id=SESSION, deadline=NOW + 20),
            f"POST /tokens is being captured: {SESSION} runs for 20 s more at most.",
        ),
        (
            SlaReason.DISABLED,
            BROKEN,
            Latch(),
            OVER + "nothing is captured, CONTINUOUS_PROFILING_ENABLED and CONTINUOUS_PROFILING_AUTO_TRIGGER_ON_SLA "
            "are not both true.",
        ),
        (
            SlaReason.THROTTLED,
            BROKEN,
            Latch(started_at=NOW - 600),
            OVER + "throttled for 3000 s more after the last capture (CONTINUOUS_PROFILING_THROTTLE_MINUTES).",
        ),
        (
            SlaReason.COOLING_DOWN,
            BROKEN,
            Latch(),
            OVER + "a capture was asked for a moment ago, the cooldown over all targets ends in 90 s.",
        ),
        (
            SlaReason.TRIGGERED,
            BROKEN,
            Latch(captured=True),
            OVER + "it has been captured, and is armed again after 60 s under the limits.",
        ),
        (
            SlaReason.TRIGGERED,
            BROKEN,
            Latch(attempt=2, asked=("a-1", "b-1"), asked_at=NOW - 3),
            OVER + "b-1 was asked for a capture 3 s ago (attempt 2).",
        ),
    ],
)
def test_every_reason_has_its_sentence(
    reason: SlaReason, counts: tuple[Counts, Counts], latch: Latch, sentence: str
) -> None:
    """The explanation holds the numbers that the decision was made from."""
    verdict = Verdict(state=SlaState.OK, reason=reason, latch=latch)
    found = assess(*counts, RULES.sla)
    limits = Limits(p95_ms=100, p99_ms=200)
    assert explanation(TARGET, verdict, found, limits, RULES, now=NOW, last_fired_at=NOW - 30) == sentence
