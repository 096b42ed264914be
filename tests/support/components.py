"""What a test may need from the machine: skipped with its reason on a laptop, a failure in CI."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
from functools import cache
from typing import Literal

import pytest

Component = Literal["kafka", "docker", "scalene", "browser", "embedded"]

KAFKA_VARIABLE = "TAILWATCH_TEST_KAFKA"
"""host:port of a real Apache Kafka that tests may use; without it they start one in Docker."""


def requires(component: Component) -> None:
    """Skip the calling test when the machine lacks ``component``; fail it when ``CI=true``."""
    reason = missing(component)
    if reason is None:
        return
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"{component} is required in CI: {reason}", pytrace=False)
    pytest.skip(f"{component}: {reason}")


@cache
def missing(component: Component) -> str | None:
    """Return why ``component`` cannot be used here, or None when it can."""
    match component:
        case "embedded":
            found = importlib.util.find_spec("confluent_kafka")
            return None if found else "confluent-kafka is not installed: install tailwatch[embedded]"
        case "docker":
            return _without_docker()
        case "kafka":
            return _without_kafka()
        case "scalene":
            return _without_scalene()
        case "browser":
            names = ("chromium", "chromium-browser", "google-chrome", "chrome")
            return None if any(shutil.which(name) for name in names) else f"none of {', '.join(names)} is on PATH"


def _without_docker() -> str | None:
    program = shutil.which("docker")
    if program is None:
        return "the docker command is not on PATH"
    answer = subprocess.run([program, "info"], capture_output=True, timeout=20, check=False)
    return None if answer.returncode == 0 else "the docker daemon does not answer: start Docker"


def _without_kafka() -> str | None:
    address = os.environ.get(KAFKA_VARIABLE)
    if address is None:
        without = _without_docker()
        return None if without is None else f"{KAFKA_VARIABLE} is not set and {without}"
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=3).close()
    except (OSError, ValueError) as error:
        return f"{KAFKA_VARIABLE}={address} does not answer: {error}"
    return None


def _without_scalene() -> str | None:
    if platform.system() not in {"Linux", "Darwin"}:
        return f"Scalene captures are not supported on {platform.system()}"
    return None if importlib.util.find_spec("scalene") else "scalene is not installed"
