"""Records that wait for their acknowledgement, in the order of their offsets.

A record is acknowledged only when its requests have left the window, and never before the one in front of it: an
acknowledged offset beyond an unacknowledged one could move the commit past a record that is still needed.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from tailwatch.contracts.units import Instant

Token = TypeVar("Token")


class Backlog(Generic[Token]):
    """What was read and is not yet acknowledged, of one partition."""

    def __init__(self) -> None:
        """Nothing was read yet."""
        self._waiting: deque[tuple[Instant, Token]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, token: Token, *, needed_until: Instant) -> None:
        """Queue what acknowledges the next record; it may be used from ``needed_until`` on."""
        self._waiting.append((needed_until, token))

    def released(self, now: Instant) -> list[Token]:
        """Return, and forget, the records in front that are no longer needed at ``now``."""
        free: list[Token] = []
        while self._waiting and self._waiting[0][0] <= now:
            free.append(self._waiting.popleft()[1])
        return free
