"""Services killed in the middle, rubbish on every topic: the outcome is still one analysis and one report."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.captures import CaptureCompleted, CaptureStarted
from tailwatch.contracts.event import Event
from tailwatch.contracts.recommendations import Recommendation
from tailwatch.contracts.rejects import RejectedRecord
from tailwatch.contracts.topics import ANALYSES, CAPTURES, RECOMMENDATIONS, STATUSES, TIMINGS, TRIGGERS
from tailwatch.contracts.triggers import ProfilingTrigger
from tests.support.pipeline import Pipeline, a_pipeline, under_load

pytestmark = [pytest.mark.e2e, pytest.mark.scalene, pytest.mark.timeout(180)]

RUBBISH = b'{"service": "auth", '
READ_BY = {
    TIMINGS: {"sla_monitor"},
    STATUSES: {"probe"},
    TRIGGERS: {"probe"},
    CAPTURES: {"sla_monitor", "analyzer"},
    ANALYSES: {"reporter"},
    RECOMMENDATIONS: {"reporter"},
}
SETTLED_SECONDS = 12.0
"""Longer than a killed consumer's session: whatever would come twice has come."""


async def killed_at(pipeline: Pipeline, victim: str, moment: type[Event]) -> None:
    """Kill -9 a service as soon as an event of a kind is seen."""
    await pipeline.seen(moment, within=60)
    pid = pipeline.stack.pid(victim)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


async def litter(pipeline: Pipeline) -> None:
    """Put a record that nobody can understand on every topic that somebody reads."""
    producer = AIOKafkaProducer(bootstrap_servers=pipeline.settings.require_kafka())
    await producer.start()
    try:
        for topic in READ_BY:
            await producer.send_and_wait(topic.name, key=b"litter", value=RUBBISH)
    finally:
        await producer.stop()


async def test_rubbish_and_kills_on_the_way_leave_one_analysis_and_one_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Monitor, analyzer and reporter are killed when their work has begun: nothing is lost, nothing comes twice."""
    monkeypatch.chdir(tmp_path)
    planted = {"DEMO_FAULT": "slow-signer", "DEMO_FAULT_AFTER_REQUESTS": "140"}
    async with a_pipeline({**planted, "CONTINUOUS_PROFILING_DURATION_SECONDS": "20"}) as pipeline:
        await litter(pipeline)
        async with under_load(pipeline.stack.auth_url) as load:
            await killed_at(pipeline, "sla_monitor", CaptureStarted)
            await killed_at(pipeline, "analyzer", CaptureCompleted)
        session = pipeline.all(CaptureCompleted)[0].session_id
        await killed_at(pipeline, "reporter", ProfileAnalysis)
        await pipeline.seen(Recommendation, within=60)
        await asyncio.sleep(SETTLED_SECONDS)
        analyses = [analysis for analysis in pipeline.all(ProfileAnalysis) if analysis.session_id == session]
        names = [artifact.name for artifact in await pipeline.reports(session)]
        assert len({analysis.id for analysis in analyses}) == 1
        assert len({str(analysis) for analysis in analyses}) == 1, "a repeated record says the same"
        assert sorted(name.rpartition(".")[2] for name in names) == ["html", "md"], names
        assert len({trigger.id for trigger in pipeline.all(ProfilingTrigger)}) == 1
        assert len(pipeline.all(CaptureStarted)) == 1
        assert load.failed == 0
        rejected = {(reject.topic, reject.rejected_by) for reject in pipeline.all(RejectedRecord)}
        assert rejected == {(topic.name, reader) for topic, readers in READ_BY.items() for reader in readers}
        assert all(reject.value == RUBBISH and reject.reason for reject in pipeline.all(RejectedRecord))
        killed = {said.split()[0] for said in pipeline.restarts if "SIGKILL" in said}
        assert killed == {"sla_monitor", "analyzer", "reporter"}
