"""``tailwatch why``: one sentence, why a capture was or was not triggered."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import msgspec
from typer import Argument, Exit, Option

from services.cli.adapters.stack import found_broker
from services.cli.adapters.terminal import err, out
from services.cli.adapters.topics import newest_statuses
from services.cli.settings import CliSettings
from tailwatch.runtime.process import EXIT_CLEAN, EXIT_CRASHED
from tailwatch.runtime.settings import load


def why(
    target: Annotated[str | None, Argument(help="A target, e.g. 'POST /tokens'; all when left out.")] = None,
    *,
    json: Annotated[bool, Option("--json", help="The newest status of each target, as one JSON array.")] = False,
) -> None:
    """Say why a capture was triggered, or why not.

    One sentence for each target.

    Example: tailwatch why "POST /tokens"
    """
    settings = found_broker(load(CliSettings))
    newest = asyncio.run(newest_statuses(settings))
    chosen = [status for key, status in sorted(newest.items()) if target is None or target in {key, status.target}]
    if json:
        out.file.write(msgspec.json.encode(chosen).decode() + "\n")
        raise Exit(EXIT_CLEAN if chosen else EXIT_CRASHED)
    for status in chosen:
        age = max(0.0, time.time() - status.at)
        out.print(f"{status.key}: {status.explanation} ({age:.0f} s ago)", markup=False)
    if not chosen:
        known = ", ".join(sorted(newest)) or "none: no requests were reported yet"
        err.print(f"no verdict on {target or 'any target'} yet; targets known: {known}", markup=False)
        raise Exit(EXIT_CRASHED)
