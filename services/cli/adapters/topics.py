"""Topics as the command reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from services.cli.settings import CliSettings
from tailwatch.contracts.errors import ConfigurationError
from tailwatch.contracts.statuses import SlaStatus
from tailwatch.contracts.topics import STATUSES, TOPICS, Topic, topic_named
from tailwatch.runtime.pump import Delivery
from tailwatch.runtime.reader import Unreadable, read


def named(name: str) -> Topic:
    """Return the topic of that full name or noun; ConfigurationError names the accepted ones."""
    topic = topic_named(name)
    if topic is None:
        accepted = ", ".join(f"{known.noun} ({known.name})" for known in TOPICS)
        raise ConfigurationError(f"TOPIC={name!r} is not a topic: accepted {accepted}")
    return topic


def records(
    settings: CliSettings, topics: Sequence[Topic], *, since: float | None = None, follow: bool
) -> AsyncIterator[Delivery | Unreadable]:
    """Return the records of some topics, from the beginning or from an instant on."""
    return read(settings, topics, since=since, follow=follow)


async def newest_statuses(settings: CliSettings) -> dict[str, SlaStatus]:
    """Return the newest verdict of every service's target, by ``<service> <target>``."""
    newest: dict[str, SlaStatus] = {}
    async for record in records(settings, [STATUSES], follow=False):
        if isinstance(record, Delivery) and isinstance(record.event, SlaStatus):
            known = newest.get(record.event.key)
            if known is None or known.at <= record.event.at:
                newest[record.event.key] = record.event
    return newest
