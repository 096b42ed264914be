"""The verdict: work or wait, told from each other by their evidence."""

from __future__ import annotations

from typing import Any

import pytest

from services.analyzer.core.operations import operation_map
from services.analyzer.core.samples import Samples
from services.analyzer.core.table import table_of
from services.analyzer.core.verdict import explained_by_loop, verdict_of, waiting_shares
from services.analyzer.core.workload import Workload, workload
from tailwatch.contracts.analyses import VerdictKind
from tailwatch.contracts.context import AwaitSite, GcUse, Quantiles
from tests.support.captures import (
    DERIVE,
    ENCODE,
    HEALTH,
    HEALTHY,
    IDLE,
    PARSE,
    SIGN,
    SITE,
    STANDARD,
    TOKENS,
    context,
    kong,
    latency,
    process,
    samples,
    slow_signer,
    use,
)
from tests.support.examples import TARGET

QUIET = {"loop_lag": latency(600, p50=0.3, p95=1.0), "process": process(cpu=1.5)}
FLAT = samples((IDLE, 1400), (DERIVE, 20), (SIGN, 20), (ENCODE, 20), (PARSE, 40))
BLOCKED = samples((IDLE, 500), ((*TOKENS, "/srv/auth/services/auth/core/mail.py deliver:8;"), 950), (PARSE, 50))
LOCKED = samples((IDLE, 300), ((*TOKENS, f"{STANDARD}/threading.py Condition.wait:327;"), 1150), (PARSE, 50))


def load(found: Samples, **changes: Any) -> Workload:
    """Return the workload of a capture."""
    about = context(**changes)
    return workload(about, table_of(found, about, operation_map({})))


def kind(found: Samples, **changes: Any) -> VerdictKind:
    """Return the verdict's kind of a capture."""
    return verdict_of(load(found, **changes)).kind


def test_a_saturated_loop_is_work_and_the_queueing_is_said() -> None:
    """CPU of the requests themselves: cpu_bound, with what they wait for one another as evidence."""
    verdict = verdict_of(load(slow_signer()))
    assert verdict.kind is VerdictKind.CPU_BOUND
    assert verdict.summary == (
        "CPU time: requests need 38.0 ms of CPU each and queue for the rest (72.0 ms) behind one another; "
        "the event loop's thread used 80% of a core."
    )
    assert any("lag: P50 20.0 ms, P95 70.0 ms" in line for line in verdict.evidence)


def test_requests_that_are_mostly_cpu_are_work_on_an_idle_loop() -> None:
    """A dear request on a quiet service is work, although the loop is mostly free."""
    few = latency(50, p50=200.0, p95=240.0)
    found = samples((IDLE, 1000), (DERIVE, 500))
    assert kind(found, requests=(use(TARGET, few),), process=process(cpu=10.0)) is VerdictKind.CPU_BOUND


def test_one_request_in_four_that_burns_cpu_is_work() -> None:
    """Below saturation, a slow minority delays the others: lag explains what their own CPU does not."""
    slow = latency(600, p50=35.0, p95=190.0, mean=75.0)
    lag = latency(600, p50=1.0, p95=95.0, mean=24.0)
    found = samples((IDLE, 750), (DERIVE, 650), (PARSE, 100))
    told = {"requests": (use(TARGET, slow),), "loop_lag": lag, "process": process(cpu=15.0)}
    assert kind(found, **told) is VerdictKind.CPU_BOUND
    rare = told | {"loop_lag": latency(600, p50=1.0, p95=40.0, mean=24.0)}
    assert explained_by_loop(load(found, **rare)) > 0.5
    assert kind(found, **rare) is VerdictKind.CPU_BOUND


def test_a_request_that_waits_for_kong_is_not_blamed_on_a_flat_profile() -> None:
    """90 % of a request is Kong: waiting_on_kong, however hot some function looks among the little CPU there is."""
    slow = {"requests": (use(TARGET, latency(600, p50=200.0, p95=230.0)),)}
    verdict = verdict_of(load(FLAT, **QUIET, **slow, dependencies=(kong(latency(600, p50=185.0, p95=210.0)),)))
    assert verdict.kind is VerdictKind.WAITING_ON_KONG
    assert "of a mean request's 200.0 ms (92%)" in verdict.summary


