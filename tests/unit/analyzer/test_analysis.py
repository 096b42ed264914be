"""The analysis of whole captures: the planted cause is found, and innocent functions are left alone."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.core import impact
from services.analyzer.core.analysis import analyse
from services.analyzer.core.catalogue import parse_catalogue
from services.analyzer.core.operations import operation_map
from services.analyzer.core.samples import Samples
from services.analyzer.core.table import table_of
from services.analyzer.core.workload import workload
from tailwatch.contracts.analyses import (
    BudgetStatus,
    Finding,
    OperationCost,
    ProfileAnalysis,
    Severity,
    ShareInterval,
    VerdictKind,
    analysis_id,
)
from tailwatch.contracts.codec import decode, encode
from tailwatch.contracts.context import Quantiles
from tailwatch.contracts.policy import Operation, Policy, parse_policy
from tailwatch.contracts.topics import ANALYSES
from tests.support.captures import (
    APP,
    DERIVE,
    ENCODE,
    HEALTHY,
    IDLE,
    PARSE,
    ROUTE,
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
from tests.support.examples import SESSION, TARGET

CONFIG = Path(__file__).parents[3] / "config"
POLICY = parse_policy(tomllib.loads((CONFIG / "tailwatch.toml").read_text(encoding="utf-8")), name="policy")
CATALOGUE = parse_catalogue(
    tomllib.loads((CONFIG / "recommendations.toml").read_text(encoding="utf-8")), name="catalogue"
)
QUIET: dict[str, Any] = {
    "loop_lag": latency(600, p50=0.3, p95=1.0),
    "process": process(cpu=1.5),
    "requests": (use(TARGET, latency(600, p50=200.0, p95=230.0)),),
    "dependencies": (kong(latency(600, p50=185.0, p95=210.0)),),
}
BLOCKING: dict[str, Any] = {"process": process(cpu=1.2), "loop_lag": latency(600, p50=40.0, p95=200.0, p99=260.0)}
DELIVER = (*TOKENS, f"{APP}/core/mail.py deliver:8;")


def analysed(found: Samples, policy: Policy = POLICY, **changes: Any) -> ProfileAnalysis:
    """Return the analysis of a capture by the shipped policy and catalogue."""
    return analyse(context(**changes), found, policy, CATALOGUE)


def rules(analysis: ProfileAnalysis) -> list[tuple[str, Severity]]:
    """Return which rules hold, in their order."""
    return [(finding.rule, finding.severity) for finding in analysis.findings]


def first(analysis: ProfileAnalysis) -> Finding:
    """Return the finding that leads."""
    return analysis.findings[0]


def test_a_slow_signer_is_found() -> None:
    """The operation over budget, the verdict, the function (whose name says nothing), and what it would bring."""
    analysis = analysed(slow_signer())
    assert analysis.id == analysis_id(SESSION)
    assert analysis.verdict.kind is VerdictKind.CPU_BOUND
    assert analysis.functions[0].function == "derive"
    assert rules(analysis) == [("jwt_signing", Severity.HIGH), ("http", Severity.MEDIUM)]
    found = first(analysis)
    assert found.function == "services/auth/adapters/keys.py: derive"
    assert found.issue == "JWT signing consuming 80.0% CPU time (77.6-82.2%, 1,200 samples; target: <40%)"
    assert found.actions[0] == "Review services/auth/adapters/keys.py: `derive` (94% of it)"
    assert found.impact.p95_ms_low is not None
    assert found.impact.p95_ms_high is not None
    assert 0 < found.impact.p95_ms_low < found.impact.p95_ms_high < 240.0


def test_json_bloat_is_found() -> None:
    """Far over a small budget while the SLA is broken: critical, and who causes it."""
    analysis = analysed(samples((IDLE, 300), (ENCODE, 800), (SIGN, 100), (PARSE, 50), (ROUTE, 50)))
    assert rules(analysis) == [("json", Severity.CRITICAL)]
    assert first(analysis).function == "services/auth/adapters/lines.py: written"
    assert analysis.operations[0].operation == "json"


def test_a_slow_kong_is_found_and_the_little_cpu_is_not_blamed() -> None:
    """JSON is over its budget of hardly any CPU: mentioned last, never as the cause; no hot function is named."""
    analysis = analysed(samples((IDLE, 1000), (ENCODE, 300), (HEALTHY, 100), (PARSE, 100)), **QUIET)
    assert rules(analysis) == [("kong_wait", Severity.CRITICAL), ("json", Severity.LOW), ("http", Severity.LOW)]
    found = first(analysis)
    assert "wait 184.4 ms each for Kong (600 calls for 600 requests of POST /tokens)" in found.issue
    assert found.impact.p95_ms_high == pytest.approx(209.4)
    assert found.impact.cpu_share is None


def test_a_blocking_call_is_found() -> None:
    """The function that holds the loop is named although it uses no CPU."""
    analysis = analysed(samples((IDLE, 500), (DELIVER, 900), (PARSE, 50)), **BLOCKING)
    found = first(analysis)
    assert (found.rule, found.severity) == ("event_loop_blocked", Severity.CRITICAL)
    assert found.function == "services/auth/core/mail.py: deliver"
    assert "`deliver`" in found.actions[0]
    assert (found.impact.p95_ms_low, found.impact.p95_ms_high) == (200.0, 240.0)


def test_a_lock_is_found_by_who_waits_for_it() -> None:
    """The application's frame that stands in threading's wait."""
    locked = (*DELIVER, f"{STANDARD}/threading.py Condition.wait:327;")
    analysis = analysed(samples((IDLE, 300), (locked, 1100), (PARSE, 50)), **BLOCKING)
    assert (first(analysis).rule, first(analysis).function) == ("lock", "services/auth/core/mail.py: deliver")


def test_what_cannot_be_measured_gives_no_range() -> None:
    """Blocking without a lag probe, throttling, no wait in the slow requests: a reason instead of a number."""
    blocked = analysed(samples((IDLE, 500), (DELIVER, 900)), process=process(cpu=1.2), loop_lag=Quantiles(count=0))
    assert first(blocked).impact == impact.unknown("event-loop lag was not measured")
    throttled = analysed(slow_signer(), process=process(cgroup_throttled_ms=20_000.0))
    quota = next(finding for finding in throttled.findings if finding.rule == "cpu_throttled")
    assert quota.impact.p95_ms_low is None
    assert "kept from" in quota.impact.basis


def test_a_hot_function_of_the_application_is_found_and_one_of_a_budgeted_operation_is_not_repeated() -> None:
    """Work that no budget names: its hottest function, when CPU is the answer."""
    hot = samples((IDLE, 300), ((*TOKENS, f"{APP}/core/rules.py check:7;"), 700), (SIGN, 300), (PARSE, 100))
    analysis = analysed(hot)
    assert rules(analysis) == [("hot_function", Severity.CRITICAL)]
    assert first(analysis).issue.startswith("`check` itself takes 63.6% of the CPU time (60.")
    cool = samples((IDLE, 300), *(((*TOKENS, f"{APP}/core/rules.py check{n}:7;"), 100) for n in range(8)), (SIGN, 300))
    assert rules(analysed(cool)) == []


def test_an_incomplete_map_says_so() -> None:
    """Above a tenth unattributed, the report asks for the map and guesses nothing."""
    unknown = ((f"{SITE}/numpy/core.py dot:1;",), 200)
    analysis = analysed(samples((IDLE, 300), (SIGN, 400), unknown, (PARSE, 50)))
    assert ("unattributed", Severity.INFO) in rules(analysis)
    assert analysis.unattributed == pytest.approx(200 / 650, abs=1e-6)
    assert "numpy:core.py: `dot`" in analysis.findings[-1].actions[0]


def test_work_of_native_callbacks_alone_is_unattributed_without_a_name() -> None:
    """Over the limit for the whole service, with no function of the ranking in it."""
    policy = msgspec.structs.replace(POLICY, unattributed_limit_percent=1)
    analysis = analysed(samples((IDLE, 300), ((f"{SITE}/numpy/core.py dot:1;",), 20), (SIGN, 380)), policy)
    assert analysis.findings[-1].rule == "unattributed"


def test_a_healthy_capture_is_judged_milder() -> None:
    """The same excess without a broken SLA."""
    assert rules(analysed(slow_signer(), breaches=())) == [("jwt_signing", Severity.MEDIUM), ("http", Severity.LOW)]
    bloat = samples((IDLE, 300), (ENCODE, 800), (SIGN, 100), (PARSE, 50), (ROUTE, 50))
    assert rules(analysed(bloat, breaches=())) == [("json", Severity.HIGH)]
    assert rules(analysed(samples((IDLE, 9), (HEALTHY, 9)), **QUIET, breaches=()))[0] == ("kong_wait", Severity.MEDIUM)


def test_an_operation_that_no_rule_names_has_the_general_one() -> None:
    """An operator's own operation with a budget is found without a rule of its own."""
    mail = Operation(title="Mail", files=("core/mail.py",), cpu_budget_percent=10)
    policy = msgspec.structs.replace(POLICY, operations={"mail": mail, **POLICY.operations})
    analysis = analysed(samples((IDLE, 300), (DELIVER, 700), (PARSE, 50)), policy)
    assert (first(analysis).rule, first(analysis).title) == ("operation_over_budget", "Mail")


