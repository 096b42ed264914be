"""The probe around a Starlette application, without Kafka: what it reports, and that it never hurts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from tailwatch.contracts.context import DependencyUse
from tailwatch.contracts.errors import ConfigurationError
from tailwatch.probe import Probe
from tailwatch.probe.core.batch import Answered
from tailwatch.probe.middleware import ASGIApp, Receive, Scope, Send
from tailwatch.probe.settings import ProbeSettings
from tailwatch.probe.telemetry import Telemetry

AT = 1_764_000_000.0
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SCALENE_LOADED = """
import asyncio, sys
from tailwatch.probe import Probe

async def main():
    probe = Probe(None, service="shop")
    telemetry = await probe.start()
    assert telemetry is not None
    telemetry.health()
    await probe.close()

asyncio.run(main())
print([name for name in sys.modules if name.partition(".")[0] == "scalene"])
"""


async def ok(request: Request) -> Response:
    """Answer at once."""
    return Response(headers=dict(request.query_params))


async def unavailable(_: Request) -> Response:
    """Answer that something is away."""
    return Response(status_code=503)


async def broken(_: Request) -> Response:
    """Have a bug."""
    raise ZeroDivisionError("a bug of the application")


async def nothing_more() -> str:
    """Answer FastAPI's way."""
    return "nothing more"


