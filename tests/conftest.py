"""What every test can use: golden files, the embedded broker, Hypothesis profiles, and reasons to skip."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, settings

from tests.support.components import Component, requires

TESTS = Path(__file__).parent
ALONE = ("integration", "e2e")
GOLDEN = TESTS / "data" / "golden"
MARKED: tuple[Component, ...] = ("kafka", "docker", "scalene", "browser")

settings.register_profile("dev", max_examples=60, deadline=None)
settings.register_profile(
    "ci", max_examples=400, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "dev"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--update-golden``."""
    parser.addoption(
        "--update-golden", action="store_true", help="write golden files anew instead of comparing with them"
    )


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the machine for itself."""
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0]
        if folder in ALONE or item.get_closest_marker("scalene"):
            item.add_marker(pytest.mark.alone)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a marked test on a laptop, or fail it in CI, when what its marker names is missing."""
    for component in MARKED:
        if item.get_closest_marker(component):
            requires(component)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return ``golden(name, text)``: the text must be what ``tests/data/golden/<name>`` holds."""
    update = cast("bool", request.config.getoption("--update-golden"))

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        if not path.exists():
            pytest.fail(f"{path} does not exist: run pytest with --update-golden and read what it writes")
        assert text == path.read_text(encoding="utf-8"), f"{path} differs: is the change meant? --update-golden"

    return compare


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[str]:
    """Yield the bootstrap servers of an embedded broker of this test session."""
    requires("embedded")
    from tailwatch.runtime.embedded_broker import EmbeddedBroker  # noqa: PLC0415 (only when a test needs a broker)

    with EmbeddedBroker() as broker:
        yield broker.bootstrap_servers
