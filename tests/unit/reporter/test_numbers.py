"""Numbers as they are printed: with their unit, or a dash."""

from __future__ import annotations

import pytest

from services.reporter.core import numbers
from tailwatch.contracts.analyses import Impact, ShareInterval
from tests.support.examples import AT


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (numbers.milliseconds(12.345), "12.3 ms"),
        (numbers.milliseconds(12.345, 2), "12.35 ms"),
        (numbers.milliseconds(19_800.0), "19,800.0 ms"),
        (numbers.milliseconds(0.0), "0.0 ms"),
        (numbers.milliseconds(None), "-"),
        (numbers.percent(0.1234), "12.3%"),
        (numbers.percent(1.0, 0), "100%"),
        (numbers.percent(None), "-"),
        (numbers.megabytes(1234.56), "1,234.6 MB"),
        (numbers.interval(ShareInterval(share=0.231, low=0.214, high=0.249, samples=1930)), "21.4-24.9%"),
        (numbers.moment(AT + 1.5), "2025-11-24 16:00:01.5 UTC"),
        (numbers.moment(AT + 1.96), "2025-11-24 16:00:01.9 UTC"),
        (numbers.moment(0.0), "1970-01-01 00:00:00.0 UTC"),
    ],
)
def test_a_number_has_its_unit_and_what_was_not_measured_a_dash(printed: str, expected: str) -> None:
    """Thousands are separated, zero is a number, and a moment is never rounded into the future."""
    assert printed == expected


@pytest.mark.parametrize(
    ("low", "high", "cpu", "target", "said"),
    [
        (
            10.0,
            15.04,
            0.35,
            "POST /tokens",
            "-10.0 to -15.0 ms P95 latency on POST /tokens, -35% CPU per request (why)",
        ),
        (120.4, 210.0, None, None, "-120 to -210 ms P95 latency on every target (why)"),
        (12.01, 12.04, 0.0, "GET /health", "-12.0 ms P95 latency on GET /health (why)"),
        (None, None, 0.22, "GET /health", "-22% CPU per request (why)"),
        (None, 15.0, None, None, "no range can be given: why"),
        (10.0, None, None, None, "no range can be given: why"),
    ],
)
def test_an_impact_is_a_range_with_its_basis_or_says_why_not(
    low: float | None, high: float | None, cpu: float | None, target: str | None, said: str
) -> None:
    """Half a range is none, and no saving is not printed as one."""
    assert numbers.expected(Impact(p95_ms_low=low, p95_ms_high=high, cpu_share=cpu, basis="why"), target) == said
