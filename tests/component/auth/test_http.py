"""The auth service over HTTP: what every route answers, and how it refuses."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, cast
from uuid import UUID

import httpx
import pytest
from typing_extensions import override

from services.auth.adapters.edge import Edge
from services.auth.adapters.kong import Consumers, EmbeddedConsumers
from services.auth.app import Dependencies, application
from services.auth.core.consumers import Consumer, Credential
from services.auth.core.problems import Problem, ProblemKind
from services.auth.core.tokens import Sign, TokenRules, sign
from services.auth.settings import AuthSettings
from tailwatch.runtime.metrics import Metrics

NOW = 1_764_000_000.5
TOKEN_ID = "5f0c7f1e-8a52-4f0e-9a43-2f3c1d9b7a10"
REQUEST_ID = "0f9a1c52-4a0b-4c1e-9f57-2f6a3f0f9b11"
BOB = {"X-Consumer-ID": "c-17", "X-Consumer-Username": "bob"}
MONITOR = {"enabled": True, "connected": True, "endpoints": {"POST /tokens": {"p95": 380.0, "state": "breached"}}}
ORDER = ["type", "title", "status", "detail", "instance", "code", "requestId", "timestamp"]
NO_STORE = "no-store, no-cache, must-revalidate"
RULES = TokenRules(
    issuers=("https://auth.example.com",),
    audiences=("https://api.example.com",),
    key_claim="key",
    unique_name_domain="example.com",
    lifetime_seconds=900,
    leeway_seconds=0,
    algorithm="HS256",
)


class Asked(Consumers):
    """Consumers that do something of a test's own when asked."""

    def __init__(self, then: Callable[[], Awaitable[None]]) -> None:
        self._then = then

    @override
    async def credential(self, consumer: Consumer) -> Credential:
        await self._then()
        return await EmbeddedConsumers("seed").credential(consumer)