async def ok_for_all(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer whatever the path is, without any route."""
    await Response()(scope, receive, send)


@dataclass
class Shop:
    """A watched shop, and what was offered to Kafka."""

    probe: Probe
    telemetry: Telemetry
    offered: list[Answered]
    came: asyncio.Event
    go_on: asyncio.Event

    async def ask(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> int:
        """Return the status of an answer."""
        return await asked(self.probe, method, path, headers)

    def waits(self) -> tuple[DependencyUse, ...]:
        """Return all waits that were noted."""
        return self.probe.activity.dependency_uses(0, AT + 3600)


async def asked(
    probe: Probe, method: str, path: str, headers: Mapping[str, str] | None = None, *, root_path: str = ""
) -> int:
    """Return the status of an answer, as a client of the server sees it; ``root_path`` is the server's prefix."""
    transport = httpx.ASGITransport(probe, raise_app_exceptions=False, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        return (await client.request(method, path, headers=headers)).status_code


def settings_of(folder: Path, **chosen: Any) -> ProbeSettings:
    """Return settings without Kafka and captures, whatever the environment says; changed as told."""
    plain: dict[str, Any] = {
        "kafka_bootstrap_servers": None,
        "profiling_enabled": False,
        "continuous_profiling_enabled": False,
        "artifact_store_url": str(folder / "store"),
        "profiling_spool_dir": folder / "spool",
        "tailwatch_config_dir": None,
    }
    return ProbeSettings(_env_file=None, **{**plain, **chosen})


@asynccontextmanager
async def watched(app: ASGIApp, folder: Path, **chosen: Any) -> AsyncIterator[tuple[Probe, list[Answered]]]:
    """Yield the running probe of an application, and what it offers."""
    probe = Probe(app, service="shop", settings=settings_of(folder, **chosen), clock=lambda: AT)
    telemetry = await probe.start()
    assert telemetry is not None
    offered: list[Answered] = []
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(telemetry, "offer", offered.append)
            yield probe, offered
    finally:
        await probe.close()


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """Yield a watched shop."""
    came, go_on = asyncio.Event(), asyncio.Event()

    async def held(_: Request) -> Response:
        with probe.waiting("kong", "consumer"):
            came.set()
            await go_on.wait()
        return Response()

    async def threaded(_: Request) -> Response:
        def work() -> None:
            with probe.waiting("disk", "read"):
                pass

        await asyncio.to_thread(work)
        return Response()

    async def refused(_: Request) -> Response:
        with probe.waiting("kong", "credential"):
            raise ConnectionError("kong is away")

    orders = [Route("/orders/{order:int}", ok, methods=["GET", "PUT"])]
    app = Starlette(
        routes=[
            Route("/items/{item}", ok),
            Route("/unavailable", unavailable),
            Route("/broken", broken),
            Route("/held", held),
            Route("/threaded", threaded),
            Route("/refused", refused),
            Mount("/api", routes=[Mount("/v1", routes=orders)]),
        ]
    )
    async with watched(app, tmp_path) as (probe, offered):
        assert probe.telemetry is not None
        yield Shop(probe, probe.telemetry, offered, came, go_on)


@pytest.mark.parametrize(
    ("method", "path", "target", "status"),
    [
        ("GET", "/items/7", "GET /items/{item}", 200),
        ("HEAD", "/items/7", "HEAD /items/{item}", 200),
        ("DELETE", "/items/7", "DELETE /items/{item}", 405),
        ("PUT", "/api/v1/orders/7", "PUT /api/v1/orders/{order:int}", 200),
        ("GET", "/unavailable", "GET /unavailable", 503),
        ("GET", "/broken", "GET /broken", 500),
        ("GET", "/items", "unmatched", 404),
        ("GET", "/.env", "unmatched", 404),
        ("BREW", "/items/7", "unmatched", 405),
    ],
)
async def test_every_answered_request_is_offered_by_the_target_of_its_route(
    shop: Shop, method: str, path: str, target: str, status: int
) -> None:
    """By template and mounts, errors and bugs too; what no route matched is one target."""
    assert await shop.ask(method, path) == status
    [request] = shop.offered
    assert (request.target, request.method, request.status) == (target, method, status)
    assert (request.started_at, request.under_capture) == (AT, False)
    assert shop.probe.activity.running == {}
    assert shop.probe.activity.counts() == (1, int(status >= 500))


def inner(path: str) -> list[Route]:
    """Return the routes of an application within another."""
    return [Route(path, ok)]


@pytest.mark.parametrize(
    ("mount", "path", "target"),
    [
        (Mount("/files", app=ok_for_all), "/files/a/b.css", "GET /files"),
        (Mount("/api", routes=inner("/x")), "/api/nowhere", "unmatched"),
        (Mount("", routes=inner("/x")), "/nowhere", "unmatched"),
        (Mount("", routes=inner("/x")), "/x", "GET /x"),
        (Mount("/orgs/{org}", routes=inner("/users/{user}")), "/orgs/acme/users/3", "GET /orgs/{org}/users/{user}"),
        (Mount("/v{n:int}", routes=inner("/x")), "/v2/x", "GET /v2/x"),
    ],
    ids=["static", "404 inside", "404 in the root", "root", "with parameters", "part of a segment"],
)
async def test_a_mount_is_part_of_the_target_once(tmp_path: Path, mount: Mount, path: str, target: str) -> None:
    """By its template where a parameter fills a segment; what its routes do not match is unmatched."""
    async with watched(Starlette(routes=[mount]), tmp_path) as (probe, offered):
        await asked(probe, "GET", path)
    assert [request.target for request in offered] == [target]


@pytest.mark.parametrize(("path", "target"), [("/pre/r/a/7", "GET /pre/r/a/{b}"), ("/plain", "GET /plain")])
async def test_fastapi_routers_keep_their_prefix_and_the_servers_is_left_out(
    tmp_path: Path, path: str, target: str
) -> None:
    """`include_router(prefix=...)` counts, the server's root path is the proxy's matter."""
    router, app = APIRouter(prefix="/r"), FastAPI()
    router.add_api_route("/a/{b}", nothing_more)
    app.include_router(router, prefix="/pre")
    app.add_api_route("/plain", nothing_more)
    async with watched(app, tmp_path) as (probe, offered):
        assert await asked(probe, "GET", path, root_path="/v2") == 200
    assert [request.target for request in offered] == [target]


async def test_a_request_lasts_from_its_arrival_to_its_end(shop: Shop) -> None:
    """In milliseconds; meanwhile it runs, by its target."""
    asking = asyncio.ensure_future(shop.ask("GET", "/held"))
    await shop.came.wait()
    assert shop.probe.activity.oldest_running(AT + 0.25, most=1) == {"GET /held": (250.0,)}
    await asyncio.sleep(0.05)
    shop.go_on.set()
    await asking
    assert 50 <= shop.offered[0].duration_ms < 5_000


async def test_a_request_that_no_router_has_seen_yet_runs_for_no_target(tmp_path: Path) -> None:
    """It is not reported as a request for a path that does not exist."""
    came, go_on = asyncio.Event(), asyncio.Event()

    async def slow_middleware(_: Scope, __: Receive, send: Send) -> None:
        came.set()
        await go_on.wait()
        await send({"type": "http.response.start", "status": 404, "headers": []})

    async with watched(slow_middleware, tmp_path) as (probe, offered):
        asking = asyncio.ensure_future(probe(connection("http"), nothing, Sent()))
        await came.wait()
        assert probe.activity.oldest_running(AT + 1, most=9) == {}
        go_on.set()
        await asking
    assert [request.target for request in offered] == ["unmatched"]


async def test_the_function_behind_a_target_is_known(shop: Shop) -> None:
    """A stack with its frame in it belongs to that target."""
    await shop.ask("GET", "/items/7")
    await shop.ask("GET", "/nowhere")
    [frame] = shop.probe.activity.endpoints()
    assert (frame.file, frame.function, frame.target) == (__file__, "ok", "GET /items/{item}")


async def test_routes_that_are_not_watched_are_counted_and_not_offered(tmp_path: Path) -> None:
    """Only what the policy names is reported, if it says so."""
    (tmp_path / "tailwatch.toml").write_text(
        '[sla]\nunnamed_routes = "ignore"\n'
        '[services.shop.targets."looking"]\nroutes = ["GET /items/{item}"]\np95_ms = 100\np99_ms = 200\n'
    )
    app = Starlette(routes=[Route("/items/{item}", ok), Route("/other", ok)])
    async with watched(app, tmp_path, tailwatch_config_dir=tmp_path) as (probe, offered):
        for path in ("/items/7", "/other", "/nowhere"):
            await asked(probe, "GET", path)
    assert [request.target for request in offered] == ["looking"]
    assert probe.activity.counts() == (3, 0)
    assert probe.activity.running == {}


def connection(kind: str, path: str = "/items/7") -> Scope:
    """Return the scope of a connection."""
    return {"type": kind, "method": "GET", "path": path, "root_path": "", "query_string": b"", "headers": []}


async def nothing() -> dict[str, Any]:
    """Receive nothing, ever."""
    await asyncio.Event().wait()
    return {}


@dataclass
class Sent:
    """A server's side that keeps what was sent."""

    messages: list[Any] = field(default_factory=list)

    async def __call__(self, message: Any) -> None:
        self.messages.append(message)

    @property
    def types(self) -> list[str]:
        return [message["type"] for message in self.messages]


@pytest.mark.parametrize(("begins", "status"), [(False, 500), (True, 200)])
async def test_a_bug_goes_on_to_the_server_and_is_offered(tmp_path: Path, *, begins: bool, status: int) -> None:
    """The server answers 500 for it; an answer that had begun keeps its status."""

    async def app(_: Scope, __: Receive, send: Send) -> None:
        if begins:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError("a bug of the application")

    async with watched(app, tmp_path) as (probe, offered):
        with pytest.raises(ZeroDivisionError, match="a bug of the application"):
            await probe(connection("http"), nothing, Sent())
    assert [(request.target, request.status) for request in offered] == [("unmatched", status)]


async def test_a_request_whose_client_went_away_is_dropped(shop: Shop) -> None:
    """The server cancels it before there is an answer: nothing is reported, nothing runs, nothing is counted."""
    asking = asyncio.ensure_future(shop.probe(connection("http", "/held"), nothing, Sent()))
    await shop.came.wait()
    assert len(shop.probe.activity.running) == 1
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert shop.offered == []
    assert shop.probe.activity.running == {}
    assert shop.probe.activity.counts() == (0, 0)


@pytest.mark.parametrize(("status", "reported"), [(500, 0), (200, 1)])
async def test_an_error_for_a_client_that_has_left_is_dropped(tmp_path: Path, status: int, reported: int) -> None:
    """A framework answers 500 to nobody when the body breaks off; work that was finished all the same counts."""

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def leaves() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async with watched(app, tmp_path) as (probe, offered):
        await probe(connection("http"), leaves, Sent())
    assert len(offered) == reported
    assert probe.activity.counts() == (reported, 0)
    assert probe.activity.running == {}


async def test_an_application_that_never_answers_is_dropped(tmp_path: Path) -> None:
    """Returning without an answer is none."""

    async def app(_: Scope, __: Receive, ___: Send) -> None:
        return

    async with watched(app, tmp_path) as (probe, offered):
        await probe(connection("http"), nothing, Sent())
    assert offered == []
    assert probe.activity.running == {}


@pytest.mark.parametrize(
    ("path", "headers", "request_id"),
    [
        ("/items/7?X-Request-ID=the-answers", {"x-request-id": "the-callers"}, "the-answers"),
        ("/items/7", {"X-Request-Id": "the-callers"}, "the-callers"),
        ("/items/7", {"x-request-id": "x" * 101}, "x" * 100),
        ("/items/7", {}, ""),
    ],
)
async def test_the_request_id_is_the_answers_else_the_callers(
    shop: Shop, path: str, headers: Mapping[str, str], request_id: str
) -> None:
    """At most 100 characters of it."""
    await shop.ask("GET", path, headers)
    assert shop.offered[0].request_id == request_id


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE.upper()}-00f067aa0ba902b7-01", None),
        ("00-4bf92f35", None),
    ],
)
async def test_the_trace_id_is_the_callers_if_it_is_valid(shop: Shop, traceparent: str, trace: str | None) -> None:
    """32 lower-case hexadecimal digits that are not all zero."""
    await shop.ask("GET", "/items/7", {"traceparent": traceparent})
    await shop.ask("GET", "/items/7")
    assert [request.trace_id for request in shop.offered] == [trace, None]


