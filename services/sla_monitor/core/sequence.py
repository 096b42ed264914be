"""Duplicates and gaps, by (boot, sequence) of one target."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailwatch.contracts.units import BootId, Count, Instant

MISSING_REMEMBERED = 1024
"""So many missing records of a boot may still arrive; older ones are taken for duplicates."""
BOOT_REMEMBERED_SECONDS = 900
"""A boot that was silent for so long starts anew: what it repeats then has long left the window."""


@dataclass(slots=True)
class _Boot:
    following: int
    heard_at: Instant
    missing: set[int] = field(default_factory=set[int])


class Sequences:
    """Which records of a target were seen, per process start."""

    def __init__(self) -> None:
        """Nothing was seen yet: the first record of a boot is no gap, wherever it stands."""
        self._boots: dict[BootId, _Boot] = {}
        self.duplicates: Count = 0
        self.gaps: Count = 0
        """Records still missing."""

    def accept(self, boot: BootId, sequence: int, *, at: Instant) -> bool:
        """Return whether a record is new; False for a repeated one."""
        known = self._boots.get(boot)
        if known is None:
            self._boots[boot] = _Boot(following=sequence + 1, heard_at=at)
            return True
        known.heard_at = max(known.heard_at, at)
        if sequence >= known.following:
            self.gaps += sequence - known.following
            known.missing.update(range(max(known.following, sequence - MISSING_REMEMBERED), sequence))
            known.missing -= {old for old in known.missing if old < sequence - MISSING_REMEMBERED}
            known.following = sequence + 1
            return True
        if sequence in known.missing:
            known.missing.remove(sequence)
            self.gaps -= 1
            return True
        self.duplicates += 1
        return False

    def forget(self, now: Instant) -> None:
        """Drop the boots that have been silent for too long to repeat anything that counts."""
        silent = [boot for boot, known in self._boots.items() if now - known.heard_at > BOOT_REMEMBERED_SECONDS]
        for boot in silent:
            del self._boots[boot]
