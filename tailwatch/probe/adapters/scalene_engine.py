"""Scalene entered from inside: CPU captures of this very process, without Scalene's launcher.

Nothing is imported before ``prepare`` or the first ``start``. Samples are taken in a handler of SIGALRM on the main
thread; ``start``, ``adapt`` and ``stop`` belong there too. Written for scalene 2.4: ``available`` says so otherwise.
How Scalene is entered is :mod:`scalene_entry`, its file :mod:`scalene_file`; nothing else knows it.
"""

from __future__ import annotations

import json
import resource
import selectors
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from tailwatch.contracts.context import SAMPLES_FILE, STACKS_FILE
from tailwatch.probe.adapters.forked_writer import ForkedWriter
from tailwatch.probe.adapters.scalene_entry import PROFILER, EngineUnavailable, Handler, enter, installed_version
from tailwatch.probe.adapters.scalene_file import write_samples
from tailwatch.probe.adapters.sleeping_threads import SleepingThreads

SERIES = "2.4."
WRITER_SECONDS = 60.0
OVERTIME_SECONDS = 2.0
"""A capture that nobody stops, because the loop is blocked, stops itself this long after its time."""
PRACTICE_SECONDS = 0.3
PRACTICE_HZ = 100.0
EXCLUDED = "tailwatch/probe/adapters/scalene_engine.py"
"""The frame of our own handler is in every sample, and is no part of the application."""
_HANDLERS = {
    "term_signal_handler": signal.SIGTERM,
    "malloc_signal_handler": signal.SIGXCPU,
    "free_signal_handler": signal.SIGXFSZ,
    "memcpy_signal_handler": signal.SIGPROF,
}
"""Handlers that Scalene installs and a CPU capture has no use for; it is given the ones that are there already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How to sample."""

    rate_hz: float
    duration_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """What was sampled so far, or in all."""

    samples: int
    idle_samples: int
    """Of these: the event loop waited in its selector, which is not CPU."""
    cost_seconds: float
    """CPU time of this thread in the sampler, ``start`` and ``stop``."""
    wall_seconds: float
    held_seconds: float
    """Wall time for which the sampler held the thread, so that nothing else ran on it."""
    fault: str | None = None
    """Why sampling ended by itself."""

    @property
    def rate_hz(self) -> float:
        """Mean samples per second."""
        return self.samples / self.wall_seconds if self.wall_seconds > 0 else 0.0


def late_alarm(_number: int, _frame: FrameType | None) -> None:
    """Stay behind as SIGALRM's handler: SIG_DFL lets a late alarm kill the process, children inherit SIG_IGN."""