async def test_requests_that_overlap_a_capture_are_marked(shop: Shop) -> None:
    """Those that run when it starts, those that begin until it ends, and no other."""
    await shop.ask("GET", "/items/before")
    asking = asyncio.ensure_future(shop.ask("GET", "/held"))
    await shop.came.wait()
    shop.probe.activity.start_capturing()
    await shop.ask("GET", "/items/during")
    shop.probe.activity.capturing = False
    shop.go_on.set()
    await asking
    await shop.ask("GET", "/items/after")
    assert [request.under_capture for request in shop.offered] == [False, True, True, False]


async def test_a_wait_is_noted_for_the_target_of_its_request(shop: Shop) -> None:
    """With its duration, also when it fails, and without a target outside of requests."""
    asking = asyncio.ensure_future(shop.ask("GET", "/held"))
    await shop.came.wait()
    await asyncio.sleep(0.03)
    shop.go_on.set()
    await asking
    assert await asyncio.ensure_future(shop.ask("GET", "/refused")) == 500
    with shop.probe.waiting("kong", "start"):
        pass
    assert [(each.dependency, each.operation, each.target, each.latency.count) for each in shop.waits()] == [
        ("kong", "consumer", "GET /held", 1),
        ("kong", "credential", "GET /refused", 1),
        ("kong", "start", None, 1),
    ]
    assert 30 <= shop.waits()[0].latency.max_ms < 5_000


