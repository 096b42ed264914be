"""Kafka clients: their options from settings, and a publisher that answers for every record."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerClosed,
    TopicAuthorizationFailedError,
)
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_delay,
    stop_never,
    wait_random_exponential,
)

from tailwatch.contracts.codec import Record, decode, encode
from tailwatch.contracts.errors import ContractError, PipelineError
from tailwatch.contracts.event import Event
from tailwatch.runtime.logs import logger
from tailwatch.runtime.settings import KafkaSettings

log = logger(__name__)

MAX_RECORD_BYTES = 1_000_000
METADATA_MAX_AGE_MS = 30_000
_HOPELESS = (
    CommitFailedError,
    IllegalStateError,
    MessageSizeTooLargeError,
    ProducerClosed,
    TopicAuthorizationFailedError,
)
"""The same request will fail again, however long one waits."""


class NotPublished(PipelineError):
    """An event will not become a record: it breaks its own contract, is too large, or may not be written."""


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments that every aiokafka client is made with."""
    options: dict[str, Any] = {
        "bootstrap_servers": settings.require_kafka(),
        "security_protocol": settings.kafka_security_protocol,
        "metadata_max_age_ms": METADATA_MAX_AGE_MS,
        "request_timeout_ms": settings.kafka_request_timeout_ms,
    }
    if "SSL" in settings.kafka_security_protocol:
        cafile = str(settings.kafka_ssl_cafile) if settings.kafka_ssl_cafile else None
        options["ssl_context"] = ssl.create_default_context(cafile=cafile)
    if settings.kafka_security_protocol.startswith("SASL"):
        password = settings.kafka_sasl_password
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = password.get_secret_value() if password else None
    return options


def may_pass(error: BaseException) -> bool:
    """Return whether waiting may help: Kafka is away or busy, and the request itself is sound."""
    return isinstance(error, (KafkaError, OSError, TimeoutError)) and not isinstance(error, _HOPELESS)


def until_it_works(*, what: str, give_up_after: float | None = None) -> AsyncRetrying:
    """Return attempts that go on, with growing pauses of at most 5 s, while Kafka is away."""

    def say(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning("kafka_retry", what=what, attempt=state.attempt_number, error=repr(error))

    return AsyncRetrying(
        retry=retry_if_exception(may_pass),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        stop=stop_after_delay(give_up_after) if give_up_after is not None else stop_never,
        before_sleep=say,
        reraise=True,
    )


class Publisher:
    """Sends events; every ``publish`` returns after the broker's acknowledgement."""

    def __init__(self, producer: AIOKafkaProducer, *, source: str, clock: Callable[[], float]) -> None:
        self._producer, self._source, self._clock = producer, source, clock

    async def publish(self, event: Event, *, traceparent: str | None = None) -> None:
        """Send one event; return once it is acknowledged. Waits while Kafka is away.

        Raises NotPublished for an event that its readers would reject: msgspec checks types when it decodes only.
        """
        try:
            record = encode(event, source=self._source, at=self._clock(), traceparent=traceparent)
            decode(record.value, topic=record.topic)
        except (ContractError, ValueError, OverflowError) as error:
            raise NotPublished(f"{type(event).__name__} breaks its contract: {error}") from error
        await self.send(record)

    async def send(self, record: Record) -> None:
        """Send one record; raise NotPublished when Kafka refuses it for good."""
        try:
            async for attempt in until_it_works(what=record.topic):
                with attempt:
                    await self._producer.send_and_wait(
                        record.topic, key=record.key, value=record.value, headers=list(record.headers)
                    )
        except KafkaError as error:
            raise NotPublished(f"{record.topic}: {error!r}") from error


@asynccontextmanager
async def open_publisher(
    settings: KafkaSettings, *, source: str, clock: Callable[[], float]
) -> AsyncIterator[Publisher]:
    """Yield a publisher once Kafka answers; flush and close it at the end.

    ``source`` is the CloudEvents source, e.g. ``/tailwatch/analyzer``.
    """
    producer = AIOKafkaProducer(**client_options(settings), acks="all", max_request_size=MAX_RECORD_BYTES)
    try:
        async for attempt in until_it_works(what="connect producer"):
            with attempt:
                await producer.start()
        yield Publisher(producer, source=source, clock=clock)
    finally:
        with_deadline = asyncio.timeout(settings.shutdown_grace_seconds)
        try:
            async with with_deadline:
                await producer.stop()
        except TimeoutError:
            log.warning("producer_not_flushed", seconds=settings.shutdown_grace_seconds)
