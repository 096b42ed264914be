"""Which threads sleep: Scalene divides a sample over all threads that it is not told to leave out."""

from __future__ import annotations

import sys
import threading
import time

BUSY_SHARE = 0.5
"""A thread that ran for less of the time since the last sample is taken to sleep: its frame is where it waits."""


class SleepingThreads(dict[int, bool]):
    """Thread id to whether it sleeps, found out once per sample from the thread's CPU clock.

    The main thread is never said to sleep: its idle samples are evidence, and are kept apart by their frame. Emptied
    before each sample. Elsewhere than on Linux every other thread counts as asleep.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        super().__init__()
        self._clocks: dict[int, tuple[float, float]] = {}

    def begin(self) -> None:
        """Forget every clock reading."""
        self.clear()
        self._clocks.clear()

    def __missing__(self, thread: int) -> bool:
        asleep = thread != threading.main_thread().ident and not self._busy(thread)
        self[thread] = asleep
        return asleep

    def _busy(self, thread: int) -> bool:
        now, used = time.perf_counter(), _cpu_seconds(thread)
        if used is None:
            return False
        then, before = self._clocks.get(thread, (now, used))
        self._clocks[thread] = (now, used)
        return now > then and (used - before) / (now - then) >= BUSY_SHARE


def _cpu_seconds(thread: int) -> float | None:
    """Return the CPU time of a thread, None when it is gone or unknown."""
    # Not threading.enumerate(): it takes a lock that the interrupted code may hold.
    native = getattr(getattr(threading, "_active", {}).get(thread), "native_id", None)
    if native is None or sys.platform != "linux":
        return None
    try:
        # The clock of a thread by its kernel id (CPUCLOCK_SCHED, per thread): unlike pthread_getcpuclockid it is
        # safe for a thread that ends meanwhile.
        return time.clock_gettime((~native << 3) | 6)
    except OSError:
        return None
