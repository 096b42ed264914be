"""What is measured beside the samples: each counter against something known."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path

import pytest

from tailwatch.contracts.context import AwaitSite, EndpointFrame
from tailwatch.probe.adapters import vitals
from tailwatch.probe.adapters.awaits import AwaitSites
from tailwatch.probe.adapters.forked_writer import ChildEnd, ForkedWriter
from tailwatch.probe.adapters.gc_pauses import GcPauses
from tailwatch.probe.adapters.loop_lag import LoopLag
from tailwatch.probe.adapters.vitals import read_vitals, use_between


def test_cpu_time_is_the_processes_and_the_main_threads() -> None:
    """0.1 s of work is at least 0.1 s of both."""
    start = read_vitals()
    until = time.thread_time() + 0.1
    while time.thread_time() < until:
        pass
    use = use_between(start, read_vitals(), peak_mb=0.0)
    assert use.main_thread_cpu_seconds >= 0.1
    assert use.cpu_user_seconds + use.cpu_system_seconds >= 0.09
    assert use.wall_seconds >= 0.1
    assert use.threads >= 1
    assert use.rss_peak_mb >= use.rss_start_mb > 1


def test_a_cgroup_of_version_2_says_how_long_it_was_held_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Microseconds become milliseconds, pressure becomes percent of the time."""
    group = tmp_path / "fs/box"
    group.mkdir(parents=True)
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/box\n")
    monkeypatch.setattr(vitals, "PROC", tmp_path)
    monkeypatch.setattr(vitals, "CGROUPS", tmp_path / "fs")
    (group / "cpu.stat").write_text("usage_usec 5\nthrottled_usec 1000\n")
    (group / "cpu.pressure").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=1000000\n")
    start = read_vitals()
    (group / "cpu.stat").write_text("usage_usec 5\nthrottled_usec 251000\n")
    (group / "cpu.pressure").write_text("full avg10=0.00 total=9\nsome avg10=0.00 total=1000000\n")
    use = use_between(start, read_vitals(), peak_mb=0.0)
    assert use.cgroup_throttled_ms == 250.0
    assert use.cpu_pressure_percent == 0.0
    assert use.threads == 0


def test_a_cgroup_of_version_1_counts_nanoseconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where nothing can be read, nothing is claimed."""
    monkeypatch.setattr(vitals, "PROC", tmp_path)
    monkeypatch.setattr(vitals, "CGROUPS", tmp_path / "fs")
    nothing = read_vitals()
    assert (nothing.throttled_ms, nothing.pressure_seconds) == (None, None)
    assert use_between(nothing, read_vitals(), peak_mb=0.0).cgroup_throttled_ms is None
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("4:cpu,cpuacct:/box\n")
    (tmp_path / "fs/cpu/box").mkdir(parents=True)
    (tmp_path / "fs/cpu/box/cpu.stat").write_text("throttled_time 7000000\n")
    assert read_vitals().throttled_ms == 7.0


async def test_a_blocked_loop_lags_by_as_long_as_it_was_blocked() -> None:
    """0.3 s of blocking shows; it is the sampler's only as far as the sampler held the thread."""
    held = 0.0
    lag = LoopLag(lambda: held)
    assert lag.held_ms(5) == 0.0
    task = asyncio.ensure_future(lag.run())
    began = time.perf_counter()
    try:
        await asyncio.sleep(0)
        time.sleep(0.4)  # noqa: ASYNC251 - what is to be measured
        await asyncio.sleep(0.15)
        assert lag.held_ms(5) == 0.0, "nobody says that it was the sampler"
        time.sleep(0.4)  # noqa: ASYNC251 - what is to be measured
        held = 0.4
        await asyncio.sleep(0.15)
    finally:
        task.cancel()
    seen = lag.between(began, time.perf_counter())
    assert 290 <= seen.max_ms < 2_000
    assert lag.held_ms(5) > 50
    assert lag.held_ms(1e-9) == 0.0


