"""What ``doctor`` looks at: each check says what it found and, if that will not do, the remedy."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.cli.adapters.stack import found_broker, free_port
from services.cli.settings import CliSettings
from tailwatch.contracts.errors import ConfigurationError
from tailwatch.runtime.artifacts import ArtifactStore
from tailwatch.runtime.kafka import client_options
from tailwatch.runtime.policy import load_policy

OLDEST_PYTHON = (3, 11)
PACKAGES = (
    "tailwatch",
    "scalene",
    "faust-streaming",
    "aiokafka",
    "confluent-kafka",
    "pandas",
    "starlette",
    "hypercorn",
)
BROKER_SECONDS = 5.0
LEAST_FREE_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    remedy: str = ""


def checks(settings: CliSettings) -> Iterator[Check]:
    """Yield every check's outcome, one after the other."""
    yield _python()
    yield from _packages()
    yield _scalene()
    yield _policy(settings)
    yield asyncio.run(_broker(settings))
    yield asyncio.run(_store(settings))
    yield _disk()
    yield _port("auth", settings.host, settings.port, "PORT")
    yield _port("reports", settings.reports_host, settings.reports_port, "REPORTS_PORT")


def _python() -> Check:
    ok = sys.version_info >= OLDEST_PYTHON
    return Check(
        name="python", ok=ok, found=platform.python_version(), remedy="install Python 3.11 or newer, then `make setup`"
    )


def _packages() -> Iterator[Check]:
    for package in PACKAGES:
        try:
            yield Check(name=package, ok=True, found=importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Check(name=package, ok=False, found="not installed", remedy="make setup")


def _scalene() -> Check:
    reason = _tried(_engine_reason)
    return Check(
        name="scalene usable",
        ok=reason is None,
        found=reason or "yes",
        remedy="install scalene==2.4.*: captures need it",
    )


def _engine_reason() -> str | None:
    from tailwatch.probe.adapters.scalene_engine import ScaleneEngine  # noqa: PLC0415  # heavy, and only doctor needs it

    return ScaleneEngine().available()


def _policy(settings: CliSettings) -> Check:
    try:
        policy = load_policy(settings.tailwatch_config_dir)
    except ConfigurationError as error:
        return Check(
            name="policy", ok=False, found=str(error), remedy="correct the file, or unset TAILWATCH_CONFIG_DIR"
        )
    targets = sum(len(service.targets) for service in policy.services.values())
    return Check(name="policy", ok=True, found=f"{targets} targets, {len(policy.operations)} operations")


async def _broker(settings: CliSettings) -> Check:
    remedy = "start `tailwatch up`, or set KAFKA_BOOTSTRAP_SERVERS to a Kafka that answers"
    try:
        reached = found_broker(settings)
        producer = AIOKafkaProducer(**client_options(reached))
        try:
            async with asyncio.timeout(BROKER_SECONDS):
                await producer.start()
        finally:
            await producer.stop()
    except (ConfigurationError, KafkaError, OSError, TimeoutError) as error:
        return Check(name="broker", ok=False, found=str(error) or type(error).__name__, remedy=remedy)
    return Check(name="broker", ok=True, found=reached.require_kafka())


async def _store(settings: CliSettings) -> Check:
    store = ArtifactStore(settings.artifact_store_url)
    name = f"doctor-{os.getpid()}"
    reason = None
    try:
        await store.write(name, b"written by tailwatch doctor")
        await store.delete(name)
    except Exception as error:  # noqa: BLE001  # whatever a storage driver raises is the finding
        reason = f"{store.location}: {error}"
    return Check(
        name="artifact store",
        ok=reason is None,
        found=reason or store.location,
        remedy="ARTIFACT_STORE_URL must be writable",
    )


def _disk() -> Check:
    free = shutil.disk_usage(tempfile.gettempdir()).free
    return Check(
        name="disk", ok=free > LEAST_FREE_BYTES, found=f"{free / (1 << 30):.1f} GB free", remedy="free at least 1 GB"
    )


def _port(name: str, host: str, port: int, variable: str) -> Check:
    free = free_port(port, host) == port
    return Check(
        name=f"port {name}",
        ok=True,
        found=f"{host}:{port} {'free' if free else f'in use (by `tailwatch up`?); {variable} chooses another'}",
    )


def _tried(work: Callable[[], str | None]) -> str | None:
    try:
        return work()
    except Exception as error:  # noqa: BLE001  # an engine that cannot even be imported is the finding
        return f"{type(error).__name__}: {error}"
