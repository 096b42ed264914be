"""What an operator may set for the analyzer."""

from __future__ import annotations

from pydantic import Field

from tailwatch.runtime.settings import KafkaSettings, StoreSettings


class AnalyzerSettings(KafkaSettings, StoreSettings):
    """Settings of the analyzer; a field's name in upper case is its environment variable."""

    analyzer_max_stored_mb: int = Field(64, ge=1, le=4096, description="Largest compressed capture that is read, MB.")
    analyzer_max_samples_mb: int = Field(256, ge=1, le=16_384, description="Most that a capture may unpack to, MB.")
