"""The heartbeat of a consumer and the health check of a container."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from tailwatch.runtime.healthcheck import fault
from tailwatch.runtime.heartbeat import Heartbeat


class Answers(BaseHTTPRequestHandler):
    """A service that is well at /well and ill elsewhere."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/well" else 503)
        self.end_headers()

    @override
    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def url() -> Iterator[str]:
    """Yield the address of the service."""
    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_service_is_healthy_while_it_answers_200(url: str) -> None:
    """Any other status, a port where nobody listens, and another scheme are faults with their reason."""
    assert fault({"HEALTH_URL": f"{url}/well"}, now=0) is None
    assert "503" in str(fault({"HEALTH_URL": f"{url}/ill"}, now=0))
    assert "refused" in str(fault({"HEALTH_URL": "http://127.0.0.1:1/"}, now=0))
    assert "accepted http://" in str(fault({"HEALTH_URL": "file:///etc/hostname"}, now=0))


def test_a_consumer_is_healthy_while_its_heart_beats(tmp_path: Path) -> None:
    """Touched within the last 15 s."""
    file = tmp_path / "heartbeat"
    environment = {"HEARTBEAT_FILE": str(file)}
    assert "no heartbeat yet" in str(fault(environment, now=time.time()))
    Heartbeat(file).beat()
    now = file.stat().st_mtime
    assert fault(environment, now=now + 15) is None
    assert "16 s old" in str(fault(environment, now=now + 16))


def test_a_heart_beats_at_most_once_a_second_and_not_at_all_without_a_file(tmp_path: Path) -> None:
    """Beating is cheap."""
    file = tmp_path / "heartbeat"
    heartbeat = Heartbeat(file)
    heartbeat.beat()
    file.unlink()
    heartbeat.beat()
    assert not file.exists()
    Heartbeat(None).beat()


def test_the_check_is_a_program_with_an_exit_status(url: str) -> None:
    """0 or 1, one line that says why, and nothing imported but the standard library."""

    def checked(**environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tailwatch.runtime.healthcheck"],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    assert checked(HEALTH_URL=f"{url}/well").returncode == 0
    ill = checked()
    assert (ill.returncode, len(ill.stderr.splitlines())) == (1, 1)
    imported = "import sys, tailwatch.runtime.healthcheck; print('pydantic' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", imported], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
