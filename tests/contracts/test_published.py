"""docs/contracts: what is published is what the code says, and what the standards say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from hypothesis import given

from scripts.contracts import FOLDER, contract_files, differences, write
from tailwatch.contracts.asyncapi import asyncapi_document, headers_schema
from tailwatch.contracts.codec import encode
from tailwatch.contracts.event import Event
from tailwatch.contracts.schemas import DIALECT, as_draft_07, event_schema, event_schemas, shared_components
from tailwatch.contracts.topics import BY_EVENT, TOPICS
from tests.support.examples import AT, COMPLETED, EXAMPLES
from tests.support.strategies import events

ROOT = Path(__file__).parents[2]
ASYNCAPI = ROOT / "tests" / "data" / "asyncapi" / "asyncapi-3.0.0.schema.json"
VALIDATORS = {
    kind: jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    for kind, schema in event_schemas().items()
}


def value_of(event: Event) -> Any:
    """Return the JSON value of an event's record."""
    return json.loads(encode(event, source="/tailwatch/test", at=AT).value)


def test_docs_contracts_is_what_the_code_says() -> None:
    """A contract that changed is published anew in the same commit: `make contracts`."""
    assert differences(FOLDER) == []


def test_a_difference_is_said_by_its_file(tmp_path: Path) -> None:
    """A changed, a missing and a foreign file are each named."""
    write(tmp_path)
    assert differences(tmp_path) == []
    (tmp_path / "README.md").unlink()
    (tmp_path / "old.schema.json").write_text("{}")
    (tmp_path / "asyncapi.json").write_text("{}")
    assert differences(tmp_path) == [
        "README.md is missing",
        "old.schema.json belongs to no contract",
        "asyncapi.json is not what the code says",
    ]
    write(tmp_path)
    assert differences(tmp_path) == []


def test_a_folder_that_is_missing_differs_in_every_file(tmp_path: Path) -> None:
    """Nothing published is no agreement."""
    assert len(differences(tmp_path / "nowhere")) == len(contract_files())


def test_the_script_checks_without_writing() -> None:
    """`scripts/contracts.py --check` exits 0 over the committed files and leaves them alone."""
    before = {path: path.stat().st_mtime_ns for path in FOLDER.iterdir()}
    answer = subprocess.run(
        [sys.executable, "scripts/contracts.py", "--check"], cwd=ROOT, capture_output=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, b"")
    assert {path: path.stat().st_mtime_ns for path in FOLDER.iterdir()} == before


def test_the_asyncapi_document_is_valid() -> None:
    """It holds against AsyncAPI's own schema of version 3.0.0, Kafka bindings included."""
    validator = jsonschema.Draft7Validator(json.loads(ASYNCAPI.read_text()))
    assert [error.message for error in validator.iter_errors(asyncapi_document())] == []


def test_the_asyncapi_schema_can_refuse() -> None:
    """The check of the document is one that fails: a channel whose retention is no number is refused."""
    document = asyncapi_document()
    document["channels"]["timings"]["bindings"]["kafka"]["topicConfiguration"]["retention.ms"] = "long"
    validator = jsonschema.Draft7Validator(json.loads(ASYNCAPI.read_text()))
    assert not validator.is_valid(document)


def references(node: Any) -> list[str]:
    """Return every ``$ref`` in a document."""
    if isinstance(node, dict):
        own = [cast("str", node["$ref"])] if "$ref" in node else []
        return own + [found for value in node.values() for found in references(value)]
    return [found for item in node for found in references(item)] if isinstance(node, list) else []


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    """Channels, messages and schemas that are referred to exist in the document."""
    document = asyncapi_document()
    found = references(document)
    assert found
    for reference in found:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def test_the_asyncapi_document_says_who_sends_and_who_receives() -> None:
    """Operations are the writers and reading services of the topic table; people have none."""
    operations = asyncapi_document()["operations"]
    assert operations["sla_monitor.sends.triggers"]["action"] == "send"
    assert operations["probe.receives.triggers"]["channel"] == {"$ref": "#/channels/triggers"}
    assert not [name for name in operations if name.startswith(("people", "anyone"))]
    expected = sum(len(topic.written_by) + len(set(topic.read_by) - {"people", "anyone"}) for topic in TOPICS)
    assert len(operations) == expected


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_example_holds_against_its_published_schema(event: Event) -> None:
    """What we send is what a consumer in another language would accept."""
    VALIDATORS[event.TYPE].validate(value_of(event))


@given(events())
def test_every_event_holds_against_its_published_schema(event: Event) -> None:
    """The schema is not narrower than the types."""
    VALIDATORS[event.TYPE].validate(value_of(event))


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_an_example_holds_against_the_asyncapi_documents_own_schema(event: Event) -> None:
    """The draft-07 schemas inside the document say the same."""
    components = shared_components("#/definitions/{name}")
    schema = {"$ref": f"#/definitions/{type(event).__name__}", "definitions": components}
    jsonschema.Draft7Validator(schema).validate(value_of(event))


@pytest.mark.parametrize(
    ("field", "wrong"), [("pid", -1), ("service", "Auth"), ("outcome", "started"), ("artifacts", [{"name": "../x"}])]
)
def test_a_published_schema_refuses_what_the_types_refuse(field: str, wrong: object) -> None:
    """The schema is not wider than the types in ranges, patterns and tags."""
    assert not VALIDATORS[COMPLETED.TYPE].is_valid({**value_of(COMPLETED), field: wrong})


@pytest.mark.parametrize("event", BY_EVENT, ids=lambda event: event.__name__)
def test_a_published_schema_is_a_schema(event: type[Event]) -> None:
    """Each is valid draft 2020-12 and names itself."""
    schema = event_schema(event)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert (schema["$schema"], schema["$id"]) == (DIALECT, f"urn:tailwatch:{event.TYPE}")


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_headers_hold_against_their_published_schema(event: Event) -> None:
    """The headers that are sent are the headers that the document promises."""
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    record = encode(event, source="/tailwatch/test", at=AT, traceparent=traceparent)
    headers = {name: value.decode() for name, value in record.headers}
    schema = headers_schema(type(event))
    jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER).validate(headers)
    assert set(headers) == set(schema["properties"])


def test_a_tuple_keeps_its_length_in_draft_07() -> None:
    """draft-07 does not know ``prefixItems``; the document says the tuple in draft-07's words."""
    schema = {"$ref": "#/definitions/GcUse", "definitions": shared_components("#/definitions/{name}")}
    validator = jsonschema.Draft7Validator(schema)
    assert validator.is_valid({"pauses": {"count": 0}, "by_generation": [1, 2, 3]})
    assert not validator.is_valid({"pauses": {"count": 0}, "by_generation": [1, 2, 3, 4]})
    assert not validator.is_valid({"pauses": {"count": 0}, "by_generation": [1, 2, -3]})


def test_what_draft_07_knows_is_left_as_it_is() -> None:
    """Only tuples are said differently."""
    assert as_draft_07({"items": {"type": "string"}, "enum": ["a", 1, None]}) == {
        "items": {"type": "string"},
        "enum": ["a", 1, None],
    }