class Service:
    """The service's application with its metrics and a clock that a test sets."""

    def __init__(
        self,
        *,
        then: Callable[[], Awaitable[None]] | None = None,
        signed: Sign = sign,
        finished: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict,
        monitor: Mapping[str, Any] = MONITOR,
        **settings: Any,
    ) -> None:
        self.metrics = Metrics()
        self.now = NOW
        self.app = application(
            Dependencies(
                settings=AuthSettings(**settings),
                rules=RULES,
                consumers=Asked(then) if then else EmbeddedConsumers("seed"),
                signed=signed,
                finished=finished,
                sla_monitor=lambda: monitor,
                metrics=self.metrics,
                clock=lambda: self.now,
                new_id=lambda: TOKEN_ID,
                started_at=NOW - 61.25,
            )
        )

    async def ask(
        self, method: str, path: str, headers: Mapping[str, str] = BOB, content: bytes | None = None
    ) -> httpx.Response:
        transport = httpx.ASGITransport(cast("Any", self.app), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://auth.test") as client:
            return await client.request(method, path, headers=dict(headers), content=content)

    async def token(self) -> str:
        return str((await self.ask("POST", "/tokens")).json()["access_token"])

    def requests(self, method: str, route: str, status: int) -> float:
        return self.metrics.value("http_requests_total", method=method, route=route, status_code=str(status))


def problem_of(answer: httpx.Response, kind: ProblemKind) -> dict[str, Any]:
    """Return the document of an answer that is the problem expected, in its documented form."""
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (kind.value.status, kind.value.code)
    assert list(document)[:8] == ORDER
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == NO_STORE
    assert document["requestId"] == answer.headers["x-request-id"]
    assert document["timestamp"] == "2025-11-24T16:00:00.500Z"
    assert document["instance"] == answer.request.url.path
    return document


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_consumer_gets_a_token(method: str) -> None:
    """Exactly three members, never cached, and the token claims the consumer."""
    answer = await Service().ask(method, "/tokens")
    assert answer.status_code == 200
    assert list(answer.json()) == ["access_token", "token_type", "expires_in"]
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 900)
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == (NO_STORE, "no-cache")
    payload = answer.json()["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert (claims["sub"], claims["jti"], claims["iat"], claims["exp"]) == ("bob", TOKEN_ID, 1764000000, 1764000900)


async def test_an_answer_with_a_token_goes_through_its_last_step() -> None:
    """What the last step returns is what the client gets."""
    service = Service(finished=lambda answer: {**answer, "expires_in": answer["expires_in"] + 1})
    assert (await service.ask("POST", "/tokens")).json()["expires_in"] == 901


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_valid_token_is_described(method: str) -> None:
    """Its consumer, issuer, audience and times, in the documented order, never cached."""
    service = Service()
    token = await service.token()
    service.now = NOW + 60
    answer = await service.ask(method, "/tokens/validate", {**BOB, "Authorization": f"bearer {token}"})
    assert answer.status_code == 200
    assert list(answer.json().items()) == [
        ("valid", True),
        ("tokenId", TOKEN_ID),
        ("subject", "bob"),
        ("issuer", "https://auth.example.com"),
        ("audience", "https://api.example.com"),
        ("issuedAt", "2025-11-24T16:00:00.000Z"),
        ("expiresAt", "2025-11-24T16:15:00.000Z"),
        ("expiresIn", 840),
    ]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == NO_STORE


async def test_an_expired_token_is_auth_010_with_its_time() -> None:
    """Issued 15 minutes earlier: 401, and when it expired."""
    service = Service()
    service.now = NOW - 900
    token = await service.token()
    service.now = NOW
    answer = await service.ask("GET", "/tokens/validate", {**BOB, "Authorization": f"Bearer {token}"})
    document = problem_of(answer, ProblemKind.TOKEN_EXPIRED)
    assert document["extensions"] == {"expiredAt": "2025-11-24T16:00:00.000Z"}


@pytest.mark.parametrize(
    ("authorization", "username", "kind"),
    [
        (None, "bob", ProblemKind.MISSING_AUTHORIZATION),
        ("Basic {}", "bob", ProblemKind.MISSING_AUTHORIZATION),
        ("Bearer {}x", "bob", ProblemKind.INVALID_TOKEN),
        ("Bearer {}", "eve", ProblemKind.INVALID_TOKEN),
    ],
)
async def test_a_token_that_does_not_validate_is_refused(
    authorization: str | None, username: str, kind: ProblemKind
) -> None:
    """No Bearer token is AUTH_012; a changed token and another consumer's token are AUTH_011."""
    service = Service()
    headers = BOB | {"X-Consumer-Username": username}
    if authorization is not None:
        headers["Authorization"] = authorization.format(await service.token())
    problem_of(await service.ask("POST", "/tokens/validate", headers), kind)


@pytest.mark.parametrize("path", ["/tokens", "/tokens/validate"])
@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({}, ProblemKind.MISSING_CONSUMER_HEADERS),
        ({"X-Consumer-ID": "c-17"}, ProblemKind.MISSING_CONSUMER_HEADERS),
        (BOB | {"X-Consumer-Username": ""}, ProblemKind.MISSING_CONSUMER_HEADERS),
        (BOB | {"X-Consumer-ID": "c" * 257}, ProblemKind.INVALID_REQUEST),
        (BOB | {"X-Consumer-Username": "b" * 257}, ProblemKind.INVALID_REQUEST),
        (BOB | {"X-Anonymous-Consumer": "TRUE"}, ProblemKind.ANONYMOUS_CONSUMER),
    ],
)
async def test_who_is_not_named_by_the_gateway_is_refused(
    path: str, headers: dict[str, str], kind: ProblemKind
) -> None:
    """Missing headers, long headers and the anonymous consumer, on both routes."""
    problem_of(await Service().ask("POST", path, headers | {"Authorization": "Bearer a.b.c"}), kind)


async def test_the_longest_header_is_the_operators_choice() -> None:
    """KONG_MAX_HEADER_LENGTH is really used, and said in the answer."""
    service = Service(kong_max_header_length=3)
    document = problem_of(await service.ask("GET", "/tokens"), ProblemKind.INVALID_REQUEST)
    assert document["detail"] == "X-Consumer-ID and X-Consumer-Username may hold 3 characters at most"


