"""Writes docs/contracts from the code, or with ``--check`` says what differs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tailwatch.contracts.asyncapi import asyncapi_document
from tailwatch.contracts.schemas import event_schemas
from tailwatch.contracts.topics import TOPICS, Topic

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "contracts"
SECOND = 1000
HOUR = 3600 * SECOND
DAY = 24 * HOUR

README = """\
# Contracts

What is said on Kafka. Everything here is generated from `tailwatch/contracts` by `make contracts`; a test fails when
it is not what the code says, so every change of a contract is seen in a review.

* [asyncapi.json](asyncapi.json): the whole pipeline as one AsyncAPI 3.0 document.
* `<event type>.schema.json`: the value of one event, JSON Schema draft 2020-12.

A record is a CloudEvents 1.0 event in binary mode: the headers `ce_specversion`, `ce_id`, `ce_type`, `ce_source`,
`ce_time`, `content-type` and `traceparent` (W3C), the value JSON. Delivery is at least once; equal facts have equal
`ce_id`s. A reader ignores fields that it does not know. A record that cannot be understood is copied to
`pipeline.rejects.v1` with its position and the reason.

| topic | key | one record is | written by | read by | partitions | kept |
|---|---|---|---|---|---|---|
{rows}

## Events

| topic | event | schema |
|---|---|---|
{events}
"""


def contract_files() -> dict[str, str]:
    """Return every file of docs/contracts by its name, as the code wants it."""
    files = {f"{kind}.schema.json": _json(schema) for kind, schema in event_schemas().items()}
    files["asyncapi.json"] = _json(asyncapi_document())
    files["README.md"] = README.format(
        rows="\n".join(_row(topic) for topic in TOPICS),
        events="\n".join(
            f"| `{topic.name}` | {event.__name__} | [{event.TYPE}]({event.TYPE}.schema.json) |"
            for topic in TOPICS
            for event in topic.events
        ),
    )
    return files


def differences(folder: Path) -> list[str]:
    """Return one line for every file in ``folder`` that is missing, too many or not what the code says."""
    wanted = contract_files()
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    found = [f"{name} is missing" for name in sorted(wanted.keys() - present)]
    found += [f"{name} belongs to no contract" for name in sorted(present - wanted.keys())]
    found += [
        f"{name} is not what the code says"
        for name in sorted(wanted.keys() & present)
        if (folder / name).read_text(encoding="utf-8") != wanted[name]
    ]
    return found


def write(folder: Path) -> None:
    """Make ``folder`` hold exactly the contract files."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = contract_files()
    for path in folder.iterdir():
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Write docs/contracts, or check it; return the exit status."""
    parser = argparse.ArgumentParser(description="Write docs/contracts from tailwatch/contracts.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when something differs")
    if not parser.parse_args(arguments).check:
        write(FOLDER)
        print(f"wrote {len(contract_files())} files to {FOLDER}")
        return 0
    found = differences(FOLDER)
    for line in found:
        print(f"docs/contracts/{line}: run `make contracts` and commit what it writes", file=sys.stderr)
    return 1 if found else 0


def _row(topic: Topic) -> str:
    cells = [
        f"`{topic.name}`",
        topic.key,
        topic.record,
        ", ".join(topic.written_by),
        ", ".join(topic.read_by),
        str(topic.partitions),
        f"{topic.cleanup.value}, {_span(topic.retention_ms)}",
    ]
    return f"| {' | '.join(cells)} |"


def _span(milliseconds: int) -> str:
    if milliseconds < 0:
        return "the newest for ever"
    days, rest = divmod(milliseconds, DAY)
    return f"{days} days" if days and not rest else f"{milliseconds // HOUR} h"


def _json(document: object) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
