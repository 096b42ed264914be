"""A heartbeat: a file that is touched while a service works, for whoever looks after its process."""

from __future__ import annotations

import time
from pathlib import Path

EVERY_SECONDS = 1.0


class Heartbeat:
    """Touches a file at most once a second; without a file it does nothing."""

    def __init__(self, file: Path | None) -> None:
        """``file`` is HEARTBEAT_FILE."""
        self._file, self._next = file, 0.0

    def beat(self) -> None:
        """Say that the service works."""
        if self._file is not None and (now := time.monotonic()) >= self._next:
            self._next = now + EVERY_SECONDS
            self._file.touch()
