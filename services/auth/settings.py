"""What the operator of the auth service may set."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from services.auth.core.tokens import WRITTEN
from tailwatch.probe.settings import ProbeSettings
from tailwatch.runtime.settings import AppEnv, Port


class DemoFault(StrEnum):
    """A fault that the demo plants, to be found."""

    NONE = "none"
    SLOW_SIGNER = "slow-signer"
    JSON_BLOAT = "json-bloat"
    SLOW_KONG = "slow-kong"


class AuthSettings(ProbeSettings):
    """The auth service: HTTP, tokens, Kong, and the probe it carries."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: Port = Field(3000, description="Port to listen on.")
    max_request_body_size: int = Field(10 * 1024 * 1024, ge=1, le=1 << 30, description="Bytes; more is answered 413.")
    request_timeout_ms: int = Field(30_000, ge=100, le=600_000, description="Milliseconds; longer is answered 503.")
    jwt_expiration_minutes: int = Field(15, ge=1, le=60, description="Life of a token, minutes.")
    jwt_algorithm: Literal["HS256"] = Field("HS256", description="Signing algorithm.")
    jwt_leeway_seconds: int = Field(0, ge=0, le=300, description="Clock difference forgiven on validation, seconds.")
    jwt_unique_name_domain: str = Field("example.com", description="Domain of the claim unique_name.")
    kong_mode: Literal["EMBEDDED"] = Field("EMBEDDED", description="Where consumers come from; EMBEDDED: no Kong.")
    kong_jwt_authority: str = Field("http://localhost:3000", description="Issuer when KONG_JWT_ISSUER is not set.")
    kong_jwt_issuer: str = Field("", description="Issuer(s), comma-separated; the first is written, all are accepted.")
    kong_jwt_audience: str = Field("http://localhost:8000", description="Audience(s), comma-separated.")
    kong_jwt_key_claim_name: str = Field(
        "key", min_length=1, description="Claim that holds the credential's key; iss: as Kong has it by default."
    )
    kong_max_header_length: int = Field(256, ge=1, le=8192, description="Longest consumer header.")
    embedded_consumers_secret: SecretStr = Field(
        SecretStr("development-only"), description="EMBEDDED: what consumers' secrets are derived from."
    )
    demo_fault: DemoFault = Field(DemoFault.NONE, description="Fault planted on purpose; refused in production.")
    demo_fault_after_requests: int = Field(0, ge=0, le=1_000_000, description="Token requests before the fault begins.")

    @model_validator(mode="after")
    def refuse_what_is_unsafe(self) -> Self:
        """Return the settings unless they would be unsafe where this process runs."""
        if self.kong_jwt_key_claim_name in WRITTEN:
            raise ValueError(
                f"KONG_JWT_KEY_CLAIM_NAME={self.kong_jwt_key_claim_name} is refused: the claim says something else; "
                f"accepted any but {', '.join(sorted(WRITTEN))}"
            )
        if not self.audiences:
            raise ValueError("KONG_JWT_AUDIENCE names no audience: accepted one or more, comma-separated")
        if self.app_env is AppEnv.PRODUCTION and self.demo_fault is not DemoFault.NONE:
            raise ValueError(f"DEMO_FAULT={self.demo_fault.value} is refused in production: accepted none")
        if self.app_env is AppEnv.PRODUCTION and self.kong_mode == "EMBEDDED":
            raise ValueError("KONG_MODE=EMBEDDED is refused in production: no Kong is asked")
        if "app_env" not in self.model_fields_set and not _loopback(self.host):
            raise ValueError(
                f"HOST={self.host} is refused while APP_ENV is not set: accepted a loopback address, "
                "or APP_ENV=development|staging|production"
            )
        return self

    @property
    def issuers(self) -> tuple[str, ...]:
        """Issuers accepted; the first is written."""
        return _listed(self.kong_jwt_issuer) or (self.kong_jwt_authority,)

    @property
    def audiences(self) -> tuple[str, ...]:
        """Audiences written; one of them is required on validation."""
        return _listed(self.kong_jwt_audience)


def _listed(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