@pytest.mark.parametrize("path", ["/tokens", "/tokens/validate"])
@pytest.mark.parametrize(
    ("method", "content_type", "accepted"),
    [
        ("POST", "application/json", True),
        ("POST", "Application/JSON; charset=utf-8", True),
        ("POST", "application/x-www-form-urlencoded", True),
        ("GET", "text/plain", True),
        ("POST", "text/plain", False),
        ("POST", "application/json2", False),
        ("POST", "multipart/form-data; boundary=x", False),
    ],
)
async def test_a_content_type_that_is_not_understood_is_auth_007(
    path: str, method: str, content_type: str, *, accepted: bool
) -> None:
    """Only of a POST, parameters and case ignored; the accepted types are said."""
    service = Service()
    headers = {**BOB, "Authorization": f"Bearer {await service.token()}", "Content-Type": content_type}
    answer = await service.ask(method, path, headers)
    if accepted:
        assert answer.status_code == 200
    else:
        document = problem_of(answer, ProblemKind.INVALID_REQUEST)
        assert document["detail"].endswith("one of application/json, application/x-www-form-urlencoded")


async def test_a_body_over_the_limit_is_413() -> None:
    """MAX_REQUEST_BODY_SIZE bytes are accepted, one more is AUTH_007 with the limit."""
    service = Service(max_request_body_size=8)
    headers = {**BOB, "Content-Type": "application/json"}
    assert (await service.ask("POST", "/tokens", headers, b'{"a": 1}')).status_code == 200
    document = problem_of(await service.ask("POST", "/tokens", headers, b'{"a": 10}'), ProblemKind.BODY_TOO_LARGE)
    assert document["detail"] == "A request body may hold 8 bytes at most"
    assert service.requests("POST", "unmatched", 413) == 1


async def test_a_body_that_grows_over_the_limit_is_413() -> None:
    """A body that does not say its length is counted as it comes."""
    parts = [{"type": "http.request", "body": b"12345", "more_body": True}] * 2
    outgoing: list[MutableMapping[str, Any]] = []

    async def reads(scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[object]], send: object) -> None:
        while True:
            await receive()

    async def receive() -> MutableMapping[str, Any]:
        return parts.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        outgoing.append(message)

    edge = Edge(reads, max_body_bytes=8, timeout_seconds=5, metrics=Metrics(), clock=lambda: NOW)
    await edge({"type": "http", "method": "POST", "path": "/", "headers": []}, receive, send)
    assert (outgoing[0]["status"], parts) == (413, [])


@pytest.mark.parametrize("length", ["-1", "+8", "0x8", "many", "", "9" * 5000])
async def test_a_length_that_is_no_number_is_refused(length: str) -> None:
    """A body of unknown length counts as too large."""
    answer = await Service().ask("POST", "/tokens", BOB | {"Content-Length": length})
    problem_of(answer, ProblemKind.BODY_TOO_LARGE)


async def test_a_request_that_takes_too_long_is_503() -> None:
    """REQUEST_TIMEOUT_MS is enforced: AUTH_004 that asks to retry, and the look-up is cancelled."""
    cancelled = asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    service = Service(then=never, request_timeout_ms=100)
    answer = await service.ask("POST", "/tokens")
    document = problem_of(answer, ProblemKind.KONG_UNAVAILABLE)
    assert document["detail"] == "The request took longer than 0.1 s"
    assert answer.headers["retry-after"] == "1"
    assert cancelled.is_set()
    assert service.requests("POST", "/tokens", 503) == 1
    assert service.metrics.value("http_requests_in_flight") == 0


async def test_an_unexpected_error_tells_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    """AUTH_008 for the client; the error itself goes to the log, under the request's id."""

    async def breaks() -> None:
        raise RuntimeError("password=hunter2 at 10.0.0.7")

    service = Service(then=breaks)
    with caplog.at_level(logging.ERROR):
        answer = await service.ask("POST", "/tokens", BOB | {"X-Request-Id": REQUEST_ID})
    document = problem_of(answer, ProblemKind.INTERNAL)
    assert document["detail"] == "The request could not be answered"
    assert "hunter2" not in answer.text
    assert "RuntimeError" not in answer.text
    [record] = caplog.records
    assert (record.message, record.__dict__["request_id"]) == ("request_failed", REQUEST_ID)
    assert record.exc_info is not None
    assert "hunter2" in str(record.exc_info[1])


async def test_a_token_that_cannot_be_signed_is_auth_003() -> None:
    """What the signer says stays inside, and no success is counted."""

    def refuses(_: Mapping[str, Any], __: Credential) -> str:
        raise ValueError("bad key 0123")

    service = Service(signed=refuses)
    answer = await service.ask("POST", "/tokens")
    problem_of(answer, ProblemKind.JWT_CREATION_FAILED)
    assert "0123" not in answer.text
    assert service.metrics.value("authentication_success_total") == 0


