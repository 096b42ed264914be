"""Child processes: started, watched, restarted when they die, and ended together."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tailwatch.runtime.logs import logger
from tailwatch.runtime.process import EXIT_REFUSED

log = logger(__name__)

State = Literal["waiting", "starting", "ready", "restarting", "refused", "ended"]

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 10.0
LONGEST_LINE = 1 << 20
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True, kw_only=True)
class Service:
    """What is to run: ``python -m <module>`` with an environment."""

    name: str
    module: str
    environment: Mapping[str, str]
    ready: Callable[[Mapping[str, Any]], bool]
    """Whether a log line says that the service is ready."""


@dataclass
class Child:
    """One service as it runs now."""

    service: Service
    state: State = "waiting"
    pid: int | None = None
    restarts: int = 0
    said: str = ""
    """Its newest log line, shortened."""
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)


def _end_with_parent() -> None:
    os.setsid()
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Runs services until told to stop; restarts what died and says so."""

    def __init__(
        self, services: Sequence[Service], *, log_dir: Path, changed: Callable[[Child, str], None], grace_seconds: float
    ) -> None:
        """Tell ``changed`` of every change of a child, with a sentence about it."""
        self.children = {service.name: Child(service) for service in services}
        self._log_dir, self._changed, self._grace_seconds = log_dir, changed, grace_seconds
        self.refused: str | None = None
        """The line of a service that refused a setting: nothing can run like this."""

    async def run(self, stop: asyncio.Event) -> None:
        """Run every service until ``stop``; then end them all, within the grace and a second."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        async with asyncio.TaskGroup() as group:
            for child in self.children.values():
                group.create_task(self._keep(child, stop))

    async def ready(self) -> None:
        """Return once every service has said that it is ready."""
        for child in self.children.values():
            await child.is_ready.wait()

    async def _keep(self, child: Child, stop: asyncio.Event) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not stop.is_set():
            began = asyncio.get_running_loop().time()
            status = await self._live(child, stop)
            if stop.is_set():
                break
            child.is_ready.clear()
            if status == EXIT_REFUSED:
                child.state, self.refused = "refused", child.said
                self._changed(child, child.said)
                stop.set()
                return
            child.state, child.restarts = "restarting", child.restarts + 1
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit status {status}"
            self._changed(child, f"{child.service.name} {how}; restarting")
            lived = asyncio.get_running_loop().time() - began
            pause = FIRST_PAUSE_SECONDS if lived > LONGEST_PAUSE_SECONDS else min(pause * 2, LONGEST_PAUSE_SECONDS)
            await _first(stop.wait(), asyncio.sleep(pause))
        child.state, child.pid = "ended", None
        self._changed(child, f"{child.service.name} ended")

    async def _live(self, child: Child, stop: asyncio.Event) -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            child.service.module,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **child.service.environment},
            limit=LONGEST_LINE,
            preexec_fn=_end_with_parent,
        )
        child.state, child.pid = "starting", process.pid
        self._changed(child, f"{child.service.name} starting, pid {process.pid}")
        reading = asyncio.create_task(self._read(child, process))
        ended = asyncio.create_task(process.wait())
        await _first(stop.wait(), ended)
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(asyncio.shield(ended), self._grace_seconds + 0.5)
            except TimeoutError:
                process.kill()
        status = await ended
        await reading
        return status

    async def _read(self, child: Child, process: asyncio.subprocess.Process) -> None:
        if process.stderr is None:
            return
        with (self._log_dir / f"{child.service.name}.log").open("ab") as file:
            while True:
                try:
                    line = await process.stderr.readline()
                except ValueError:  # a line longer than LONGEST_LINE: its end comes with the next one
                    continue
                if not line:
                    return
                file.write(line)
                file.flush()
                self._heard(child, line)

    def _heard(self, child: Child, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            child.said = line.decode(errors="replace").strip()[:500] or child.said
            return
        if not isinstance(said, dict):
            return
        child.said = str(said.get("event", ""))[:500]
        if child.state == "starting" and child.service.ready(said):
            child.state = "ready"
            child.is_ready.set()
            self._changed(child, f"{child.service.name} ready, pid {child.pid}")


async def _first(*waits: Any) -> None:
    """Return when the first of some awaitables is done; the others are cancelled, but for tasks."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, wait in zip(tasks, waits, strict=True):
        if task is not wait:
            task.cancel()
