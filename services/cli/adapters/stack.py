"""The whole pipeline on one machine: the embedded broker and the four services as child processes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.cli.adapters.supervisor import Child, Service, Supervisor
from services.cli.settings import CliSettings
from tailwatch.contracts.errors import ConfigurationError
from tailwatch.contracts.topics import TOPICS
from tailwatch.runtime.embedded_broker import EmbeddedBroker
from tailwatch.runtime.topics import touch_topics

STATE_FILE = "up.json"
GRACE_SECONDS = 3


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A running pipeline."""

    broker: EmbeddedBroker
    supervisor: Supervisor
    auth_url: str
    reports_url: str
    log_dir: Path

    def pid(self, service: str) -> int | None:
        """Return the process id of a service."""
        return self.supervisor.children[service].pid


def free_port(preferred: int, host: str = "127.0.0.1") -> int:
    """Return ``preferred`` if nobody listens there, else a port that the kernel chooses."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise ConfigurationError(f"no free port on {host}")


def _serving(said: Mapping[str, Any]) -> bool:
    return str(said.get("event", "")).startswith("Running on ")


def _consuming(said: Mapping[str, Any]) -> bool:
    return said.get("event") == "partitions_assigned"


def services(environment: Mapping[str, str]) -> list[Service]:
    """Return the four services with an environment."""
    ready = {"sla_monitor": _consuming, "analyzer": _consuming, "reporter": _serving, "auth": _serving}
    return [
        Service(name=name, module=f"services.{name}", environment=environment, ready=is_ready)
        for name, is_ready in ready.items()
    ]


@asynccontextmanager
async def running(
    settings: CliSettings,
    *,
    changed: Callable[[Child, str], None],
    stop: asyncio.Event,
    overrides: Mapping[str, str] | None = None,
    auth_port: int,
    reports_port: int,
) -> AsyncIterator[Stack]:
    """Yield the pipeline, started but perhaps not ready yet; end all of it afterwards."""
    state_dir = settings.tailwatch_state_dir
    broker = await asyncio.to_thread(EmbeddedBroker)
    try:
        environment = {
            "APP_ENV": "development",
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
            "KAFKA_EMBEDDED": "true",
            "PROFILING_ENABLED": "true",
            "CONTINUOUS_PROFILING_ENABLED": "true",
            "SHUTDOWN_GRACE_SECONDS": str(GRACE_SECONDS),
            "HOST": settings.host,
            "PORT": str(auth_port),
            "REPORTS_HOST": settings.reports_host,
            "REPORTS_PORT": str(reports_port),
            "PUBLIC_URL": f"http://{settings.reports_host}:{reports_port}",
            **(overrides or {}),
        }
        await touch_topics(broker.bootstrap_servers, [topic.name for topic in TOPICS])
        supervisor = Supervisor(
            services(environment), log_dir=state_dir / "logs", changed=changed, grace_seconds=GRACE_SECONDS
        )
        state_dir.mkdir(parents=True, exist_ok=True)
        note = state_dir / STATE_FILE
        note.write_text(json.dumps({"pid": os.getpid(), "bootstrapServers": broker.bootstrap_servers}))
        everything = asyncio.create_task(supervisor.run(stop))
        try:
            yield Stack(
                broker=broker,
                supervisor=supervisor,
                auth_url=f"http://{settings.host}:{auth_port}",
                reports_url=f"http://{settings.reports_host}:{reports_port}",
                log_dir=state_dir / "logs",
            )
        finally:
            stop.set()
            await everything
            note.unlink(missing_ok=True)
    finally:
        await asyncio.to_thread(broker.close)


def found_broker(settings: CliSettings) -> CliSettings:
    """Return settings that reach Kafka: as set, else the embedded broker of a running ``tailwatch up``."""
    if settings.kafka_bootstrap_servers:
        return settings
    try:
        note = json.loads((settings.tailwatch_state_dir / STATE_FILE).read_text())
        os.kill(note["pid"], 0)
        return settings.model_copy(update={"kafka_bootstrap_servers": note["bootstrapServers"], "kafka_embedded": True})
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigurationError(
            "no Kafka: start `tailwatch up` here, or set KAFKA_BOOTSTRAP_SERVERS=host:port[,host:port...]"
        ) from None