async def test_a_problem_of_the_look_up_is_answered_as_it_is() -> None:
    """Kind, detail and headers of a problem raised by the consumers reach the client."""

    async def down() -> None:
        raise Problem(ProblemKind.KONG_UNAVAILABLE, "Kong does not answer", headers={"Retry-After": "7"})

    answer = await Service(then=down).ask("GET", "/tokens")
    assert problem_of(answer, ProblemKind.KONG_UNAVAILABLE)["detail"] == "Kong does not answer"
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize("path", ["/", "/token", "/tokens/", "/health/", "/Tokens", "//tokens"])
async def test_an_unknown_path_is_404(path: str) -> None:
    """Paths are exact: a trailing slash is another path, and nothing is redirected."""
    service = Service()
    answer = await service.ask("GET", f"http://auth.test{path}")
    document = problem_of(answer, ProblemKind.NOT_FOUND)
    assert document["type"] == "urn:problem-type:auth-service/not-found"
    assert "extensions" not in document
    assert service.requests("GET", "unmatched", 404) == 1


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/tokens", {"GET", "HEAD", "POST"}),
        ("PATCH", "/tokens/validate", {"GET", "HEAD", "POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("PUT", "/metrics", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_is_405_with_those_allowed(method: str, path: str, allowed: set[str]) -> None:
    """Allow for machines, extensions.allowedMethods for clients that read the document."""
    answer = await Service().ask(method, path)
    document = problem_of(answer, ProblemKind.METHOD_NOT_ALLOWED)
    assert document["detail"] == f"{method} is not allowed here"
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert set(document["extensions"]["allowedMethods"]) == allowed


@pytest.mark.parametrize("path", ["/tokens", "/health"])
async def test_head_works_where_get_does(path: str) -> None:
    """The same status and headers as GET."""
    service = Service()
    head, get = [await service.ask(method, path, BOB | {"X-Request-Id": REQUEST_ID}) for method in ("HEAD", "GET")]
    assert head.status_code == 200
    assert head.headers == get.headers
    assert service.requests("HEAD", path, 200) == 1


@pytest.mark.parametrize("path", ["/tokens", "/health", "/nowhere"])
async def test_a_valid_request_id_is_kept(path: str) -> None:
    """On answers and problems alike."""
    answer = await Service().ask("GET", path, BOB | {"X-Request-Id": REQUEST_ID})
    assert answer.headers.get_list("x-request-id") == [REQUEST_ID]


@pytest.mark.parametrize("offered", [None, "", "req-1", f"{REQUEST_ID}0", "<script>"])
async def test_any_other_request_id_is_replaced_by_a_new_one(offered: str | None) -> None:
    """Two requests never share a made id, and nothing that is no UUID comes back."""
    service = Service()
    headers = BOB if offered is None else BOB | {"X-Request-Id": offered}
    ids = [(await service.ask("GET", "/tokens", headers)).headers["x-request-id"] for _ in range(2)]
    assert ids[0] != ids[1]
    assert [str(UUID(each)) for each in ids] == ids


async def test_health_says_how_the_service_is_and_what_its_monitor_sees() -> None:
    """Every member in order; slaMonitor is passed through untouched; never cached."""
    answer = await Service(service_version="1.4.0").ask("GET", "/health", {"X-Request-Id": REQUEST_ID})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"
    assert list(answer.json().items()) == [
        ("status", "healthy"),
        ("timestamp", "2025-11-24T16:00:00.500Z"),
        ("version", "1.4.0"),
        ("environment", "development"),
        ("uptime", 61.25),
        (
            "dependencies",
            {
                "kong": {"status": "healthy", "mode": "EMBEDDED"},
                "kafka": {"status": "healthy", "configured": False},
            },
        ),
        ("slaMonitor", MONITOR),
        ("requestId", REQUEST_ID),
    ]


@pytest.mark.parametrize(
    ("servers", "connected", "status", "kafka"),
    [
        ("kafka:9092", True, "healthy", {"status": "healthy", "configured": True}),
        ("kafka:9092", False, "degraded", {"status": "unhealthy", "configured": True}),
        (None, False, "healthy", {"status": "healthy", "configured": False}),
    ],
)
async def test_a_kafka_that_is_down_degrades_and_a_missing_one_does_not(
    servers: str | None, status: str, kafka: dict[str, Any], *, connected: bool
) -> None:
    """Tokens are issued without Kafka: 200 either way."""
    service = Service(monitor={"connected": connected}, kafka_bootstrap_servers=servers)
    answer = await service.ask("GET", "/health")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["dependencies"]["kafka"]) == (status, kafka)


async def test_metrics_are_prometheus_text() -> None:
    """Every instrument from the start, with what was counted so far, never cached."""
    service = Service()
    await service.token()
    answer = await service.ask("GET", "/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["cache-control"] == "no-cache"
    lines = answer.text.splitlines()
    assert 'http_requests_total{method="POST",route="/tokens",status_code="200"} 1.0' in lines
    assert 'http_request_duration_seconds_count{method="POST",route="/tokens"} 1.0' in lines
    assert "jwt_token_creation_duration_seconds_count 1.0" in lines
    assert "http_requests_in_flight 1.0" in lines
    assert "# TYPE latency_events_dropped_total counter" in lines


async def test_attempts_successes_and_failures_are_counted() -> None:
    """Of token requests only: one success, and each failure by its code."""
    service = Service()
    await service.token()
    await service.ask("GET", "/tokens", {})
    await service.ask("POST", "/tokens", BOB | {"Content-Type": "text/plain"})
    await service.ask("POST", "/tokens/validate", BOB)
    counted = service.metrics.value
    assert counted("authentication_attempts_total") == 3
    assert counted("authentication_success_total") == 1
    assert counted("authentication_failures_total", code="AUTH_001") == 1
    assert counted("authentication_failures_total", code="AUTH_007") == 1
    assert counted("authentication_failures_total", code="AUTH_012") == 0


async def test_requests_are_counted_by_route_and_by_known_methods() -> None:
    """A label never takes what a client makes up: neither a path nor a method."""
    service = Service()
    for method, path in (("GET", "/tokens"), ("GET", "/tokens/c-17"), ("BREW", "/tokens"), ("PATCH", "/health")):
        await service.ask(method, path)
    assert service.requests("GET", "/tokens", 200) == 1
    assert service.requests("GET", "unmatched", 404) == 1
    assert service.requests("other", "/tokens", 405) == 1
    assert service.requests("other", "/health", 405) == 1


async def test_requests_in_flight_are_counted_while_they_run() -> None:
    """Two at once are two, and none when both were answered."""
    arrived, seen = asyncio.Barrier(2), list[float]()

    async def meets() -> None:
        await arrived.wait()
        seen.append(service.metrics.value("http_requests_in_flight"))
        await arrived.wait()

    service = Service(then=meets)
    await asyncio.gather(service.ask("GET", "/tokens"), service.ask("GET", "/tokens"))
    assert seen == [2, 2]
    assert service.metrics.value("http_requests_in_flight") == 0


async def test_the_servers_lifespan_reaches_the_application() -> None:
    """Start and stop are passed on, and are no requests."""
    service = Service()
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    outgoing: list[str] = []

    async def receive() -> MutableMapping[str, Any]:
        return next(incoming)

    async def send(message: MutableMapping[str, Any]) -> None:
        outgoing.append(message["type"])

    await service.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert outgoing == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert "http_request_duration_seconds_count" not in str(list(service.metrics.registry.collect()))


@pytest.mark.parametrize("error", [TimeoutError(), Problem(ProblemKind.INTERNAL, "too late")])
async def test_an_answer_that_has_begun_is_not_answered_again(error: Exception) -> None:
    """After the first byte an error goes to the server, which cuts the connection."""
    outgoing: list[MutableMapping[str, Any]] = []

    async def begins(scope: MutableMapping[str, Any], receive: object, send: Callable[..., Awaitable[None]]) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise error

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        outgoing.append(message)

    metrics = Metrics()
    edge = Edge(begins, max_body_bytes=8, timeout_seconds=5, metrics=metrics, clock=lambda: NOW)
    headers = [(b"x-request-id", REQUEST_ID.encode())]
    with pytest.raises(type(error)) as raised:
        await edge({"type": "http", "method": "GET", "path": "/", "headers": headers}, receive, send)
    assert raised.value is error
    assert outgoing == [{"type": "http.response.start", "status": 200, "headers": headers}]
    assert metrics.value("http_requests_total", method="GET", route="unmatched", status_code="200") == 1
