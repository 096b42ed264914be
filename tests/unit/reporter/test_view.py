"""The view: everything that a report says, in the guide's order."""

from __future__ import annotations

import msgspec
import pytest

from services.reporter.core.view import view_of
from tailwatch.contracts.captures import CaptureOrigin
from tests.support.examples import ANALYSIS, SESSION


def test_a_view_holds_the_guides_sections_in_their_order() -> None:
    """The recommendations come after what they rest on, and how it was measured comes last."""
    view = view_of(ANALYSIS)
    assert [section.title for section in (view.header, *view.before_opportunities, view.measured)] == [
        "Capture",
        "Performance Summary",
        "Work or Wait",
        "CPU Budgets",
        "Top CPU Consumers",
        "Memory Usage",
        "Compared with",
        "How this was measured",
    ]
    assert [found.severity for found in view.opportunities] == ["HIGH"]


@pytest.mark.parametrize(
    ("target", "title", "slug"),
    [
        ("POST /tokens", "CPU profile: auth POST /tokens", "tokens"),
        (None, "CPU profile: auth (every target)", "mixed"),
    ],
)
def test_a_view_names_its_capture(target: str | None, title: str, slug: str) -> None:
    """Title, session, moment and verdict are there without reading a section."""
    view = view_of(msgspec.structs.replace(ANALYSIS, target=target))
    assert (view.title, view.slug, view.session) == (title, slug, SESSION)
    assert (view.captured, view.verdict) == ("2025-11-24 16:00:01.5 UTC", "cpu_bound")
    assert view.summary == "71 % of the slow time is work."


@pytest.mark.parametrize(
    ("origin", "caption"),
    [(CaptureOrigin.SLA, None), (CaptureOrigin.CONTROL, None), (CaptureOrigin.MANUAL, "Hot Functions")],
)
def test_only_a_capture_by_hand_heads_its_functions(origin: CaptureOrigin, caption: str | None) -> None:
    """The guide's name for the table of a report in ``current``."""
    (table,) = view_of(msgspec.structs.replace(ANALYSIS, origin=origin)).consumers.tables
    assert table.caption == caption
