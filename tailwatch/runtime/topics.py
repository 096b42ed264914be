"""Topics on a cluster: created or checked from the one table; on the embedded broker called into being."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from tailwatch.contracts.errors import PipelineError
from tailwatch.contracts.topics import TOPICS, Topic
from tailwatch.runtime.kafka import client_options, until_it_works
from tailwatch.runtime.settings import KafkaSettings

ADMIN_OPTIONS = ("bootstrap_servers", "security_protocol", "request_timeout_ms", "metadata_max_age_ms", "ssl_context")
SASL_OPTIONS = ("sasl_mechanism", "sasl_plain_username", "sasl_plain_password")


class TopicNotCreated(PipelineError):
    """The cluster did not make a topic."""


async def touch_topics(bootstrap_servers: str, names: Sequence[str]) -> None:
    """Ask the embedded broker for topics, which makes them: it knows no CreateTopics."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    try:
        await asyncio.gather(*(producer.partitions_for(name) for name in names))
    finally:
        await producer.stop()


async def ensure_topics(settings: KafkaSettings, *, replication: int) -> dict[str, str]:
    """Create what is missing on a cluster; return what was found or done, by topic.

    ``created``, ``present``, or how a topic differs from the table (partitions are never changed: a key would move).
    """
    if settings.kafka_embedded:
        await touch_topics(settings.require_kafka(), [topic.name for topic in TOPICS])
        return {topic.name: "present" for topic in TOPICS}
    options = client_options(settings)
    admin = AIOKafkaAdminClient(**{name: options[name] for name in (*ADMIN_OPTIONS, *SASL_OPTIONS) if name in options})
    try:
        async for attempt in until_it_works(what="connect admin", give_up_after=60):
            with attempt:
                await admin.start()
        present = {found["topic"]: found for found in await admin.describe_topics([topic.name for topic in TOPICS])}
        outcome: dict[str, str] = {}
        for topic in TOPICS:
            found = present.get(topic.name)
            if found is None or found["error_code"]:
                await _create(admin, topic, replication)
                outcome[topic.name] = "created"
            elif len(found["partitions"]) != topic.partitions:
                outcome[topic.name] = f"has {len(found['partitions'])} partitions, the table says {topic.partitions}"
            else:
                outcome[topic.name] = await _difference(admin, topic)
        return outcome
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, topic: Topic, replication: int) -> None:
    answer = await admin.create_topics(
        [NewTopic(topic.name, topic.partitions, replication, topic_configs=topic.config)]
    )
    for failed in answer.topic_errors:
        error = for_code(failed[1])
        if failed[1] and error is not TopicAlreadyExistsError:
            raise TopicNotCreated(f"{topic.name}: {error.__name__}")


async def _difference(admin: AIOKafkaAdminClient, topic: Topic) -> str:
    answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name)])
    has = {entry[0]: entry[1] for answer in answers for resource in answer.resources for entry in resource[4]}
    wrong = [
        f"{name}={has.get(name)}, the table says {value}"
        for name, value in topic.config.items()
        if has.get(name) != value
    ]
    return "; ".join(wrong) or "present"
