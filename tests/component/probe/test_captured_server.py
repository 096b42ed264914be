"""A live Starlette and Hypercorn service, captured from inside while it is under load."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import zstandard

from tailwatch.contracts.context import CONTEXT_FILE, SAMPLES_FILE, STACKS_FILE, CaptureContext

pytestmark = [pytest.mark.scalene, pytest.mark.timeout(120)]

SERVER = Path(__file__).parent / "captured_server.py"
SECONDS = 5
CLIENTS = 3


@dataclass
class Load:
    """Requests sent, and those that failed."""

    answered: int = 0
    failed: list[str] = field(default_factory=list)


@dataclass
class Service:
    """The service in its process."""

    process: asyncio.subprocess.Process
    client: httpx.AsyncClient
    store: Path
    load: Load = field(default_factory=Load)

    async def get(self, path: str) -> Any:
        """Return a JSON answer."""
        return (await self.client.get(path)).raise_for_status().json()

    async def until(self, holds: Callable[[dict[str, Any]], bool], seconds: float = 30) -> dict[str, Any]:
        """Return the service's state once something holds."""
        async with asyncio.timeout(seconds):
            while not holds(found := await self.get("/state")):
                await asyncio.sleep(0.1)
        return dict(found)

    async def capture(self) -> Path:
        """Return the folder of a whole capture by hand."""
        answer = await self.get(f"/ask?seconds={SECONDS}")
        assert answer["accepted"], answer
        found = await self.until(lambda state: state["agent"]["phase"] == "idle")
        assert found["agent"]["last"]["outcome"] == "completed", found["agent"]
        return self.store / "captures" / str(answer["session_id"])

    async def keep_asking(self, stop: asyncio.Event) -> None:
        """Send requests until told to stop; one client."""
        while not stop.is_set():
            try:
                (await self.client.get("/work")).raise_for_status()
                self.load.answered += 1
            except httpx.HTTPError as error:
                self.load.failed.append(repr(error))

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[Load]:
        """Send requests meanwhile."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for _ in range(CLIENTS):
                group.create_task(self.keep_asking(stop))
            try:
                yield self.load
            finally:
                stop.set()


@asynccontextmanager
async def serving(folder: Path, **settings: str) -> AsyncIterator[Service]:
    """Start the service with profiling by hand; end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "PROFILING_"))},
        "PROFILING_ENABLED": "true",
        "PROFILING_SPOOL_DIR": str(folder / "spool"),
        "ARTIFACT_STORE_URL": str(folder / "store"),
        "LOG_LEVEL": "warning",
        **settings,
    }
    process = await asyncio.create_subprocess_exec(sys.executable, str(SERVER), str(port), env=environment)
    limits = httpx.Timeout(30)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=limits) as client:
        service = Service(process, client, folder / "store")
        try:
            async with asyncio.timeout(30):
                while process.returncode is None:
                    try:
                        await client.get("/state")
                        break
                    except httpx.ConnectError:
                        await asyncio.sleep(0.1)
            yield service
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def terminated(service: Service) -> int:
    """Return the exit status after SIGTERM."""
    service.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        return await service.process.wait()


def stacks(folder: Path) -> list[tuple[list[str], int]]:
    """Return the stacks of Scalene's file with their counts; a frame is "file function"."""
    found = json.loads(zstandard.decompress((folder / SAMPLES_FILE).read_bytes()))
    return [([frame.rpartition(":")[0] for frame in frames], seen["count"]) for frames, seen in found["stacks"]]


def busiest(folder: Path) -> tuple[str, str]:
    """Return the functions of the service with the most samples in themselves, and with their callees."""
    own, total = Counter[str](), Counter[str]()
    for frames, count in stacks(folder):
        own[frames[-1].rpartition(" ")[2]] += count
        total.update(dict.fromkeys({frame.rpartition(" ")[2] for frame in frames if SERVER.name in frame}, count))
    del own["EpollSelector.select"]
    inclusive = [name for name, _ in total.most_common() if name not in {"<module>", "main", "work"}]
    return own.most_common(1)[0][0], inclusive[0]


