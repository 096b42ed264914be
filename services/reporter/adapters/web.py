"""The web pages: the list of reports, one report, and the reporter's health."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from services.reporter.adapters.printing import Printer
from services.reporter.core.names import FOLDERS, ListedReport, candidates, listed
from tailwatch.contracts.errors import StoreUnavailable
from tailwatch.runtime.artifacts import ArtifactMissing, ArtifactStore, ArtifactTooLarge

MAX_REPORT_BYTES = 16 * 2**20
HEADERS = {
    # A report carries a stricter policy of its own; this one holds whatever its bytes say. The sandbox gives a page
    # no origin: it cannot read its neighbours.
    "Content-Security-Policy": (
        "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class Pages:
    """Answers requests from what is in the store."""

    def __init__(self, store: ArtifactStore, printer: Printer) -> None:
        self._store, self._printer = store, printer

    async def index(self, _: Request) -> Response:
        """Answer with the list of reports, newest first."""
        policy = HEADERS["Content-Security-Policy"].replace("sandbox allow-scripts; ", "")
        return HTMLResponse(
            self._printer.index(await self._listed()), headers={**HEADERS, "Content-Security-Policy": policy}
        )

    async def report(self, request: Request) -> Response:
        """Answer with one report; 404 for everything that is not the name of one."""
        page = str(request.path_params["name"])
        for name in candidates(page):
            try:
                content = await self._store.read(name, MAX_REPORT_BYTES)
            except (ArtifactMissing, ArtifactTooLarge):
                continue
            media = "text/html" if name.endswith(".html") else "text/plain"
            return Response(content, media_type=f"{media}; charset=utf-8", headers=HEADERS)
        return PlainTextResponse("There is no such report.\n", status_code=404, headers=HEADERS)

    async def health(self, _: Request) -> Response:
        """Answer with 200 while the store can be read."""
        return JSONResponse(
            {"status": "healthy", "service": "reporter", "reports": len(await self._listed())}, headers=HEADERS
        )

    async def _listed(self) -> Sequence[ListedReport]:
        names = [artifact.name for folder in FOLDERS for artifact in await self._store.names(f"{folder}/")]
        return listed(names)


async def unavailable(_: Request, __: Exception) -> Response:
    """Answer when the store is away."""
    return JSONResponse(
        {"status": "unhealthy", "service": "reporter", "detail": "the artifact store does not answer"},
        status_code=503,
        headers={**HEADERS, "Retry-After": "5"},
    )


def web(store: ArtifactStore, printer: Printer, *, hosts: Sequence[str]) -> Starlette:
    """Return the web application; ``hosts`` are the names by which it may be called (``*``: any)."""
    pages = Pages(store, printer)
    return Starlette(
        routes=[
            Route("/", pages.index),
            Route("/reports/{name}", pages.report),
            Route("/health", pages.health),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))],
        exception_handlers={StoreUnavailable: unavailable},
    )
