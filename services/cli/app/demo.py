"""``tailwatch demo``: a planted fault goes in, a report that names its cause comes out."""

from __future__ import annotations

import asyncio
import json as jsonlib
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from typer import Exit, Option

from services.auth.adapters.variants import EVERY, PLANTED
from services.auth.settings import DemoFault
from services.cli.adapters.load import Load
from services.cli.adapters.stack import Stack, free_port, running
from services.cli.adapters.supervisor import Child
from services.cli.adapters.terminal import err, out
from services.cli.adapters.topics import records
from services.cli.core.loop import Loop, delay, result
from services.cli.core.sentences import sentence
from services.cli.settings import CliSettings
from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.event import Event
from tailwatch.contracts.recommendations import Recommendation
from tailwatch.contracts.statuses import SlaStatus
from tailwatch.contracts.topics import ANALYSES, CAPTURES, RECOMMENDATIONS, REJECTS, STATUSES, TRIGGERS
from tailwatch.contracts.triggers import ProfilingTrigger
from tailwatch.runtime.artifacts import ArtifactStore
from tailwatch.runtime.process import EXIT_CLEAN, EXIT_CRASHED, EXIT_REFUSED
from tailwatch.runtime.pump import Delivery
from tailwatch.runtime.settings import load

TARGET = "POST /tokens"
START_SECONDS = 60.0
WATCHED = (STATUSES, TRIGGERS, CAPTURES, ANALYSES, RECOMMENDATIONS, REJECTS)
HOPELESS = 40
"""So many requests with no answer 200 among them: going on shows nothing."""
QUIET_SECONDS = 20.0
"""How long a run without a fault goes on after the healthy part."""


