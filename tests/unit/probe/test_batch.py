"""Requests packed into records: nothing lost, nothing twice, numbered without gaps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailwatch.contracts.codec import decode, encode
from tailwatch.contracts.timings import RequestTimings, SlowRequest
from tailwatch.contracts.topics import TIMINGS
from tailwatch.probe.core.batch import MOST_RUNNING, RUNNING_EVERY, SLOWEST, Answered, Packer
from tailwatch.probe.core.identity import Identity
from tests.support.examples import BOOT, INSTANCE, TRACE

NOW = 1_000.0
BUY, SELL = "POST /buy", "POST /sell"
WHO = Identity(service="shop", service_version="1.4.0", commit="4b825dc", instance=INSTANCE, boot=BOOT, pid=4711)

Call = tuple[list[Answered], dict[str, tuple[float, ...]]]

targets = st.sampled_from([BUY, SELL, "unmatched"])
answered = st.builds(
    Answered,
    target=targets,
    started_at=st.floats(0, 2e9),
    duration_ms=st.floats(0, 1e6),
    status=st.integers(100, 599),
    method=st.sampled_from(["GET", "POST"]),
    under_capture=st.booleans(),
    request_id=st.text(max_size=5),
    trace_id=st.sampled_from([None, TRACE]),
)
ages = st.lists(st.floats(0, 1e6), min_size=1, max_size=3).map(tuple)
calls: st.SearchStrategy[list[Call]] = st.lists(
    st.tuples(st.lists(answered, max_size=30), st.dictionaries(targets, ages, max_size=2)), max_size=4
)
most_in_one = st.integers(1, 12)


def request(target: str = BUY, *, milliseconds: float = 5.0) -> Answered:
    """Return an answered request."""
    return Answered(target, NOW, milliseconds, 200, "POST", under_capture=False, request_id="r", trace_id=None)


def packed(most: int, calls: Sequence[Call]) -> list[RequestTimings]:
    """Return all records of some calls, a second apart."""
    packer = Packer(WHO, most)
    return [
        record
        for second, (requests, running) in enumerate(calls)
        for record in packer.pack(requests, running, at=NOW + second)
    ]


def columns(records: Sequence[RequestTimings]) -> Mapping[str, list[tuple[object, ...]]]:
    """Return by target what the records hold, request by request."""
    found: dict[str, list[tuple[object, ...]]] = {}
    for record in records:
        if record.started_at:
            found.setdefault(record.target, []).extend(
                zip(
                    record.started_at,
                    record.duration_ms,
                    record.status,
                    record.method,
                    record.under_capture,
                    strict=True,
                )
            )
    return found


@given(most_in_one, calls)
def test_packing_loses_no_request_and_duplicates_none(most: int, calls: list[Call]) -> None:
    """By target, in order, the columns hold exactly what was answered."""
    expected = defaultdict(list)
    for requests, _ in calls:
        for each in requests:
            expected[each.target].append(
                (each.started_at, each.duration_ms, each.status, each.method, each.under_capture)
            )
    assert columns(packed(most, calls)) == expected


@given(most_in_one, calls)
def test_sequence_numbers_of_a_target_have_no_gap(most: int, calls: list[Call]) -> None:
    """From 0 on, by one a record, over all calls: a reader can tell a lost record."""
    sequences = defaultdict(list)
    for record in packed(most, calls):
        sequences[record.target].append(record.sequence)
    assert all(found == list(range(len(found))) for found in sequences.values())


@given(most_in_one, calls)
def test_no_record_is_too_large_and_none_is_split_without_need(most: int, calls: list[Call]) -> None:
    """A call makes as few records of a target as ``most`` allows; only running requests make one without requests."""
    for requests, running in calls:
        sizes = defaultdict(list)
        for record in packed(most, [(requests, running)]):
            sizes[record.target].append(len(record.started_at))
        expected = {}
        for target in {each.target for each in requests} | set(running):
            whole, rest = divmod(sum(each.target == target for each in requests), most)
            expected[target] = [most] * whole + [rest] * (rest > 0 or whole == 0)
        assert sizes == expected


@given(most_in_one, calls)
def test_readers_take_every_record_as_it_was_made(most: int, calls: list[Call]) -> None:
    """What is packed keeps the contract."""
    for record in packed(most, calls):
        sent = encode(record, source="/test", at=NOW)
        assert (sent.topic, sent.key) == (TIMINGS.name, f"shop {record.target}".encode())
        assert decode(sent.value, topic=sent.topic) == record


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_a_record_names_its_slowest_requests(milliseconds: list[float]) -> None:
    """Up to 5, the slowest first."""
    [record] = Packer(WHO, 100).pack([request(milliseconds=each) for each in milliseconds], {}, at=NOW)
    assert [slow.duration_ms for slow in record.slowest] == sorted(milliseconds, reverse=True)[:SLOWEST]


def test_a_record_says_who_answered_what_and_when() -> None:
    """Every field is the process's or the request's own."""
    one = Answered(BUY, NOW - 1, 402.5, 503, "POST", under_capture=True, request_id="req-8f3a", trace_id=TRACE)
    assert Packer(WHO, 10).pack([one], {BUY: (812.0,), SELL: (3.0,)}, at=NOW)[0] == RequestTimings(
        service="shop",
        service_version="1.4.0",
        target=BUY,
        instance=INSTANCE,
        boot=BOOT,
        sequence=0,
        sent_at=NOW,
        started_at=(NOW - 1,),
        duration_ms=(402.5,),
        status=(503,),
        method=("POST",),
        under_capture=(True,),
        slowest=(SlowRequest(request_id="req-8f3a", trace_id=TRACE, started_at=NOW - 1, duration_ms=402.5),),
        running_ms=(812.0,),
    )


def test_nothing_to_say_makes_no_record() -> None:
    """No requests, no records, no sequence number."""
    packer = Packer(WHO, 10)
    assert packer.pack([], {}, at=NOW) == []
    assert packer.pack([request()], {}, at=NOW)[0].sequence == 0


def test_running_requests_are_reported_at_once_and_then_once_a_second() -> None:
    """A service that hangs is seen before anything ends."""
    packer = Packer(WHO, 10)
    found = {
        tick: [(record.sequence, record.running_ms, record.started_at) for record in packer.pack([], running, at=at)]
        for tick in range(21)
        for at, running in [(NOW + tick / 10, {BUY: (100.0 * tick,)})]
    }
    assert {tick: records for tick, records in found.items() if records} == {
        0: [(0, (0.0,), ())],
        10: [(1, (1_000.0,), ())],
        20: [(2, (2_000.0,), ())],
    }


@pytest.mark.parametrize(("pause", "records"), [(RUNNING_EVERY / 2, 0), (RUNNING_EVERY, 1)])
def test_a_record_with_requests_reports_what_runs_as_well(pause: float, records: int) -> None:
    """The next one for the running requests alone is due a second later, by target."""
    packer = Packer(WHO, 10)
    [first] = packer.pack([request()], {BUY: (7.0,)}, at=NOW)
    assert first.running_ms == (7.0,)
    again = packer.pack([], {BUY: (8.0,), SELL: (1.0,)}, at=NOW + pause)
    assert [record.target for record in again] == [BUY] * records + [SELL]


def test_a_record_holds_the_64_oldest_running_requests_at_most() -> None:
    """What comes oldest first stays oldest first."""
    running = tuple(float(age) for age in range(100, 0, -1))
    [record] = Packer(WHO, 10).pack([], {BUY: running}, at=NOW)
    assert record.running_ms == running[:MOST_RUNNING]