def test_a_budget_that_only_the_point_exceeds_is_a_low_finding() -> None:
    """At risk: the interval still holds the budget."""
    at_risk = samples((IDLE, 300), (ENCODE, 18), (SIGN, 60), ((*TOKENS, f"{APP}/core/a.py f:1;"), 122))
    analysis = analysed(at_risk)
    assert next(cost for cost in analysis.operations if cost.operation == "json").status is BudgetStatus.AT_RISK
    assert ("json", Severity.LOW) in rules(analysis)


def test_work_that_the_target_does_not_do_saves_it_nothing() -> None:
    """JSON of health checks breaks the budget, and bringing it down makes tokens no faster."""
    health_json = (*HEALTHY, f"{STANDARD}/json/encoder.py JSONEncoder.iterencode:258;")
    analysis = analysed(samples((IDLE, 300), (health_json, 200), (DERIVE, 900)))
    found = next(finding for finding in analysis.findings if finding.rule == "json")
    assert found.impact.basis == "a request of POST /tokens spends only 0.0% of its CPU time there"


def test_queueing_names_the_other_target() -> None:
    """Another target's work is the cause: its reports are where to look."""
    analysis = analysed(samples((IDLE, 200), (HEALTHY, 1200), (DERIVE, 50), (PARSE, 50)))
    queue = next(finding for finding in analysis.findings if finding.rule == "queueing")
    assert queue.actions[0].startswith("Look at the reports of GET /health")
    assert "hot_function" not in [finding.rule for finding in analysis.findings]


