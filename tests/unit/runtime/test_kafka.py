"""Options of Kafka clients, what is worth waiting for, and what is never sent."""

from __future__ import annotations

import ssl
from typing import Any, cast

import msgspec
import pytest
from aiokafka.errors import (
    CommitFailedError,
    KafkaConnectionError,
    MessageSizeTooLargeError,
    NotLeaderForPartitionError,
    ProducerClosed,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
)

from tailwatch.runtime.kafka import NotPublished, Publisher, client_options, may_pass
from tailwatch.runtime.settings import KafkaSettings
from tests.support.examples import STATUS


def settings(**values: Any) -> KafkaSettings:
    """Return settings with a broker, not read from any file."""
    return KafkaSettings(_env_file=None, **{"kafka_bootstrap_servers": "broker:9092", **values})


def test_a_plain_client_needs_the_servers_only() -> None:
    """No credentials and no TLS context unless the protocol asks for them."""
    options = client_options(settings(kafka_sasl_username="u", kafka_sasl_password="p"))
    assert options["bootstrap_servers"] == "broker:9092"
    assert options["security_protocol"] == "PLAINTEXT"
    assert not [name for name in options if "sasl" in name or "ssl" in name]


def test_a_sasl_client_gets_its_credentials() -> None:
    """Mechanism, user and password; over TLS with the system's certificates."""
    options = client_options(
        settings(kafka_security_protocol="SASL_SSL", kafka_sasl_username="u", kafka_sasl_password="p")
    )
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("u", "p")
    assert isinstance(options["ssl_context"], ssl.SSLContext)
    assert options["ssl_context"].verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (KafkaConnectionError(), True),
        (NotLeaderForPartitionError(), True),
        (RequestTimedOutError(), True),
        (ConnectionRefusedError(), True),
        (TimeoutError(), True),
        (MessageSizeTooLargeError(), False),
        (TopicAuthorizationFailedError(), False),
        (CommitFailedError(), False),
        (ProducerClosed(), False),
        (ValueError(), False),
    ],
    ids=repr,
)
def test_only_what_can_pass_is_waited_for(error: Exception, expected: bool) -> None:  # noqa: FBT001 (a truth table)
    """Kafka away or busy: yes. The same request failing for ever: no."""
    assert may_pass(error) is expected


class Unreachable:
    """A producer that must not be asked."""

    async def send_and_wait(self, *_: object, **__: object) -> None:
        pytest.fail("an event that breaks its contract was sent")


@pytest.mark.parametrize(
    "broken",
    [
        {"late": -1},
        {"instances": 2**70},
        {"at": float("nan")},
        {"explanation": "half a character: \ud800"},
        {"target": "POST /tokens\n"},
        {"service": None},
    ],
    ids=str,
)
async def test_an_event_that_breaks_its_contract_is_not_sent(broken: dict[str, Any]) -> None:
    """Msgspec checks types when it decodes only; what readers would reject does not leave."""
    publisher = Publisher(cast("Any", Unreachable()), source="/tailwatch/test", clock=lambda: 0.0)
    with pytest.raises(NotPublished, match="SlaStatus breaks its contract"):
        await publisher.publish(msgspec.structs.replace(STATUS, **broken))
