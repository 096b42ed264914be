"""The latch: what was asked, and what became of it."""

from __future__ import annotations

import msgspec
import pytest

from services.sla_monitor.core.latch import Latch, armed_anew, asking, confirmed, informed
from tailwatch.contracts.captures import CaptureEvent, CaptureOrigin, RefusalReason
from tailwatch.contracts.triggers import trigger_id
from tests.support.reports import NOW, SERVICE, SESSION, TARGET, aborted, completed, evicted, failed, refused, started

ID = trigger_id(SERVICE, TARGET, 3, 0)


def asked() -> Latch:
    """Return the latch of epoch 3 after its first ask was confirmed."""
    return confirmed(asking(Latch(epoch=3, condition_since=NOW), "host-1", id=ID, now=NOW, new_round=False), ID)


def hear(latch: Latch, *events: CaptureEvent) -> Latch:
    """Return the latch after some events."""
    for event in events:
        latch = informed(latch, event, service=SERVICE, target=TARGET)
    return latch


def test_an_ask_is_noted_before_it_is_confirmed() -> None:
    """A worker killed between the two finds the trigger unconfirmed."""
    latch = asking(Latch(epoch=3), "host-1", id=ID, now=NOW, new_round=False)
    assert (latch.attempt, latch.asked, latch.confirmed, latch.fired_at) == (1, ("host-1",), False, NOW)
    assert confirmed(latch, ID).confirmed
    assert confirmed(latch, "another") is latch


def test_a_new_round_starts_its_list_anew() -> None:
    """After every process was asked in vain the first may be asked again."""
    again = asking(asked(), "host-1", id="x", now=NOW + 5, new_round=True)
    assert (again.round, again.asked, again.attempt) == (1, ("host-1",), 2)
    assert again.fired_at == NOW


def test_a_started_capture_is_running_until_it_ends() -> None:
    """Completed, failed and aborted end it; so does its deadline."""
    latch = hear(asked(), started(NOW + 1, trigger_id=ID))
    assert (latch.captured, latch.started_at, latch.running(NOW + 40)) == (True, NOW + 1, True)
    assert not latch.running(NOW + 41)
    for end in (completed(NOW + 31), failed(NOW + 2, trigger_id=ID), aborted(NOW + 2, trigger_id=ID)):
        after = hear(latch, end)
        assert not after.running(NOW + 3)
        assert (after.captured, after.refused) == (True, False)


def test_the_end_of_another_capture_ends_nothing() -> None:
    """Only the session that runs can end."""
    latch = hear(asked(), started(NOW, trigger_id=ID))
    assert hear(latch, completed(NOW, session_id="profile-1-bbbbbbbbbbbb")).running(NOW)


def test_hearing_the_same_again_changes_nothing() -> None:
    """Captures are delivered at least once: a replay ends in the same latch."""
    events = (started(NOW + 1, trigger_id=ID), completed(NOW + 31, trigger_id=ID))
    assert hear(asked(), *events) == hear(asked(), *events, *events)


@pytest.mark.parametrize("origin", [CaptureOrigin.CONTROL, CaptureOrigin.MANUAL])
def test_only_automatic_captures_throttle(origin: CaptureOrigin) -> None:
    """A control or a manual capture of the target runs, but starts no throttle."""
    latch = hear(Latch(), started(NOW, origin=origin))
    assert (latch.running(NOW), latch.started_at, latch.captured) == (True, None, False)


def test_a_capture_of_an_older_arming_throttles_but_answers_no_ask() -> None:
    """Only a trigger of this arming is answered by a capture."""
    latch = hear(asked(), started(NOW, trigger_id=trigger_id(SERVICE, TARGET, 2, 0)))
    assert (latch.captured, latch.started_at) == (False, NOW)


def test_an_older_start_never_moves_the_throttle_back() -> None:
    """Heard late, an old start changes neither the throttle nor what runs now."""
    latch = hear(asked(), started(NOW, trigger_id=ID), started(NOW - 99, session_id="profile-1-bbbbbbbbbbbb"))
    assert (latch.started_at, latch.session_id) == (NOW, SESSION)


def test_a_refusal_of_the_newest_trigger_is_noted() -> None:
    """Any reason lets the next process be asked, except that the agent has seen the trigger before."""
    assert hear(asked(), refused(NOW, RefusalReason.BUSY, trigger_id=ID)).refused
    assert not hear(asked(), refused(NOW, RefusalReason.DUPLICATE, trigger_id=ID)).refused
    assert not hear(asked(), refused(NOW, RefusalReason.BUSY, trigger_id="another")).refused


def test_a_refusal_after_the_start_changes_nothing() -> None:
    """What has been captured needs no further ask."""
    latch = hear(asked(), started(NOW, trigger_id=ID))
    assert hear(latch, refused(NOW, RefusalReason.BUSY, trigger_id=ID)) == latch


def test_a_capture_that_failed_to_start_is_as_good_as_refused() -> None:
    """The next process is asked when the newest trigger came to nothing."""
    assert hear(asked(), failed(NOW, trigger_id=ID)).refused
    assert not hear(asked(), failed(NOW, trigger_id="another")).refused
    assert not hear(Latch(), failed(NOW)).refused


def test_evicted_files_change_nothing() -> None:
    """What becomes of the files later is nothing to the monitor."""
    assert hear(asked(), evicted(NOW)) == asked()


def test_the_next_arming_keeps_what_throttles_it() -> None:
    """A new epoch asks from attempt 0 again; the capture that runs and the throttle stay."""
    latch = armed_anew(hear(asked(), started(NOW + 1, trigger_id=ID)), condition_since=NOW + 9)
    assert (latch.epoch, latch.attempt, latch.captured, latch.condition_since) == (4, 0, False, NOW + 9)
    assert (latch.started_at, latch.running(NOW + 2), latch.last_trigger_id) == (NOW + 1, True, ID)


def test_a_latch_survives_its_table() -> None:
    """What is stored is what is read."""
    latch = hear(asked(), started(NOW + 1, trigger_id=ID))
    assert msgspec.convert(msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(latch))), Latch) == latch
