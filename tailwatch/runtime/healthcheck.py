"""The health check of a container: ``python -m tailwatch.runtime.healthcheck``.

With HEALTH_URL the service is healthy while that answers 200; with HEARTBEAT_FILE, while the file was touched within
the last 15 seconds. Needs the standard library only, so that it starts fast.
"""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

FRESH_SECONDS = 15.0
TIMEOUT_SECONDS = 3.0


def fault(environment: Mapping[str, str], *, now: float) -> str | None:
    """Return what is wrong with the service, or None; ``now`` is in seconds since the epoch."""
    if url := environment.get("HEALTH_URL"):
        return _unanswered(url)
    if file := environment.get("HEARTBEAT_FILE"):
        return _silent(Path(file), now)
    return "neither HEALTH_URL nor HEARTBEAT_FILE is set: nothing says whether the service works"


def _unanswered(url: str) -> str | None:
    if not url.startswith("http://"):
        return f"HEALTH_URL={url} is refused: accepted http://host:port/path"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS):  # noqa: S310  # http, see above
            return None
    except (OSError, urllib.error.URLError) as error:
        return f"{url}: {error}"


def _silent(file: Path, now: float) -> str | None:
    try:
        age = now - file.stat().st_mtime
    except OSError as error:
        return f"no heartbeat yet: {error}"
    return f"the last heartbeat is {age:.0f} s old, at most {FRESH_SECONDS:.0f} s" if age > FRESH_SECONDS else None


def main() -> int:
    """Return 0 while the service works, else 1 with one line on stderr."""
    found = fault(os.environ, now=time.time())
    if found is not None:
        sys.stderr.write(f"unhealthy: {found}\n")
    return int(found is not None)


if __name__ == "__main__":
    sys.exit(main())
