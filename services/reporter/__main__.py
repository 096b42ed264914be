"""Composition root: ``python -m services.reporter``."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from urllib.parse import urlsplit

from services.reporter.adapters.known import KnownRecommendations
from services.reporter.adapters.printing import Printer
from services.reporter.adapters.web import web
from services.reporter.app import Reporter
from services.reporter.settings import ReporterSettings
from tailwatch.contracts.topics import ANALYSES
from tailwatch.runtime.artifacts import ArtifactStore
from tailwatch.runtime.kafka import open_publisher
from tailwatch.runtime.process import Process, run
from tailwatch.runtime.pump import Pump
from tailwatch.runtime.web import serve

NAME = "reporter"
LOOPBACK = ("localhost", "127.0.0.1")


async def live(settings: ReporterSettings, process: Process) -> None:
    """Write and serve reports until told to stop; those that are there are served while Kafka is away."""
    settings.require_kafka()
    store, printer = ArtifactStore(settings.artifact_store_url), Printer()
    pages = serve(
        web(store, printer, hosts=allowed_hosts(settings)),
        host=settings.reports_host,
        port=settings.reports_port,
        stop=process.stop,
        grace_seconds=settings.shutdown_grace_seconds / 2,
        variables=("REPORTS_HOST", "REPORTS_PORT"),
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pages, name="web")
        tasks.create_task(consume(settings, process, store, printer), name="consume")


async def consume(settings: ReporterSettings, process: Process, store: ArtifactStore, printer: Printer) -> None:
    """Report analyses until told to stop."""
    async with open_publisher(settings, source=f"/tailwatch/{NAME}", clock=process.clock) as publisher:
        known = KnownRecommendations(settings, publisher, name=NAME, clock=process.clock)
        reporter = Reporter(store, printer, known=known.newest, public_url=settings.public_url)
        pump = Pump(
            settings, group=NAME, topics=[ANALYSES], handle=reporter.handle, publisher=publisher, clock=process.clock
        )
        await pump.run(process.stop)


def allowed_hosts(settings: ReporterSettings) -> list[str]:
    """Return the names by which the pages may be called.

    On a loopback address only its own names are, so that no web page can reach them by a name of its choice (DNS
    rebinding). On any other address the network decides.
    """
    if settings.reports_host.lower() != "localhost" and not _is_loopback(settings.reports_host):
        return ["*"]
    named = (settings.reports_host.lower(), urlsplit(settings.public_url).hostname or "")
    return [*LOOPBACK, *(f"[{name}]" if ":" in name else name for name in named)]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def main() -> int:
    """Run the reporter; return its exit status."""
    return run(NAME, ReporterSettings, live)


if __name__ == "__main__":
    sys.exit(main())
