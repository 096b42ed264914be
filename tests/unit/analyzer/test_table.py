"""The table: one row per stack, idle and waiting kept apart from work, time that adds up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analyzer.core.costs import Served, budget_status, operation_costs, per_request, served
from services.analyzer.core.hotspots import hot_functions, owners
from services.analyzer.core.operations import operation_map
from services.analyzer.core.samples import Samples, parse_samples
from services.analyzer.core.stacks import StackState
from services.analyzer.core.table import CaptureTable, cpu_seconds, table_of
from tailwatch.contracts.analyses import BudgetStatus, ShareInterval
from tailwatch.contracts.context import CaptureContext, EndpointFrame
from tailwatch.contracts.policy import Operation
from tests.support.captures import (
    APP,
    DERIVE,
    ENCODE,
    HEALTH,
    HEALTHY,
    IDLE,
    LOOP,
    PARSE,
    PROFILES,
    ROUTE,
    SIGN,
    SITE,
    STANDARD,
    TOKENS,
    context,
    latency,
    process,
    samples,
    slow_signer,
    use,
)
from tests.support.examples import SESSION, TARGET

OPERATIONS = {
    "jwt_signing": Operation(title="JWT signing", files=("core/tokens.py",), cpu_budget_percent=40),
    "json": Operation(title="JSON", files=("stdlib:json/*",), cpu_budget_percent=8),
    "http": Operation(title="HTTP", files=("h11:*", "starlette:*", "hypercorn:*"), framework=True),
}
THREAD = (f"{STANDARD}/threading.py Thread._bootstrap:1002;", f"{STANDARD}/threading.py Thread.run:982;")
LOCKED = (*TOKENS, f"{STANDARD}/threading.py Condition.wait:327;")


def table(found: Samples, about: CaptureContext | None = None) -> CaptureTable:
    """Return the table of samples by the test's map."""
    return table_of(found, about or context(), operation_map(OPERATIONS))


def share(point: float, low: float, samples_: int = 1000) -> ShareInterval:
    """Return an interval."""
    return ShareInterval(share=point, low=low, high=1.0, samples=samples_)


def test_work_is_told_from_idling_waiting_and_parked_threads() -> None:
    """The loop's selector, a lock, and other threads that wait for work are no CPU time."""
    worker = (*THREAD, f"{STANDARD}/concurrent/futures/thread.py _worker:81;")
    busy_thread = (*THREAD, f"{APP}/core/report.py build:4;")
    selector_in_a_call = (
        *TOKENS,
        f"{STANDARD}/subprocess.py run:1;",
        f"{STANDARD}/selectors.py PollSelector.select:2;",
    )
    stacks = (IDLE, LOCKED, worker, THREAD, (*THREAD, f"{STANDARD}/queue.py Queue.get:9;"), busy_thread, SIGN)
    found = table(samples(*((stack, 10) for stack in stacks), (selector_in_a_call, 10)))
    assert list(found.rows["state"]) == ["idle", "lock", "parked", "parked", "parked", "cpu", "cpu", "cpu"]
    assert found.on_cpu_samples == 30
    assert found.weight_in(StackState.IDLE) == pytest.approx(1 / 5)


def test_the_cpu_time_is_shared_out_whole() -> None:
    """On-CPU milliseconds add up to the thread's CPU time less the sampler's own; idle rows have none."""
    found = table(slow_signer())
    assert found.cpu_ms == pytest.approx(23_550.0)
    assert float(found.rows["self_ms"].sum()) == pytest.approx(23_550.0)
    assert float(found.rows.loc[found.rows["state"] == "idle", "self_ms"].sum()) == 0.0


@given(st.floats(0, 1))
def test_python_and_native_time_add_up(native: float) -> None:
    """However a sample is split, its parts are the whole."""
    rows = table(samples((SIGN, 5), (ENCODE, 7), native=native)).rows
    assert float((rows["python_ms"] + rows["native_ms"] - rows["self_ms"]).abs().max()) < 1e-6
    assert float(rows["native_ms"].sum()) == pytest.approx(native * 23_550.0)


def test_the_sampler_never_takes_all_of_the_time() -> None:
    """Of a process that used hardly more than its sampler a tenth is left; with no thread clock, the process counts."""
    assert cpu_seconds(context(process=process(cpu=0.46))) == pytest.approx(0.046)
    assert cpu_seconds(context(process=process(cpu=0.0, cpu_user_seconds=2.0))) == pytest.approx(2.15)