class ScaleneEngine:
    """One sampler per process; see the module."""

    def __init__(self) -> None:
        """Do nothing yet: Scalene is not imported here."""
        self.name = f"scalene {installed_version() or 'missing'}, entered from inside"
        self._scalene: Any = None
        self._sample_once: Handler = None
        self._sleeping = SleepingThreads()
        self._idle_codes = _selector_codes()
        self._sampling = False
        self._began = self._until = self._ended = 0.0
        self._samples = self._idle = 0
        self._cost = self._held = 0.0
        self._fault: str | None = None
        self._alarm: Handler = signal.SIG_DFL

    def available(self) -> str | None:  # noqa: PLR0911 - one return per reason
        """Return why this process cannot be sampled, with the remedy, or None."""
        version = installed_version()
        if version is None:
            return "scalene is not installed: pip install 'scalene==2.4.*'"
        if not version.startswith(SERIES):
            return f"scalene {version} is installed, this engine knows {SERIES}*: pip install 'scalene==2.4.*'"
        if self._scalene is None and PROFILER in sys.modules:
            return "Scalene is in use already (started under `scalene run`?): start the service without it"
        if not hasattr(signal, "setitimer"):
            return "this system has no interval timers"
        if threading.current_thread() is not threading.main_thread():
            return "the server's loop does not run on the main thread, which signals need"
        if not self._sampling:
            handler: Any = signal.getsignal(signal.SIGALRM)
            if handler not in (signal.SIG_DFL, signal.SIG_IGN, late_alarm):
                return "the application has a SIGALRM handler of its own"
            if any(signal.getitimer(signal.ITIMER_REAL)):
                return "the application uses the real-time interval timer (signal.alarm) itself"
        if any(signal.getsignal(number) is None for number in _HANDLERS.values()):
            return "a library has installed a signal handler that Python cannot restore"
        return None

    def prepare(self) -> float:
        """Import Scalene and take a short practice capture; return the CPU seconds that it took.

        The first samples of a process are dear; the practice capture pays for them before anyone waits for an answer.
        """
        began = time.thread_time()
        self.start(Options(rate_hz=PRACTICE_HZ, duration_seconds=PRACTICE_SECONDS))
        end = time.perf_counter() + PRACTICE_SECONDS
        while time.perf_counter() < end:
            json.loads(json.dumps({str(number): [number] * 3 for number in range(100)}))
        self.stop()
        return time.thread_time() - began

    def start(self, options: Options) -> None:
        """Start sampling, from nothing. Raises EngineUnavailable when it cannot."""
        began = time.thread_time()
        if self._sampling:
            raise EngineUnavailable("a capture is running already")
        if (reason := self.available()) is not None:
            raise EngineUnavailable(reason)
        if self._scalene is None:
            self._scalene, self._sample_once = enter(self._sleeping, exclude=EXCLUDED)
        scalene = self._scalene
        self._forget(scalene)
        saved: dict[str, Handler] = {name: signal.getsignal(number) for name, number in _HANDLERS.items()}
        for name, handler in saved.items():
            setattr(scalene, name, handler)
        scalene.cpu_signal_handler = self._on_alarm
        self._alarm = signal.getsignal(signal.SIGALRM)
        self.adapt(options.rate_hz)
        self._samples = self._idle = 0
        self._cost, self._held, self._fault = 0.0, 0.0, None
        self._began = self._ended = time.perf_counter()
        self._until = self._began + options.duration_seconds + OVERTIME_SECONDS
        self._sleeping.begin()
        self._sampling = True
        try:
            scalene.start()
        except BaseException:
            self.stop()
            raise
        signal.siginterrupt(signal.SIGTERM, False)
        self._cost += time.thread_time() - began

    def adapt(self, rate_hz: float) -> None:
        """Go on at another mean rate; the intervals are exponential, so that nothing periodic hides between them."""
        self._scalene._Scalene__args.cpu_sampling_rate = 1 / rate_hz  # noqa: SLF001

    def progress(self) -> Samples:
        """Return what was sampled so far."""
        return Samples(
            samples=self._samples,
            idle_samples=self._idle,
            cost_seconds=self._cost,
            wall_seconds=(time.perf_counter() if self._sampling else self._ended) - self._began,
            held_seconds=self._held,
            fault=self._fault,
        )

    def stop(self) -> Samples:
        """Stop sampling, put every signal handler back, and return what was sampled; the stacks stay for ``write``."""
        began = time.thread_time()
        saved: dict[str, Handler] = {name: getattr(self._scalene, name) for name in _HANDLERS}
        self._sampling = False  # from here on a late alarm does nothing, and arms nothing
        self._ended = time.perf_counter()
        self._scalene.stop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        for name, handler in saved.items():
            signal.signal(_HANDLERS[name], handler)
        signal.signal(signal.SIGALRM, late_alarm if self._alarm is signal.SIG_DFL else self._alarm)
        signal.siginterrupt(signal.SIGTERM, False)
        self._cost += time.thread_time() - began
        return self.progress()

    def write(self, folder: Path) -> ForkedWriter:
        """Write ``samples.json.zst`` and ``stacks.folded`` into ``folder``, in a child that is to be polled."""
        scalene, idle = self._scalene, {(code.co_filename, code.co_qualname) for code in self._idle_codes}
        return ForkedWriter(
            lambda: write_samples(scalene, samples=folder / SAMPLES_FILE, stacks=folder / STACKS_FILE, idle=idle),
            deadline_seconds=WRITER_SECONDS,
        )

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        """Take one sample, and measure what it costs. Nothing may escape into the application's code."""
        if not self._sampling:
            return
        began, entered = time.thread_time(), time.perf_counter()
        try:
            if entered > self._until:
                self._sampling, self._ended = False, entered
                return
            self._samples += 1
            self._idle += frame is not None and frame.f_code in self._idle_codes
            self._sleeping.clear()
            self._sample_once(number, frame)  # type: ignore[operator,misc]
        except Exception as error:  # noqa: BLE001 - it would be raised in the middle of whatever runs
            self._sampling, self._fault = False, f"{type(error).__name__}: {error}"
        finally:
            self._cost += time.thread_time() - began
            self._held += time.perf_counter() - entered

    def _forget(self, scalene: Any) -> None:
        """Empty what the last capture left: Scalene's samples are cumulative."""
        stats = scalene._Scalene__stats  # noqa: SLF001
        stats.clear_all()
        stats.function_map.clear()
        stats.firstline_map.clear()
        now = type(scalene._Scalene__last_signal_time)()  # noqa: SLF001
        usage = resource.getrusage(resource.RUSAGE_SELF)
        now.sys, now.user = usage.ru_stime, usage.ru_utime
        now.virtual, now.wallclock = time.process_time(), time.perf_counter()
        scalene._Scalene__last_signal_time = now  # noqa: SLF001


def _selector_codes() -> frozenset[CodeType]:
    """Return the code of every selector's ``select``: a main thread interrupted there was idle."""
    classes = (value for value in vars(selectors).values() if isinstance(value, type))
    methods = (vars(one).get("select") for one in classes if issubclass(one, selectors.BaseSelector))
    return frozenset(code for one in methods if isinstance(code := getattr(one, "__code__", None), CodeType))
