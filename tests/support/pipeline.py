"""The whole pipeline for tests: started in a folder of its own, loaded, watched, and ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from services.cli.adapters.load import Load
from services.cli.adapters.stack import Stack, free_port, running
from services.cli.settings import CliSettings
from tailwatch.contracts.event import Event
from tailwatch.contracts.topics import TOPICS
from tailwatch.runtime.artifacts import ArtifactStore, StoredArtifact
from tailwatch.runtime.pump import Delivery
from tailwatch.runtime.reader import read
from tailwatch.runtime.settings import load

READY_SECONDS = 45.0
FAST = {"CONTINUOUS_PROFILING_DURATION_SECONDS": "6"}

Kind = TypeVar("Kind", bound=Event)


@dataclass
class Pipeline:
    """A running pipeline and everything that its topics have shown so far."""

    stack: Stack
    settings: CliSettings
    events: list[Event] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)

    async def seen(self, kind: type[Kind], *, within: float, where: Callable[[Kind], bool] = lambda _: True) -> Kind:
        """Return the first event of a kind; TimeoutError after ``within`` seconds."""
        async with asyncio.timeout(within):
            while True:
                for event in self.events:
                    if isinstance(event, kind) and where(event):
                        return event
                await asyncio.sleep(0.02)

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Return the events of a kind that were seen so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def reports(self, session_id: str) -> list[StoredArtifact]:
        """Return the report files of a session."""
        store = ArtifactStore(self.settings.artifact_store_url)
        return [artifact for artifact in await store.names("auto") if session_id in artifact.name]


async def _collect(pipeline: Pipeline) -> None:
    async with aclosing(read(pipeline.settings, TOPICS)) as records:
        async for record in records:
            if isinstance(record, Delivery):
                pipeline.events.append(record.event)


@asynccontextmanager
async def a_pipeline(overrides: Mapping[str, str]) -> AsyncIterator[Pipeline]:
    """Yield the pipeline, ready, in the current folder."""
    stop, restarts = asyncio.Event(), list[str]()
    settings = load(CliSettings)
    async with running(
        settings,
        changed=lambda child, said: restarts.append(said) if child.state == "restarting" else None,
        stop=stop,
        overrides={**FAST, **overrides},
        auth_port=free_port(0),
        reports_port=free_port(0),
    ) as stack:
        reached = {"kafka_bootstrap_servers": stack.broker.bootstrap_servers, "kafka_embedded": True}
        pipeline = Pipeline(stack, settings.model_copy(update=reached), restarts=restarts)
        collecting = asyncio.create_task(_collect(pipeline))
        try:
            async with asyncio.timeout(READY_SECONDS):
                await stack.supervisor.ready()
            yield pipeline
        finally:
            collecting.cancel()
            with suppress(asyncio.CancelledError):
                await collecting


@asynccontextmanager
async def under_load(url: str, rate: float = 20.0) -> AsyncIterator[Load]:
    """Yield a load on a service, which ends with the block."""
    enough, made = asyncio.Event(), Load(url, rate)
    loading = asyncio.create_task(made.run(enough))
    try:
        yield made
    finally:
        enough.set()
        await loading
