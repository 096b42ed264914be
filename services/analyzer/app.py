"""The analyzer's shell: one completed capture in, one analysis out."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from services.analyzer.adapters.captures import CaptureFiles
from services.analyzer.core.analysis import analyse
from services.analyzer.core.catalogue import Catalogue
from tailwatch.contracts.captures import CaptureCompleted, CaptureKind
from tailwatch.contracts.errors import CaptureRejected
from tailwatch.contracts.event import Event
from tailwatch.contracts.policy import Policy
from tailwatch.runtime.logs import logger
from tailwatch.runtime.pump import Delivery

log = logger(__name__)


class Analyzer:
    """Answers ``profiling.captures.v1``.

    A session has one analysis: it is kept in the store before it is published, and published again as it was when
    its capture is delivered again.
    """

    def __init__(self, files: CaptureFiles, *, policy: Policy, catalogue: Catalogue) -> None:
        self._files, self._policy, self._catalogue = files, policy, catalogue

    async def handle(self, delivery: Delivery) -> Sequence[Event]:
        """Return the analysis of a completed capture; nothing for any other outcome.

        Raises CaptureRejected when the capture's files are broken.
        """
        event = delivery.event
        if not isinstance(event, CaptureCompleted):
            return ()
        if event.kind is not CaptureKind.CPU:
            reason = f"captures of kind {event.kind.value!r} are not analysed by this version"
            raise CaptureRejected(session_id=event.session_id, reason=reason)
        known = await self._files.analysis(event.session_id)
        if known is not None:
            log.info("analysed_before", session=event.session_id)
            return (known,)
        capture = await self._files.load(event)
        analysis = await asyncio.to_thread(analyse, capture.context, capture.samples, self._policy, self._catalogue)
        await self._files.keep(analysis)
        log.info(
            "analysed",
            session=event.session_id,
            verdict=analysis.verdict.kind.value,
            samples=analysis.on_cpu_samples,
            findings=[finding.rule for finding in analysis.findings],
        )
        return (analysis,)
