"""What the two windows say together: exact counts in, one assessment out.

"P95 is above its limit" and "more than 5 % were slower than the limit" are one statement (nearest rank), so nothing
here is estimated.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from services.sla_monitor.core.counts import Counts
from tailwatch.contracts.policy import SlaPolicy

Percentile = Literal["p95", "p99"]
ALLOWED: dict[Percentile, int] = {"p95": 5, "p99": 1}
"""Percent of the requests that may be slower than the limit."""


class Condition(StrEnum):
    """What is so, before it is asked whether anything may be done about it."""

    TOO_FEW = "too_few"
    """A window holds fewer requests than the minimum, and without them nothing can be said."""
    HEALTHY = "healthy"
    NOT_SUSTAINED = "not_sustained"
    """Only one of the windows is over a limit, or each over another."""
    BREACHED = "breached"
    """Both windows are over the same limit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Assessment:
    """The condition, and what it was found from."""

    condition: Condition
    broken: tuple[Percentile, ...]
    """The percentiles that are over their limit in both windows."""
    long: Counts
    short: Counts
    long_broken: tuple[Percentile, ...]
    short_broken: tuple[Percentile, ...]


def over(counts: Counts, percentile: Percentile) -> int:
    """Return the number of requests slower than the limit of that percentile."""
    return counts.over_p95 if percentile == "p95" else counts.over_p99


def broken_in(counts: Counts) -> tuple[Percentile, ...]:
    """Return the percentiles that are above their limits in one window."""
    return tuple(name for name, allowed in ALLOWED.items() if over(counts, name) * 100 > allowed * counts.total)


def assess(long: Counts, short: Counts, policy: SlaPolicy) -> Assessment:
    """Return what the long and the short window say together."""
    long_broken, short_broken = broken_in(long), broken_in(short)
    both: tuple[Percentile, ...] = tuple(name for name in long_broken if name in short_broken)
    enough_short = short.total >= policy.minimum_samples_short
    if long.total < policy.minimum_samples_long or (long_broken and not enough_short):
        condition = Condition.TOO_FEW
    elif both:
        condition = Condition.BREACHED
    elif long_broken or (short_broken and enough_short):
        condition = Condition.NOT_SUSTAINED
    else:
        condition = Condition.HEALTHY
    return Assessment(
        condition=condition,
        broken=both if condition is Condition.BREACHED else (),
        long=long,
        short=short,
        long_broken=long_broken,
        short_broken=short_broken,
    )
