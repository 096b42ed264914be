"""One target under watch: what its processes report goes in; assessments, statuses and triggers come out."""

from __future__ import annotations

from collections.abc import Sequence

from services.sla_monitor.core.counts import Counts, InstanceCounts
from services.sla_monitor.core.decision import Assessment, Percentile, assess, broken_in, over
from services.sla_monitor.core.histogram import Histogram, merged
from services.sla_monitor.core.latch import Latch
from services.sla_monitor.core.running import STALE_SECONDS, Running
from services.sla_monitor.core.sentences import explanation, limit_of
from services.sla_monitor.core.sequence import Sequences
from services.sla_monitor.core.tally import tally
from services.sla_monitor.core.targeting import ranked, share_of
from services.sla_monitor.core.verdict import Ask, Rules, Verdict, judge, throttled_until
from services.sla_monitor.core.window import Window
from tailwatch.contracts.statuses import Limits, SlaReason, SlaState, SlaStatus, WindowView
from tailwatch.contracts.timings import RequestTimings, SlowRequest
from tailwatch.contracts.triggers import Breach, ProfilingTrigger, TriggerCause
from tailwatch.contracts.units import Count, Instant, Milliseconds, Seconds, ServiceName, Target

STATUS_SECONDS = 5
"""A target with traffic says where it stands at least this often."""
FORGOTTEN_SECONDS = 900
"""A target without any report for so long is forgotten."""


