"""``tailwatch up`` and the commands that look at what it runs."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from services.cli.adapters.stack import free_port

pytestmark = [pytest.mark.scalene, pytest.mark.timeout(120)]

ENDS_WITHIN_SECONDS = 5.0


def tailwatch(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Return how a command ended."""
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def children_of(pid: int) -> set[int]:
    """Return the processes below a process."""
    found = set[int]()
    for task in Path(f"/proc/{pid}/task").iterdir():
        direct = {int(child) for child in (task / "children").read_text().split()}
        found |= direct.union(*(children_of(child) for child in direct))
    return found


def alive(pid: int) -> bool:
    """Return whether a process still runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def line_with(stream: asyncio.StreamReader, text: str, within: float = 45.0) -> list[str]:
    """Return the lines up to the first that holds a text."""
    lines = list[str]()
    async with asyncio.timeout(within):
        while not lines or text not in lines[-1]:
            line = await stream.readline()
            assert line, f"ended without saying {text!r}: {lines}"
            lines.append(line.decode())
    return lines


async def test_up_runs_everything_restarts_what_died_and_leaves_nothing(tmp_path: Path) -> None:
    """It says the URLs, a curl that works and a restart; `why` and `events` find it; Ctrl-C ends all within 5 s."""
    auth, reports = free_port(0), free_port(0)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.cli",
        "up",
        cwd=tmp_path,
        env={**os.environ, "PORT": str(auth), "REPORTS_PORT": str(reports)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    said = "".join(await line_with(process.stdout, "Ctrl-C ends everything"))
    assert f"http://127.0.0.1:{auth}" in said
    assert f"http://127.0.0.1:{reports}" in said
    curl = next(line.strip() for line in said.splitlines() if line.strip().startswith("curl"))
    answer = subprocess.run(curl, shell=True, capture_output=True, check=True)  # noqa: S602  # the line is made to be pasted
    assert json.loads(answer.stdout)["token_type"] == "Bearer"

    async with httpx.AsyncClient(trust_env=False) as client:
        health = (await client.get(f"http://127.0.0.1:{auth}/health")).json()
        assert health["slaMonitor"]["enabled"] is True
        pages = await client.get(f"http://127.0.0.1:{reports}/")
        assert pages.status_code == 200

    timings = await asyncio.to_thread(tailwatch, tmp_path, "events", "timings", "--json")
    assert timings.returncode == 0
    assert any(json.loads(line)["event"]["target"] == "POST /tokens" for line in timings.stdout.splitlines())
    async with asyncio.timeout(20):
        while (why := await asyncio.to_thread(tailwatch, tmp_path, "why", "POST /tokens")).returncode != 0:
            await asyncio.sleep(0.2)
    assert "too few requests" in why.stdout

    everything = children_of(process.pid)
    assert len(everything) >= 5, "a broker and four services"
    analyzer = next(pid for pid in everything if b"services.analyzer" in Path(f"/proc/{pid}/cmdline").read_bytes())
    os.kill(analyzer, signal.SIGKILL)
    restarted = await line_with(process.stdout, "restarting")
    assert "analyzer was killed by SIGKILL" in restarted[-1]
    await line_with(process.stdout, "analyzer ready")

    everything = children_of(process.pid)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), ENDS_WITHIN_SECONDS) == 0
    assert time.monotonic() - began < ENDS_WITHIN_SECONDS
    assert not [pid for pid in everything if alive(pid)]


@pytest.mark.parametrize("command", ["up", "demo"])
def test_a_setting_that_a_service_refuses_is_said_once_and_ends_everything(command: str, tmp_path: Path) -> None:
    """One line that names the service, the setting and its range, and exit status 2."""
    ended = subprocess.run(
        [sys.executable, "-m", "services.cli", command],
        cwd=tmp_path,
        env={
            **os.environ,
            "PORT": str(free_port(0)),
            "REPORTS_PORT": str(free_port(0)),
            "JWT_EXPIRATION_MINUTES": "61",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2
    said = [line for line in (ended.stdout + ended.stderr).splitlines() if "refused" in line]
    assert said == [line for line in said if line.startswith("auth: JWT_EXPIRATION_MINUTES='61' is refused")]
    assert len(said) == 1, said


def test_commands_without_a_pipeline_say_what_to_start(tmp_path: Path) -> None:
    """With no broker noted and none set, one line says the remedy, and the exit status is 2."""
    ended = tailwatch(tmp_path, "why")
    assert ended.returncode == 2
    assert ended.stderr.strip().splitlines() == [
        "tailwatch: no Kafka: start `tailwatch up` here, or set KAFKA_BOOTSTRAP_SERVERS=host:port[,host:port...]"
    ]


def test_an_unknown_topic_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """The error names every topic and noun."""
    ended = tailwatch(tmp_path, "events", "nothing")
    assert ended.returncode == 2
    assert "recommendations (profiling.recommendations.v1)" in ended.stderr


def test_doctor_says_what_is_wrong_and_the_remedy(tmp_path: Path) -> None:
    """Without a broker doctor exits 1 and says how to get one; settings are shown, secrets are not."""
    ended = tailwatch(tmp_path, "doctor", "--json")
    assert ended.returncode == 1
    found = json.loads(ended.stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert checks["scalene usable"]["ok"]
    assert not checks["broker"]["ok"]
    assert "tailwatch up" in checks["broker"]["remedy"]
    assert found["settings"]["CONTINUOUS_PROFILING_DURATION_SECONDS"]["value"] == 30
    assert found["settings"]["EMBEDDED_CONSUMERS_SECRET"]["value"] == "(hidden)"


@pytest.mark.parametrize("service", ["auth", "sla_monitor", "analyzer", "reporter"])
def test_a_refused_setting_is_one_line_and_exit_status_2(service: str, tmp_path: Path) -> None:
    """Name, value and accepted values stand on the one line."""
    ended = subprocess.run(
        [sys.executable, "-m", f"services.{service}"],
        cwd=tmp_path,
        env={**os.environ, "KAFKA_SESSION_TIMEOUT_MS": "5"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 2
    lines = ended.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert "KAFKA_SESSION_TIMEOUT_MS='5'" in lines[0]
    assert "1000..300000" in lines[0]