async def test_a_wait_on_another_thread_does_not_fail(shop: Shop) -> None:
    """There is no task there to ask for the request."""
    assert await shop.ask("GET", "/threaded") == 200


async def test_a_failing_telemetry_never_fails_a_request(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted and logged; the request was answered."""

    def fail(_: Answered) -> None:
        raise ZeroDivisionError("a bug of the probe")

    monkeypatch.setattr(shop.telemetry, "offer", fail)
    assert await shop.ask("GET", "/items/7") == 200
    assert shop.probe.metrics.value("latency_events_dropped_total", reason="probe_error") == 1
    assert shop.probe.activity.running == {}


async def test_a_probe_that_cannot_start_leaves_the_service_alone(tmp_path: Path) -> None:
    """Every request is served unwatched; ``/health`` says so, and no thread is left."""
    app, before = Starlette(routes=[Route("/items/{item}", ok)]), probe_threads()
    probe = Probe(app, service="shop", settings=settings_of(tmp_path, artifact_store_url="nowhere://bucket"))
    assert [await asked(probe, "GET", "/items/7") for _ in range(2)] == [200, 200]
    await probe.close()
    assert probe.telemetry is None
    assert probe.health() == {"enabled": False, "connected": False}
    assert probe.activity.counts() == (0, 0)
    assert probe_threads() == before


async def test_without_lifespan_the_probe_starts_once_with_the_first_requests(tmp_path: Path) -> None:
    """However many come at once."""
    before = probe_threads()
    probe = Probe(Starlette(routes=[Route("/items/{item}", ok)]), service="shop", settings=settings_of(tmp_path))
    assert probe.telemetry is None
    await asyncio.gather(*(asked(probe, "GET", "/items/7") for _ in range(3)))
    assert len(probe_threads() - before) == 1
    assert probe.activity.counts() == (3, 0)
    await probe.close()
    assert probe_threads() == before


async def test_a_first_client_that_goes_away_does_not_stop_the_start(tmp_path: Path) -> None:
    """The next one finds the probe running."""
    probe = Probe(Starlette(routes=[Route("/items/{item}", ok)]), service="shop", settings=settings_of(tmp_path))
    first = asyncio.ensure_future(asked(probe, "GET", "/items/7"))
    while probe._starting is None:
        await asyncio.sleep(0)
    first.cancel()
    assert await asked(probe, "GET", "/items/7") == 200
    assert first.cancelled()
    assert probe.activity.counts() == (1, 0)
    await probe.close()


def probe_threads() -> set[int | None]:
    """Return the threads of probes."""
    return {thread.ident for thread in threading.enumerate() if thread.name == "tailwatch-probe"}


async def run_lifespan(probe: Probe) -> Sent:
    """Start and end an application as a server does."""
    sent, queue = Sent(), asyncio.Queue[Any]()
    await queue.put({"type": "lifespan.startup"})
    await queue.put({"type": "lifespan.shutdown"})
    await probe({"type": "lifespan", "state": {}}, queue.get, sent)
    return sent


async def test_the_probe_starts_and_ends_with_the_application(tmp_path: Path) -> None:
    """It runs before the application starts and until the application has ended; the messages pass through."""
    before, seen = probe_threads(), list[tuple[str, bool]]()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        seen.append(("started", probe.telemetry is not None))
        yield
        seen.append(("ended", probe_threads() != before))

    probe = Probe(Starlette(lifespan=lifespan), service="shop", settings=settings_of(tmp_path))
    sent = await run_lifespan(probe)
    assert sent.types == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert seen == [("started", True), ("ended", True)]
    assert probe_threads() == before


async def test_a_refused_policy_fails_the_startup_with_its_message(tmp_path: Path) -> None:
    """The operator reads what is wrong and where; the application is not started."""
    (tmp_path / "tailwatch.toml").write_text("[sla]\np95_ms = 0\n")

    async def app(*_: Any) -> None:
        raise AssertionError("started")

    probe = Probe(app, service="shop", settings=settings_of(tmp_path, tailwatch_config_dir=tmp_path))
    [failed] = (await run_lifespan(probe)).messages
    assert failed["type"] == "lifespan.startup.failed"
    assert failed["message"].startswith(f"{tmp_path / 'tailwatch.toml'}: Expected `float` > 0")
    assert "$.sla.p95_ms" in failed["message"]


def test_a_refused_setting_is_refused_where_the_probe_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is served, with the variable, its value and what is accepted."""
    monkeypatch.setenv("EVENTS_MAX_PER_RECORD", "513")
    with pytest.raises(ConfigurationError, match=r"EVENTS_MAX_PER_RECORD='513' is refused: .*; accepted 1\.\.512"):
        Probe(Starlette(), service="shop")


async def test_an_application_that_fails_to_start_says_so_through_the_probe(tmp_path: Path) -> None:
    """Its own message and its own error."""

    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise ConnectionError("no database")

    probe, sent, queue = Probe(app, service="shop", settings=settings_of(tmp_path)), Sent(), asyncio.Queue[Any]()
    await queue.put({"type": "lifespan.startup"})
    with pytest.raises(ConnectionError, match="no database"):
        await probe({"type": "lifespan"}, queue.get, sent)
    await probe.close()
    assert sent.messages == [{"type": "lifespan.startup.failed", "message": "no database"}]


async def test_other_connections_pass_through(tmp_path: Path) -> None:
    """A WebSocket reaches the application as it came, and starts nothing."""
    given: list[tuple[Any, ...]] = []

    async def app(*connection: Any) -> None:
        given.append(connection)

    probe = Probe(app, service="shop", settings=settings_of(tmp_path))
    scope, sent = connection("websocket"), Sent()
    await probe(scope, nothing, sent)
    assert given == [(scope, nothing, sent)]
    assert given[0][0] is scope
    assert probe.telemetry is None


async def test_health_before_and_after_the_start(tmp_path: Path) -> None:
    """Not enabled and not connected until it runs; then everything has its place, and says why it is off."""
    probe = Probe(Starlette(), service="shop", settings=settings_of(tmp_path))
    assert probe.health() == {"enabled": False, "connected": False}
    await probe.start()
    health = probe.health()
    reason = health["capture"].pop("reason")
    await probe.close()
    assert health == {
        "enabled": False,
        "autoTrigger": True,
        "connected": False,
        "statusAgeSeconds": None,
        "endpoints": {},
        "lastTriggers": {},
        "throttledUntil": None,
        "capture": {
            "active": None,
            "phase": "idle",
            "target": None,
            "queue": 0,
            "overheadPercent": None,
            "disabledUntil": None,
            "last": None,
        },
        "storage": {"usedMb": 0.0, "quotaMb": 1024.0, "percent": "0.00%"},
    }
    assert reason.startswith("disabled: set CONTINUOUS_PROFILING_ENABLED=true")


def test_with_captures_off_scalene_is_not_imported(tmp_path: Path) -> None:
    """Not one module of it, from the import of the probe to its end."""
    environment = {"PATH": "", "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", SCALENE_LOADED],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