def test_every_sample_belongs_to_the_target_of_its_endpoint() -> None:
    """What runs below an endpoint is its target's; the server's own work is shared."""
    rows = table(samples((DERIVE, 1), (HEALTHY, 1), (PARSE, 1), (ROUTE, 1))).rows
    assert [None if value != value else value for value in rows["target"]] == [TARGET, HEALTH, None, None]  # noqa: PLR0124


def test_an_endpoint_of_two_targets_is_shared_work() -> None:
    """A function that serves two targets does not say whose request it was."""
    both = tuple(
        EndpointFrame(file=f"{APP}/app.py", function="issue_token", line=1, target=t) for t in (TARGET, HEALTH)
    )
    assert table(samples((DERIVE, 1)), context(endpoints=both)).rows["target"].isna().all()


def test_an_endpoint_is_known_by_its_unqualified_name_too() -> None:
    """A probe that notes a method's bare name still finds it."""
    method = EndpointFrame(file=f"{APP}/app.py", function="post", line=1, target=TARGET)
    stack = (*LOOP, f"{APP}/app.py Tokens.post:9;")
    assert list(table(samples((stack, 1)), context(endpoints=(method,))).rows["target"]) == [TARGET]


def test_empty_captures_have_empty_tables() -> None:
    """Nothing sampled: no rows, no time, no functions, no costs but the budgets'."""
    empty = Samples(
        stacks=(
            (
                ("/a.py f:1;",),
                samples((SIGN, 1)).stacks[0][1].__class__(count=1, python_time=0, c_time=0, cpu_samples=0),
            ),
        )
    )
    for found in (table(Samples()), table(empty)):
        assert found.on_cpu_samples == 0
        assert found.weight_in(StackState.CPU) == 0.0
        assert hot_functions(found, Served({}), TARGET) == ()
        costs = operation_costs(found, Served({}), TARGET, OPERATIONS)
        assert [(cost.operation, cost.status, cost.top_function) for cost in costs] == [
            ("json", BudgetStatus.UNKNOWN, None),
            ("jwt_signing", BudgetStatus.UNKNOWN, None),
        ]


def test_the_planted_function_is_first() -> None:
    """A function that burns CPU below the signer leads, by its own time, under the operation that it slows down."""
    first = hot_functions(table(slow_signer()), served(context()), TARGET)[0]
    assert (first.file, first.module, first.function, first.line) == (
        "services/auth/adapters/keys.py",
        "services.auth.adapters.keys",
        "derive",
        31,
    )
    assert (first.operation, first.target, first.self_share.samples) == ("jwt_signing", TARGET, 1200)
    assert first.self_share.share == pytest.approx(0.75)
    assert first.self_ms_per_request == pytest.approx(0.75 * 23_550 / 600)


def test_total_time_counts_a_recursive_function_once() -> None:
    """A function that calls itself does not take more than all of the time."""
    recursive = (*TOKENS, *(f"{APP}/core/walk.py walk:{line};" for line in (3, 5, 5)))
    first = hot_functions(table(samples((recursive, 10), (SIGN, 30))), served(context()), TARGET)
    walk = next(found for found in first if found.function == "walk")
    assert walk.total_share == pytest.approx(0.25)
    assert walk.line == 5


def test_other_targets_functions_come_last() -> None:
    """Busy health checks are never blamed for slow tokens, however hot they are."""
    found = table(samples((HEALTHY, 900), (DERIVE, 10), (PARSE, 50)))
    assert [hot.function for hot in hot_functions(found, served(context()), TARGET)] == ["next_event", "derive", "walk"]
    assert next(iter(hot_functions(found, served(context()), None))).function == "walk"


def test_one_function_is_listed_for_each_target_it_works_for() -> None:
    """A function of two targets has two rows, each with that target's requests."""
    shared = f"{APP}/core/text.py clean:1;"
    health = (*HEALTHY[:-1], shared)
    found = hot_functions(table(samples(((*TOKENS, shared), 60), (health, 30))), served(context()), TARGET)
    assert [(hot.function, hot.target) for hot in found] == [("clean", TARGET), ("clean", HEALTH)]
    assert found[0].self_ms_per_request == pytest.approx(found[0].self_ms / 600, abs=1e-5)
    assert found[1].self_ms_per_request == pytest.approx(found[1].self_ms / 30, abs=1e-5)


