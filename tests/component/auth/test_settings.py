"""The auth service's settings: what is refused at the start, and how lists are read."""

from __future__ import annotations

import pytest

from services.auth.settings import AuthSettings, DemoFault
from tailwatch.contracts.errors import ConfigurationError
from tailwatch.runtime.settings import load


def loaded(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> AuthSettings:
    """Return the settings of an environment that holds only these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load(AuthSettings)


def test_nothing_has_to_be_set_in_development() -> None:
    """The defaults are those that are documented, on loopback and without a fault."""
    settings = load(AuthSettings)
    assert (settings.host, settings.port) == ("127.0.0.1", 3000)
    assert (settings.max_request_body_size, settings.request_timeout_ms) == (10_485_760, 30_000)
    assert (settings.jwt_expiration_minutes, settings.jwt_algorithm, settings.jwt_leeway_seconds) == (15, "HS256", 0)
    assert (settings.kong_mode, settings.kong_max_header_length) == ("EMBEDDED", 256)
    assert settings.demo_fault is DemoFault.NONE


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        (
            {"APP_ENV": "production", "DEMO_FAULT": "slow-kong"},
            "DEMO_FAULT=slow-kong is refused in production: accepted none",
        ),
        ({"APP_ENV": "production"}, "KONG_MODE=EMBEDDED is refused in production: no Kong is asked"),
        *(
            (
                {"HOST": host},
                (
                    f"HOST={host} is refused while APP_ENV is not set: accepted a loopback address, "
                    "or APP_ENV=development|staging|production"
                ),
            )
            for host in ("0.0.0.0", "::", "192.168.1.7", "auth.example.com")  # noqa: S104  # refused is the point
        ),
        (
            {"KONG_JWT_KEY_CLAIM_NAME": "sub"},
            (
                "KONG_JWT_KEY_CLAIM_NAME=sub is refused: the claim says something else; "
                "accepted any but aud, exp, iat, jti, name, nbf, sub, unique_name"
            ),
        ),
        ({"KONG_JWT_AUDIENCE": " , "}, "KONG_JWT_AUDIENCE names no audience: accepted one or more, comma-separated"),
        ({"JWT_EXPIRATION_MINUTES": "61"}, "accepted 1..60 (default 15)"),
        ({"REQUEST_TIMEOUT_MS": "0"}, "accepted 100..600000 (default 30000)"),
        ({"JWT_ALGORITHM": "none"}, "JWT_ALGORITHM='none' is refused: Input should be 'HS256'"),
    ],
)
def test_what_is_unsafe_or_out_of_range_is_refused_with_one_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], line: str
) -> None:
    """The variable, its value and what is accepted instead."""
    with pytest.raises(ConfigurationError) as raised:
        loaded(monkeypatch, variables)
    assert str(raised.value).endswith(line)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "variables",
    [
        {"HOST": "localhost"},
        {"HOST": "127.8.8.8"},
        {"HOST": "::1"},
        {"HOST": "0.0.0.0", "APP_ENV": "development"},  # noqa: S104  # said on purpose
        {"HOST": "0.0.0.0", "APP_ENV": "staging", "DEMO_FAULT": "slow-signer"},  # noqa: S104
    ],
)
def test_what_is_safe_or_said_on_purpose_is_accepted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    """Loopback needs no APP_ENV; with one, any address will do; a fault may be planted outside production."""
    settings = loaded(monkeypatch, variables)
    assert settings.host == variables["HOST"]
    assert settings.demo_fault.value == variables.get("DEMO_FAULT", "none")


@pytest.mark.parametrize(
    ("variables", "issuers", "audiences"),
    [
        ({}, ("http://localhost:3000",), ("http://localhost:8000",)),
        (
            {"KONG_JWT_ISSUER": " https://new , https://old,, ", "KONG_JWT_AUDIENCE": "a,b , c"},
            ("https://new", "https://old"),
            ("a", "b", "c"),
        ),
        (
            {"KONG_JWT_AUTHORITY": "https://kong", "KONG_JWT_ISSUER": " , "},
            ("https://kong",),
            ("http://localhost:8000",),
        ),
        (
            {"KONG_JWT_AUTHORITY": "https://kong", "KONG_JWT_ISSUER": "https://a"},
            ("https://a",),
            ("http://localhost:8000",),
        ),
    ],
)
def test_issuers_and_audiences_are_lists_with_commas(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], issuers: tuple[str, ...], audiences: tuple[str, ...]
) -> None:
    """Blanks and empty parts are dropped; without an issuer the authority is the issuer."""
    settings = loaded(monkeypatch, variables)
    assert (settings.issuers, settings.audiences) == (issuers, audiences)


def test_the_consumers_secret_is_never_shown() -> None:
    """Neither printing the settings nor their text gives it away."""
    settings = AuthSettings(embedded_consumers_secret="do-not-print-me")  # type: ignore[arg-type]
    assert "do-not-print-me" not in repr(settings) + str(settings)
    assert settings.embedded_consumers_secret.get_secret_value() == "do-not-print-me"
