"""What every test of the auth service starts from."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.auth.settings import AuthSettings


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start from no settings at all, in a directory without ``.env``."""
    monkeypatch.chdir(tmp_path)
    for name in AuthSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
