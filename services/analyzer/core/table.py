"""The table of a capture: one row per distinct stack, in milliseconds of CPU time.

=========== =====================================================================================
samples     times the stack was found
state       cpu, idle, lock or parked (:class:`~services.analyzer.core.stacks.StackState`)
operation   by the map of operations
target      of the endpoint in the stack; None is work shared by all
weight      part of the sampled time, all rows together 1
self_ms     on-CPU milliseconds; 0 where the state is not ``cpu``
python_ms   of these, in Python code; the rest is ``native_ms``. A split of short calls is unreliable: use the sum
function    position of the innermost frame's function in ``functions``
owner       position of the innermost function of the application's own code; -1: there is none
=========== =====================================================================================
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from services.analyzer.core.frames import Frame, parse_frame, reduce_frame, source_root
from services.analyzer.core.operations import OperationOf
from services.analyzer.core.samples import Samples
from services.analyzer.core.stacks import StackState, owner_of, state_of, target_map
from tailwatch.contracts.context import CaptureContext

NO_OWNER = -1


@dataclass(frozen=True, slots=True)
class FunctionKey:
    """One function: its lines are one."""

    file: str
    function: str


@dataclass(frozen=True, slots=True)
class CaptureTable:
    """A capture's stacks as a table, with the functions that it speaks of."""

    rows: pd.DataFrame
    calls: pd.DataFrame
    """``stack`` (row of ``rows``), ``function``, ``line``: each function once per stack, its innermost line."""
    functions: tuple[FunctionKey, ...]
    modules: tuple[str, ...]
    cpu_ms: float
    """CPU time that the on-CPU rows share."""

    @property
    def on_cpu(self) -> pd.DataFrame:
        """The rows that were work."""
        return self.rows[self.rows["state"] == StackState.CPU.value]

    @property
    def on_cpu_samples(self) -> int:
        """Samples that found work."""
        return int(self.on_cpu["samples"].sum())

    def weight_in(self, state: StackState) -> float:
        """Return the part (0..1) of the sampled time of all but parked threads that was spent in a state."""
        active = self.rows[self.rows["state"] != StackState.PARKED.value]
        whole = float(active["weight"].sum())
        return float(active.loc[active["state"] == state.value, "weight"].sum()) / whole if whole > 0 else 0.0


def table_of(samples: Samples, context: CaptureContext, operation_of: OperationOf) -> CaptureTable:
    """Return the table of a capture's samples."""
    frames_of = _frames(samples, context)
    target_of = target_map(context.endpoints)
    positions: dict[FunctionKey, int] = {}
    modules: list[str] = []

    def position(frame: Frame) -> int:
        key = FunctionKey(frame.file, frame.function)
        if key not in positions:
            positions[key] = len(positions)
            modules.append(frame.module)
        return positions[key]

    rows: list[tuple[int, str, str, str | None, float, float, float, int, int]] = []
    calls: list[tuple[int, int, int]] = []
    for texts, use in samples.stacks:
        if not texts or use.cpu_samples <= 0:
            continue
        frames = [frames_of(text) for text in texts]
        owner = owner_of(frames)
        calls.extend((len(rows), function, line) for function, line in {position(f): f.line for f in frames}.items())
        rows.append(
            (
                use.count,
                state_of(frames).value,
                operation_of(frames),
                target_of(frames),
                use.cpu_samples,
                use.python_time,
                use.c_time,
                position(frames[-1]),
                position(owner) if owner else NO_OWNER,
            )
        )
    cpu_ms = cpu_seconds(context) * 1000
    columns = ["samples", "state", "operation", "target", "weight", "python", "native", "function", "owner"]
    table = pd.DataFrame(rows, columns=columns).astype({"target": object, "weight": float, "samples": int})
    return CaptureTable(
        rows=_in_milliseconds(table, cpu_ms),
        calls=pd.DataFrame(calls, columns=["stack", "function", "line"]).astype(int),
        functions=tuple(positions),
        modules=tuple(modules),
        cpu_ms=cpu_ms,
    )


def cpu_seconds(context: CaptureContext) -> float:
    """Return the CPU seconds that the samples stand for: the sampled thread's, less what the sampler itself used.

    The sampler's cost is an estimate too, so at least a tenth of what was used is left.
    """
    used = context.process.main_thread_cpu_seconds
    if used <= 0:
        used = context.process.cpu_user_seconds + context.process.cpu_system_seconds
    return max(0.1 * used, used - context.sampler.cost_seconds)


def _frames(samples: Samples, context: CaptureContext) -> Callable[[str], Frame]:
    raw = {text: parse_frame(text) for texts, _ in samples.stacks for text in texts}
    root = source_root(
        context.source_root or samples.entrypoint_dir, {frame.path for frame in raw.values()}, context.endpoints
    )
    reduced = {text: reduce_frame(frame, root) for text, frame in raw.items()}
    return reduced.__getitem__


def _in_milliseconds(table: pd.DataFrame, cpu_ms: float) -> pd.DataFrame:
    whole = float(table["weight"].sum())
    weight = table["weight"] / whole if whole > 0 else table["weight"]
    working = table["state"] == StackState.CPU.value
    busy = float(weight[working].sum())
    self_ms = weight.where(working, 0.0) * (cpu_ms / busy if busy > 0 else 0.0)
    split = (table["python"] + table["native"]).where(lambda both: both > 0, 1.0)
    native_ms = self_ms * (table["native"] / split)
    return table.assign(weight=weight, self_ms=self_ms, python_ms=self_ms - native_ms, native_ms=native_ms).drop(
        columns=["python", "native"]
    )
