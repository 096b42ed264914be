"""Faust's Kafka transport with a short fetch.

Faust asks the broker to hold a fetch for 1.5 s. A real broker answers as soon as a record comes, but the embedded one
keeps a fetch that found nothing for the whole time: every decision would be up to 1.5 s late there.
"""

from __future__ import annotations

import logging

import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from typing_extensions import override

FETCH_WAIT_MS = 100
_LOGGER = logging.getLogger("faust.transport")


class PromptConsumerThread(AIOKafkaConsumerThread):
    """The thread that fetches."""

    logger = _LOGGER

    @override
    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 (Faust has no setting for it)
        return consumer


class PromptConsumer(Consumer):
    """The consumer with that thread."""

    logger = _LOGGER

    @override
    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return PromptConsumerThread(self, loop=self.loop, beacon=self.beacon)


class PromptTransport(Transport):
    """The transport with that consumer."""

    Consumer = PromptConsumer
