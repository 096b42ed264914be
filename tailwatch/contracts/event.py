"""The base of every event, and how the ids of derived events are made."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID, uuid5

import msgspec

NAMESPACE = UUID("6f1f3c1e-6f0b-5b0e-9a53-7e1a3b1f7c55")
"""Namespace of all UUIDv5 ids that tailwatch derives."""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A frozen value inside an event. Unknown fields of newer writers are ignored."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A fact in the past tense, one record on its topic."""

    TYPE: ClassVar[str]
    """CloudEvents ``type``."""

    @property
    def key(self) -> str:
        """The Kafka key: what must stay in order and on one partition."""
        raise NotImplementedError

    @property
    def event_id(self) -> str:
        """CloudEvents ``id``: equal for equal facts, so that a repeated record is recognised."""
        raise NotImplementedError


def derived_id(*parts: object) -> str:
    """Return the UUIDv5 (RFC 9562) of what an event was derived from."""
    return str(uuid5(NAMESPACE, "\x1f".join(str(part) for part in parts)))


def subject(service: str, target: str | None) -> str:
    """Return the key of one service's target, ``auth POST /tokens``, or of the service when there is no target."""
    return f"{service} {target}" if target else service
