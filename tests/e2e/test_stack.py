"""The stack in containers, on a real Apache Kafka: it becomes healthy, the loop closes, and nothing is left."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.cli.adapters.stack import free_port

pytestmark = [pytest.mark.docker, pytest.mark.e2e, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
HEALTHY_SECONDS = 60.0
REPORT_SECONDS = 120.0


class Stack:
    """The compose project of one test, with ports of its own."""

    def __init__(self) -> None:
        self.auth, self.reports = free_port(0), free_port(0)
        self.name = f"tailwatch-test-{os.getpid()}"
        self._environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.name,
            "PORT": str(self.auth),
            "REPORTS_PORT": str(self.reports),
            "KAFKA_PORT": str(free_port(0)),
            "DEMO_FAULT": "slow-signer",
            "DURATION": "90s",
        }

    def compose(self, *arguments: str, within: float = 600) -> str:
        """Return what a compose command says."""
        ended = subprocess.run(
            ["docker", "compose", "--profile", "load", *arguments],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-3000:]
        return ended.stdout

    def left(self) -> str:
        """Return the containers and volumes of the project that are there."""
        label = f"label=com.docker.compose.project={self.name}"
        commands = (["docker", "ps", "--all", "--quiet"], ["docker", "volume", "ls", "--quiet"])
        said = (
            subprocess.run([*command, "--filter", label], capture_output=True, text=True, check=True).stdout
            for command in commands
        )
        return "".join(said)


@pytest.fixture
def stack() -> Iterator[Stack]:
    """Yield a project whose images are built, and delete what it left."""
    project = Stack()
    project.compose("build")
    try:
        yield project
    finally:
        project.compose("down", "--volumes", "--timeout", "5")
    assert project.left() == ""


def test_the_stack_becomes_healthy_and_closes_the_loop(stack: Stack) -> None:
    """Under a minute to healthy; the planted function is named; no request fails."""
    began = time.monotonic()
    stack.compose("up", "--detach", "--wait", "auth", "sla_monitor", "analyzer", "reporter")
    assert time.monotonic() - began < HEALTHY_SECONDS
    stack.compose("up", "--detach", "load")
    reports, deadline = f"http://127.0.0.1:{stack.reports}", time.monotonic() + REPORT_SECONDS
    with httpx.Client(trust_env=False) as client:
        while not client.get(f"{reports}/health").json()["reports"] and time.monotonic() < deadline:
            time.sleep(1)
        assert client.get(f"http://127.0.0.1:{stack.auth}/health").status_code == 200
    said = stack.compose("run", "--rm", "--no-deps", "-T", "topics", "tailwatch", "events", "recommendations", "--json")
    assert '"rule":"jwt_signing"' in said
    assert "variants.py: " in said
    assert stack.compose("wait", "load", within=120).strip().endswith("0"), "k6 fails when a request does"
