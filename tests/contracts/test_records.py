"""Events to records and back: the golden records, CloudEvents and W3C Trace Context."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary_event

from tailwatch.contracts.codec import Record, decode, encode, header, trace_id
from tailwatch.contracts.event import Event
from tailwatch.contracts.topics import BY_EVENT, TOPICS, topic_named
from tests.support.examples import AT, EXAMPLES, TRACE

TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def record_of(event: Event) -> Record:
    """Return the record of an event that a trace led to."""
    return encode(event, source="/tailwatch/test", at=AT + 0.25, traceparent=TRACEPARENT)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_a_record_is_byte_for_byte_what_it_was(event: Event, golden: Callable[[str, str], None]) -> None:
    """Topic, key, headers and value of every event are as recorded: a changed contract is a seen change."""
    record = record_of(event)
    shown = {
        "topic": record.topic,
        "key": record.key.decode(),
        "headers": {name: value.decode() for name, value in record.headers},
        "value": json.loads(record.value),
    }
    golden(f"contracts/{event.TYPE}.json", json.dumps(shown, indent=2, ensure_ascii=False) + "\n")


def test_every_event_has_an_example() -> None:
    """No event of any topic is without a golden record."""
    assert {type(event) for event in EXAMPLES} == set(BY_EVENT)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_a_record_is_a_cloudevent_to_the_cloudevents_sdk(event: Event) -> None:
    """The SDK of CloudEvents reads our headers, key and value as one event in binary mode."""
    record = record_of(event)
    message = KafkaMessage(headers=dict(record.headers), key=record.key, value=record.value)
    read = from_binary_event(message)
    assert (read.get_specversion(), read.get_id(), read.get_type()) == ("1.0", event.event_id, event.TYPE)
    assert (read.get_source(), read.get_datacontenttype()) == ("/tailwatch/test", "application/json")
    assert read.get_time() == datetime.fromtimestamp(AT + 0.25, UTC)
    assert read.get_extension("partitionkey") == event.key
    assert read.get_data() == json.loads(record.value)


def test_a_record_without_a_trace_has_no_traceparent() -> None:
    """An event that nothing led to carries no traceparent header."""
    record = encode(EXAMPLES[0], source="/tailwatch/test", at=AT)
    assert header(record.headers, "traceparent") is None


def test_headers_keep_their_names_once_each() -> None:
    """A record has each header once, as the Kafka binding of CloudEvents demands."""
    names = [name for name, _ in record_of(EXAMPLES[0]).headers]
    assert sorted(names) == [
        "ce_id", "ce_source", "ce_specversion", "ce_time", "ce_type", "content-type", "traceparent",
    ]  # fmt: skip


def test_the_first_header_of_a_name_counts() -> None:
    """Kafka allows a header twice; the first one is read, and no headers at all are none."""
    assert header([("a", b"1"), ("b", None), ("a", b"2")], "a") == b"1"
    assert header([("b", None)], "b") is None
    assert header(None, "a") is None


def test_the_trace_id_of_a_record_is_read_back() -> None:
    """What was sent as traceparent is found in the record's headers."""
    assert trace_id(record_of(EXAMPLES[0]).headers) == TRACE


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"nonsense",
        f"00-{TRACE.upper()}-00f067aa0ba902b7-01".encode(),
        f"ff-{TRACE}-00f067aa0ba902b7-01".encode(),
        f"00-{'0' * 32}-00f067aa0ba902b7-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        f"{TRACEPARENT}\n".encode(),
        b"\xff\xfe",
    ],
)
def test_a_traceparent_that_is_not_valid_is_none(value: bytes) -> None:
    """W3C Trace Context: version ff, zero ids, capitals and anything around them are invalid."""
    assert trace_id([("traceparent", value)]) is None


def test_a_topic_is_found_by_its_name_and_by_its_noun() -> None:
    """The command line may say either; anything else is no topic."""
    assert topic_named("sla.statuses.v1") is topic_named("statuses") is TOPICS[1]
    assert topic_named("status") is None


def test_topics_are_configured_as_documented() -> None:
    """Kafka's configuration of a topic is the table's cleanup policy and retention."""
    assert TOPICS[1].config == {"cleanup.policy": "compact,delete", "retention.ms": "259200000"}


def test_a_decoded_record_is_the_event_that_was_encoded() -> None:
    """The examples, the captures among them told apart by their outcome, come back as they were."""
    records = [(event, record_of(event)) for event in EXAMPLES]
    assert [decode(record.value, topic=record.topic) for _, record in records] == [event for event, _ in records]
