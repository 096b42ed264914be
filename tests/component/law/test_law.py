"""The import law holds, and it is one that can be broken: every wrong import in a copy makes import-linter fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINTER = Path(sys.executable).with_name("lint-imports")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of what the law is about."""
    for package in ("tailwatch", "services"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "tailwatch" / "testing").mkdir(exist_ok=True)
    (tmp_path / "tailwatch" / "testing" / "__init__.py").touch()
    return tmp_path


def judged(checkout: Path) -> tuple[int, str]:
    """Return the exit status of import-linter in a checkout, and what it says."""
    answer = subprocess.run(
        [LINTER, "--no-cache", "--no-logo"],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": str(checkout), "COLUMNS": "200", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return answer.returncode, answer.stdout + answer.stderr


def test_the_law_holds() -> None:
    """The repository itself keeps every contract."""
    status, said = judged(ROOT)
    assert status == 0, said


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("services/analyzer/core/clock.py", "import time", "core and contracts do no IO and read no clock"),
        ("tailwatch/contracts/clock.py", "import os", "core and contracts do no IO and read no clock"),
        ("tailwatch/probe/core/net.py", "import socket", "core and contracts do no IO and read no clock"),
        ("services/reporter/core/shell.py", "import services.reporter.adapters", "inside a service"),
        ("services/sla_monitor/core/shell.py", "import services.sla_monitor.settings", "inside a service"),
        ("services/analyzer/helpers.py", "", "inside a service"),
        ("tailwatch/probe/core/shell.py", "import tailwatch.probe.adapters", "inside the probe"),
        ("services/analyzer/adapters/peer.py", "import services.reporter.settings", "never import one another"),
        ("services/auth/adapters/cli.py", "import services.cli", "never import one another"),
        ("services/analyzer/adapters/probe.py", "import tailwatch.probe", "only auth carries the probe"),
        ("tailwatch/contracts/shell.py", "import tailwatch.runtime.settings", "probe > runtime > contracts"),
        ("tailwatch/runtime/shell.py", "import tailwatch.probe", "probe > runtime > contracts"),
        ("tailwatch/runtime/peer.py", "import services", "the library never imports the services"),
        ("services/auth/adapters/fakes.py", "import tailwatch.testing", "nothing imports testing"),
    ],
)
def test_a_wrong_import_breaks_the_law(checkout: Path, module: str, line: str, broken: str) -> None:
    """One file with one wrong import is found, under the contract that it breaks."""
    (checkout / module).write_text(f"{line}\n")
    status, said = judged(checkout)
    assert status == 1, said
    assert [found for found in said.splitlines() if broken in found and " BROKEN" in found], said
