"""A capture's files as Scalene has them, written in the forked child: ``samples.json.zst`` and ``stacks.folded``.

Only the child runs this, so it may take Scalene apart: what makes its JSON dear (0.5 to 4 CPU seconds) is that every
source file is parsed and every line of it reported. Here only lines with samples are, and no source text is kept.
"""

from __future__ import annotations

import importlib
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from tailwatch.probe.adapters.forked_writer import write_durably

LEVEL = 6


class _OwnLine(dict[int, tuple[int, int]]):
    """Every line's region is the line itself."""

    def __missing__(self, line: int) -> tuple[int, int]:
        return line, line


def write_samples(scalene: Any, *, samples: Path, stacks: Path, idle: set[tuple[str, str]]) -> None:
    """Write both files; ``idle`` names the (file, function) of the selectors."""
    write_durably(stacks, folded(scalene._Scalene__stats.stacks, idle=idle).encode())  # noqa: SLF001
    write_durably(samples, zstandard.compress(msgspec.json.encode(profile(scalene)), LEVEL))


def profile(scalene: Any) -> dict[str, Any]:
    """Return Scalene's own JSON, without source text and without lines that were never seen."""
    stats, writer = scalene._Scalene__stats, scalene._Scalene__json  # noqa: SLF001
    writer.cpu_percent_threshold = 0.0  # Scalene's option of that name is ignored
    writer.gpu, writer.gpu_device = False, ""
    analysis = importlib.import_module("scalene.scalene_analysis").ScaleneAnalysis
    for name in ("find_regions", "find_outermost_loop", "find_functions"):
        setattr(analysis, name, staticmethod(lambda _source: _OwnLine()))
    analysis.get_native_imported_modules = staticmethod(lambda _source: [])
    seen = defaultdict(set)
    for table in (stats.cpu_stats.cpu_samples_python, stats.cpu_stats.cpu_samples_c):
        for file, lines in table.items():
            seen[file].update(lines)
    report = writer.output_profile_line

    def report_seen(**line: Any) -> Any:
        return report(**line) if line["force_print"] or line["line_no"] in seen[line["fname"]] else None

    writer.output_profile_line = report_seen
    found: dict[str, Any] = writer.output_profiles(
        scalene._Scalene__program_being_profiled,  # noqa: SLF001
        stats,
        0,
        lambda _file, _line: True,
        Path(os.devnull),  # where profiles of child processes would be looked for, and unpickled
        "",
        "",
        None,
        profile_memory=False,
        reduced_profile=True,
        profile_async=False,
    )
    for file in found.get("files", {}).values():
        for line in file["lines"]:
            line["line"] = ""
    return found or {"files": {}, "stacks": [], "elapsed_time_sec": stats.elapsed_time}


def folded(stacks: Any, *, idle: set[tuple[str, str]]) -> str:
    """Return Brendan Gregg's folded stacks: ``outer (file:line);inner (file:line) count``; without idle ones."""
    lines = [
        f"{';'.join(_frame(frame) for frame in stack)} {seen.count}"
        for stack, seen in stacks.items()
        if stack and (stack[-1].filename, stack[-1].function_name) not in idle
    ]
    return "".join(f"{line}\n" for line in sorted(lines))


def _frame(frame: Any) -> str:
    return f"{frame.function_name} ({frame.filename}:{frame.line_number})".replace(";", ",")
