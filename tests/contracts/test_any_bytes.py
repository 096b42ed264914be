"""Whatever stands on a topic: an event, or a ContractError, never anything else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tailwatch.contracts.codec import decode, encode
from tailwatch.contracts.errors import ContractError
from tailwatch.contracts.event import Event
from tailwatch.contracts.topics import TOPICS, Topic
from tests.support.examples import COMPLETED, TIMINGS, TRIGGERED
from tests.support.strategies import events

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


def sent(event: Event) -> bytes:
    """Return the value of an event's record."""
    return encode(event, source="/tailwatch/test", at=0).value


def changed(event: Event, **fields: Any) -> bytes:
    """Return the value of an event's record with some fields replaced, whatever their types say."""
    return json.dumps({**json.loads(sent(event)), **fields}).encode()


def refused(value: bytes | None, *, topic: str) -> str:
    """Return why a value was refused; the error also says where it stood."""
    with pytest.raises(ContractError) as raised:
        decode(value, topic=topic, partition=3, offset=9)
    assert (raised.value.topic, raised.value.partition, raised.value.offset) == (topic, 3, 9)
    assert str(raised.value) == f"{topic}[3]@9: {raised.value.reason}"
    assert raised.value.reason
    return raised.value.reason


@given(events())
def test_every_event_comes_back_as_it_went(event: Event) -> None:
    """Encoding and decoding is the identity over everything that the types allow."""
    record = encode(event, source="/tailwatch/test", at=0)
    assert decode(record.value, topic=record.topic) == event


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return the bytes of an event with a few of them changed."""
    value = bytearray(sent(draw(events())))
    for _ in range(draw(st.integers(1, 3))):
        value[draw(st.integers(0, len(value) - 1))] = draw(st.integers(0, 255))
    return bytes(value)


@given(
    value=st.none() | st.binary() | JSON_VALUES.map(json.dumps).map(str.encode) | damaged(),
    topic=st.sampled_from(TOPICS),
)
@example(value=b"[" * 100_000, topic=TOPICS[0])
@example(value=b'{"service":' * 100_000, topic=TOPICS[0])
@example(value=b'"\xed\xa0\x80"', topic=TOPICS[0])
@example(value=b"\xef\xbb\xbf{}", topic=TOPICS[0])
@example(value=b"9" * 10_000, topic=TOPICS[0])
def test_any_bytes_are_an_event_or_a_contract_error(value: bytes | None, topic: Topic) -> None:
    """Nothing else is raised; and an event that was accepted can be sent on."""
    try:
        event = decode(value, topic=topic.name)
    except ContractError:
        return
    again = encode(event, source="/tailwatch/test", at=0)
    assert decode(again.value, topic=again.topic) == event


def test_a_tombstone_is_refused() -> None:
    """A record without a value says nothing; the reason says so."""
    assert refused(None, topic="sla.statuses.v1") == "no value (a tombstone)"


def test_an_unknown_topic_is_refused() -> None:
    """A topic without a contract has no events."""
    assert refused(b"{}", topic="elsewhere") == "no contract for this topic"


def test_an_unknown_outcome_of_a_capture_is_refused() -> None:
    """A capture event that this version does not know is rejected, not guessed at."""
    assert "exploded" in refused(changed(COMPLETED, outcome="exploded"), topic="profiling.captures.v1")


def test_fields_of_newer_writers_are_ignored() -> None:
    """A field that this version does not know changes nothing."""
    assert decode(changed(TIMINGS, added_in_v1_1={"a": [1]}), topic="http.request-timings.v1") == TIMINGS


def test_columns_of_unequal_length_are_refused() -> None:
    """A batch is columns of one length: an end without its start is no latency event."""
    reason = refused(changed(TIMINGS, status=[200]), topic="http.request-timings.v1")
    assert reason == "columns differ in length: [1, 2]"


def test_a_record_of_too_many_requests_is_refused() -> None:
    """One record cannot make the monitor work without bound."""
    many = {name: getattr(TIMINGS, name)[:1] * 4097 for name in ("started_at", "duration_ms", "status", "method")}
    reason = refused(changed(TIMINGS, **many, under_capture=[False] * 4097), topic="http.request-timings.v1")
    assert reason == "4097 requests in one record, at most 4096"


HOSTILE_NAMES = [
    "",
    "/etc/passwd",
    "../secrets",
    "auth/../../etc/passwd",
    "auth/..",
    "./auth",
    "auth//report.html",
    "auth/",
    ".hidden",
    "auth/.hidden",
    "s3://bucket/key",
    "file:///etc/passwd",
    "C:\\windows",
    "auth\\report.html",
    "auth/report.html\n",
    "auth/report.html\x00.png",
    "auth/re port.html",
    "auth/%2e%2e/x",
    "auth/\u2024\u2024/x",
    "a" * 513,
]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_artifact_name_is_refused(name: str) -> None:
    """A forged record opens nothing but an artifact: no scheme, no absolute path, no dot part, no control character."""
    forged = changed(COMPLETED, artifacts=[{"name": name, "size_bytes": 1, "sha256": "0" * 64}])
    assert "artifacts" in refused(forged, topic="profiling.captures.v1")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("service", "auth\n"),
        ("service", "../auth"),
        ("service", "Auth"),
        ("target", "POST /tokens\n"),
        ("target", "POST\t/tokens"),
        ("target", ""),
        ("target", "x" * 201),
        ("instance", "web1"),
        ("instance", "web1-4711\n"),
        ("instance", "../web1-4711"),
        ("id", "not-a-uuid"),
        ("id", "0F9A1C52-4A0B-4C1E-9F57-2F6A3F0F9B11"),
        ("epoch", -1),
        ("epoch", 2**53),
        ("epoch", 1.5),
        ("at", -1.0),
        ("at", 1e12),
        ("instance_share", 1.01),
    ],
)
def test_a_value_outside_its_range_is_refused(field: str, value: object) -> None:
    """Names that build keys and file names match their patterns; numbers are in their ranges."""
    assert f"$.{field}" in refused(changed(TRIGGERED, **{field: value}), topic="profiling.triggers.v1")
