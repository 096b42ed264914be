"""Doubles that behave worse than the real parts, for the demo and for tests (DEMO_FAULT; refused in production).

Their names say nothing of what is wrong with them: the analysis has to find that out.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from services.auth.adapters.kong import Consumers
from services.auth.core.consumers import Consumer, Credential
from services.auth.core.tokens import Sign

CPU_SECONDS = 0.15
"""What an affected request costs, in CPU time: the same on a slow machine as on a fast one."""
DISTANCE_SECONDS = 0.18
EVERY = 5
"""One request in so many is affected, so that the service stays below saturation at the demo's rate."""
ROUNDS = 5_000
ENTRIES = 1_000

PLANTED = {"slow-signer": "spread", "json-bloat": "journal", "slow-kong": "FarConsumers.credential"}
"""The function that each fault plants, for whoever checks what was found."""


@dataclass(slots=True)
class Turn:
    """Says which calls are affected: none of the first ``after``, then one in ``every``."""

    after: int
    every: int = EVERY
    _calls: int = field(default=0)

    def affected(self) -> bool:
        """Return whether this call is affected."""
        self._calls += 1
        return self._calls > self.after and self._calls % self.every == 0


def spread(text: bytes, seconds: float) -> int:
    """Return a number that depends on how ``text`` begins, after so many seconds of CPU time."""
    value = int.from_bytes(text[:8], "big") or 1
    enough = time.thread_time() + seconds
    while time.thread_time() < enough:
        for step in range(ROUNDS):
            value = (value * 6364136223846793005 + step) & 0xFFFFFFFFFFFFFFFF
    return value


def spread_then(signed: Sign, turn: Turn) -> Sign:
    """Return a signer that spreads the secret first, when it is its turn."""

    def signer(claims: Mapping[str, Any], credential: Credential) -> str:
        if turn.affected():
            spread(credential.secret.encode(), CPU_SECONDS)
        return signed(claims, credential)

    return signer


def journal(answer: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Return an answer that went through its journal again and again, for so many seconds of CPU time."""
    lines = [{"entry": number, "kind": "issued", "weight": number / 7, **answer} for number in range(ENTRIES)]
    enough = time.thread_time() + seconds
    while time.thread_time() < enough:
        lines = json.loads(json.dumps(lines))
    return {name: value for name, value in lines[-1].items() if name in answer}


def journal_when(turn: Turn) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return a step that takes an answer through its journal, when it is its turn."""

    def through(answer: Mapping[str, Any]) -> Mapping[str, Any]:
        return journal(answer, CPU_SECONDS) if turn.affected() else answer

    return through


class FarConsumers(Consumers):
    """Consumers that are far away, when it is their turn."""

    def __init__(self, consumers: Consumers, turn: Turn) -> None:
        self._consumers, self._turn = consumers, turn

    @override
    async def credential(self, consumer: Consumer) -> Credential:
        if self._turn.affected():
            await asyncio.sleep(DISTANCE_SECONDS)
        return await self._consumers.credential(consumer)
