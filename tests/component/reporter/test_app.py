"""The reporter's shell over a store: one analysis in, its report and its recommendations out, however often."""

from __future__ import annotations

from typing import cast

import msgspec
import pytest

from services.reporter.adapters.printing import Printer
from services.reporter.app import Reporter
from services.reporter.core.view import view_of
from tailwatch.contracts.captures import CaptureOrigin
from tailwatch.contracts.errors import ContractError, StoreUnavailable
from tailwatch.contracts.event import Event
from tailwatch.contracts.recommendations import Recommendation, RecommendationState
from tailwatch.contracts.topics import ANALYSES
from tailwatch.runtime.artifacts import ArtifactStore
from tailwatch.runtime.pump import Delivery
from tests.support.captures import MemoryStore
from tests.support.examples import ANALYSIS, COMPLETED, FINGERPRINT, SESSION

STEM = f"auto/tokens-{SESSION}.cpu-prof"


class Life:
    """A reporter with its store and with the topic on which its recommendations are kept."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.topic: dict[str, Recommendation] = {}
        self.reporter = Reporter(
            cast("ArtifactStore", self.store), Printer(), known=self.newest, public_url="http://127.0.0.1:3080"
        )

    async def newest(self) -> dict[str, Recommendation]:
        return self.topic

    async def read(self, event: Event) -> list[Recommendation]:
        """Let the reporter handle an event; publish and return what it answers."""
        delivery = Delivery(event=event, topic=ANALYSES.name, partition=2, offset=7, traceparent=None, received_at=0.0)
        found = [event for event in await self.reporter.handle(delivery) if isinstance(event, Recommendation)]
        self.topic |= {recommendation.fingerprint: recommendation for recommendation in found}
        return found


async def test_an_analysis_becomes_a_report_and_a_recommendation() -> None:
    """Markdown first and the page last, so that what is listed and linked to is whole."""
    life = Life()
    (recommendation,) = await life.read(ANALYSIS)
    assert list(life.store.files) == [f"{STEM}.md", f"{STEM}.html"]
    assert life.store.files[f"{STEM}.md"].decode() == Printer().markdown(view_of(ANALYSIS))
    assert life.store.files[f"{STEM}.html"].decode() == Printer().html(view_of(ANALYSIS))
    assert (recommendation.fingerprint, recommendation.state) == (FINGERPRINT, RecommendationState.OPEN)
    assert recommendation.report == f"{STEM}.html"
    assert recommendation.report_url == f"http://127.0.0.1:3080/reports/tokens-{SESSION}.cpu-prof.html"


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_every_finding_is_one_recommendation(count: int) -> None:
    """A report is written even if nothing is recommended."""
    life = Life()
    findings = tuple(msgspec.structs.replace(ANALYSIS.findings[0], fingerprint=f"{at:016x}") for at in range(count))
    found = await life.read(msgspec.structs.replace(ANALYSIS, findings=findings))
    assert [recommendation.fingerprint for recommendation in found] == [f"{at:016x}" for at in range(count)]
    assert len(life.store.files) == 2


async def test_an_analysis_delivered_again_writes_the_same_bytes_and_says_the_same() -> None:
    """After a kill between publishing and commit: the same files under the same names, and an equal record."""
    life = Life()
    once = await life.read(ANALYSIS)
    files = dict(life.store.files)
    again = await life.read(ANALYSIS)
    assert life.store.files == files
    assert life.store.written == {f"{STEM}.md": 2, f"{STEM}.html": 2}
    assert msgspec.json.encode(again) == msgspec.json.encode(once)


async def test_a_later_capture_adds_to_what_is_known() -> None:
    """The second capture's recommendation has the evidence of both and a report of its own."""
    life = Life()
    await life.read(ANALYSIS)
    later = msgspec.structs.replace(
        ANALYSIS,
        session_id="profile-1764000900000-a",
        origin=CaptureOrigin.MANUAL,
        started_at=ANALYSIS.started_at + 900,
        ended_at=ANALYSIS.ended_at + 900,
    )
    (recommendation,) = await life.read(later)
    assert [seen.session_id for seen in recommendation.evidence] == ["profile-1764000900000-a", SESSION]
    assert recommendation.report == "current/CPU.tokens.profile-1764000900000-a.html"
    assert len(life.store.files) == 4


async def test_what_is_no_analysis_breaks_the_contract() -> None:
    """The pump rejects it by its position, and nothing is written."""
    life = Life()
    with pytest.raises(ContractError, match=r"\[2\]@7: CaptureCompleted is no analysis"):
        await life.read(COMPLETED)
    assert life.store.files == {}


async def test_a_store_that_is_away_is_waited_for() -> None:
    """The pump tries again: nothing is recommended whose report cannot be read."""
    life = Life()
    life.store.away = StoreUnavailable("no route")
    with pytest.raises(StoreUnavailable):
        await life.read(ANALYSIS)
    assert life.topic == {}
