"""What a running capture may cost the process it looks into: its rate, and the reasons to end it early.

Overhead is CPU time spent by the capture per wall second, in percent of one core. Memory and errors are a rise over
the value before the capture. Event-loop lag is only what the sampler itself held the loop for: a service that breaks
its SLA often gets worse by itself, and that is what the capture is there to see (ADR 0008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tailwatch.contracts.captures import AbortReason
from tailwatch.contracts.units import Count, Hertz, Instant, Megabytes, Milliseconds, Percent, Seconds, Share

LEAST_HZ: Hertz = 10.0
MOST_HZ: Hertz = 100.0
BREACH_HZ: Hertz = 50.0
CONTROL_HZ: Hertz = 20.0
ENOUGH_SAMPLES = 200
"""On-CPU samples from which a share has a usable interval."""
SPAN_SECONDS: Seconds = 2.0
"""Overhead is judged over this much of the past, and has to stay above its limit for as long at the lowest rate."""
SETTLING_SECONDS: Seconds = 1.0
"""The start of a capture costs a few milliseconds at once; nothing is decided from less than this."""
REQUESTS_SPAN_SECONDS: Seconds = 5.0
LEAST_ANSWERED = 20
"""Fewer answers say nothing about the error share."""
MARGIN = 0.9
"""The rate is set for this part of what may be spent."""
NOTICEABLE = 0.1
"""A smaller relative change of the rate is not made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SafetyLimits:
    """What the operator allows a capture to do to its process."""

    overhead_percent: Percent
    loop_lag_ms: Milliseconds
    memory_growth_mb: Megabytes
    error_share_rise: Share = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Before:
    """How the process was just before the capture."""

    error_share: Share
    answered: Count
    """Running total."""
    errors: Count
    """Running total of answers with status 500 or above."""
    rss_mb: Megabytes
    rss_growth_mb_per_second: float = 0.0
    """What it grew by without any capture; that much is not the capture's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measurement:
    """How the process and the capture are now."""

    at: Instant
    cost_seconds: Seconds
    """CPU time spent by the capture since its start."""
    samples: Count
    on_cpu_samples: Count
    held_lag_ms: Milliseconds
    """Mean over the last seconds of the event loop's lag for which the sampler held its thread."""
    answered: Count
    """Running total."""
    errors: Count
    """Running total of answers with status 500 or above."""
    rss_mb: Megabytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Watch:
    """A running capture, as its safety controls see it."""

    started_at: Instant
    deadline: Instant
    nominal_hz: Hertz
    """The rate to take when nothing speaks against it."""
    ceiling_hz: Hertz
    """The rate it may be raised to when the process is so idle that samples are scarce."""
    rate_hz: Hertz
    before: Before
    ending_cost_seconds: Seconds
    """What writing the samples is expected to cost, kept back from what may be spent."""
    history: tuple[Measurement, ...]
    over_since: Instant | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Abort:
    """The capture has to end, and nothing of it is kept."""

    reason: AbortReason
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What follows from one measurement; with neither field set, nothing."""

    rate_hz: Hertz | None = None
    abort: Abort | None = None


def overhead_percent(cost_seconds: Seconds, wall_seconds: Seconds) -> Percent:
    """Return CPU time per wall time in percent of one core."""
    return 100 * cost_seconds / wall_seconds if wall_seconds > 0 else 0.0


def judge(watch: Watch, now: Measurement, *, limits: SafetyLimits) -> tuple[Watch, Judgement]:
    """Return the watch with this measurement taken in, and what follows: go on, another rate, or an abort."""
    oldest = now.at - max(SPAN_SECONDS, REQUESTS_SPAN_SECONDS)
    first = sum(seen.at <= oldest for seen in watch.history[1:])
    watch = replace(watch, history=(*watch.history[first:], now))
    harmed = _memory(watch, now, limits) or _loop_lag(watch, now, limits) or _errors(watch, now, limits)
    if harmed is not None:
        return watch, Judgement(abort=harmed)
    return _overhead(watch, now, limits)


def _overhead(watch: Watch, now: Measurement, limits: SafetyLimits) -> tuple[Watch, Judgement]:
    since = _since(watch.history, now.at - SPAN_SECONDS)
    elapsed = now.at - since.at
    if elapsed < SETTLING_SECONDS:
        return watch, Judgement()
    cost, samples = now.cost_seconds - since.cost_seconds, now.samples - since.samples
    spent = overhead_percent(cost, elapsed)
    over = spent > limits.overhead_percent and watch.rate_hz <= LEAST_HZ
    watch = replace(watch, over_since=(watch.over_since if watch.over_since is not None else now.at) if over else None)
    if watch.over_since is not None and now.at - watch.over_since >= SPAN_SECONDS:
        detail = (
            f"{spent:.1f} % of a core at {watch.rate_hz:.0f} Hz for {now.at - watch.over_since:.1f} s,"
            f" limit {limits.overhead_percent:g} %"
        )
        return watch, Judgement(abort=Abort(reason=AbortReason.OVERHEAD, detail=detail))
    rate = max(LEAST_HZ, min(_wanted(watch, now), _affordable(watch, limits, cost, samples)))
    if abs(rate - watch.rate_hz) <= NOTICEABLE * watch.rate_hz:
        return watch, Judgement()
    return replace(watch, rate_hz=rate), Judgement(rate_hz=rate)


def _wanted(watch: Watch, now: Measurement) -> Hertz:
    """Return the nominal rate, or more when on-CPU samples come too slowly to have enough of them at the end."""
    elapsed, left = now.at - watch.started_at, watch.deadline - now.at
    missing = ENOUGH_SAMPLES - now.on_cpu_samples
    if missing <= 0 or left <= 0:
        return watch.nominal_hz
    share = max(now.on_cpu_samples, 1) / max(now.samples, 1)
    coming = missing / (left * share)
    enough_anyway = now.on_cpu_samples / elapsed * left >= missing if elapsed > 0 else True
    return watch.nominal_hz if enough_anyway else min(watch.ceiling_hz, max(watch.nominal_hz, coming))


def _affordable(watch: Watch, limits: SafetyLimits, cost: Seconds, samples: Count) -> Hertz:
    """Return the rate that keeps sampling, and the writing to come, under the limit."""
    ending = overhead_percent(watch.ending_cost_seconds, watch.deadline - watch.started_at)
    budget = max(limits.overhead_percent - ending, limits.overhead_percent / 4) * MARGIN
    if cost <= 0 or samples <= 0:
        return MOST_HZ
    return min(MOST_HZ, budget / 100 * samples / cost)


def _memory(watch: Watch, now: Measurement, limits: SafetyLimits) -> Abort | None:
    before = watch.before
    expected = before.rss_mb + max(0.0, before.rss_growth_mb_per_second) * (now.at - watch.started_at)
    growth = now.rss_mb - expected
    if growth <= limits.memory_growth_mb:
        return None
    detail = f"{growth:.0f} MB more than {expected:.0f} MB, limit {limits.memory_growth_mb:g} MB"
    return Abort(reason=AbortReason.MEMORY, detail=detail)


def _loop_lag(watch: Watch, now: Measurement, limits: SafetyLimits) -> Abort | None:
    if now.held_lag_ms <= limits.loop_lag_ms or now.at - watch.started_at < SPAN_SECONDS:
        return None
    detail = f"the sampler held the event loop for {now.held_lag_ms:.0f} ms on average, limit {limits.loop_lag_ms:g} ms"
    return Abort(reason=AbortReason.LOOP_LAG, detail=detail)


def _errors(watch: Watch, now: Measurement, limits: SafetyLimits) -> Abort | None:
    since = _since(watch.history, now.at - REQUESTS_SPAN_SECONDS)
    answered, errors = now.answered - since.answered, now.errors - since.errors
    if answered < LEAST_ANSWERED or errors / answered - watch.before.error_share <= limits.error_share_rise:
        return None
    detail = (
        f"{errors} of {answered} answers were errors, {100 * watch.before.error_share:.0f} % before,"
        f" limit of the rise {100 * limits.error_share_rise:g} points"
    )
    return Abort(reason=AbortReason.ERRORS, detail=detail)


def _since(history: Sequence[Measurement], at: Instant) -> Measurement:
    """Return the newest measurement that is at least as old as ``at``, else the oldest."""
    return next((seen for seen in reversed(history) if seen.at <= at), history[0])