def test_kong_is_found_in_the_tail_when_only_some_requests_ask_it() -> None:
    """One look-up in four is slow: the mean request hardly waits, the slow ones do nothing else."""
    slow = {"requests": (use(TARGET, latency(600, p50=4.0, p95=186.0, mean=110.0)),)}
    found = load(FLAT, **QUIET, **slow, dependencies=(kong(latency(150, p50=181.0, p95=184.0, mean=181.0)),))
    assert waiting_shares(found)[0] < 0.5 < waiting_shares(found)[1]
    verdict = verdict_of(found)
    assert verdict.kind is VerdictKind.WAITING_ON_KONG
    assert verdict.summary.startswith("The slow requests wait for Kong: at least 18")


def test_too_few_calls_to_kong_do_not_explain_the_tail() -> None:
    """A call made by one request in fifty cannot be the slowest 5 %."""
    slow = {"requests": (use(TARGET, latency(600, p50=4.0, p95=186.0, mean=40.0)),)}
    found = load(FLAT, **QUIET, **slow, dependencies=(kong(latency(12, p50=181.0, p95=184.0)),))
    assert found.kong.in_slow_ms == 0.0


def test_a_busy_loop_is_no_slow_kong() -> None:
    """The client's timer also measures how late the loop comes back: under saturation that is not Kong's time."""
    waits = (kong(latency(600, p50=60.0, p95=140.0)),)
    assert kind(slow_signer(), dependencies=waits) is VerdictKind.CPU_BOUND
    unmeasured = load(slow_signer(), dependencies=waits, loop_lag=Quantiles(count=0))
    assert unmeasured.kong.per_request_ms == pytest.approx(60.0)


def test_waits_of_other_targets_are_not_this_targets() -> None:
    """Kong's time counts for the target that waited, or for nobody in particular."""
    waits = tuple(kong(latency(100, p50=9.0, p95=10.0), target) for target in (TARGET, HEALTH, None))
    assert load(FLAT, **QUIET, dependencies=waits).kong.calls == 200


def test_a_blocking_call_holds_the_loop_without_cpu() -> None:
    """Samples in application code, hardly any CPU used, a lagging loop: a call blocks it."""
    lag = latency(600, p50=40.0, p95=200.0)
    verdict = verdict_of(load(BLOCKED, process=process(cpu=1.2), loop_lag=lag))
    assert verdict.kind is VerdictKind.EVENT_LOOP_BLOCKED
    assert "held 67% of the time while its thread used only 4% of a core" in verdict.summary


def test_waiting_for_a_thread_is_a_lock() -> None:
    """The loop's thread stands in threading's wait."""
    assert kind(LOCKED, process=process(cpu=1.2), loop_lag=latency(60, p50=90.0, p95=300.0)) is VerdictKind.LOCK


def test_a_process_without_a_cpu_is_throttled_and_not_blocked() -> None:
    """A CPU quota, or a machine that is busy with other work, looks like blocking and is not."""
    quota = process(cpu=9.0, cgroup_throttled_ms=12_000.0)
    assert kind(BLOCKED, process=quota) is VerdictKind.THROTTLED_CPU
    crowded = process(cpu=4.0, cpu_pressure_percent=60.0, involuntary_switches=9000)
    verdict = verdict_of(load(BLOCKED, process=crowded))
    assert verdict.kind is VerdictKind.THROTTLED_CPU
    assert "CPU pressure 60%" in verdict.summary
    assert "CPU pressure (PSI) 60.0%" in verdict.evidence
    told = verdict_of(load(BLOCKED, process=quota))
    assert "stopped by the CPU quota 40.0% of the time" in told.evidence


def test_a_working_process_on_a_crowded_machine_is_still_working() -> None:
    """Losing a third of the CPU to others does not make work into waiting."""
    crowded = process(cpu=15.0, cpu_pressure_percent=60.0, involuntary_switches=9000)
    assert kind(slow_signer(), process=crowded) is VerdictKind.CPU_BOUND


