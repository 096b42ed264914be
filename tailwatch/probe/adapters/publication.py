"""From the spool to the world: files into the artifact store, facts onto Kafka, in order, each with retries.

Everything here runs on the probe's background loop, and waits for as long as the store or Kafka is away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from tailwatch.contracts.captures import CaptureCompleted, CaptureEvent, CaptureFailed, FailureReason
from tailwatch.contracts.errors import StoreUnavailable
from tailwatch.contracts.event import Event
from tailwatch.contracts.units import SessionId
from tailwatch.probe.adapters.spool import STORE_FOLDER, Spool
from tailwatch.runtime.artifacts import ArtifactMissing, ArtifactStore
from tailwatch.runtime.kafka import NotPublished
from tailwatch.runtime.logs import logger
from tailwatch.runtime.tracing import child_of

log = logger(__name__)

COUNTED_FOLDERS = (STORE_FOLDER, "auto")
"""What the storage quota covers."""


class Publishing(Protocol):
    """What is needed of a publisher."""

    async def publish(self, event: Event, *, traceparent: str | None = None) -> None:
        """Send one event; return once it is acknowledged."""


class Publication:
    """Uploads sessions and announces facts for one process."""

    def __init__(
        self, spool: Spool, store: ArtifactStore, publisher: Publishing | None, *, clock: Callable[[], float]
    ) -> None:
        """Without a publisher (no Kafka) nothing is announced; the files still reach the store."""
        self._spool, self._store, self._publisher, self._clock = spool, store, publisher, clock
        self._in_order = asyncio.Lock()

    async def publish(self, completed: CaptureCompleted) -> None:
        """Seal a session whose files are all there, and upload it. Raises OSError when the spool fails."""
        await asyncio.to_thread(self._spool.seal, completed)
        await self._upload(completed.session_id)

    async def announce(self, event: CaptureEvent, traceparent: str | None, *, ends: SessionId | None = None) -> None:
        """Publish a fact after those before it; then delete the folder of the session that it ends."""
        async with self._in_order:
            if self._publisher is not None:
                try:
                    await self._publisher.publish(event, traceparent=child_of(traceparent))
                except NotPublished as error:
                    log.exception("capture_not_announced", outcome=type(event).__name__, error=str(error))
                    return
            if ends is not None:
                await asyncio.to_thread(self._spool.discard, ends)

    async def recover(self) -> None:
        """Finish what killed predecessors left complete, and end what they left unfinished."""
        found = await asyncio.to_thread(self._spool.leftovers)
        for name in found.unreadable:
            log.warning("spool_folder_deleted", folder=name, reason="it could not be understood")
        for record in found.unfinished:
            log.warning("capture_ended_for_predecessor", session=record.session_id, pid=record.pid)
            event = CaptureFailed(
                service=record.service,
                target=record.target,
                instance=record.instance,
                boot=record.boot,
                pid=record.pid,
                at=self._clock(),
                origin=record.origin,
                kind=record.kind,
                trigger_id=record.trigger_id,
                session_id=record.session_id,
                reason=FailureReason.PROCESS_DIED,
                detail=f"process {record.pid} ended without finishing the capture that it began",
            )
            await self.announce(event, record.traceparent, ends=record.session_id)
        for left in found.complete:
            log.info("capture_finished_for_predecessor", session=left.completed.session_id)
            await self._upload(left.completed.session_id)
            await self.announce(left.completed, left.traceparent, ends=left.completed.session_id)

    async def stored_bytes(self) -> int | None:
        """Return what captures and reports take up in the store; None while it does not answer."""
        try:
            found = [await self._store.names(folder) for folder in COUNTED_FOLDERS]
        except (StoreUnavailable, ArtifactMissing):
            return None
        return sum(artifact.size_bytes for artifacts in found for artifact in artifacts)

    async def _upload(self, session: SessionId) -> None:
        for name, content in await asyncio.to_thread(self._spool.files, session):
            async for attempt in self._until_the_store_answers(name):
                with attempt:
                    await self._store.write(name, content)

    def _until_the_store_answers(self, name: str) -> AsyncRetrying:
        def say(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            log.warning("upload_retry", artifact=name, attempt=state.attempt_number, error=repr(error))

        return AsyncRetrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            before_sleep=say,
            reraise=True,
        )
