"""What the process uses, from the interpreter's and the kernel's counters."""

from __future__ import annotations

import os
import resource
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tailwatch.contracts.context import ProcessUse

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
MEGABYTE = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Vitals:
    """The counters at one moment; the difference of two is a use."""

    wall: float
    """``perf_counter`` seconds."""
    cpu_user: float
    cpu_system: float
    main_thread_cpu: float
    voluntary: int
    involuntary: int
    rss_mb: float
    threads: int
    throttled_ms: float | None
    pressure_seconds: float | None


def read_vitals() -> Vitals:
    """Return the counters now; call it on the main thread, whose CPU time it reads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return Vitals(
        wall=time.perf_counter(),
        cpu_user=usage.ru_utime,
        cpu_system=usage.ru_stime,
        main_thread_cpu=time.thread_time(),
        voluntary=usage.ru_nvcsw,
        involuntary=usage.ru_nivcsw,
        rss_mb=rss_mb(),
        threads=_threads(),
        throttled_ms=_throttled_ms(),
        pressure_seconds=_pressure_seconds(),
    )


def use_between(start: Vitals, end: Vitals, *, peak_mb: float) -> ProcessUse:
    """Return what was used from ``start`` to ``end``; ``peak_mb`` is the largest resident set seen between them."""
    wall = end.wall - start.wall
    throttled = pressure = None
    if start.throttled_ms is not None and end.throttled_ms is not None:
        throttled = max(0.0, end.throttled_ms - start.throttled_ms)
    if start.pressure_seconds is not None and end.pressure_seconds is not None and wall > 0:
        pressure = max(0.0, 100 * (end.pressure_seconds - start.pressure_seconds) / wall)
    return ProcessUse(
        wall_seconds=wall,
        cpu_user_seconds=end.cpu_user - start.cpu_user,
        cpu_system_seconds=end.cpu_system - start.cpu_system,
        main_thread_cpu_seconds=end.main_thread_cpu - start.main_thread_cpu,
        voluntary_switches=end.voluntary - start.voluntary,
        involuntary_switches=end.involuntary - start.involuntary,
        rss_start_mb=start.rss_mb,
        rss_end_mb=end.rss_mb,
        rss_peak_mb=max(peak_mb, start.rss_mb, end.rss_mb),
        threads=end.threads,
        cgroup_throttled_ms=throttled,
        cpu_pressure_percent=pressure,
    )


def rss_mb() -> float:
    """Return the resident set in MB; where /proc is missing, its peak."""
    fields = _text(PROC / "self/statm").split()
    if len(fields) > 1:
        return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / MEGABYTE
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / MEGABYTE if sys.platform == "darwin" else peak / 1024


def _threads() -> int:
    for line in _text(PROC / "self/status").splitlines():
        if line.startswith("Threads:"):
            return int(line.split()[1])
    return 0


def _throttled_ms() -> float | None:
    """Return how long the cgroup was held back by its CPU quota: in microseconds (version 2) or nanoseconds (1)."""
    version_2, version_1 = _cgroup_folders()
    for folder, field, per_ms in ((version_2, "throttled_usec", 1e3), (version_1, "throttled_time", 1e6)):
        for line in _text(folder / "cpu.stat").splitlines() if folder is not None else ():
            name, _, value = line.partition(" ")
            if name == field:
                return int(value) / per_ms
    return None


def _pressure_seconds() -> float | None:
    """Return for how long some task waited for a CPU: of the cgroup where it says so, else of the host."""
    folder, _ = _cgroup_folders()
    for file in ([folder / "cpu.pressure"] if folder is not None else []) + [PROC / "pressure/cpu"]:
        for line in _text(file).splitlines():
            if line.startswith("some ") and "total=" in line:
                return int(line.rpartition("total=")[2]) / 1e6
    return None


def _cgroup_folders() -> tuple[Path | None, Path | None]:
    """Return this process's folders in cgroup version 2, and of version 1's CPU controller."""
    version_2 = version_1 = None
    for line in _text(PROC / "self/cgroup").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            version_2 = CGROUPS / path.lstrip("/")
        elif "cpu" in controllers.split(","):
            version_1 = CGROUPS / "cpu" / path.lstrip("/")
    return version_2, version_1


def _text(file: Path) -> str:
    """Return what a kernel file says; nothing where it cannot be read, which is common in containers."""
    try:
        return file.read_text()
    except (OSError, ValueError):
        return ""
