"""Work done in a forked child at nice 19, so that the server's loop pays for the fork only."""

from __future__ import annotations

import gc
import os
import posix
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NICE = 19
DONE, FAILED = 0, 4
FIRST_OWN_DESCRIPTOR = 3
MOST_DESCRIPTORS = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildEnd:
    """How the child ended."""

    ok: bool
    cpu_seconds: float
    detail: str


class ForkedWriter:
    """A child that runs one function and ends; it is polled, never waited for."""

    def __init__(self, work: Callable[[], None], *, deadline_seconds: float) -> None:
        """Fork and run ``work`` in the child. A child that takes longer than ``deadline_seconds`` is killed."""
        began = time.thread_time()
        with warnings.catch_warnings():
            # Python >= 3.12 warns of forks in threaded processes; this child takes no lock of another thread's.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = posix.fork()
        if self.pid == 0:
            _live(work)
        self.fork_seconds = time.thread_time() - began
        self._kill_at = time.monotonic() + deadline_seconds
        self._killed = False

    def poll(self) -> ChildEnd | None:
        """Return how the child ended, or None while it runs."""
        try:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
        except ChildProcessError:
            return ChildEnd(ok=False, cpu_seconds=0.0, detail="somebody else has reaped the writer")
        if pid:
            code = os.waitstatus_to_exitcode(status)
            detail = "took too long" if self._killed else f"exit status {code}"
            return ChildEnd(ok=code == DONE, cpu_seconds=usage.ru_utime + usage.ru_stime, detail=detail)
        if not self._killed and time.monotonic() > self._kill_at:
            self.kill()
        return None

    def kill(self) -> None:
        """End the child at once."""
        self._killed = True
        try:
            os.kill(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _live(work: Callable[[], None]) -> None:
    """Be the child: nothing of the parent's may be touched, not its sockets, not its signals, not its output."""
    status = FAILED
    try:
        gc.disable()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        os.nice(NICE)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(FIRST_OWN_DESCRIPTOR):
            os.dup2(null, descriptor)
        os.closerange(FIRST_OWN_DESCRIPTOR, MOST_DESCRIPTORS)
        sys.setswitchinterval(1.0)
        work()
        status = DONE
    finally:
        posix._exit(status)  # noqa: SLF001 - the only way out that runs nothing of the parent's
