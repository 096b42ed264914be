"""The reporter's shell: one analysis in, its report in the store, one recommendation per finding out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from services.reporter.adapters.printing import Printer
from services.reporter.core.names import names_of
from services.reporter.core.recommendations import Known, recommendations_of
from services.reporter.core.view import view_of
from tailwatch.contracts.analyses import ProfileAnalysis
from tailwatch.contracts.errors import ContractError
from tailwatch.contracts.event import Event
from tailwatch.runtime.artifacts import ArtifactStore
from tailwatch.runtime.logs import logger
from tailwatch.runtime.pump import Delivery

log = logger(__name__)


class Reporter:
    """Answers ``profiling.analyses.v1``.

    A report is made from its analysis alone: delivered again, the same bytes are written under the same names.
    """

    def __init__(
        self, store: ArtifactStore, printer: Printer, *, known: Callable[[], Awaitable[Known]], public_url: str
    ) -> None:
        """``known`` tells the newest state of every recommendation."""
        self._store, self._printer, self._known, self._public_url = store, printer, known, public_url

    async def handle(self, delivery: Delivery) -> Sequence[Event]:
        """Write the report of an analysis; return its recommendations."""
        analysis = delivery.event
        if not isinstance(analysis, ProfileAnalysis):
            raise ContractError(
                topic=delivery.topic,
                partition=delivery.partition,
                offset=delivery.offset,
                reason=f"{type(analysis).__name__} is no analysis",
            )
        names, view = names_of(analysis), view_of(analysis)
        # The page last: it is what the list shows and what recommendations link to.
        await self._store.write(names.markdown, self._printer.markdown(view).encode())
        await self._store.write(names.html, self._printer.html(view).encode())
        log.info("reported", session=analysis.session_id, report=names.html, findings=len(analysis.findings))
        return recommendations_of(analysis, await self._known(), public_url=self._public_url)
