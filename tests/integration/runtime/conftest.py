"""A broker of its own for every test here: topics have fixed names, and offsets are what is looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tailwatch.runtime.embedded_broker import EmbeddedBroker
from tailwatch.runtime.settings import KafkaSettings
from tailwatch.runtime.topics import ensure_topics
from tests.support.components import requires


@pytest.fixture
async def kafka() -> AsyncIterator[KafkaSettings]:
    """Yield the settings of an empty broker that knows every topic."""
    requires("embedded")
    with EmbeddedBroker() as broker:
        settings = KafkaSettings(
            _env_file=None,
            kafka_bootstrap_servers=broker.bootstrap_servers,
            kafka_embedded=True,
            shutdown_grace_seconds=2.0,
        )
        await ensure_topics(settings, replication=1)
        yield settings