def test_a_collector_that_takes_the_cpu_is_named() -> None:
    """A quarter of the CPU time or more in garbage collection."""
    churn = GcUse(pauses=latency(400, p50=15.0, p95=40.0, mean=20.0), by_generation=(0, 0, 400))
    assert kind(slow_signer(), gc=churn) is VerdictKind.GC


def test_requests_behind_another_targets_work_are_queueing() -> None:
    """Health checks burn the CPU, tokens are slow: their functions are innocent, and the other target is named."""
    found = samples((IDLE, 200), (HEALTHY, 1200), (DERIVE, 50), (PARSE, 50))
    verdict = verdict_of(load(found))
    assert verdict.kind is VerdictKind.QUEUEING
    assert "GET /health and others take 96%" in verdict.summary


def test_what_nothing_explains_is_inconclusive_and_says_where_tasks_were() -> None:
    """Neither CPU nor Kong nor the loop: no blame, and the await site that was found."""
    site = AwaitSite(file=f"{SITE}/httpx/_client.py", function="AsyncClient.get", line=9, target=TARGET, tasks=90)
    other = AwaitSite(file="a.py", function="g", line=9, target=HEALTH, tasks=500)
    servers = AwaitSite(file="b.py", function="serve", line=9, target=None, tasks=500)
    verdict = verdict_of(load(FLAT, **QUIET, await_sites=(site, other, servers)))
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert verdict.summary.endswith("Its suspended requests were found at httpx:_client.py: AsyncClient.get.")
    assert verdict.evidence[-1] == "100% of suspended requests at httpx:_client.py: AsyncClient.get"
    assert "suspended" not in verdict_of(load(FLAT, **QUIET)).summary


def test_few_requests_are_inconclusive() -> None:
    """Load that ended before the capture says nothing."""
    verdict = verdict_of(load(slow_signer(), requests=(use(TARGET, latency(9, p50=1.0, p95=2.0)),)))
    assert verdict.kind is VerdictKind.INCONCLUSIVE
    assert verdict.summary == "Inconclusive: only 9 requests of POST /tokens ended during the capture."
    nothing = verdict_of(
        load(samples((IDLE, 9)), target=None, requests=(), process=process(cpu=0.0, cpu_system_seconds=0.0))
    )
    assert nothing.summary == "Inconclusive: only 0 requests of any target ended during the capture."
    assert "CPU per request unknown" in nothing.evidence[1]


def test_a_capture_of_a_whole_service_looks_at_its_busiest_target() -> None:
    """By hand, without a target: the one with most request time."""
    assert load(slow_signer(), target=None).subject == TARGET


def test_requests_that_took_no_time_divide_nothing() -> None:
    """All-zero latencies are no division by zero."""
    zero = Quantiles(count=50)
    found = load(FLAT, **QUIET, requests=(use(TARGET, zero),), dependencies=(kong(zero),))
    assert waiting_shares(found) == (0.0, 0.0)
    assert explained_by_loop(found) == 0.0
    assert verdict_of(found).kind is VerdictKind.INCONCLUSIVE


@pytest.mark.parametrize("lag", [Quantiles(count=0), latency(60, p50=9.0, p95=200.0)])
def test_a_loop_that_is_held_is_blocked_with_or_without_a_lag_probe(lag: Quantiles) -> None:
    """A missing lag measurement does not hide a blocked loop."""
    assert kind(BLOCKED, process=process(cpu=1.2), loop_lag=lag) is VerdictKind.EVENT_LOOP_BLOCKED


def test_short_holds_without_lag_are_not_blocking() -> None:
    """Samples off the CPU while requests never felt them blame nobody."""
    found = samples((IDLE, 1200), (DERIVE, 300))
    calm = latency(600, p50=0.3, p95=1.0)
    assert kind(found, process=process(cpu=0.9), loop_lag=calm) is VerdictKind.INCONCLUSIVE
