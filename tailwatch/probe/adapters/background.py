"""The probe's own thread with its own event loop: Kafka, disk and uploads happen here, never on the server's loop.

A server loop that is blocked is therefore still reported on.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


class Background:
    """A daemon thread that runs coroutines for the probe."""

    def __init__(self) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tailwatch-probe", daemon=True)
        self._thread.start()

    @property
    def thread_id(self) -> int | None:
        """Identifier of the thread (``threading.Thread.ident``)."""
        return self._thread.ident

    @property
    def native_id(self) -> int | None:
        """Kernel id of the thread, for its CPU time."""
        return self._thread.native_id

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def submit(self, work: Coroutine[Any, Any, Result]) -> concurrent.futures.Future[Result]:
        """Run a coroutine on the thread; return its future."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self, timeout: float) -> None:
        """Cancel what still runs, within ``timeout`` seconds, and end the thread."""
        if not self._thread.is_alive():
            return
        ended = self.submit(self._cancel_all())
        with suppress(concurrent.futures.TimeoutError, concurrent.futures.CancelledError):
            ended.result(timeout)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
