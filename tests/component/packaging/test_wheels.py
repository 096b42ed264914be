"""The two wheels, as a user installs them: each has what its imports need."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = """
import tailwatch.probe, tailwatch.runtime.policy as policy
assert policy.load_policy(None).services["auth"].targets
print(tailwatch.__file__, policy.config_file("recommendations.toml", None))
"""
SERVICES = """
import services, services.cli.app, services.sla_monitor.app, services.analyzer.app, services.reporter.adapters.printing
services.reporter.adapters.printing.Printer()
print(services.__file__, services.cli.app.__file__)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which both wheels are installed, and nothing else."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    for project in (ROOT / "tailwatch", ROOT):
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(wheels)],
            cwd=project,
            check=True,
            capture_output=True,
        )
    for wheel in wheels.iterdir():
        zipfile.ZipFile(wheel).extractall(site)
    return site


@pytest.mark.parametrize("program", [LIBRARY, SERVICES], ids=["tailwatch", "tailwatch-services"])
def test_a_wheel_holds_what_it_needs(site: Path, program: str) -> None:
    """Everything is imported from the installed files, also the configuration and the templates."""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert all(path.startswith(str(site)) for path in ended.stdout.split()), ended.stdout


def test_the_library_brings_no_top_level_package_but_its_own(site: Path) -> None:
    """A watched service is not made to install a package called ``services``."""
    [record] = site.glob("tailwatch-*.dist-info/RECORD")
    tops = {line.split("/")[0] for line in record.read_text().splitlines()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tailwatch"}
