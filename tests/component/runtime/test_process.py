"""One life of a process: exit statuses, signals and deadlines, seen from outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PRELUDE = """
import asyncio, sys, time
from tailwatch.contracts.errors import ConfigurationError
from tailwatch.runtime.process import run
from tailwatch.runtime.settings import RuntimeSettings

async def main(settings, process):
{body}

sys.exit(run("demo", RuntimeSettings, main))
"""

IN_A_TASK_GROUP = """\
async def serve():
    raise ConfigurationError("PORT=80: cannot listen there")
async with asyncio.TaskGroup() as group:
    group.create_task(serve())
    group.create_task(asyncio.sleep(60))
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Return a starter of a process whose ``main`` has the given body."""

    def begin(body: str, **environment: str) -> subprocess.Popen[str]:
        script = PRELUDE.format(body="\n".join(f"    {line}" for line in body.splitlines()))
        return subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return begin


def ended(process: subprocess.Popen[str], *, within: float = 15) -> tuple[int, list[str]]:
    """Return the exit status and the lines on stderr."""
    try:
        _, said = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        pytest.fail(f"did not end within {within} s")
    return process.returncode, said.splitlines()


def ready(process: subprocess.Popen[str]) -> None:
    """Wait until the process has printed a line."""
    assert process.stdout is not None
    assert process.stdout.readline()


def test_a_service_that_ends_by_itself_exits_0(start: Start) -> None:
    """What was asked for is done; every line logged is JSON with the service's name."""
    status, said = ended(start("pass"))
    assert status == 0
    lines = [json.loads(line) for line in said]
    assert [line["event"] for line in lines] == ["started", "ended"]
    assert {line["service"] for line in lines} == {"demo"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_service_that_is_told_to_end_exits_0(start: Start, number: signal.Signals) -> None:
    """SIGTERM and SIGINT set the stop event; main returns, and that is a clean end."""
    process = start('print("up", flush=True)\nawait process.stop.wait()')
    ready(process)
    process.send_signal(number)
    status, said = ended(process)
    assert status == 0
    events = [json.loads(line)["event"] for line in said]
    assert (events[0], events[-1]) == ("started", "ended")


def test_a_crash_exits_1_with_its_traceback_in_one_line(start: Start) -> None:
    """Log lines stay lines, tracebacks too."""
    status, said = ended(start('raise RuntimeError("boom")'))
    assert status == 1
    crashed = json.loads(said[-1])
    assert crashed["event"] == "crashed"
    assert "RuntimeError: boom" in crashed["exception"]


def test_a_main_that_cancels_itself_has_crashed(start: Start) -> None:
    """A cancelled main is no clean end and no traceback on a terminal."""
    status, said = ended(start("raise asyncio.CancelledError"))
    assert status == 1
    assert json.loads(said[-1])["event"] == "crashed"


@pytest.mark.parametrize(
    "body",
    ['raise ConfigurationError("PORT=80: cannot listen there")', IN_A_TASK_GROUP],
    ids=["alone", "in a task group"],
)
def test_a_refused_setting_found_later_exits_2_with_one_line(start: Start, body: str) -> None:
    """A port that is taken is a bad setting, also when a task among others finds it."""
    status, said = ended(start(body))
    assert status == 2
    assert said[-1] == "demo: PORT=80: cannot listen there"
    assert not [line for line in said if "Traceback" in line]


def test_a_refused_setting_exits_2_with_one_line_only(start: Start) -> None:
    """Name, value, accepted range; nothing was started."""
    status, said = ended(start("pass", SHUTDOWN_GRACE_SECONDS="0"))
    assert status == 2
    assert len(said) == 1
    assert said[0].startswith("demo: SHUTDOWN_GRACE_SECONDS='0' is refused")


@pytest.mark.parametrize(
    "body",
    [
        "await asyncio.sleep(60)",
        "await asyncio.to_thread(time.sleep, 60)",
        "while True:\n    try:\n        await asyncio.sleep(60)\n    except asyncio.CancelledError:\n        pass",
    ],
    ids=["a task", "a thread", "a task that will not be cancelled"],
)
def test_what_does_not_end_in_time_is_ended(start: Start, body: str) -> None:
    """After the grace the process ends with status 1, whatever it still waits for."""
    process = start(f'print("up", flush=True)\n{body}', SHUTDOWN_GRACE_SECONDS="0.2")
    ready(process)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    status, said = ended(process, within=8)
    assert status == 1
    assert time.monotonic() - began < 5
    assert [json.loads(line)["event"] for line in said][-1] == "not_ended_in_time"
