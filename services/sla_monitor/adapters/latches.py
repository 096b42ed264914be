"""The latches in a Faust table: the only state that is stored, in a changelog topic."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import faust
import msgspec
from faust.types import CodecArg, FutureMessage
from typing_extensions import override

from services.sla_monitor.core.latch import Latch
from tailwatch.contracts.units import Instant


class LatchTable(faust.Table[str, dict[str, Any]]):
    """A table that remembers its newest write, so that the broker's acknowledgement can be awaited."""

    logger = logging.getLogger("faust.tables")
    newest_write: FutureMessage | None = None

    @override
    def send_changelog(
        self,
        partition: int | None,
        key: Any,
        value: Any,
        key_serializer: CodecArg | None = None,
        value_serializer: CodecArg | None = None,
    ) -> FutureMessage:
        sent = super().send_changelog(partition, key, value, key_serializer, value_serializer)
        self.newest_write = sent
        return sent


class Latches:
    """The latch of every target, by its key."""

    def __init__(self, table: LatchTable) -> None:
        self._table = table
        self._decoded: dict[str, tuple[dict[str, Any], Latch]] = {}

    def of(self, key: str) -> Latch:
        """Return the latch of a target; a new one when nothing was ever asked for."""
        if key not in self._table:
            return Latch()
        row = self._table[key]
        known = self._decoded.get(key)
        if known is None or known[0] is not row:
            known = self._decoded[key] = row, msgspec.convert(row, Latch)
        return known[1]

    async def keep(self, key: str, latch: Latch) -> None:
        """Store a latch, durably. Only while a record of the target's partition is being handled."""
        self._table[key] = msgspec.to_builtins(latch)
        if self._table.newest_write is not None:
            await asyncio.shield(self._table.newest_write)

    def last_fired_at(self) -> Instant | None:
        """Return when this worker last began to ask for a capture, for any target."""
        return max((row["fired_at"] for row in self._table.values() if "fired_at" in row), default=None)
