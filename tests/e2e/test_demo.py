"""The demo as a new user runs it: a planted fault goes in, a report that names it comes out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.scalene, pytest.mark.timeout(180)]

STEP_SECONDS = 3.0
"""Each step after the breach has to take less than this."""


def demo(folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Return exit status, the JSON object on stdout, and stderr of one demo in a folder of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", "--json", *arguments],
        cwd=folder,
        env={**os.environ, "CI": "false"},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    lines = ended.stdout.splitlines()
    assert len(lines) == 1, f"stdout is to hold exactly one object: {ended.stdout!r}; {ended.stderr[-2000:]}"
    return ended.returncode, json.loads(lines[0]), ended.stderr


def closed(folder: Path, *arguments: str) -> dict[str, Any]:
    """Return the result of a demo whose loop closed, after checking what holds for every fault."""
    status, found, said = demo(folder, *arguments)
    assert status == 0, said
    assert found["closed"] is True
    assert found["pid"] == found["servingPid"], "the capture is of the process that served the slow requests"
    assert found["failedRequests"] == 0
    assert found["requests"] > 200
    for step in ("breachToTriggerSeconds", "triggerToStartSeconds", "captureToReportSeconds"):
        assert 0 <= found[step] < STEP_SECONDS, (step, found[step])
    report = Path(found["report"])
    assert found["sessionId"] in report.read_text()
    page = report.with_suffix(".html").read_text()
    assert "<script src" not in page
    assert 'href="http' not in page, "the page works with no network"
    assert found["recommendations"], "something to act on"
    return found


def test_a_slow_signer_is_the_first_function_of_the_report(tmp_path: Path) -> None:
    """The planted function, whose name says nothing, comes first, and signing is over budget."""
    found = closed(tmp_path)
    assert found["fault"] == "slow-signer"
    assert found["topFunction"] == found["plantedFunction"] == "spread"
    assert found["verdict"] == "cpu_bound"
    assert found["topOperation"] == "jwt_signing"
    text = Path(found["report"]).read_text()
    table = text[text.index("Top CPU Consumers") :]
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert "spread" in rows[2], rows[:4]


def test_bloated_json_puts_the_json_operation_over_budget(tmp_path: Path) -> None:
    """JSON serialization is named, over its budget."""
    found = closed(tmp_path, "--fault", "json-bloat")
    json_operation = next(operation for operation in found["operations"] if operation["operation"] == "json")
    assert json_operation["status"] == "exceeded"
    assert found["topOperation"] == "json"
    assert any("JSON" in recommendation["title"] for recommendation in found["recommendations"])


def test_a_slow_kong_is_waiting_and_not_cpu(tmp_path: Path) -> None:
    """The verdict is waiting on Kong; no innocent function is blamed with a CPU recommendation."""
    found = closed(tmp_path, "--fault", "slow-kong")
    assert found["verdict"] == "waiting_on_kong"
    assert [recommendation["title"] for recommendation in found["recommendations"]] == ["Kong Wait"]


def test_a_healthy_run_captures_nothing(tmp_path: Path) -> None:
    """Without a fault there is no breach and no capture, and that is a success."""
    status, found, said = demo(tmp_path, "--fault", "none")
    assert status == 0, said
    assert "no breach, no capture" in said
    assert found["closed"] is False
    assert found["sessionId"] is None
    assert found["failedRequests"] == 0
