"""The README's two lines, in a FastAPI application that is no part of tailwatch."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from services.cli.adapters.stack import free_port
from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import CaptureCompleted
from tailwatch.contracts.recommendations import Recommendation
from tests.support.pipeline import FAST, a_pipeline

pytestmark = [pytest.mark.e2e, pytest.mark.scalene, pytest.mark.timeout(150)]

ROOT = Path(__file__).resolve().parents[2]
HEALTHY = 140
"""Requests before some become slow: more than the monitor needs for a verdict."""
POLICY = """
[services.billing.targets."POST /invoices"]
routes = ["POST /invoices"]
p95_ms = 60
p99_ms = 120
"""


def lines_that_take(seconds: float) -> int:
    """Return how many invoice lines keep the example busy for about so long on this machine."""
    from examples.billing import total  # noqa: PLC0415  # wrapping its app reads the environment

    began = time.thread_time()
    total(200_000)
    return int(200_000 * seconds / (time.thread_time() - began))


async def answered(client: httpx.AsyncClient, url: str, within: float = 20.0) -> None:
    """Return once a service answers."""
    async with asyncio.timeout(within):
        while True:
            try:
                await client.post(f"{url}/invoices")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return


def parent_of(pid: int) -> int:
    """Return the process that started a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))


@contextmanager
def billing(folder: Path, policy: Path, kafka: str) -> Iterator[tuple[str, int]]:
    """Yield the URL of the example, started as its README says, and the pid of its server."""
    port = free_port(0)
    with (folder / "billing.log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "hypercorn", "examples.billing:app", "--bind", f"127.0.0.1:{port}"],
            env={
                **os.environ,
                **FAST,
                "PYTHONPATH": str(ROOT),
                "KAFKA_BOOTSTRAP_SERVERS": kafka,
                "KAFKA_EMBEDDED": "true",
                "CONTINUOUS_PROFILING_ENABLED": "true",
                "TAILWATCH_CONFIG_DIR": str(policy),
            },
            stderr=log,
            stdout=subprocess.DEVNULL,
        )
    try:
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        assert server.wait(15) == 0


async def loaded(url: str, *, slow: int, until: Callable[[], object]) -> Counter[int]:
    """Return the status codes of a load whose every sixth request becomes slow after a healthy start."""
    outcomes = Counter[int]()
    async with httpx.AsyncClient(timeout=30, trust_env=False) as client, asyncio.TaskGroup() as group:
        await answered(client, url)

        async def ask(lines: int) -> None:
            outcomes[(await client.post(f"{url}/invoices", params={"lines": lines})).status_code] += 1

        deadline, number = time.monotonic() + 60, 0
        while not until() and time.monotonic() < deadline:
            number += 1
            group.create_task(ask(slow if number > HEALTHY and number % 6 == 0 else 10))
            await asyncio.sleep(0.05)
    return outcomes


async def test_a_watched_fastapi_service_is_captured_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example breaches its SLA, is captured in its own process, and the report names its slow function."""
    monkeypatch.chdir(tmp_path)
    policy = tmp_path / "policy"
    policy.mkdir()
    default = (ROOT / "config" / "tailwatch.toml").read_text()
    (policy / "tailwatch.toml").write_text(default + POLICY)
    (policy / "recommendations.toml").write_text((ROOT / "config" / "recommendations.toml").read_text())
    async with a_pipeline({"TAILWATCH_CONFIG_DIR": str(policy)}) as pipeline:
        with billing(tmp_path, policy, pipeline.settings.require_kafka()) as (url, server):
            outcomes = await loaded(url, slow=lines_that_take(0.15), until=lambda: pipeline.all(CaptureCompleted))
            completed = await pipeline.seen(CaptureCompleted, within=1)
            assert completed.service == "billing"
            assert parent_of(completed.pid) == server, "hypercorn serves in a child of its own"
            analysis = await pipeline.seen(ProfileAnalysis, within=20)
            await pipeline.seen(Recommendation, within=20)
            assert analysis.target == "POST /invoices"
            assert analysis.functions[0].function == "total"
            assert set(outcomes) == {200}
            files = [Path(found.name).suffix for found in await pipeline.reports(completed.session_id)]
            assert sorted(files) == [".html", ".md"]
