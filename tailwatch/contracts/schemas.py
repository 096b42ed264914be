"""JSON Schema of every event, made from the event types: what a consumer in any language checks a value against."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from tailwatch.contracts.event import Event
from tailwatch.contracts.topics import BY_EVENT

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"
Schema: TypeAlias = dict[str, Any]
"""One JSON Schema object."""


def event_schema(event: type[Event]) -> Schema:
    """Return the JSON Schema (draft 2020-12) of one event's value, complete in itself."""
    referring, components = msgspec.json.schema_components([event], ref_template="#/$defs/{name}")
    return {
        "$schema": DIALECT,
        "$id": f"urn:tailwatch:{event.TYPE}",
        **referring[0],
        "$defs": dict(sorted(components.items())),
    }


def event_schemas() -> dict[str, Schema]:
    """Return the JSON Schema of every event, by its CloudEvents type."""
    return {event.TYPE: event_schema(event) for event in BY_EVENT}


def shared_components(ref_template: str) -> dict[str, Json]:
    """Return the draft-07 schemas of every event and of all that they hold, by name, referring to one another.

    ``ref_template`` places them, e.g. ``#/components/schemas/{name}``.
    """
    _, components = msgspec.json.schema_components(list(BY_EVENT), ref_template=ref_template)
    return {name: as_draft_07(schema) for name, schema in sorted(components.items())}


def as_draft_07(schema: Json) -> Json:
    """Return ``schema`` with draft 2020-12's tuples (``prefixItems``) in the words of draft-07.

    All else that msgspec writes means the same in both; left as they are, tuples would be *empty* arrays in draft-07.
    """
    if isinstance(schema, dict):
        fields = {name: as_draft_07(value) for name, value in schema.items()}
        if "prefixItems" in fields:
            fields["additionalItems"] = fields.pop("items")
            fields["items"] = fields.pop("prefixItems")
        return fields
    return [as_draft_07(item) for item in schema] if isinstance(schema, list) else schema
