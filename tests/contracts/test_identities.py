"""Ids of derived events are the same for ever: a replay, a restart and a later version find what was there."""

from __future__ import annotations

import msgspec
import pytest

from tailwatch.contracts.analyses import analysis_id
from tailwatch.contracts.event import Event, derived_id, subject
from tailwatch.contracts.recommendations import fingerprint
from tailwatch.contracts.triggers import TriggerCause, trigger_id
from tests.support import examples


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (examples.TIMINGS, "ac9b4060-f21c-5d2f-89ef-e9fbecf377da"),
        (examples.STATUS, "c45631df-f468-5ce6-9da5-16cdd7c3efbc"),
        (examples.TRIGGERED, "967542b6-3ff8-59da-bb4b-1aca9bac7331"),
        (examples.STARTED, "35513548-1e6f-525b-b41c-7988592362e7"),
        (examples.COMPLETED, "745ae262-4a2f-5c61-9391-2d05913c3c71"),
        (examples.REFUSED, "94354596-7a11-5f8d-8b48-eec364b8f05e"),
        (examples.ABORTED, "b62af70b-8626-53d6-abfd-9f219bae5958"),
        (examples.FAILED, "a1d0a05b-48ed-5892-acae-a1c209bfd5f0"),
        (examples.EVICTED, "0e7fd7a6-c21c-5956-9f79-2ccd08e1c464"),
        (examples.ANALYSIS, "fa34d3ae-ed31-510c-a299-b1e0c1a2d3f1"),
        (examples.RECOMMENDATION, "e5d75330-b9ba-5e53-9ded-facd3b4d9a47"),
        (examples.REJECT, "6ca98acd-ca50-52b1-80aa-c91dd3d564d5"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_events_id_never_changes(event: Event, expected: str) -> None:
    """The id of an event is a function of what it says, frozen here as it was first published."""
    assert event.event_id == expected


@pytest.mark.parametrize(
    ("event", "key"),
    [
        (examples.TIMINGS, "auth POST /tokens"),
        (examples.STATUS, "auth POST /tokens"),
        (examples.COMPLETED, "auth POST /tokens"),
        (examples.REFUSED, "auth"),
        (examples.RECOMMENDATION, "3da131a8c6d9d3a1"),
        (examples.REJECT, "profiling.captures.v1"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_key_keeps_what_belongs_together_on_one_partition(event: Event, key: str) -> None:
    """Service and target; the service alone for a manual capture; the finding; the topic of a reject."""
    assert event.key == key


def test_a_trigger_is_recognised_by_its_arming_and_its_attempt() -> None:
    """Target, epoch, attempt and cause name a trigger; a replay makes the same id, the next attempt another."""
    assert trigger_id("auth", "POST /tokens", 1, 0) == "967542b6-3ff8-59da-bb4b-1aca9bac7331"
    assert trigger_id("auth", "POST /tokens", 1, 1) == "c974ebf0-7143-58b1-bf68-780d9d75024f"
    assert trigger_id("auth", "POST /tokens", 1, 0, TriggerCause.CONTROL) == "39794870-c256-5df8-8c9a-8b7e2107212a"


def test_a_session_has_one_analysis() -> None:
    """The id of an analysis depends on its session alone."""
    assert analysis_id(examples.SESSION) == "fa34d3ae-ed31-510c-a299-b1e0c1a2d3f1"


def test_a_fingerprint_is_of_what_makes_two_findings_the_same() -> None:
    """Service, target, rule, operation and function: 16 hex digits, the same for ever."""
    assert examples.FINGERPRINT == "3da131a8c6d9d3a1"
    assert fingerprint("auth", None, "r", None, None) == "7991d55f3c68ec5d"
    assert fingerprint("auth", None, "r", "a", None) != fingerprint("auth", None, "r", None, "a")


def test_the_parts_of_an_id_do_not_run_together() -> None:
    """("a", "b") and ("ab") are different origins."""
    assert derived_id("a", "b") == "685c05ea-d418-51a4-ad32-541c31c2f779"
    assert derived_id("ab") == "3a3315e6-b1e9-544d-8089-611288ab0ce4"


def test_a_recommendation_without_evidence_is_told_apart_by_its_time() -> None:
    """The newest capture is part of the id, or the moment when there is no capture."""
    bare = msgspec.structs.replace(examples.RECOMMENDATION, evidence=())
    later = msgspec.structs.replace(bare, at=bare.at + 1)
    assert len({bare.event_id, later.event_id, examples.RECOMMENDATION.event_id}) == 3


def test_a_subject_is_service_and_target() -> None:
    """The key of a target, and of a service as a whole."""
    assert subject("auth", "GET /health") == "auth GET /health"
    assert subject("auth", None) == "auth"
