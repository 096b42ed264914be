"""Composition root: ``python -m services.analyzer``."""

from __future__ import annotations

import sys

from services.analyzer.adapters.captures import CaptureFiles
from services.analyzer.adapters.catalogue import load_catalogue
from services.analyzer.app import Analyzer
from services.analyzer.settings import AnalyzerSettings
from tailwatch.contracts.topics import CAPTURES
from tailwatch.runtime.artifacts import ArtifactStore
from tailwatch.runtime.kafka import open_publisher
from tailwatch.runtime.policy import load_policy
from tailwatch.runtime.process import Process, run
from tailwatch.runtime.pump import Pump

NAME = "analyzer"
MEGABYTE = 2**20


async def live(settings: AnalyzerSettings, process: Process) -> None:
    """Analyse captures until told to stop."""
    settings.require_kafka()
    files = CaptureFiles(
        ArtifactStore(settings.artifact_store_url),
        max_stored_bytes=settings.analyzer_max_stored_mb * MEGABYTE,
        max_samples_bytes=settings.analyzer_max_samples_mb * MEGABYTE,
    )
    analyzer = Analyzer(
        files,
        policy=load_policy(settings.tailwatch_config_dir),
        catalogue=load_catalogue(settings.tailwatch_config_dir),
    )
    async with open_publisher(settings, source=f"/tailwatch/{NAME}", clock=process.clock) as publisher:
        pump = Pump(
            settings, group=NAME, topics=[CAPTURES], handle=analyzer.handle, publisher=publisher, clock=process.clock
        )
        await pump.run(process.stop)


def main() -> int:
    """Run the analyzer; return its exit status."""
    return run(NAME, AnalyzerSettings, live)


if __name__ == "__main__":
    sys.exit(main())
