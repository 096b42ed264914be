"""What suspended tasks wait for: a walk over all tasks, where a sampler of running code is blind."""

from __future__ import annotations

import asyncio
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from types import AsyncGeneratorType, CoroutineType, FrameType, GeneratorType
from typing import Any

from tailwatch.contracts.context import AwaitSite, EndpointFrame

MOST_TASKS = 500
"""Looked at in one walk."""
MOST_SITES = 500
MOST_DEPTH = 200
OTHERS = ("(other places)", "", 0, None)

_PROBE = str(Path(__file__).parent.parent)
_STANDARD = tuple({sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")})
_PACKAGES = ("site-packages", "dist-packages")

Site = tuple[str, str, int, str | None]


class AwaitSites:
    """Counts, per walk, where each task of the running loop is suspended.

    The place is the innermost frame of the application; without one, the innermost frame outside the standard
    library; without that, the innermost. So "waiting in KongAdmin.credential" rather than in a socket's read. Tasks of
    the server itself (its accept loop, idle connections) are reported like all others, without a target; the probe's
    own are left out.
    """

    def __init__(self, target_of: Callable[[asyncio.Task[Any]], str | None]) -> None:
        """``target_of`` says whose request runs in a task."""
        self._target_of = target_of
        self._sites: Counter[Site] = Counter()
        self._roots: tuple[str, ...] = ()
        self.walks = 0
        self.cost_seconds = 0.0

    def start(self, endpoints: Iterable[EndpointFrame]) -> None:
        """Begin from nothing; installed packages that hold an endpoint count as the application."""
        self._sites.clear()
        self._roots = tuple({root for endpoint in endpoints if (root := _package(endpoint.file)) is not None})
        self.walks, self.cost_seconds = 0, 0.0

    def walk(self) -> None:
        """Look at up to 500 tasks once, on the loop's own thread."""
        began = time.thread_time()
        for task in islice(asyncio.all_tasks(), MOST_TASKS):
            found = self._site(task)
            if found is not None:
                self._sites[found if found in self._sites or len(self._sites) < MOST_SITES else OTHERS] += 1
        self.walks += 1
        self.cost_seconds += time.thread_time() - began

    def sites(self) -> tuple[AwaitSite, ...]:
        """Return the places, the most crowded first."""
        return tuple(
            AwaitSite(file=file, function=function, line=line, target=target, tasks=tasks)
            for (file, function, line, target), tasks in self._sites.most_common()
        )

    def _site(self, task: asyncio.Task[Any]) -> Site | None:
        if task is asyncio.current_task():
            return None
        frames = list(islice(_suspended(task.get_coro()), MOST_DEPTH))
        if not frames or frames[0].f_code.co_filename.startswith(_PROBE):
            return None
        chosen = frames[-1]
        rank = -1
        for frame in frames:
            standing = self._standing(frame.f_code.co_filename)
            if standing >= rank:
                chosen, rank = frame, standing
        code = chosen.f_code
        return code.co_filename, code.co_qualname, chosen.f_lineno or 0, self._target_of(task)

    def _standing(self, file: str) -> int:
        """Return 2 for the application, 1 for an installed package, 0 for the standard library and the probe."""
        if file.startswith(_PROBE):
            return 0
        if file.startswith(self._roots):
            return 2
        if any(folder in file for folder in _PACKAGES):
            return 1
        return 0 if file.startswith(("<", *_STANDARD)) else 2


def _suspended(awaited: object) -> Iterator[FrameType]:
    """Yield the frames of a suspended coroutine, outermost first, down the chain of what each awaits."""
    while awaited is not None:
        if isinstance(awaited, CoroutineType):
            frame, awaited = awaited.cr_frame, awaited.cr_await
        elif isinstance(awaited, GeneratorType):
            frame, awaited = awaited.gi_frame, awaited.gi_yieldfrom
        elif isinstance(awaited, AsyncGeneratorType):
            frame, awaited = awaited.ag_frame, awaited.ag_await
        else:
            return
        if frame is None:
            return
        yield frame


def _package(file: str) -> str | None:
    """Return the folder of an installed file's top-level package, with its separator; None when it is not installed."""
    for folder in _PACKAGES:
        before, found, inside = file.rpartition(f"/{folder}/")
        if found:
            return f"{before}{found}{inside.split('/')[0]}{'/' if '/' in inside else ''}"
    return None
