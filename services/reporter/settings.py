"""What an operator may set for the reporter."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from tailwatch.runtime.settings import KafkaSettings, Port, StoreSettings


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        known = False
    if not known:
        raise ValueError("accepted: an http or https URL, e.g. http://127.0.0.1:3080")
    return value.rstrip("/")


class ReporterSettings(KafkaSettings, StoreSettings):
    """Settings of the reporter; a field's name in upper case is its environment variable."""

    reports_host: str = Field("127.0.0.1", min_length=1, description="Address that the reports are served on.")
    reports_port: Port = Field(3080, description="Port that the reports are served on.")
    public_url: Annotated[str, AfterValidator(_http_url)] = Field(
        "http://127.0.0.1:3080", description="Where people reach the reports; links in recommendations begin with it."
    )