def test_garbage_collections_are_counted_by_generation_while_counting() -> None:
    """Two full ones and a young one; afterwards none."""
    pauses = GcPauses()
    gc.disable()
    try:
        pauses.start()
        gc.collect()
        gc.collect(2)
        gc.collect(0)
        use = pauses.stop()
        gc.collect()
    finally:
        gc.enable()
    assert use.pauses.count == 3
    assert use.pauses.total_ms > 0
    assert use.by_generation == (1, 0, 2)
    assert pauses.stop() == use


def test_a_pause_that_began_before_counting_is_not_counted() -> None:
    """Its length is unknown."""
    pauses = GcPauses()
    pauses._note("stop", {"generation": 0})
    assert pauses.stop().pauses.count == 0


async def waiting(event: asyncio.Event) -> None:
    """Stand for an endpoint's helper that waits."""
    await event.wait()


async def test_a_task_is_found_where_the_application_waits() -> None:
    """Not in the standard library's Event.wait; with its request's target."""
    event = asyncio.Event()
    task = asyncio.ensure_future(waiting(event))
    sites = AwaitSites(lambda found: "POST /tokens" if found is task else None)
    sites.start(())
    await asyncio.sleep(0)
    sites.walk()
    sites.walk()
    event.set()
    await task
    line = waiting.__code__.co_firstlineno + 2
    mine = [site for site in sites.sites() if site.target is not None]
    assert mine == [AwaitSite(file=__file__, function="waiting", line=line, target="POST /tokens", tasks=2)]
    assert sites.walks == 2
    assert sites.cost_seconds > 0


async def test_the_probes_own_tasks_are_left_out() -> None:
    """They wait by design."""
    lag = LoopLag(lambda: 0.0)
    task = asyncio.ensure_future(lag.run())
    sites = AwaitSites(lambda _: None)
    sites.start(())
    await asyncio.sleep(0)
    sites.walk()
    task.cancel()
    assert not [site for site in sites.sites() if "loop_lag" in site.file]


def test_an_installed_package_with_an_endpoint_counts_as_the_application() -> None:
    """A service that is itself installed must not be taken for a library."""
    sites = AwaitSites(lambda _: None)
    root = "/venv/lib/python3.11/site-packages/services/auth/app.py"
    assert sites._standing(root) == 1
    sites.start([EndpointFrame(file=root, function="f", line=1, target="GET /")])
    assert sites._standing("/venv/lib/python3.11/site-packages/services/auth/adapters/kong.py") == 2
    assert sites._standing("/venv/lib/python3.11/site-packages/httpx/_client.py") == 1
    assert sites._standing(asyncio.__file__) == 0
    assert sites._standing("/srv/app.py") == 2


def ended(child: ForkedWriter) -> ChildEnd:
    """Wait, at most 10 s, for a child's end."""
    deadline = time.monotonic() + 10
    while (end := child.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return end


def test_a_child_writes_and_says_what_it_cost(tmp_path: Path) -> None:
    """At nice 19, without a descriptor of the parent's."""
    own = (tmp_path / "parents").open("w")

    def work() -> None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            own.write("x" * 100_000)
        (tmp_path / "done").write_text("yes")

    with own:
        end = ended(ForkedWriter(work, deadline_seconds=10))
    assert end.ok
    assert end.cpu_seconds >= 0
    assert (tmp_path / "done").read_text() == "yes"


def test_a_child_that_fails_or_takes_too_long_is_known_to_have_failed() -> None:
    """Nothing of it reaches the parent but its status."""
    assert not ended(ForkedWriter(lambda: 1 // 0, deadline_seconds=10)).ok  # type: ignore[arg-type]
    end = ended(ForkedWriter(lambda: time.sleep(60), deadline_seconds=0.05))
    assert (end.ok, end.detail) == (False, "took too long")


def test_a_child_reaped_by_somebody_else_counts_as_failed() -> None:
    """Its status is lost."""
    child = ForkedWriter(lambda: time.sleep(60), deadline_seconds=10)
    child.kill()
    ended(child)
    end = child.poll()
    assert end is not None
    assert not end.ok
    child.kill()
