"""Stacks: what the sampled thread was doing in each, work or wait, and for whom."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum

from services.analyzer.core.frames import Frame
from tailwatch.contracts.context import EndpointFrame
from tailwatch.contracts.units import Target

TargetOf = Callable[[Sequence[Frame]], Target | None]

_WAITING_FILES = frozenset({"stdlib:threading.py", "stdlib:queue.py", "stdlib:concurrent/futures/_base.py"})
_WORKER_FILES = frozenset({"stdlib:concurrent/futures/thread.py", "stdlib:selectors.py", "stdlib:socketserver.py"})
_WAITING = frozenset(
    {"wait", "wait_for", "acquire", "join", "get", "put", "result", "_wait_for_tstate_lock", "__enter__"}
)


class StackState(StrEnum):
    """What a stack that was found says about the CPU."""

    CPU = "cpu"
    IDLE = "idle"
    """The event loop's selector: nothing to do."""
    LOCK = "lock"
    """The event loop's thread waits for another thread: no CPU, and no request moves."""
    PARKED = "parked"
    """Another thread, waiting for work."""


def state_of(frames: Sequence[Frame]) -> StackState:
    """Return what a stack (outermost frame first, at least one) says about the CPU."""
    inner, outer = frames[-1], frames[0]
    waits = inner.file in _WAITING_FILES and inner.function.rpartition(".")[2] in _WAITING
    if outer.file == "stdlib:threading.py" and outer.function.startswith("Thread._bootstrap"):
        starved = inner.file == "stdlib:threading.py" or inner.file in _WORKER_FILES
        return StackState.PARKED if waits or starved else StackState.CPU
    if _in_selector(frames):
        return StackState.IDLE
    return StackState.LOCK if waits else StackState.CPU


def target_map(endpoints: Iterable[EndpointFrame]) -> TargetOf:
    """Return what names the target of a stack: that of its endpoint's frame, None for shared work.

    An endpoint that serves several targets tells nothing: its stacks are shared work.
    """
    found: dict[tuple[str, str], set[Target]] = {}
    for endpoint in endpoints:
        key = (endpoint.file.replace("\\", "/"), endpoint.function)
        found.setdefault(key, set()).add(endpoint.target)
    served = {key: next(iter(targets)) for key, targets in found.items() if len(targets) == 1}

    def target_of(frames: Sequence[Frame]) -> Target | None:
        return next((served[key] for frame in frames for key in _names(frame) if key in served), None)

    return target_of


def owner_of(frames: Sequence[Frame]) -> Frame | None:
    """Return the innermost frame of the application's own code: who caused the work further in."""
    return next((frame for frame in reversed(frames) if frame.own), None)


def _names(frame: Frame) -> tuple[tuple[str, str], ...]:
    return (frame.path, frame.function), (frame.path, frame.function.rpartition(".")[2])


def _in_selector(frames: Sequence[Frame]) -> bool:
    if len(frames) < 2:  # noqa: PLR2004  # the selector and who called it
        return False
    inner, caller = frames[-1], frames[-2]
    return (
        inner.file == "stdlib:selectors.py"
        and inner.function.endswith(".select")
        and caller.file == "stdlib:asyncio/base_events.py"
    )
