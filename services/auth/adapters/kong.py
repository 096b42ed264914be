"""Kong's consumers and their JWT credentials."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import AbstractContextManager
from typing import Protocol

from typing_extensions import override

from services.auth.core.consumers import Consumer, Credential


class Waiting(Protocol):
    """Times a wait for a dependency."""

    def __call__(self, dependency: str, operation: str) -> AbstractContextManager[None]:
        """Return the context that is timed."""


class Consumers(Protocol):
    """Where consumers' credentials come from."""

    async def credential(self, consumer: Consumer) -> Credential:
        """Return the consumer's HS256 credential. Raises Problem AUTH_002, AUTH_004 or AUTH_005."""


class EmbeddedConsumers(Consumers):
    """KONG_MODE=EMBEDDED: every consumer exists, created on first sight; no Kong is asked. Not for production."""

    def __init__(self, secret: str) -> None:
        """Derive credentials from ``secret``, so that they survive a restart."""
        self._secret = secret.encode()

    @override
    async def credential(self, consumer: Consumer) -> Credential:
        return Credential(key=self._digest("key", consumer)[:32], secret=self._digest("secret", consumer))

    def _digest(self, purpose: str, consumer: Consumer) -> str:
        text = f"{purpose}\x1f{consumer.id}\x1f{consumer.username}"
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


class TimedConsumers(Consumers):
    """Consumers whose look-ups are timed as waits for Kong."""

    def __init__(self, consumers: Consumers, waiting: Waiting) -> None:
        self._consumers, self._waiting = consumers, waiting

    @override
    async def credential(self, consumer: Consumer) -> Credential:
        with self._waiting("kong", "consumer"):
            return await self._consumers.credential(consumer)