def test_the_same_capture_gives_the_same_bytes() -> None:
    """Done again after a kill, the analysis is the same record."""
    one, two = (msgspec.json.encode(analysed(slow_signer())) for _ in range(2))
    assert one == two
    record = encode(analysed(slow_signer()), source="/t", at=0.0)
    assert decode(record.value, topic=ANALYSES.name) == analysed(slow_signer())


def test_a_capture_without_a_single_request_is_still_analysed() -> None:
    """Nothing per request, no limits, no blame."""
    analysis = analysed(slow_signer(), target=None, requests=(), requests_before=(), breaches=())
    assert (analysis.cpu_ms_per_request, analysis.limits) == (None, None)
    assert analysis.latency_during.count == 0
    assert all("no cost per request" in finding.impact.basis for finding in analysis.findings)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a`b`{share}", "x" * 5000, "\x00\n\x1b[2J", "ключ"])
def test_hostile_names_stay_names(name: str) -> None:
    """Whatever a program calls its functions, the analysis is a valid event with printable text."""
    analysis = analysed(samples((IDLE, 300), ((*TOKENS, f"{APP}/{name}.py {name}:1;"), 900), (PARSE, 50)))
    assert decode(encode(analysis, source="/t", at=0.0).value, topic=ANALYSES.name) == analysis
    assert all(char.isprintable() for hot in analysis.functions for char in hot.function + hot.file)


@given(st.floats(0.41, 0.99), st.integers(200, 5000))
def test_the_expected_saving_brings_the_operation_to_its_budget(share: float, count: int) -> None:
    """After the computed saving the operation has exactly its budget's share of what remains."""
    about = context()
    load = workload(about, table_of(slow_signer(), about, operation_map(POLICY.operations)))
    assert load.cpu_ms is not None
    cost = OperationCost(
        operation="jwt_signing",
        title="JWT signing",
        cpu_ms=1.0,
        cpu_ms_per_request=share * load.cpu_ms,
        share=ShareInterval(share=share, low=share * 0.98, high=min(1.0, share * 1.02), samples=count),
        budget=0.4,
        status=BudgetStatus.EXCEEDED,
        top_function=None,
    )
    found = impact.of_budget(cost, load)
    assert found.cpu_share is not None
    left = share - found.cpu_share
    assert left / (1 - found.cpu_share) == pytest.approx(0.4, abs=1e-3)
    assert found.p95_ms_low is not None
    assert found.p95_ms_high is not None
    assert 0 <= found.p95_ms_low <= found.p95_ms_high <= load.latency.p95_ms


def test_an_operation_without_a_budget_has_no_goal() -> None:
    """No budget, no range; a goal of everything saves nothing."""
    about = context()
    load = workload(about, table_of(slow_signer(), about, operation_map(POLICY.operations)))
    analysis = analysed(slow_signer())
    application = next(cost for cost in analysis.operations if cost.operation == "application")
    assert impact.of_budget(application, load).basis == "no budget is set for Application code"
    whole = ShareInterval(share=0.9, low=0.8, high=1.0, samples=500)
    assert "only 90.0%" in impact.of_cut(whole, 0.9 * (load.cpu_ms or 0), 1.0, load).basis
    assert impact.of_kong(load).basis == "no wait for Kong was measured in the slow requests"


def test_a_request_on_a_quiet_loop_gains_its_own_saving() -> None:
    """Without queueing the range is the saving itself, within the interval."""
    few = latency(50, p50=200.0, p95=240.0)
    analysis = analysed(samples((IDLE, 1000), (DERIVE, 500)), requests=(use(TARGET, few),), process=process(cpu=10.0))
    found = first(analysis)
    assert "requests do not queue" in found.impact.basis
    assert found.impact.p95_ms_high is not None
    assert found.impact.p95_ms_high <= (analysis.cpu_ms_per_request or 0)
