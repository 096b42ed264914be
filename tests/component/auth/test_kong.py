"""Consumers without a Kong, and look-ups that are timed as waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from typing_extensions import override

from services.auth.adapters.kong import Consumers, EmbeddedConsumers, TimedConsumers
from services.auth.core.consumers import Consumer, Credential
from services.auth.core.problems import Problem, ProblemKind

BOB = Consumer(id="c-17", username="bob")


async def test_an_embedded_consumer_has_one_credential_for_ever() -> None:
    """The same after a restart, 32 hex digits of key and 64 of secret."""
    credential = await EmbeddedConsumers("seed").credential(BOB)
    assert credential == await EmbeddedConsumers("seed").credential(BOB)
    assert (len(bytes.fromhex(credential.key)), len(bytes.fromhex(credential.secret))) == (16, 32)
    assert not credential.secret.startswith(credential.key)


@pytest.mark.parametrize(
    ("seed", "consumer"),
    [
        ("another", BOB),
        ("seed", Consumer(id="c-18", username="bob")),
        ("seed", Consumer(id="c-17", username="eve")),
        ("seed", Consumer(id="c-17b", username="ob")),
    ],
)
async def test_no_two_consumers_share_a_credential(seed: str, consumer: Consumer) -> None:
    """Another id, name or seed is another key and another secret."""
    one, other = await EmbeddedConsumers("seed").credential(BOB), await EmbeddedConsumers(seed).credential(consumer)
    assert one.key != other.key
    assert one.secret != other.secret


class Watched(Consumers):
    """Consumers that note when they are asked."""

    def __init__(self, log: list[str], problem: Problem | None = None) -> None:
        self._log, self._problem = log, problem

    @override
    async def credential(self, consumer: Consumer) -> Credential:
        self._log.append(f"asked for {consumer.username}")
        if self._problem:
            raise self._problem
        return Credential(key="k", secret="s")


@pytest.mark.parametrize("problem", [None, Problem(ProblemKind.KONG_UNAVAILABLE, "no answer")])
async def test_a_look_up_is_timed_as_a_wait_for_kong(problem: Problem | None) -> None:
    """The wait spans the look-up and ends with it, also when it fails."""
    log: list[str] = []

    @contextmanager
    def waiting(dependency: str, operation: str) -> Iterator[None]:
        log.append(f"waiting for {dependency} {operation}")
        try:
            yield
        finally:
            log.append("waited")

    consumers = TimedConsumers(Watched(log, problem), waiting)
    if problem is None:
        assert await consumers.credential(BOB) == Credential(key="k", secret="s")
    else:
        with pytest.raises(Problem) as raised:
            await consumers.credential(BOB)
        assert raised.value is problem
    assert log == ["waiting for kong consumer", "asked for bob", "waited"]
