"""Services killed in the middle: the outcome is still one analysis and one report."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import CaptureCompleted, CaptureStarted
from tailwatch.contracts.event import Event
from tailwatch.contracts.recommendations import Recommendation
from tailwatch.contracts.triggers import ProfilingTrigger
from tests.support.pipeline import Pipeline, a_pipeline, under_load

pytestmark = [pytest.mark.e2e, pytest.mark.scalene, pytest.mark.timeout(180)]

SETTLED_SECONDS = 12.0
"""Longer than a killed consumer's session: whatever would come twice has come."""


async def killed_at(pipeline: Pipeline, victim: str, moment: type[Event]) -> None:
    """Kill -9 a service as soon as an event of a kind is seen."""
    await pipeline.seen(moment, within=60)
    pid = pipeline.stack.pid(victim)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("victim", "moment"),
    [("sla_monitor", CaptureStarted), ("analyzer", CaptureCompleted), ("reporter", ProfileAnalysis)],
    ids=["monitor", "analyzer", "reporter"],
)
async def test_after_a_kill_there_is_one_analysis_and_one_report(
    victim: str, moment: type[Event], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is killed when its work begins, the capture ends in exactly one analysis and one report."""
    monkeypatch.chdir(tmp_path)
    async with a_pipeline({"DEMO_FAULT": "slow-signer", "DEMO_FAULT_AFTER_REQUESTS": "140"}) as pipeline:
        async with under_load(pipeline.stack.auth_url) as load:
            await killed_at(pipeline, victim, moment)
            completed = await pipeline.seen(CaptureCompleted, within=60)
        session = completed.session_id
        await pipeline.seen(ProfileAnalysis, within=60)
        await pipeline.seen(Recommendation, within=60)
        await asyncio.sleep(SETTLED_SECONDS)
        of_session: Callable[[ProfileAnalysis], bool] = lambda analysis: analysis.session_id == session  # noqa: E731
        analyses = [analysis for analysis in pipeline.all(ProfileAnalysis) if of_session(analysis)]
        names = [artifact.name for artifact in await pipeline.reports(session)]
        assert len({analysis.id for analysis in analyses}) == 1
        assert len({str(analysis) for analysis in analyses}) == 1, "a repeated record says the same"
        assert sum(name.endswith(".md") for name in names) == 1, names
        assert sum(name.endswith(".html") for name in names) == 1, names
        assert len({trigger.id for trigger in pipeline.all(ProfilingTrigger)}) == 1
        assert len(pipeline.all(CaptureStarted)) == 1
        assert load.failed == 0
        assert any(victim in said and "SIGKILL" in said for said in pipeline.restarts), pipeline.restarts