async def test_two_captures_name_what_burned_meanwhile_and_nobody_notices(tmp_path: Path) -> None:
    """Top function, fresh samples, no failed request, handlers and timers as before, exit status 0."""
    async with serving(tmp_path) as service:
        before = await service.get("/state")
        async with service.under_load() as load:
            one = await service.capture()
            await service.client.get("/turn")
            two = await service.capture()
        after = await service.get("/state")
        status = await terminated(service)
    assert load.failed == []
    assert load.answered > 100
    assert (busiest(one), busiest(two)) == (("first", "first"), ("second", "second"))
    assert not [frames for frames, _ in stacks(two) if any(frame.endswith(" first") for frame in frames)]
    assert " first (" not in (two / STACKS_FILE).read_text().replace(";", " ")
    assert after["handlers"] == before["handlers"]
    assert after["timers"] == before["timers"] == [[0.0, 0.0]] * 3
    assert after["environment"] == before["environment"]
    assert status == 0
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["slot-0.lock"]


async def test_a_capture_says_what_it_cost_and_what_it_saw(tmp_path: Path) -> None:
    """Its own overhead, the requests it met, and where they waited; in the process that served them."""
    async with serving(tmp_path) as service:
        async with service.under_load():
            folder = await service.capture()
        pid = service.process.pid
    context = msgspec.json.decode((folder / CONTEXT_FILE).read_bytes(), type=CaptureContext)
    assert context.pid == pid
    assert 0 < context.sampler.overhead_percent < 5
    assert context.sampler.samples > 20
    assert context.sampler.idle_samples < context.sampler.samples
    assert context.process.wall_seconds == pytest.approx(SECONDS, abs=2)
    assert context.process.main_thread_cpu_seconds > 0.5
    assert context.loop_lag.count > 5
    assert [use.target for use in context.requests if use.requests > 50] == ["GET /work"]
    assert ("upstream", "GET /work") in {(site.function, site.target) for site in context.await_sites}
    assert ("work", "GET /work") in {(frame.function, frame.target) for frame in context.endpoints}


async def test_sigterm_during_a_capture_keeps_what_was_sampled_and_ends_with_status_0(tmp_path: Path) -> None:
    """Completed, partial, in the store."""
    async with serving(tmp_path) as service:
        async with service.under_load():
            answer = await service.get("/ask?seconds=60")
            await service.until(lambda state: state["agent"]["phase"] == "running")
            await asyncio.sleep(1.5)
        status = await terminated(service)
    folder = tmp_path / "store/captures" / answer["session_id"]
    context = msgspec.json.decode((folder / CONTEXT_FILE).read_bytes(), type=CaptureContext)
    assert status == 0
    assert context.partial
    assert context.sampler.samples > 10


async def test_a_killed_capture_is_ended_by_the_next_start(tmp_path: Path) -> None:
    """SIGKILL in the middle leaves a folder; the successor removes it."""
    async with serving(tmp_path) as service:
        await service.get("/ask?seconds=60")
        await service.until(lambda state: state["agent"]["phase"] == "running")
        service.process.kill()
        await service.process.wait()
    spool = tmp_path / "spool"
    assert [path.name for path in spool.glob(".profile-*")] != []
    async with serving(tmp_path) as service:
        async with asyncio.timeout(20):
            while list(spool.glob(".profile-*")):
                await asyncio.sleep(0.1)
        await service.get("/state")


async def test_with_every_capture_off_scalene_is_never_imported(tmp_path: Path) -> None:
    """And a request by hand is refused with what to set."""
    async with serving(tmp_path, PROFILING_ENABLED="false") as service:
        answer = await service.get("/ask?seconds=5")
        found = await service.get("/state")
    assert not found["scalene"]
    assert not answer["accepted"]
    assert "PROFILING_ENABLED" in answer["detail"]
    assert found["handlers"]["SIGALRM"] == "<Handlers.SIG_DFL: 0>"
