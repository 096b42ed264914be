"""One sentence for a person: what the verdict is, why, with the numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

from services.sla_monitor.core.counts import Counts
from services.sla_monitor.core.decision import ALLOWED, Assessment, Percentile, over
from services.sla_monitor.core.verdict import Rules, Verdict, throttled_until
from tailwatch.contracts.statuses import Limits, SlaReason
from tailwatch.contracts.units import Instant, Milliseconds, Seconds, Target


def limit_of(limits: Limits, percentile: Percentile) -> Milliseconds:
    """Return the limit of a percentile."""
    return limits.p95_ms if percentile == "p95" else limits.p99_ms


def explanation(
    target: Target,
    verdict: Verdict,
    found: Assessment,
    limits: Limits,
    rules: Rules,
    *,
    now: Instant,
    last_fired_at: Instant | None,
) -> str:
    """Return why the trigger fired, or why it did not."""
    sla, latch = rules.sla, verdict.latch
    match verdict.reason:
        case SlaReason.HEALTHY:
            said = f"keeps its SLA: {_slow(found.long, ALLOWED, limits)} in {sla.long_window_seconds} s."
        case SlaReason.BELOW_MINIMUM_SAMPLES:
            said = (
                f"has too few requests for a verdict: {found.long.total} in {sla.long_window_seconds} s "
                f"(at least {sla.minimum_samples_long}), {found.short.total} in {sla.short_window_seconds} s "
                f"(at least {sla.minimum_samples_short})."
            )
        case SlaReason.NOT_SUSTAINED:
            said = f"is not over the same limit in both windows: {_disagreement(found, limits, rules)}."
        case SlaReason.RECOVERING:
            since = now if latch.healthy_since is None else latch.healthy_since
            left = _whole(since + sla.rearm_after_seconds - now)
            said = f"has been under its limits for {_whole(now - since)} s: armed again in {left} s."
        case SlaReason.CAPTURE_RUNNING:
            said = f"is being captured: {latch.session_id} runs for {_whole(latch.deadline - now)} s more at most."
        case _:
            breach = f"{_slow(found.long, found.broken, limits)} in {sla.long_window_seconds} s"
            consequence = _consequence(verdict, rules, now=now, last_fired_at=last_fired_at)
            said = f"breaks its SLA: {breach}; {consequence}."
    return f"{target} {said}"


def _consequence(verdict: Verdict, rules: Rules, *, now: Instant, last_fired_at: Instant | None) -> str:
    latch = verdict.latch
    match verdict.reason:
        case SlaReason.DISABLED:
            return (
                "nothing is captured, CONTINUOUS_PROFILING_ENABLED and CONTINUOUS_PROFILING_AUTO_TRIGGER_ON_SLA "
                "are not both true"
            )
        case SlaReason.THROTTLED:
            left = _whole((throttled_until(latch, rules) or now) - now)
            return f"throttled for {left} s more after the last capture (CONTINUOUS_PROFILING_THROTTLE_MINUTES)"
        case SlaReason.COOLING_DOWN:
            left = _whole((last_fired_at or now) + rules.sla.cooldown_seconds - now)
            return f"a capture was asked for a moment ago, the cooldown over all targets ends in {left} s"
        case _ if latch.captured:
            return f"it has been captured, and is armed again after {rules.sla.rearm_after_seconds} s under the limits"
        case _:
            waited = _whole(now - latch.asked_at)
            return f"{latch.asked[-1]} was asked for a capture {waited} s ago (attempt {latch.attempt})"


def _slow(counts: Counts, percentiles: Iterable[Percentile], limits: Limits) -> str:
    parts = (
        f"{over(counts, name)} slower than {limit_of(limits, name):g} ms "
        f"({_percent(over(counts, name), counts.total)}, {name.upper()} allows {ALLOWED[name]} %)"
        for name in percentiles
    )
    return f"of {counts.total} requests {' and '.join(parts)}"


def _disagreement(found: Assessment, limits: Limits, rules: Rules) -> str:
    long = f"{rules.sla.long_window_seconds} s", found.long, found.long_broken
    short = f"{rules.sla.short_window_seconds} s", found.short, found.short_broken
    broken = [(seconds, _slow(counts, names, limits)) for seconds, counts, names in (long, short) if names]
    if len(broken) == 1:
        return f"only in that of {broken[0][0]}, {broken[0][1]}"
    return "; ".join(f"in that of {seconds}, {slow}" for seconds, slow in broken)


def _percent(part: int, whole: int) -> str:
    return f"{part * 100 / whole if whole else 0:.1f} %"


def _whole(seconds: Seconds) -> int:
    return max(0, math.ceil(seconds))
