"""The AsyncAPI 3.0 document of the pipeline, made from the topic table.

Source: AsyncAPI specification 3.0.0; its Kafka bindings 0.5.0; CloudEvents 1.0.2 Kafka protocol binding, section 3.2.
"""

from __future__ import annotations

from tailwatch.contracts.event import Event
from tailwatch.contracts.schemas import Schema, shared_components
from tailwatch.contracts.topics import TOPICS, Cleanup, Topic

VERSION = "1.0.0"
"""Of the contracts: the major number grows with a topic's ``v<n>``, the minor one with a new field or topic."""
BINDING = "0.5.0"
PEOPLE = frozenset({"people", "anyone"})
"""Readers that are no service, so that no operation is described for them."""

_CLEANUPS: dict[Cleanup, list[str]] = {
    Cleanup.DELETE: ["delete"],
    Cleanup.COMPACT: ["compact"],
    Cleanup.COMPACT_DELETE: ["compact", "delete"],
}


def asyncapi_document() -> Schema:
    """Return the AsyncAPI 3.0 document: a channel per topic, and what each service sends and receives."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:tailwatch:pipeline",
        "info": {
            "title": "tailwatch pipeline",
            "version": VERSION,
            "description": (
                "Latency events in, SLA verdicts, captures, analyses and recommendations out. Every record is a "
                "CloudEvents 1.0 event in binary mode: the value is the event's data as JSON, the headers are its "
                "attributes. Delivery is at least once; equal facts have equal ids. Readers ignore fields they do "
                "not know."
            ),
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "KAFKA_BOOTSTRAP_SERVERS",
                "variables": {"bootstrap": {"default": "localhost:9092"}},
            }
        },
        "channels": {topic.noun: _channel(topic) for topic in TOPICS},
        "operations": dict(operation for topic in TOPICS for operation in _operations(topic)),
        "components": {
            "messages": {event.__name__: _message(topic, event) for topic in TOPICS for event in topic.events},
            "schemas": shared_components("#/components/schemas/{name}"),
        },
    }


def headers_schema(event: type[Event]) -> Schema:
    """Return the JSON Schema of the Kafka headers of an event's record; values are UTF-8."""
    return {
        "type": "object",
        "properties": {
            "ce_specversion": {"type": "string", "const": "1.0"},
            "ce_id": {"type": "string", "format": "uuid", "description": "Equal for equal facts."},
            "ce_type": {"type": "string", "const": event.TYPE},
            "ce_source": {"type": "string", "format": "uri-reference", "description": "/tailwatch/<service>"},
            "ce_time": {"type": "string", "format": "date-time", "description": "When it was sent."},
            "content-type": {"type": "string", "const": "application/json"},
            "traceparent": {
                "type": "string",
                "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
                "description": "W3C Trace Context: a record carries on the trace of the record that led to it.",
            },
        },
        "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type"],
    }


def _channel(topic: Topic) -> Schema:
    readers = ", ".join(topic.read_by)
    return {
        "address": topic.name,
        "title": topic.noun,
        "summary": topic.record,
        "description": f"Key: {topic.key}. Written by {', '.join(topic.written_by)}; read by {readers}.",
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"} for event in topic.events},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "topicConfiguration": {
                    "cleanup.policy": _CLEANUPS[topic.cleanup],
                    "retention.ms": topic.retention_ms,
                },
                "bindingVersion": BINDING,
            }
        },
    }


def _operations(topic: Topic) -> list[tuple[str, Schema]]:
    senders = [(service, "send", "sends") for service in topic.written_by]
    readers = [(service, "receive", "receives") for service in topic.read_by if service not in PEOPLE]
    return [
        (
            f"{service}.{verb}.{topic.noun}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{topic.noun}"},
                "summary": f"{service} {verb} {topic.noun}: {topic.record}.",
                "tags": [{"name": service}],
                "messages": [{"$ref": f"#/channels/{topic.noun}/messages/{event.__name__}"} for event in topic.events],
            },
        )
        for service, action, verb in (*senders, *readers)
    ]


def _message(topic: Topic, event: type[Event]) -> Schema:
    summary = (event.__doc__ or "").strip().partition("\n")[0]
    return {
        "name": event.TYPE,
        "title": event.__name__,
        "summary": summary,
        "contentType": "application/json",
        "headers": headers_schema(event),
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}, "bindingVersion": BINDING}},
    }
