"""``tailwatch topics``: create the topics, or check them."""

from __future__ import annotations

import asyncio
import json as jsonlib
from typing import Annotated

from rich.table import Table
from typer import Exit, Option

from services.cli.adapters.stack import found_broker
from services.cli.adapters.terminal import err, out
from services.cli.settings import CliSettings
from tailwatch.contracts.topics import TOPICS
from tailwatch.runtime.process import EXIT_CLEAN, EXIT_CRASHED
from tailwatch.runtime.settings import load
from tailwatch.runtime.topics import ensure_topics


def topics(
    *,
    replication: Annotated[int, Option(min=1, max=10, help="Replicas of a topic that is created.")] = 1,
    json: Annotated[bool, Option("--json", help="The outcome by topic, as one JSON object.")] = False,
) -> None:
    """Create or check the topics on Kafka.

    What is missing is created, the others are checked against the table.

    Exit status 1 when a topic differs. Example: KAFKA_BOOTSTRAP_SERVERS=kafka:9092 tailwatch topics --replication 3
    """
    outcome = asyncio.run(ensure_topics(found_broker(load(CliSettings)), replication=replication))
    if json:
        out.file.write(jsonlib.dumps(outcome) + "\n")
    else:
        table = Table("topic", "partitions", "cleanup", "found")
        for topic in TOPICS:
            table.add_row(topic.name, str(topic.partitions), topic.cleanup.value, outcome[topic.name])
        out.print(table)
    different = {name: found for name, found in outcome.items() if found not in {"created", "present"}}
    for name, found in different.items():
        err.print(f"{name} {found}: change it with Kafka's own tools, or delete it and run `tailwatch topics` again")
    raise Exit(EXIT_CRASHED if different else EXIT_CLEAN)
