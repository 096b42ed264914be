"""The reporter's settings, and the names by which its pages may be called."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.reporter.__main__ import allowed_hosts
from services.reporter.settings import ReporterSettings
from tailwatch.contracts.errors import ConfigurationError
from tailwatch.runtime.settings import load


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from no settings at all, in a directory without ``.env``."""
    monkeypatch.chdir(tmp_path)
    for name in ReporterSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_without_settings_reports_are_served_on_this_machine_only() -> None:
    """Loopback, the port of the links, and the store beside the programs."""
    settings = load(ReporterSettings)
    assert (settings.reports_host, settings.reports_port) == ("127.0.0.1", 3080)
    assert settings.public_url == "http://127.0.0.1:3080"
    assert settings.artifact_store_url == "profiles"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://reports.example/", "https://reports.example"),
        ("http://reports.example/tailwatch//", "http://reports.example/tailwatch"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9"),
    ],
)
def test_links_begin_with_the_public_url(monkeypatch: pytest.MonkeyPatch, given: str, used: str) -> None:
    """From PUBLIC_URL, without its last slash."""
    monkeypatch.setenv("PUBLIC_URL", given)
    assert load(ReporterSettings).public_url == used


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("PUBLIC_URL", "reports.example", "accepted: an http or https URL, e.g. http://127.0.0.1:3080"),
        ("PUBLIC_URL", "ftp://reports.example", "accepted: an http or https URL, e.g. http://127.0.0.1:3080"),
        ("PUBLIC_URL", "javascript:alert(1)", "accepted: an http or https URL, e.g. http://127.0.0.1:3080"),
        ("PUBLIC_URL", "https://", "accepted: an http or https URL, e.g. http://127.0.0.1:3080"),
        ("PUBLIC_URL", "http:///", "accepted: an http or https URL, e.g. http://127.0.0.1:3080"),
        ("REPORTS_PORT", "0", "accepted 1..65535 (default 3080)"),
        ("REPORTS_PORT", "65536", "accepted 1..65535 (default 3080)"),
        ("REPORTS_PORT", "http", "accepted 1..65535 (default 3080)"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, said: str
) -> None:
    """The variable, its value and what is accepted."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as refused:
        load(ReporterSettings)
    line = str(refused.value)
    assert line.startswith(f"{variable}='{value}' is refused: ")
    assert line.endswith(said)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("host", "url", "names"),
    [
        ("127.0.0.1", "http://127.0.0.1:3080", {"localhost", "127.0.0.1"}),
        ("localhost", "https://reports.example:8443/t", {"localhost", "127.0.0.1", "reports.example"}),
        ("LOCALHOST", "http://127.0.0.2:80", {"localhost", "127.0.0.1", "127.0.0.2"}),
        ("::1", "http://[::1]:3080", {"localhost", "127.0.0.1", "[::1]"}),
        ("0.0.0.0", "http://127.0.0.1:3080", {"*"}),  # noqa: S104 (the address under test)
        ("::", "http://127.0.0.1:3080", {"*"}),
        ("10.0.0.7", "http://127.0.0.1:3080", {"*"}),
        ("reports.example", "https://reports.example", {"*"}),
    ],
)
def test_on_loopback_only_its_own_names_and_the_public_one_may_be_called(host: str, url: str, names: set[str]) -> None:
    """A page elsewhere cannot reach the reports by a name of its choice; on any other address the network decides."""
    assert set(allowed_hosts(load(ReporterSettings, reports_host=host, public_url=url))) == names
