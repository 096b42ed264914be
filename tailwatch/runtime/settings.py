"""Settings: the environment (and ``.env``) parsed once, at start, into frozen values with ranges.

A field's name in upper case is the environment variable. A value that is not accepted is refused with one line.
"""

from __future__ import annotations

import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from tailwatch.contracts.errors import ConfigurationError

Port = Annotated[int, Field(ge=1, le=65_535)]


class AppEnv(StrEnum):
    """Where a process runs."""

    DEVELOPMENT = "development"
    STAGING = "staging"
    PRODUCTION = "production"


def _no_scheme(value: str) -> str:
    if "://" in value:
        raise ValueError("accepted: host:port[,host:port...], without a scheme")
    return value


class RuntimeSettings(BaseSettings):
    """What every process reads."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True, env_ignore_empty=True)

    app_env: AppEnv = Field(AppEnv.DEVELOPMENT, description="Where this process runs.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe line logged.")
    shutdown_grace_seconds: float = Field(10.0, ge=0.1, le=600, description="Seconds to finish in after SIGTERM.")
    tailwatch_config_dir: Path | None = Field(
        None, description="Directory of tailwatch.toml and recommendations.toml; unset: the copy in the package."
    )
    heartbeat_file: Path | None = Field(
        None, description="File that a consumer touches every second while it works; unset: none."
    )
    service_version: str = Field("unknown", max_length=100, description="Version of the watched service.")
    git_commit: str = Field("unknown", max_length=100, description="Commit that the service was built from.")


class KafkaSettings(RuntimeSettings):
    """How to reach Kafka."""

    kafka_bootstrap_servers: Annotated[str, AfterValidator(_no_scheme)] | None = Field(
        None, description="host:port[,host:port...]; unset: no Kafka."
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="Security of the connection."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="Used with SASL_*."
    )
    kafka_sasl_username: str | None = Field(None, description="Used with SASL_*.")
    kafka_sasl_password: SecretStr | None = Field(None, description="Used with SASL_*.")
    kafka_ssl_cafile: Path | None = Field(None, description="CA certificates, PEM; unset: the system's.")
    kafka_embedded: bool = Field(False, description="The broker is tailwatch's embedded one: create no topics.")
    kafka_request_timeout_ms: int = Field(40_000, ge=1_000, le=600_000, description="Delivery time-out, milliseconds.")
    kafka_session_timeout_ms: int = Field(6_000, ge=1_000, le=300_000, description="A dead consumer is noticed after.")

    def require_kafka(self) -> str:
        """Return the bootstrap servers, or refuse to start without them."""
        if not self.kafka_bootstrap_servers:
            raise ConfigurationError(
                "KAFKA_BOOTSTRAP_SERVERS is not set: accepted host:port[,host:port...] (`tailwatch up` starts a broker)"
            )
        return self.kafka_bootstrap_servers


class StoreSettings(RuntimeSettings):
    """Where artifacts are kept."""

    artifact_store_url: str = Field(
        "profiles", min_length=1, description="A directory, or any fsspec URL (s3://bucket/prefix)."
    )


class ProfilingSettings(RuntimeSettings):
    """What may be captured, when, and at what cost."""

    profiling_enabled: bool = Field(default=False, description="Captures by hand.")
    continuous_profiling_enabled: bool = Field(default=False, description="Automatic captures.")
    continuous_profiling_auto_trigger_on_sla: bool = Field(default=True, description="Capture when an SLA breaks.")
    continuous_profiling_throttle_minutes: int = Field(
        60, ge=0, le=1440, description="Least minutes between automatic captures of a target; 0 not in production."
    )
    continuous_profiling_duration_seconds: int = Field(30, ge=5, le=300, description="Length of an automatic capture.")
    continuous_profiling_max_concurrent: int = Field(1, ge=1, le=5, description="Captures at once on a host.")
    continuous_profiling_max_storage_gb: float = Field(1.0, gt=0, le=10_000, description="Quota of all captures.")
    profiling_max_overhead_percent: float = Field(2.0, gt=0, le=50, description="CPU of a capture, percent of a core.")
    profiling_max_loop_lag_ms: float = Field(100.0, ge=1, le=60_000, description="Loop lag by the sampler that aborts.")
    profiling_max_memory_mb: float = Field(64.0, ge=1, le=65_536, description="Growth by a capture that aborts.")
    profiling_spool_dir: Path = Field(Path("profiles/.spool"), description="Where captures are written first.")

    @property
    def automatic_captures(self) -> bool:
        """Whether a broken SLA may start a capture."""
        return self.continuous_profiling_enabled and self.continuous_profiling_auto_trigger_on_sla

    @property
    def any_captures(self) -> bool:
        """Whether the profiler may ever be loaded."""
        return self.profiling_enabled or self.automatic_captures


Loaded = TypeVar("Loaded", bound=RuntimeSettings)


def load(settings_type: type[Loaded], **overrides: Any) -> Loaded:
    """Return the settings of this environment.

    Raises ConfigurationError with one line: the variable, its value and the accepted range.
    """
    try:
        settings = settings_type(**overrides)
    except ValidationError as error:
        raise ConfigurationError(refusal(settings_type, error)) from None
    throttle = getattr(settings, "continuous_profiling_throttle_minutes", None)
    if throttle == 0 and settings.app_env is AppEnv.PRODUCTION:
        raise ConfigurationError("CONTINUOUS_PROFILING_THROTTLE_MINUTES=0 is refused in production: accepted 1..1440")
    return settings


def refusal(settings_type: type[RuntimeSettings], error: ValidationError) -> str:
    """Return one line for the first value that was refused."""
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    field = settings_type.model_fields.get(name)
    if first["type"] == "missing":  # its input is every other setting, secrets too
        return f"{name.upper()} is not set: {(field.description if field else None) or 'it has no default'}"
    secret = field is not None and "SecretStr" in str(field.annotation)
    value = "(hidden)" if secret else repr(first.get("input"))
    if not name:
        return str(first["msg"]).removeprefix("Value error, ")
    reason = str(first["msg"]).removeprefix("Value error, ")
    return f"{name.upper()}={value} is refused: {reason}{accepted(settings_type, name)}"


def accepted(settings_type: type[RuntimeSettings], name: str) -> str:
    """Return the accepted range of a numeric setting, ``; accepted 5..300 (default 30)``, or an empty string."""
    field = settings_type.model_fields.get(name)
    if field is None:
        return ""
    low = next((str(value) for bound in field.metadata if (value := getattr(bound, "ge", None)) is not None), None)
    above = next((str(value) for bound in field.metadata if (value := getattr(bound, "gt", None)) is not None), None)
    high = next((str(value) for bound in field.metadata if (value := getattr(bound, "le", None)) is not None), None)
    start = low if low is not None else (f">{above}" if above is not None else "")
    if not start and high is None:
        return ""
    return f"; accepted {start}..{high or ''} (default {field.default})"


def host_name() -> str:
    """Return this host's name, reduced to what an instance id may hold."""
    name = "".join(
        char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in socket.gethostname()
    )
    return name.lstrip("._-") or "host"
