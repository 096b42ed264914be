"""Events to Kafka records and back: JSON values, CloudEvents 1.0 binary mode, W3C ``traceparent``.

Source: CloudEvents 1.0.2 Kafka protocol binding, section 3.2; W3C Trace Context, section 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from tailwatch.contracts.errors import ContractError
from tailwatch.contracts.event import Event
from tailwatch.contracts.topics import BY_EVENT, BY_NAME, TOPICS

Headers = tuple[tuple[str, bytes], ...]

_ENCODER = msgspec.json.Encoder()
_DECODERS: dict[str, msgspec.json.Decoder[Any]] = {topic.name: msgspec.json.Decoder(topic.value) for topic in TOPICS}
_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What is sent to Kafka for one event."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers


def encode(event: Event, *, source: str, at: float, traceparent: str | None = None) -> Record:
    """Return the record of an event.

    ``source`` is the CloudEvents source (a URI reference such as ``/tailwatch/analyzer``), ``at`` the time of
    sending in seconds since the epoch.
    """
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.event_id.encode()),
        ("ce_type", event.TYPE.encode()),
        ("ce_source", source.encode()),
        ("ce_time", datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").encode()),
        ("content-type", b"application/json"),
    ]
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    return Record(
        topic=BY_EVENT[type(event)].name, key=event.key.encode(), value=_ENCODER.encode(event), headers=tuple(headers)
    )


def decode(value: bytes | None, *, topic: str, partition: int = 0, offset: int = 0) -> Any:
    """Return the event in ``value``: of the type that :data:`~tailwatch.contracts.topics.TOPICS` names for ``topic``.

    Raises ContractError when the bytes are not that event, whatever they are.
    """
    if topic not in BY_NAME:
        raise ContractError(topic=topic, partition=partition, offset=offset, reason="no contract for this topic")
    if value is None:
        raise ContractError(topic=topic, partition=partition, offset=offset, reason="no value (a tombstone)")
    try:
        return _DECODERS[topic].decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise ContractError(topic=topic, partition=partition, offset=offset, reason=reason) from error


def header(headers: Iterable[tuple[str, bytes | None]] | None, name: str) -> bytes | None:
    """Return the first header of that name."""
    return next((value for key, value in headers or () if key == name), None)


def trace_id(headers: Iterable[tuple[str, bytes | None]] | None) -> str | None:
    """Return the W3C trace id of a record's ``traceparent``, or None when there is none that is valid."""
    found = _TRACEPARENT.fullmatch(header(headers, "traceparent") or b"")
    return found["trace"].decode() if found else None