class Monitor:
    """The reports on one target of one service, as far as they still count."""

    def __init__(self, service: ServiceName, target: Target, *, limits: Limits, rules: Rules) -> None:
        """Nothing was reported yet."""
        sla = rules.sla
        self.service, self.target, self._limits, self._rules = service, target, limits, rules
        self._window = Window(long=sla.long_window_seconds, short=sla.short_window_seconds)
        self._running = Running(limits)
        self._sequences = Sequences()
        self._version = "unknown"
        self._heard_at: Instant = 0.0
        self._late: Count = 0
        self._skewed: Count = 0
        self._evidence_at: Instant = 0.0
        self._said: tuple[SlaState, SlaReason] | None = None
        self._said_at: Instant = 0.0

    def add(self, record: RequestTimings, *, arrival: Instant, now: Instant, live: bool) -> Instant:
        """Count a record; return until when it is needed: a new owner must read it again before then.

        ``live`` is false for what was read before: its late requests have been counted as late already.
        """
        self.advance(now)
        self._heard_at = max(self._heard_at, arrival)
        if not self._sequences.accept(record.boot, record.sequence, at=arrival):
            return now
        self._version = record.service_version
        self._running.note(record, at=arrival)
        counted = tally(record, self._limits, arrival=arrival, after=self._window.after)
        self._window.add(record.instance, counted, at=arrival, slowest=_that_count(record))
        if live:
            self._late += counted.late
            self._skewed += counted.skewed
        self._evidence_at = min(now, arrival if counted.slow_since is None else counted.slow_since)
        leaves = counted.first + len(counted.rows) - 1 + self._rules.sla.long_window_seconds
        return max(float(leaves), arrival + STALE_SECONDS) if record.running_ms else float(leaves)

    def advance(self, now: Instant) -> None:
        """Drop what no longer counts at ``now``."""
        self._window.advance(now)
        self._running.advance(now)
        self._sequences.forget(now)

    def forgotten(self, now: Instant) -> bool:
        """Return whether nothing has been heard for so long that the target may be dropped."""
        return now - self._heard_at > max(FORGOTTEN_SECONDS, self._rules.sla.long_window_seconds)

    def assess(self) -> Assessment:
        """Return what the windows say, up to the last advance."""
        hanging = self._running.hanging()
        over_p95, over_p99 = sum(report.over_p95 for report in hanging), sum(report.over_p99 for report in hanging)
        return assess(
            _with_running(self._window.long(), over_p95, over_p99),
            _with_running(self._window.short(), over_p95, over_p99),
            self._rules.sla,
        )

    def judge(self, latch: Latch, found: Assessment, *, now: Instant, last_fired_at: Instant | None) -> Verdict:
        """Return the verdict on an assessment."""
        candidates = ranked(self._instances(), found.broken) if found.broken else []
        return judge(
            latch,
            found,
            candidates,
            self._rules,
            service=self.service,
            target=self.target,
            since=self._evidence_at,
            now=now,
            last_fired_at=last_fired_at,
        )

    def status_due(self, verdict: Verdict, found: Assessment, *, now: Instant) -> bool:
        """Return whether to say where the target stands: it changed, or it is time and there is traffic."""
        if self._said != (verdict.state, verdict.reason):
            return True
        traffic = found.long.total + found.long.captured > 0
        return traffic and now - self._said_at >= STATUS_SECONDS

    def status(self, verdict: Verdict, found: Assessment, *, now: Instant, last_fired_at: Instant | None) -> SlaStatus:
        """Return the status to publish, and note that it was said."""
        self._said, self._said_at = (verdict.state, verdict.reason), now
        sla, latch, instances = self._rules.sla, verdict.latch, self._instances()
        broken = found.broken or found.long_broken
        worst = next(iter(ranked(instances, broken)), None)
        until = throttled_until(latch, self._rules)
        running = self._running_histogram()
        return SlaStatus(
            service=self.service,
            service_version=self._version,
            target=self.target,
            at=now,
            state=verdict.state,
            reason=verdict.reason,
            explanation=explanation(
                self.target, verdict, found, self._limits, self._rules, now=now, last_fired_at=last_fired_at
            ),
            limits=self._limits,
            long=self._view(sla.long_window_seconds, found.long, merged((self._window.long_histogram(), running))),
            short=self._view(sla.short_window_seconds, found.short, merged((self._window.short_histogram(), running))),
            instances=len(instances),
            worst_instance=worst,
            worst_share=None if worst is None else share_of(worst, instances, broken),
            breached_since=latch.condition_since if verdict.state is SlaState.BREACHED else None,
            throttled_until=until if until is not None and until > now else None,
            last_trigger_id=latch.last_trigger_id,
            last_trigger_at=latch.last_trigger_at,
            late=self._late,
            skewed=self._skewed,
            duplicates=self._sequences.duplicates,
            gaps=self._sequences.gaps,
        )

    def trigger(self, ask: Ask, verdict: Verdict, found: Assessment, *, now: Instant) -> ProfilingTrigger:
        """Return the trigger that an ask stands for."""
        sla = self._rules.sla
        histogram = merged((self._window.long_histogram(), self._running_histogram()))
        return ProfilingTrigger(
            id=ask.id,
            cause=TriggerCause.BREACH,
            service=self.service,
            service_version=self._version,
            target=self.target,
            instance=ask.instance,
            epoch=ask.epoch,
            attempt=ask.attempt,
            at=now,
            condition_since=verdict.latch.condition_since,
            breaches=tuple(
                Breach(
                    percentile=name,
                    limit_ms=limit_of(self._limits, name),
                    measured_ms=self._measured(name, found.long, histogram) or 0.0,
                    over=over(found.long, name),
                    samples=found.long.total,
                    window_seconds=sla.long_window_seconds,
                )
                for name in found.broken
            ),
            instance_share=share_of(ask.instance, self._instances(), found.broken),
            slowest=self._window.slowest(ask.instance),
        )

    def _instances(self) -> list[InstanceCounts]:
        counts = {known.instance: known for known in self._window.instances()}
        for report in self._running.hanging():
            known = counts.get(report.instance)
            counts[report.instance] = InstanceCounts(
                instance=report.instance,
                over_p95=report.over_p95 + (known.over_p95 if known else 0),
                over_p99=report.over_p99 + (known.over_p99 if known else 0),
                alive=True,
            )
        return list(counts.values())

    def _running_histogram(self) -> Histogram:
        return Histogram.of([age for report in self._running.hanging() for age in report.ages_ms])

    def _view(self, seconds: Seconds, counts: Counts, histogram: Histogram) -> WindowView:
        return WindowView(
            seconds=seconds,
            samples=counts.total,
            over_p95=counts.over_p95,
            over_p99=counts.over_p99,
            errors=counts.errors,
            p50_ms=histogram.quantile(50),
            p95_ms=self._measured("p95", counts, histogram),
            p99_ms=self._measured("p99", counts, histogram),
        )

    def _measured(self, percentile: Percentile, counts: Counts, histogram: Histogram) -> Milliseconds | None:
        """Return the percentile shown: the histogram's, which the exact count overrules at the limit."""
        shown = histogram.quantile(95 if percentile == "p95" else 99)
        if shown is None:
            return None
        limit = limit_of(self._limits, percentile)
        return max(shown, limit) if percentile in broken_in(counts) else min(shown, limit)


def _with_running(counts: Counts, over_p95: Count, over_p99: Count) -> Counts:
    return Counts(
        total=counts.total + over_p95,
        over_p95=counts.over_p95 + over_p95,
        over_p99=counts.over_p99 + over_p99,
        errors=counts.errors,
        captured=counts.captured,
    )


def _that_count(record: RequestTimings) -> Sequence[SlowRequest]:
    """Return the slowest requests of a record without those that a capture slowed down."""
    if not any(record.under_capture):
        return record.slowest
    captured = {
        (started, duration)
        for started, duration, under in zip(record.started_at, record.duration_ms, record.under_capture, strict=True)
        if under
    }
    return [slow for slow in record.slowest if (slow.started_at, slow.duration_ms) not in captured]
