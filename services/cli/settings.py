"""What the operator's command reads from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from tailwatch.runtime.settings import KafkaSettings, Port, StoreSettings


class CliSettings(KafkaSettings, StoreSettings):
    """Where the pipeline is."""

    host: str = Field("127.0.0.1", description="Address of the auth service.")
    port: Port = Field(3000, description="Port of the auth service.")
    reports_host: str = Field("127.0.0.1", description="Address of the report pages.")
    reports_port: Port = Field(3080, description="Port of the report pages.")
    tailwatch_state_dir: Path = Field(Path(".tailwatch"), description="Where `up` notes its broker and keeps its logs.")