def test_library_time_is_owned_by_the_application_that_caused_it() -> None:
    """JSON encoding names the encoder as hottest, and the application's caller as who to look at."""
    found = table(samples((ENCODE, 40), ((*TOKENS, f"{STANDARD}/json/decoder.py JSONDecoder.raw_decode:3;"), 10)))
    part = found.on_cpu[found.on_cpu["operation"] == "json"]
    assert [(owner.file, owner.function, round(owner.share, 9)) for owner in owners(part, found)] == [
        ("services/auth/adapters/lines.py", "written", 0.8),
        ("services/auth/app.py", "issue_token", 0.2),
    ]


def test_a_requests_cost_is_its_own_work_and_its_part_of_the_shared() -> None:
    """600 token requests and 30 health checks: own work over own requests, shared work over all."""
    found = table(samples((DERIVE, 60), (HEALTHY, 20), (PARSE, 20)))
    requests = served(context())
    expected = 0.6 * 23_550 / 600 + 0.2 * 23_550 / 630
    assert per_request(found.on_cpu, requests, TARGET) == pytest.approx(expected)
    assert per_request(found.on_cpu, requests, None) == pytest.approx(23_550 / 630)
    assert per_request(found.on_cpu, requests, "GET /nothing") is None
    assert requests.of(None) == 630


def test_requests_reported_twice_for_a_target_are_added() -> None:
    """A target that is split over several entries is one target."""
    twice = (use(TARGET, latency(3, p50=1, p95=2)), use(TARGET, latency(4, p50=1, p95=2)))
    assert served(context(requests=twice)).of(TARGET) == 7


def test_operations_are_costed_against_their_budgets() -> None:
    """Dearest first; every operation with a budget is there; the shares are those of the CPU time."""
    costs = operation_costs(table(slow_signer()), served(context()), TARGET, OPERATIONS)
    assert [(cost.operation, cost.status) for cost in costs] == [
        ("jwt_signing", BudgetStatus.EXCEEDED),
        ("http", BudgetStatus.NONE),
        ("application", BudgetStatus.NONE),
        ("json", BudgetStatus.MET),
    ]
    assert sum(cost.share.share for cost in costs) == pytest.approx(1.0, abs=1e-5)
    assert costs[0].top_function == "services/auth/adapters/keys.py: derive"


@pytest.mark.parametrize(
    ("found", "budget", "status"),
    [
        (share(0.5, 0.45), 0.4, BudgetStatus.EXCEEDED),
        (share(0.42, 0.39), 0.4, BudgetStatus.AT_RISK),
        (share(0.4, 0.38), 0.4, BudgetStatus.MET),
        (share(0.9, 0.8, 199), 0.4, BudgetStatus.UNKNOWN),
        (share(0.9, 0.8, 200), 0.4, BudgetStatus.EXCEEDED),
        (share(0.9, 0.8), None, BudgetStatus.NONE),
    ],
)
def test_a_budget_is_exceeded_only_when_the_whole_interval_is_above(
    found: ShareInterval, budget: float | None, status: BudgetStatus
) -> None:
    """Exceeded, at risk, met, unknown under 200 samples, none."""
    assert budget_status(found, budget) is status


def test_a_recorded_profile_becomes_a_table() -> None:
    """Real Scalene output of `shop.py`: pricing leads, JSON follows, the sampler's parked threads are left out."""
    recorded = parse_samples((PROFILES / "shop.json").read_bytes(), session_id=SESSION)
    checkout = EndpointFrame(file="/srv/shop/shop.py", function="checkout", line=21, target="POST /checkout")
    about = context(target="POST /checkout", endpoints=(checkout,), process=process(wall=6.0, cpu=3.0))
    found = table(recorded, about)
    functions = hot_functions(found, served(about), about.target)
    assert [hot.function for hot in functions[:2]] == ["price", "JSONEncoder.iterencode"]
    assert functions[0].target == "POST /checkout"
    assert functions[0].self_share.share > 0.7
    assert found.weight_in(StackState.IDLE) > 0.4
    assert "stdlib:threading.py" not in {hot.file for hot in functions}


def test_site_packages_do_not_own_work() -> None:
    """Work below no application code at all has no owner."""
    found = table(samples(((f"{SITE}/h11/a.py f:1;",), 5)))
    assert owners(found.on_cpu, found) == ()
