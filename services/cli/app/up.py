"""``tailwatch up``: the whole pipeline on one machine, in one terminal."""

from __future__ import annotations

import asyncio
import signal
from typing import Annotated

from rich.live import Live
from rich.table import Table
from typer import Exit, Option

from services.auth.settings import DemoFault
from services.cli.adapters.stack import Stack, running
from services.cli.adapters.supervisor import Child
from services.cli.adapters.terminal import err, out
from services.cli.settings import CliSettings
from tailwatch.runtime.process import EXIT_CLEAN, EXIT_CRASHED, EXIT_REFUSED
from tailwatch.runtime.settings import load

START_SECONDS = 60.0
COLOURS = {"ready": "green", "refused": "red", "restarting": "yellow"}


def up(*, fault: Annotated[DemoFault, Option(help="Plant this fault, to be found.")] = DemoFault.NONE) -> None:
    """Start everything here, in one terminal.

    An embedded Kafka broker and the four services; Ctrl-C ends it all.

    Example: tailwatch up
    """
    raise Exit(asyncio.run(_up(load(CliSettings), fault)))


async def _up(settings: CliSettings, fault: DemoFault) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stop.set)
    interactive = out.is_terminal
    live = Live(console=out, auto_refresh=False) if interactive else None

    def changed(child: Child, said: str) -> None:
        if child.state == "refused":
            return  # said once, at the end
        if live is None:
            out.print(said)
        elif child.state == "restarting":
            live.console.print(said)

    async with running(
        settings,
        changed=changed,
        stop=stop,
        overrides={"DEMO_FAULT": fault.value},
        auth_port=settings.port,
        reports_port=settings.reports_port,
    ) as stack:
        if live is None:
            status = await _watch(stack, stop)
        else:
            with live:
                status = await _watch(stack, stop, live)
    return status


async def _watch(stack: Stack, stop: asyncio.Event, live: Live | None = None) -> int:
    said, ready = False, asyncio.ensure_future(stack.supervisor.ready())
    while not stop.is_set():
        if live is not None:
            live.update(_table(stack), refresh=True)
        if ready.done() and not said:
            said = True
            for line in welcome(stack):
                (live.console if live else out).print(line)
        if stack.broker.poll() is not None:
            err.print("the embedded broker ended: its records are gone; start `tailwatch up` again")
            stop.set()
            return EXIT_CRASHED
        try:
            await asyncio.wait_for(stop.wait(), 0.25)
        except TimeoutError:
            continue
    ready.cancel()
    if stack.supervisor.refused is not None:
        err.print(stack.supervisor.refused)
        return EXIT_REFUSED
    return EXIT_CLEAN


def welcome(stack: Stack) -> list[str]:
    """Return what to say once everything is ready: the addresses, a command to paste, and what to do next."""
    return [
        "",
        f"auth     {stack.auth_url}/health",
        f"reports  {stack.reports_url}/",
        f"kafka    {stack.broker.bootstrap_servers}  (embedded: in memory, 5 MB kept per partition, gone at the end)",
        f"logs     {stack.log_dir}/",
        "",
        "Get a token:",
        f"  curl -s -X POST {stack.auth_url}/tokens -H 'X-Consumer-ID: demo' -H 'X-Consumer-Username: demo'",
        "",
        "Next, in another terminal here: tailwatch why | tailwatch events statuses --follow | tailwatch doctor",
        "Ctrl-C ends everything.",
        "",
    ]


def _table(stack: Stack) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for child in stack.supervisor.children.values():
        colour = COLOURS.get(child.state, "dim")
        restarts = f"restarted {child.restarts}x" if child.restarts else ""
        table.add_row(
            child.service.name,
            f"[{colour}]{child.state}[/]",
            f"pid {child.pid}" if child.pid else "",
            restarts,
            child.said[:70],
        )
    return table
