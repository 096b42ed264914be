"""The web pages, asked through ASGI: what is listed, what is found, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import httpx
import pytest

from services.reporter.adapters.printing import Printer
from services.reporter.adapters.web import HEADERS, MAX_REPORT_BYTES, web
from tailwatch.contracts.errors import StoreUnavailable
from tailwatch.runtime.artifacts import ArtifactStore
from tests.support.captures import MemoryStore

OLDER = "tokens-profile-1764000001500-9f57a1b2c3d4.cpu-prof.html"
NEWER = "CPU.health.profile-1764000901500-0123456789ab.html"
FILES = {
    f"auto/{OLDER}": b"<p>older</p>",
    f"auto/{OLDER.removesuffix('html')}md": "# \u00e4lter\n".encode(),
    f"current/{NEWER}": b"<p>newer</p>",
    f"current/{NEWER.removesuffix('html')}md": b"# newer\n",
    "captures/profile-1764000001500-9f57a1b2c3d4/notes.html": b"secret",
    "auto/capture.json": b"{}",
}
PATHS = ["/", f"/reports/{OLDER}", "/health"]


def client(store: MemoryStore | ArtifactStore, *, host: str = "localhost") -> httpx.AsyncClient:
    """Return a browser that calls the pages by this name."""
    app = web(cast("ArtifactStore", store), Printer(), hosts=["localhost", "127.0.0.1"])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{host}")


async def answer(path: str, files: Mapping[str, bytes] = FILES, *, host: str = "localhost") -> httpx.Response:
    """Return the answer to one request."""
    async with client(MemoryStore(files), host=host) as browser:
        return await browser.get(path)


async def test_the_index_lists_reports_newest_first() -> None:
    """With the moment, the target and both forms; other files are not there."""
    page = await answer("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert re.findall(r'href="/reports/([^"]+)"', page.text) == [
        NEWER,
        f"{NEWER.removesuffix('html')}md",
        OLDER,
        f"{OLDER.removesuffix('html')}md",
    ]
    assert re.findall(r'<td data-order="[0-9.]+">([^<]+)</td><td>([^<]+)</td>', page.text) == [
        ("2025-11-24 16:15:01.5 UTC", "health"),
        ("2025-11-24 16:00:01.5 UTC", "tokens"),
    ]


async def test_an_index_without_reports_says_when_one_is_written() -> None:
    """An empty store is no error."""
    page = await answer("/", {})
    assert page.status_code == 200
    assert "No reports yet. One is written when an SLA breaks, or when a capture is asked for." in page.text


@pytest.mark.parametrize(
    ("name", "media"),
    [
        (f"auto/{OLDER}", "text/html"),
        (f"auto/{OLDER.removesuffix('html')}md", "text/plain"),
        (f"current/{NEWER}", "text/html"),
        (f"current/{NEWER.removesuffix('html')}md", "text/plain"),
    ],
)
async def test_a_report_is_answered_as_it_was_written(name: str, media: str) -> None:
    """From either folder; Markdown is text and never HTML."""
    page = await answer(f"/reports/{name.rpartition('/')[2]}")
    assert page.status_code == 200
    assert page.content == FILES[name]
    assert page.headers["content-type"] == f"{media}; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    [
        "tokens-profile-1-a.cpu-prof.html",
        "..%2Fsecret.html",
        "%2e%2e%2f%2e%2e%2fsecret.html",
        "..%5Csecret.html",
        "%2Fetc%2Fpasswd",
        "%2e%2e",
        "captures%2Fnotes.html",
        "auto%2Ftokens.html",
        ".hidden.html",
        "capture.json",
        "folder.html",
        "tokens.html%00",
        "tokens.html%0a",
        f"{'a' * 5000}.html",
        "",
    ],
)
async def test_what_is_no_name_of_a_report_is_not_found(tmp_path: Path, path: str) -> None:
    """Unknown, hidden, of another kind, a folder, or on its way out of the store."""
    (tmp_path / "secret.html").write_text("secret")
    for name in ("auto/capture.json", "auto/.hidden.html", "auto/folder.html/x", "captures/notes.html", "secret.html"):
        (tmp_path / "store" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "store" / name).write_text("secret")
    (tmp_path / "store/auto/tokens.html").write_text("a report")
    async with client(ArtifactStore(str(tmp_path / "store"))) as browser:
        assert (await browser.get("/reports/tokens.html")).text == "a report"
        page = await browser.get(f"/reports/{path}")
    assert page.status_code == 404
    assert "secret" not in page.text


async def test_a_report_that_is_too_large_is_not_read() -> None:
    """What no reporter wrote cannot fill the memory."""
    assert (await answer("/reports/a.html", {"auto/a.html": bytes(MAX_REPORT_BYTES)})).status_code == 200
    assert (await answer("/reports/a.html", {"auto/a.html": bytes(MAX_REPORT_BYTES + 1)})).status_code == 404


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil:3080"])
@pytest.mark.parametrize("path", PATHS)
async def test_a_name_that_is_not_the_reporters_is_refused(path: str, host: str) -> None:
    """A page elsewhere cannot read reports by pointing its own name at this machine."""
    refused = await answer(path, host=host)
    assert refused.status_code == 400
    assert refused.text == "Invalid host header"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:3080", "127.0.0.1:3080"])
async def test_the_reporters_own_names_are_answered(host: str) -> None:
    """With any port."""
    assert (await answer("/health", host=host)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_while_the_store_is_away_the_pages_ask_to_come_back(path: str) -> None:
    """503 with Retry-After, and not a word about where the store is."""
    store = MemoryStore(FILES)
    store.away = StoreUnavailable("s3://bucket: no route")
    async with client(store) as browser:
        page = await browser.get(path)
        assert page.status_code == 503
        assert page.headers["retry-after"] == "5"
        assert page.json() == {
            "status": "unhealthy",
            "service": "reporter",
            "detail": "the artifact store does not answer",
        }
        store.away = None
        assert (await browser.get(path)).status_code == 200


@pytest.mark.parametrize("path", [*PATHS, f"/reports/{OLDER.removesuffix('html')}md", "/reports/unknown.html"])
async def test_every_answer_tells_the_browser_to_trust_nothing(path: str) -> None:
    """No sniffing, no referrer, nothing loaded, and no frame of another page."""
    headers = (await answer(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-cache"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'none'" in policy
    assert ("sandbox allow-scripts; " in policy) is (path != "/")


async def test_the_service_is_healthy_while_the_store_can_be_read() -> None:
    """With the number of reports."""
    page = await answer("/health")
    assert page.status_code == 200
    assert page.json() == {"status": "healthy", "service": "reporter", "reports": 2}


async def test_what_is_written_is_listed_at_the_next_request(tmp_path: Path) -> None:
    """The list is read anew each time, also from a directory that was not there before."""
    store = ArtifactStore(str(tmp_path / "store"))
    async with client(store) as browser:
        assert (await browser.get("/health")).json()["reports"] == 0
        await store.write(f"auto/{OLDER}", b"<p>older</p>")
        assert OLDER in (await browser.get("/")).text
        assert (await browser.get(f"/reports/{OLDER}")).headers["content-security-policy"] == HEADERS[
            "Content-Security-Policy"
        ]
