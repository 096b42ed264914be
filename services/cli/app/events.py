"""``tailwatch events``: the records of a topic, as they are or as they come."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from typer import Argument, Exit, Option

from services.cli.adapters.stack import found_broker
from services.cli.adapters.terminal import err, out
from services.cli.adapters.topics import named, records
from services.cli.core.sentences import sentence
from services.cli.settings import CliSettings
from tailwatch.contracts.topics import Topic
from tailwatch.runtime.process import EXIT_CLEAN
from tailwatch.runtime.reader import Unreadable
from tailwatch.runtime.settings import load


def events(
    topic: Annotated[
        str,
        Argument(help="timings, statuses, triggers, captures, analyses, recommendations, rejects, or a full name."),
    ],
    *,
    follow: Annotated[bool, Option("--follow", "-f", help="Go on with new records, until Ctrl-C.")] = False,
    json: Annotated[
        bool, Option("--json", help="One JSON object a line: topic, partition, offset, at, event.")
    ] = False,
) -> None:
    """Show the records of a topic.

    From its beginning; with --follow on and on.

    Example: tailwatch events recommendations --follow
    """
    chosen = named(topic)
    settings = found_broker(load(CliSettings))
    try:
        raise Exit(asyncio.run(_show(settings, chosen, follow=follow, as_json=json)))
    except KeyboardInterrupt:
        raise Exit(EXIT_CLEAN) from None


async def _show(settings: CliSettings, topic: Topic, *, follow: bool, as_json: bool) -> int:
    shown = 0
    async for record in records(settings, [topic], follow=follow):
        shown += 1
        if isinstance(record, Unreadable):
            err.print(f"{record.error}", markup=False)
        elif as_json:
            line = {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "at": record.received_at,
                "event": record.event,
            }
            out.file.write(msgspec.json.encode(line).decode() + "\n")
            out.file.flush()
        else:
            at = datetime.fromtimestamp(record.received_at, UTC).strftime("%H:%M:%S.%f")[:-3]
            out.print(f"{at} {record.event.key}: {sentence(record.event)}", markup=False)
    if not shown and not as_json:
        err.print(f"{topic.name} holds no records")
    return EXIT_CLEAN
