"""A small CPU program with three functions of different cost: ``python cpu_program.py SECONDS [FOLDER]``.

With a folder it captures itself from inside; without one somebody else's profiler looks on.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path


def left(count: int) -> int:
    """Burn about half of the time."""
    total = 0
    for number in range(count):
        total += number * number % 7
    return total


def middle(count: int) -> list[int]:
    """Burn about a third."""
    return sorted((number * 7919) % count for number in range(count))


def right(count: int) -> dict[str, int]:
    """Burn the rest."""
    return {str(number): number for number in range(count)}


def main(seconds: float) -> None:
    """Burn so much CPU time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        left(20_000)
        middle(8_000)
        right(3_000)


def from_inside(seconds: float, folder: Path) -> None:
    """Capture this process with the probe's engine."""
    from tailwatch.probe.adapters.scalene_engine import Options, ScaleneEngine  # noqa: PLC0415 - not for the launcher

    engine = ScaleneEngine()
    engine.prepare()
    engine.start(Options(rate_hz=100, duration_seconds=seconds * 10))
    main(seconds)
    found = engine.stop()
    child = engine.write(folder)
    while (end := child.poll()) is None:
        time.sleep(0.01)
    sys.stdout.write(f"{found.samples} {found.idle_samples} {found.cost_seconds} {end.ok}\n")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        from_inside(float(sys.argv[1]), Path(sys.argv[2]))
    else:
        main(float(sys.argv[1]))
