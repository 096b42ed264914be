"""Settings: parsed once, with ranges, and refused with one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from tailwatch.contracts.errors import ConfigurationError
from tailwatch.runtime.settings import (
    AppEnv,
    KafkaSettings,
    ProfilingSettings,
    RuntimeSettings,
    StoreSettings,
    host_name,
    load,
)


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from no settings at all, in a directory without ``.env``."""
    monkeypatch.chdir(tmp_path)
    for settings_type in (KafkaSettings, ProfilingSettings, StoreSettings):
        for name in settings_type.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)


def refused(settings_type: type[RuntimeSettings]) -> str:
    """Return the one line with which the environment is refused."""
    with pytest.raises(ConfigurationError) as raised:
        load(settings_type)
    line = str(raised.value)
    assert "\n" not in line
    return line


def test_an_empty_environment_is_development_without_captures() -> None:
    """Nothing has to be set; nothing is captured unless asked for."""
    settings = load(ProfilingSettings)
    assert settings.app_env is AppEnv.DEVELOPMENT
    assert not settings.automatic_captures
    assert not settings.any_captures


@pytest.mark.parametrize(
    ("enabled", "automatic", "on_sla", "any_captures", "automatic_captures"),
    [
        ("false", "false", "true", False, False),
        ("true", "false", "true", True, False),
        ("false", "true", "true", True, True),
        ("false", "true", "false", False, False),
        ("true", "true", "false", True, False),
    ],
)
def test_automatic_captures_need_both_switches(
    monkeypatch: pytest.MonkeyPatch,
    enabled: str,
    automatic: str,
    on_sla: str,
    any_captures: bool,  # noqa: FBT001 (a truth table)
    automatic_captures: bool,  # noqa: FBT001
) -> None:
    """The kill switches are separate: by hand, automatic, and automatic on a breach."""
    monkeypatch.setenv("PROFILING_ENABLED", enabled)
    monkeypatch.setenv("CONTINUOUS_PROFILING_ENABLED", automatic)
    monkeypatch.setenv("CONTINUOUS_PROFILING_AUTO_TRIGGER_ON_SLA", on_sla)
    settings = load(ProfilingSettings)
    assert (settings.any_captures, settings.automatic_captures) == (any_captures, automatic_captures)


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("CONTINUOUS_PROFILING_DURATION_SECONDS", "4", "5..300 (default 30)"),
        ("CONTINUOUS_PROFILING_DURATION_SECONDS", "301", "5..300 (default 30)"),
        ("CONTINUOUS_PROFILING_DURATION_SECONDS", "ten", "5..300 (default 30)"),
        ("CONTINUOUS_PROFILING_THROTTLE_MINUTES", "1441", "0..1440 (default 60)"),
        ("CONTINUOUS_PROFILING_MAX_CONCURRENT", "0", "1..5 (default 1)"),
        ("PROFILING_MAX_OVERHEAD_PERCENT", "0", ">0..50 (default 2.0)"),
        ("PROFILING_MAX_OVERHEAD_PERCENT", "nan", ">0..50 (default 2.0)"),
        ("SHUTDOWN_GRACE_SECONDS", "inf", "0.1..600 (default 10.0)"),
        ("PROFILING_ENABLED", "perhaps", "boolean"),
        ("APP_ENV", "prod", "'development', 'staging' or 'production'"),
        ("LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_bad_setting_is_refused_with_name_value_and_range(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, accepted: str
) -> None:
    """One line says which variable, what it holds and what would be accepted."""
    monkeypatch.setenv(name, value)
    line = refused(ProfilingSettings)
    assert line.startswith(f"{name}={value!r} is refused: ")
    assert accepted in line


@pytest.mark.parametrize("value", ["5", "300"])
def test_the_ends_of_a_range_are_accepted(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """A range includes its ends."""
    monkeypatch.setenv("CONTINUOUS_PROFILING_DURATION_SECONDS", value)
    assert load(ProfilingSettings).continuous_profiling_duration_seconds == int(value)


def test_production_refuses_captures_without_a_throttle(monkeypatch: pytest.MonkeyPatch) -> None:
    """0 minutes is for a laptop and for tests."""
    monkeypatch.setenv("CONTINUOUS_PROFILING_THROTTLE_MINUTES", "0")
    assert load(ProfilingSettings).continuous_profiling_throttle_minutes == 0
    monkeypatch.setenv("APP_ENV", "production")
    line = refused(ProfilingSettings)
    assert line == "CONTINUOUS_PROFILING_THROTTLE_MINUTES=0 is refused in production: accepted 1..1440"


def test_kafka_servers_are_without_a_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL in place of host:port is said to be one."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka://localhost:9092")
    line = refused(KafkaSettings)
    assert line.startswith("KAFKA_BOOTSTRAP_SERVERS='kafka://localhost:9092' is refused: ")
    assert "host:port" in line


def test_a_service_that_needs_kafka_says_how_to_get_one() -> None:
    """Without bootstrap servers the remedy is in the line."""
    with pytest.raises(ConfigurationError, match=r"KAFKA_BOOTSTRAP_SERVERS is not set.*`tailwatch up` starts a broker"):
        load(KafkaSettings).require_kafka()


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """``NAME=`` in a compose file means the default."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "")
    monkeypatch.setenv("SHUTDOWN_GRACE_SECONDS", "")
    settings = load(KafkaSettings)
    assert (settings.kafka_bootstrap_servers, settings.shutdown_grace_seconds) == (None, 10.0)


def test_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``.env`` fills in what the environment leaves out; names that are not ours are left alone."""
    (tmp_path / ".env").write_text("LOG_LEVEL=debug\nARTIFACT_STORE_URL=/from/file\nPOSTGRES_PASSWORD=x\n")
    monkeypatch.setenv("LOG_LEVEL", "warning")
    settings = load(StoreSettings)
    assert (settings.log_level, settings.artifact_store_url) == ("warning", "/from/file")


class SecretSettings(RuntimeSettings):
    """A service with a required setting and a secret one."""

    needed: str = Field(description="What it is for.")
    api_token: SecretStr = Field(SecretStr("x" * 8), min_length=8)


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret that is refused is named, not printed."""
    monkeypatch.setenv("NEEDED", "yes")
    monkeypatch.setenv("API_TOKEN", "hunter2")
    line = refused(SecretSettings)
    assert line.startswith("API_TOKEN=(hidden) is refused")
    assert "hunter2" not in line


def test_a_missing_setting_is_named_and_nothing_else_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line for a variable that is not set says what it is for, and no other variable's value."""
    monkeypatch.setenv("API_TOKEN", "correct-horse")
    assert refused(SecretSettings) == "NEEDED is not set: What it is for."


@pytest.mark.parametrize(
    ("host", "expected"), [("web1.example", "web1.example"), ("-_käse 1", "k-se-1"), ("...", "host"), ("ß٣", "host")]
)
def test_a_host_name_fits_into_an_instance_id(monkeypatch: pytest.MonkeyPatch, host: str, expected: str) -> None:
    """Whatever the machine is called, the instance id matches its pattern."""
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert host_name() == expected