@dataclass(kw_only=True)
class Run:
    """One demo as it goes."""

    fault: DemoFault
    rate: float
    healthy: int
    """Requests before the fault begins."""
    timeout: float
    loop: Loop = field(default_factory=lambda: Loop(service="auth", target=TARGET))
    report: str | None = None
    serving_pid: int | None = None
    load: Load | None = None

    @property
    def onset(self) -> float | None:
        """When the first affected request was sent."""
        first = (self.healthy // EVERY + 1) * EVERY
        sent = self.load.sent_at if self.load else []
        return sent[first - 1] if self.fault is not DemoFault.NONE and len(sent) >= first else None


def demo(
    *,
    fault: Annotated[DemoFault, Option(help="What to plant.")] = DemoFault.SLOW_SIGNER,
    rate: Annotated[float, Option(min=5, max=200, help="Requests per second.")] = 20.0,
    healthy_seconds: Annotated[float, Option(min=6, max=120, help="Healthy load before the fault, seconds.")] = 8.0,
    capture_seconds: Annotated[int, Option(min=5, max=300, help="Length of the capture, seconds.")] = 20,
    timeout: Annotated[float, Option(min=20, max=900, help="Give up after so many seconds of load.")] = 90.0,
    json: Annotated[bool, Option("--json", help="Print one JSON object at the end; all else goes to stderr.")] = False,
) -> None:
    """Close the whole loop here, once.

    Load, a planted fault, the SLA breach, a capture in the slow process, a report that names the cause.

    Exit status 0 when the loop closed (with --fault none: when nothing was captured), 1 with the reason otherwise.

    Example: tailwatch demo --fault json-bloat --json
    """
    run = Run(fault=fault, rate=rate, healthy=round(rate * healthy_seconds), timeout=timeout)
    raise Exit(asyncio.run(_demo(load(CliSettings), run, capture_seconds=capture_seconds, as_json=json)))


async def _demo(settings: CliSettings, run: Run, *, capture_seconds: int, as_json: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    auth_port, reports_port = free_port(settings.port, settings.host), free_port(settings.reports_port)
    overrides = {
        "DEMO_FAULT": run.fault.value,
        "DEMO_FAULT_AFTER_REQUESTS": str(run.healthy),
        "CONTINUOUS_PROFILING_DURATION_SECONDS": str(capture_seconds),
    }
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        bar = progress.add_task("starting", total=None)

        def changed(child: Child, said: str) -> None:
            if child.state in {"ready", "restarting"}:
                progress.console.print(said)

        async with running(
            settings, changed=changed, stop=stop, overrides=overrides, auth_port=auth_port, reports_port=reports_port
        ) as stack:
            interrupted = await _until(stack.supervisor.ready(), stop, START_SECONDS)
            if stack.supervisor.refused is not None:
                err.print(stack.supervisor.refused, markup=False)
                return EXIT_REFUSED
            if interrupted is not None:
                err.print(f"not every service became ready: {interrupted}; see {stack.log_dir}/")
                return EXIT_CRASHED
            run.serving_pid = stack.pid("auth")
            closed_to_kafka = settings.model_copy(
                update={"kafka_bootstrap_servers": stack.broker.bootstrap_servers, "kafka_embedded": True}
            )
            await _load_and_watch(closed_to_kafka, run, stack, stop, progress, bar)
            stopped = stop.is_set() and not run.loop.closed
    return _say(run, as_json=as_json, interrupted=stopped)


async def _until(work: Any, stop: asyncio.Event, seconds: float) -> str | None:
    """Return None when ``work`` was done in time, else what came first."""
    task, stopped = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    await asyncio.wait({task, stopped}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for waiting in (task, stopped):
        waiting.cancel()
    if task.done() and not task.cancelled():
        return None
    return "stopped" if stop.is_set() else f"{seconds:g} s passed"


async def _load_and_watch(
    settings: CliSettings, run: Run, stack: Stack, stop: asyncio.Event, progress: Progress, bar: Any
) -> None:
    run.load = Load(stack.auth_url, run.rate)
    enough = asyncio.Event()
    loading = asyncio.create_task(run.load.run(enough))
    watching = asyncio.create_task(_watch(settings, run, progress))
    deadline = time.monotonic() + run.timeout
    try:
        while not (run.loop.closed or stop.is_set() or time.monotonic() > deadline):
            _show_progress(run, progress, bar)
            if run.fault is DemoFault.NONE and len(run.load.sent_at) >= run.healthy + QUIET_SECONDS * run.rate:
                break
            if watching.done():
                watching.result()
            if run.load.outcomes.total() >= HOPELESS and not run.load.outcomes["200"]:
                run.loop.obstacle = f"no request is answered: {dict(run.load.outcomes)}"
                break
            await asyncio.sleep(0.1)
            await _find_report(settings, run)
    finally:
        enough.set()
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await loading


def _show_progress(run: Run, progress: Progress, bar: Any) -> None:
    sent = len(run.load.sent_at) if run.load else 0
    if sent < run.healthy:
        progress.update(bar, description="healthy load", total=run.healthy, completed=sent)
    elif run.loop.trigger is None:
        quiet = run.fault is DemoFault.NONE
        description = "no fault planted" if quiet else f"fault planted: {run.fault.value}; waiting for the breach"
        total = QUIET_SECONDS * run.rate if quiet else None
        progress.update(bar, description=description, total=total, completed=sent - run.healthy)
    elif run.loop.started is not None and run.loop.completed is None:
        done = time.time() - run.loop.started.at
        progress.update(bar, description="capturing", total=run.loop.started.duration_seconds, completed=done)
    else:
        progress.update(bar, description="analysing", total=None)


async def _watch(settings: CliSettings, run: Run, progress: Progress) -> None:
    last_verdict = ""
    async for record in records(settings, WATCHED, follow=True):
        if not isinstance(record, Delivery):
            progress.console.print(str(record.error), markup=False)
            continue
        event = record.event
        run.loop.observe(event)
        if isinstance(event, SlaStatus):
            verdict = f"{event.state}{event.reason}"
            if event.target != TARGET or verdict == last_verdict:
                continue
            last_verdict = verdict
        took = _took(run.loop, event, record.received_at)
        since = delay(run.onset, record.received_at)
        after = f"{since:+8.3f} s" if since is not None else " " * 10
        noun = record.topic.split(".")[1]
        progress.console.print(f"{after}  {noun:<15} {sentence(event)}{took}", markup=False)


def _took(loop: Loop, event: Event, at: float) -> str:
    """Return how long this step took, which was seen on Kafka at ``at``, after the one before it."""
    step: float | None = None
    before = "the capture's end"
    if isinstance(event, ProfilingTrigger):
        step, before = delay(event.condition_since, event.at), "the condition was true"
    elif event is loop.started and loop.trigger is not None:
        step, before = delay(loop.trigger.at, event.at), "the trigger"
    elif isinstance(event, (ProfileAnalysis, Recommendation)) and loop.completed is not None:
        step = delay(loop.completed.ended_at, at)
    return f"  [{step:.3f} s after {before}]" if step is not None else ""


async def _find_report(settings: CliSettings, run: Run) -> None:
    session = run.loop.started.session_id if run.loop.started else None
    if run.loop.analysis is None or session is None or run.report is not None:
        return
    store = ArtifactStore(settings.artifact_store_url)
    written = [artifact for artifact in await store.names("auto") if session in artifact.name]
    pages = [artifact for artifact in written if artifact.name.endswith(".html")]
    texts = [artifact for artifact in written if artifact.name.endswith(".md")]
    if pages and texts:
        run.report = store.path(texts[0].name)
        run.loop.reported_at = max(artifact.modified_at for artifact in (*pages, *texts))


def _say(run: Run, *, as_json: bool, interrupted: bool) -> int:
    sent = run.load
    summary = result(
        run.loop,
        fault=run.fault.value,
        planted=PLANTED.get(run.fault.value),
        onset=run.onset,
        serving_pid=run.serving_pid,
        requests=sent.outcomes.total() if sent else 0,
        failed=sent.failed if sent else 0,
        report=run.report,
    )
    if as_json:
        out.file.write(jsonlib.dumps(summary) + "\n")
        out.file.flush()
    if run.fault is DemoFault.NONE:
        return _say_quiet(run, interrupted=interrupted, as_json=as_json)
    if not run.loop.closed:
        err.print(f"the loop did not close: {'stopped' if interrupted else run.loop.missing()}", markup=False)
        return EXIT_CRASHED
    if not as_json:
        _say_summary(summary)
    return EXIT_CLEAN


def _say_quiet(run: Run, *, interrupted: bool, as_json: bool) -> int:
    if interrupted or run.loop.status is None:
        err.print("stopped" if interrupted else f"no verdict: {run.loop.missing()}", markup=False)
        return EXIT_CRASHED
    if run.loop.trigger is not None:
        err.print("a breach although no fault was planted: " + sentence(run.loop.trigger), markup=False)
        return EXIT_CRASHED
    (err if as_json else out).print(f"no breach, no capture: {run.loop.status.explanation}", markup=False)
    return EXIT_CLEAN


def _say_summary(summary: dict[str, Any]) -> None:
    found = f"{summary['verdict']}, top function {summary['topFunction']}, top operation {summary['topOperation']}"
    steps = {
        "onset to trigger": summary["onsetToTriggerSeconds"],
        "condition true to trigger": summary["breachToTriggerSeconds"],
        "trigger to start": summary["triggerToStartSeconds"],
        "capture": summary["captureSeconds"],
        "end of capture to report": summary["captureToReportSeconds"],
    }
    lines = [
        "",
        f"The loop is closed. Planted: {summary['fault']} ({summary['plantedFunction']}). Found: {found}.",
        f"Captured pid {summary['pid']}; the slow requests were served by pid {summary['servingPid']}.",
        f"{summary['requests']} requests, {summary['failedRequests']} failed.",
        "; ".join(f"{step} {seconds} s" for step, seconds in steps.items()),
        *(f"{found['severity'].upper()}: {found['title']}: {found['issue']}" for found in summary["recommendations"]),
        f"Report: {summary['report']}",
    ]
    for line in lines:
        out.print(line, markup=False)
