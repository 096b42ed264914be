"""Pauses by the cyclic garbage collector, from its own callbacks; counted only while a capture runs."""

from __future__ import annotations

import gc
import time
from typing import Any, Literal

from tailwatch.contracts.context import GcUse
from tailwatch.probe.core.activity import quantiles

OLDEST = 2


class GcPauses:
    """A context: pauses between ``start`` and ``stop``."""

    def __init__(self) -> None:
        """Count nothing yet."""
        self._began: float | None = None
        self._pauses_ms: list[float] = []
        self._generations = [0, 0, 0]

    def start(self) -> None:
        """Count from now on, from nothing."""
        self._began, self._pauses_ms, self._generations = None, [], [0, 0, 0]
        gc.callbacks.append(self._note)

    def stop(self) -> GcUse:
        """Count no more; return the pauses."""
        if self._note in gc.callbacks:
            gc.callbacks.remove(self._note)
        first, second, third = self._generations
        return GcUse(pauses=quantiles(self._pauses_ms), by_generation=(first, second, third))

    def _note(self, phase: Literal["start", "stop"], info: dict[str, Any]) -> None:
        if phase == "start":
            self._began = time.perf_counter()
        elif self._began is not None:
            self._pauses_ms.append((time.perf_counter() - self._began) * 1000)
            self._generations[min(info["generation"], OLDEST)] += 1
            self._began = None
