"""The engine entered from inside finds what Scalene's own launcher finds; an upgrade of Scalene fails here first."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tailwatch.contracts.context import SAMPLES_FILE, STACKS_FILE

pytestmark = [pytest.mark.scalene, pytest.mark.timeout(120)]

PROGRAM = Path(__file__).parent / "cpu_program.py"
SECONDS = "5"
TOLERANCE = 0.1
"""Two samplings of 500 differ by 0.03 (one standard deviation), and the machine is shared."""
MOST_MS_PER_SAMPLE = 2.0


def shares(profile: dict[str, Any]) -> dict[str, float]:
    """Return the inclusive shares of the program's functions in the stacks under its ``main``."""
    counts = Counter[str]()
    for frames, seen in profile["stacks"]:
        mine = {frame.rpartition(":")[0].rpartition(" ")[2] for frame in frames if PROGRAM.name in frame}
        if "main" in mine:
            counts.update(dict.fromkeys(mine, seen["count"]))
    return {name: counts[name] / counts["main"] for name in ("left", "middle", "right")}


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the launcher's profile."""
    outfile = tmp_path_factory.mktemp("launched") / "profile.json"
    options = ["--cpu-only", "--profile-all", "--stacks", "--no-async", "-o", str(outfile)]
    subprocess.run(
        [sys.executable, "-m", "scalene", "run", *options, str(PROGRAM), SECONDS],
        check=True,
        capture_output=True,
        cwd=outfile.parent,
    )
    found: dict[str, Any] = json.loads(outfile.read_text())
    return found


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path, list[str]]:
    """Return the engine's profile, its folder, and what the program said."""
    folder = tmp_path_factory.mktemp("inside")
    done = subprocess.run(
        [sys.executable, str(PROGRAM), SECONDS, str(folder)], check=True, capture_output=True, text=True
    )
    return json.loads(zstandard.decompress((folder / SAMPLES_FILE).read_bytes())), folder, done.stdout.split()


def test_both_find_the_same_shares(launched: dict[str, Any], inside: tuple[dict[str, Any], Path, list[str]]) -> None:
    """Per function, within what sampling allows."""
    theirs, ours = shares(launched), shares(inside[0])
    assert ours == {name: pytest.approx(share, abs=TOLERANCE) for name, share in theirs.items()}
    assert ours["left"] > ours["middle"] > ours["right"] > 0


def test_the_file_is_scalenes_own(launched: dict[str, Any], inside: tuple[dict[str, Any], Path, list[str]]) -> None:
    """The same fields, for the whole, for a stack and for a line."""

    def fields(profile: dict[str, Any]) -> tuple[set[str], set[str], set[str]]:
        lines = next(file["lines"] for name, file in profile["files"].items() if PROGRAM.name in name)
        return set(profile), set(profile["stacks"][0][1]), set(lines[0])

    assert fields(inside[0]) == fields(launched)
    assert sum(seen["cpu_samples"] for _, seen in inside[0]["stacks"]) == pytest.approx(1.0, abs=0.01)


def test_no_source_text_is_kept(inside: tuple[dict[str, Any], Path, list[str]]) -> None:
    """File paths, function names and numbers only."""
    lines = [line for file in inside[0]["files"].values() for line in file["lines"]]
    assert lines
    assert {line["line"] for line in lines} == {""}
    assert "process_time() <" not in json.dumps(inside[0])


def test_folded_stacks_hold_every_busy_sample(inside: tuple[dict[str, Any], Path, list[str]]) -> None:
    """One line per stack, the count last."""
    _, folder, (samples, idle, *_) = inside
    counted = sum(int(line.rpartition(" ")[2]) for line in (folder / STACKS_FILE).read_text().splitlines())
    assert counted == pytest.approx(int(samples) - int(idle), abs=2)


def test_a_sample_is_cheap(inside: tuple[dict[str, Any], Path, list[str]]) -> None:
    """About 0.2 ms where nothing else runs; the limit is generous."""
    samples, _, cost, ok = inside[2]
    assert ok == "True"
    assert 1000 * float(cost) / int(samples) < MOST_MS_PER_SAMPLE
